//! What was measured: kept as lines of text, and read again for tables and pictures.

use std::fmt::Write;

use super::Curve;
use crate::report::{middle, shown};

/// Which measurement it was.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) curve: String,
    pub(super) server: String,
    pub(super) size: usize,
    pub(super) run: usize,
}

/// All points of one server in one curve.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) server: String,
    pub(super) points: Vec<Point>,
}

/// The runs at one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) size: usize,
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

/// One measurement a line: the curve, the server, the size, the run, and the value, exactly: what is read is shown as what was
/// measured.
pub(super) fn written(lines: &[(Line, f64)]) -> String {
    let mut text = String::new();
    for (Line { curve, server, size, run }, value) in lines {
        let _ = writeln!(text, "{curve} {server} {size} {run} {value}");
    }
    text
}

/// The lines that can be read.
pub(super) fn read(text: &str) -> Vec<(Line, f64)> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (curve, server) = (words.next()?.to_owned(), words.next()?.to_owned());
            let (size, run) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((Line { curve, server, size, run }, words.next()?.parse().ok()?))
        })
        .collect()
}

/// A curve's series, in the order in which its servers come in the lines.
pub(super) fn series(lines: &[(Line, f64)], curve: &str) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    let of_curve = || lines.iter().filter(|(line, _)| line.curve == curve);
    for (line, _) in of_curve() {
        let at = all.iter().position(|series| series.server == line.server).unwrap_or_else(|| {
            all.push(Series { server: line.server.clone(), points: Vec::new() });
            all.len() - 1
        });
        if all[at].points.iter().any(|point| point.size == line.size) {
            continue;
        }
        let same = of_curve().filter(|(other, _)| other.server == line.server && other.size == line.size);
        let mut values: Vec<f64> = same.map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        if let ([low, ..], [.., high], Some(median)) = (&values[..], &values[..], middle(&values)) {
            all[at].points.push(Point { size: line.size, low: *low, median, high: *high });
        }
    }
    all.iter_mut().for_each(|series| series.points.sort_by_key(|point| point.size));
    all
}

/// A curve as a table: medians, with their ranges where there were several runs.
pub(super) fn table(curve: &Curve, series: &[Series]) -> String {
    let mut text = format!("{}, {}, over {}\n\n| {} |", curve.title, curve.unit, curve.size, curve.size);
    series.iter().for_each(|series| {
        let _ = write!(text, " {} |", series.server);
    });
    let _ = writeln!(text, "\n|---:|{}", "---:|".repeat(series.len()));
    let mut sizes: Vec<usize> =
        series.iter().flat_map(|series| &series.points).map(|point| point.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let _ = write!(text, "| {size} |");
        for series in series {
            let _ = match series.points.iter().find(|point| point.size == size) {
                None => write!(text, " – |"),
                Some(Point { low, median, high, .. }) if low < high => {
                    write!(text, " {} [{}–{}] |", shown(*median), shown(*low), shown(*high))
                }
                Some(point) => write!(text, " {} |", shown(point.median)),
            };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_runs_become_points() {
        let line =
            |server: &str, size, run| Line { curve: "a".to_owned(), server: server.to_owned(), size, run };
        let lines = [
            (line("x", 10, 0), 3.0),
            (line("y", 10, 0), 7.0),
            (line("x", 10, 1), 1.0),
            (line("x", 1, 0), 5.0),
        ];
        // Rounded to 9.9950 it would be shown as less than it is.
        let exact = [(line("c", 1, 0), 9.995_000_3)];
        assert_eq!(read(&written(&exact)), exact);
        let text = written(&lines) + "nonsense\nb x 1 1 9\n";
        let read = read(&text);
        assert_eq!(read[..4], lines);
        let point = |size, low, median, high| Point { size, low, median, high };
        assert_eq!(
            series(&read, "a"),
            [
                Series {
                    server: "x".to_owned(),
                    points: vec![point(1, 5.0, 5.0, 5.0), point(10, 1.0, 2.0, 3.0)]
                },
                Series { server: "y".to_owned(), points: vec![point(10, 7.0, 7.0, 7.0)] },
            ]
        );
    }
}
