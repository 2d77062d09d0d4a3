//! Plots of a report, as SVG that any browser shows: throughput and latency against connections, and the cost of an
//! append against the size of the log.

use std::fmt::Write as _;
use std::path::Path;

use crate::figures::Figure;
use crate::report::{Report, shown};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// Room around the plot: left, top, right, bottom.
const MARGINS: [f64; 4] = [70.0, 40.0, 30.0, 50.0];
const COLOURS: [&str; 3] = ["#2563eb", "#d97706", "#059669"];
/// Lines of the grid.
const STEPS: u32 = 4;

struct Plot<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    /// Each with its name and its points.
    series: Vec<(&'a str, Vec<(f64, f64)>)>,
}

/// Writes the plots for which the report has figures into a folder.
pub(crate) fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let connections = |what| points(&report.figures, "connections", what, " connections");
    let throughput = Plot {
        title: "Transfers over HTTP against connections",
        x: "connections",
        y: "transfers a second",
        series: vec![("transfers", connections("transfers at "))],
    };
    let latency = Plot {
        title: "Latency of a transfer against connections",
        x: "connections",
        y: "milliseconds",
        series: vec![("p50", connections("p50 at ")), ("p99", connections("p99 at "))],
    };
    let growth = Plot {
        title: "Cost of an append against the size of the log",
        x: "events in the log",
        y: "bare inserts in the time of one transfer",
        series: vec![(
            "one transfer",
            points(&report.figures, "growth", "cost of an append with ", " events"),
        )],
    };
    for (name, plot) in [("throughput", throughput), ("latency", latency), ("growth", growth)] {
        if plot.series.iter().all(|(_, points)| points.len() > 1) {
            std::fs::write(folder.join(format!("{name}.svg")), plot.svg())?;
        }
    }
    Ok(())
}

/// The medians of figures whose names say where on the axis they stand.
fn points(figures: &[Figure], scenario: &str, before: &str, after: &str) -> Vec<(f64, f64)> {
    let of_scenario = figures.iter().filter(|it| it.scenario == scenario);
    of_scenario
        .filter_map(|it| {
            let at = it.name.strip_prefix(before)?.strip_suffix(after)?.replace(',', "");
            Some((at.parse().ok()?, it.median))
        })
        .collect()
}

impl Plot<'_> {
    /// The horizontal axis is logarithmic, the vertical one begins at zero.
    fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|(_, points)| points);
        let (first, last) =
            all().fold((f64::INFINITY, 1.0_f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
        let top = all().fold(0.0_f64, |top, (_, y)| top.max(*y)) * 1.1;
        let [left, above, right, below] = MARGINS;
        let across = |x: f64| left + (x / first).ln() / (last / first).ln() * (WIDTH - left - right);
        let up = |y: f64| HEIGHT - below - y / top * (HEIGHT - above - below);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{left}\" y=\"20\" font-size=\"15\">{}</text>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <text x=\"8\" y=\"{}\" >{}</text>\n",
            self.title,
            WIDTH - right,
            HEIGHT - 8.0,
            self.x,
            above - 6.0,
            self.y
        );
        // Writing to a string cannot fail.
        for step in 0..=STEPS {
            let value = top * f64::from(step) / f64::from(STEPS);
            let y = up(value);
            _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - right,
                left - 6.0,
                y + 4.0,
                shown(value)
            );
        }
        for (x, _) in self.series.first().map_or(&[][..], |(_, points)| points) {
            _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{x}</text>",
                across(*x),
                HEIGHT - below + 18.0
            );
        }
        for ((name, points), (number, colour)) in self.series.iter().zip(COLOURS.iter().enumerate()) {
            let line: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), up(*y))).collect();
            _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
                line.join(" "),
                left + 10.0,
                above + 14.0 + 16.0 * number as f64
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}
