//! What processes use, as the kernel tells it in /proc.

use anyhow::Context as _;

/// The kernel counts processor time in hundredths of a second for everybody who asks.
const TICKS_PER_SECOND: f64 = 100.0;

/// The fields of `/proc/<pid>/stat` after the name, which may hold anything.
fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    Ok(rest.split_whitespace().map(ToOwned::to_owned).collect())
}

fn number(fields: &[String], at: usize) -> anyhow::Result<f64> {
    Ok(fields.get(at).context("stat is too short")?.parse()?)
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> anyhow::Result<u32> {
    Ok(stat(pid)?.get(1).context("stat is too short")?.parse()?)
}

/// Processor time of one process so far, in seconds.
pub(crate) fn processor_seconds(pid: u32) -> anyhow::Result<f64> {
    let fields = stat(pid)?;
    Ok((number(&fields, 11)? + number(&fields, 12)?) / TICKS_PER_SECOND)
}

/// Processor time of a process and of all its children, those that have ended included.
pub(crate) fn processor_seconds_below(parent_pid: u32) -> anyhow::Result<f64> {
    let fields = stat(parent_pid)?;
    let mut sum =
        processor_seconds(parent_pid)? + (number(&fields, 13)? + number(&fields, 14)?) / TICKS_PER_SECOND;
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end while it is looked at; then its parent's sum has it.
        if parent(pid).is_ok_and(|it| it == parent_pid) {
            sum += processor_seconds(pid).unwrap_or(0.0);
        }
    }
    Ok(sum)
}

/// Resident memory of a process in mebibytes.
pub(crate) fn memory_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib / 1024.0)
}
