//! What the kernel says about this process, under the names that every Prometheus knows. Linux only; elsewhere, and
//! where `/proc` is closed, the figures are missing rather than wrong.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Looks whenever it is asked.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(time) = processor_time() {
            let value = ConstCounter::new(time.as_secs_f64());
            let help = "Processor time of this process";
            value.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                value.metric_type(),
            )?)?;
        }
        let gauges = [
            ("process_resident_memory_bytes", "Memory of this process", resident_bytes()),
            ("process_open_fds", "Files and connections that are open", open_files()),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let value = ConstGauge::new(value);
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        Ok(())
    }
}

fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything; what follows it are numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let milliseconds =
        (user + system).checked_mul(1_000)?.checked_div(rustix::param::clock_ticks_per_second())?;
    Some(Duration::from_millis(milliseconds))
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
    kilobytes.parse::<i64>().ok()?.checked_mul(1_024)
}

fn open_files() -> Option<i64> {
    i64::try_from(std::fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
