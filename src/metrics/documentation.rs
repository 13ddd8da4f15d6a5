//! The documentation of the metrics: docs/monitoring.md is made from their own descriptions, and whatever else names a
//! metric names one that there is.
//!
//! The part of that page between the two marks is compared with what is made here; `UPDATE_DOCS=1 cargo test` writes it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::catalogue::ALL;
use super::metric::MetricType;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md");
const BEGIN: &str =
    "<!-- reference: generated from src/metrics by `UPDATE_DOCS=1 cargo test`; do not edit -->\n";
const END: &str = "<!-- end of the reference -->\n";

fn reference() -> String {
    let mut table = "\n| metric | type | labels | what it tells |\n|---|---|---|---|\n".to_owned();
    for metric in ALL {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, metric_type) = (metric.name, metric.metric_type.name());
        let _ = writeln!(table, "| `{name}` | {metric_type} | {} | {} |", labels.join(", "), metric.help);
    }
    table
}

#[test]
fn the_reference_is_up_to_date() {
    let page = std::fs::read_to_string(PAGE).expect("docs/monitoring.md");
    let (before, rest) = page.split_once(BEGIN).expect("the mark where the reference begins");
    let (_, after) = rest.split_once(END).expect("the mark where the reference ends");
    let fresh = format!("{before}{BEGIN}{}\n{END}{after}", reference());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &fresh).expect("docs/monitoring.md can be written");
    } else {
        assert!(page == fresh, "docs/monitoring.md is stale; run `UPDATE_DOCS=1 cargo test` and commit it");
    }
}

/// The series that there are, histograms by all their names.
fn series() -> BTreeSet<String> {
    let names = |metric: &&'static super::metric::Metric| {
        let suffixes: &[&str] = match metric.metric_type {
            MetricType::Histogram => &["_bucket", "_sum", "_count"],
            MetricType::Counter | MetricType::Gauge | MetricType::Info => &[""],
        };
        suffixes.iter().map(|suffix| format!("{}{suffix}", metric.name)).collect::<Vec<_>>()
    };
    ALL.iter().flat_map(names).collect()
}

/// The names of metrics in a text: words that begin like one.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| word.starts_with("heliostat_") || word.starts_with("process_"));
    words.map(str::to_owned).collect()
}

#[test]
fn every_bound_has_its_metric() {
    let map = include_str!("../../docs/architecture.md");
    let (_, table) = map.split_once("| when it is reached | metric |").expect("the table of bounds");
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 50, "{} rows", rows.len());
    let known: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [what, .., cell] = cells.as_slice() else { panic!("{row}") };
        assert_eq!(cells.len(), 4, "what, bound, when it is reached, metric: {row}");
        let metrics = named(cell);
        assert!(metrics.is_subset(&known), "{what}: {metrics:?} are not all metrics");
        // What is watched nowhere is listed here, so that a new bound is not forgotten.
        let is_unwatched = what.starts_with("in test mode")
            || [
                "a request on the control socket",
                "peers of the control socket",
                "connections of the admin listener",
                "a file of the configuration",
                "a body that the API of the apps is sent; those that have not come whole",
                "what the API of the apps reads and writes files for at once, also for who has hung up",
                "the apps file; the time for which a change of it waits for others",
                "sockets that a service manager passes on",
                "the time that an upgrade waits for the end of the process before",
                "apps that `exec` remembers beyond their end",
                "a value from outside, in a line of the log",
                "bytes of heads that are taken at once, and of further requests while one is answered",
                "a list of channels",
                "attempts that the delivery log remembers, per endpoint",
                "an endpoint's answer",
                "attempts to send webhooks to one endpoint that are remembered with what was sent and answered",
                "figures of an hour, for the console",
                "a page of a list of the console",
                "bodies of requests to the console",
                "what clients say of themselves, for the log: origin, library, version",
                "a reload, or a look at what it would change",
                "users who were terminated a moment ago, for what other nodes tell of their names",
                "viewers of a video channel that are named to whoever looks, and the time for it",
                "proxies that the way back to a client leads over; one of their addresses; a line of `Forwarded`",
            ]
            .contains(what);
        assert_eq!(metrics.is_empty(), is_unwatched, "{what}: {cell}");
    }
}

#[test]
fn the_dashboard_and_the_rules_name_metrics_that_there_are() {
    let files = [
        ("grafana-dashboard.json", include_str!("../../examples/deploy/grafana-dashboard.json"), 25),
        ("alerts.yml", include_str!("../../examples/deploy/alerts.yml"), 12),
        ("docs/monitoring.md", include_str!("../../docs/monitoring.md"), 40),
    ];
    let known = series();
    for (file, text, least) in files {
        let names = named(text);
        let unknown: Vec<&String> = names.iter().filter(|name| !known.contains(*name)).collect();

        let stem = |name: &&String| ALL.iter().any(|metric| metric.name == name.as_str());
        assert!(unknown.iter().all(stem), "{file}: {unknown:?}");
        assert!(names.len() >= least, "{file}: only {names:?}");
    }
    serde_json::from_str::<serde_json::Value>(files[0].1).expect("a dashboard in JSON");
}
