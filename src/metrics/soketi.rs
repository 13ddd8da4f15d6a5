//! The metrics under the names of soketi, so that dashboards made for it go on: some of what the broker counts, again.
//!
//! The names are soketi's, as its exporter writes them, whatever the rules say: counters of bytes have no `_total` there.
//! OpenMetrics has no such counter, so it is told there that the type of these is not known; Prometheus stores the same
//! either way.

use std::fmt::Write;

use super::catalogue as is;
use super::exposition::{Format, write_label_value};
use super::metric::{Metric, MetricType};
use super::snapshot::{Labels, Snapshot, Value};

/// The prefix, and the port that they are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SoketiNames {
    /// What the names begin with: `soketi_`. Not empty.
    pub(crate) prefix: String,
    /// The port that clients connect to.
    pub(crate) port: u16,
}

/// One of soketi's metrics. All have the labels `app_id` and `port`.
pub(super) struct SoketiMetric {
    /// Its name without the prefix.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Where its values are from: the sum of those that the metric has of an app.
    of: &'static Metric,
}

const fn named(name: &'static str, help: &'static str, of: &'static Metric) -> SoketiMetric {
    SoketiMetric { name, help, of }
}

/// All that there are here, in soketi's order.
pub(super) const ALL: [SoketiMetric; 10] = [
    named("connected", "The number of currently connected sockets.", is::CONNECTIONS),
    named("new_connections_total", "Connections of clients that were accepted.", is::CONNECTIONS_OPENED),
    named("new_disconnections_total", "Connections of clients that have ended.", is::CONNECTIONS_ENDED),
    named("socket_received_bytes", "Bytes that came from connections of clients.", is::BYTES_RECEIVED),
    named("socket_transmitted_bytes", "Bytes that were written to connections of clients.", is::BYTES_SENT),
    named("ws_messages_received_total", "Messages that clients have sent.", is::MESSAGES_RECEIVED),
    named("ws_messages_sent_total", "Messages that were queued for clients.", is::MESSAGES_SENT),
    named("http_received_bytes", "Bytes of the bodies of requests to the HTTP API.", is::API_BYTES_RECEIVED),
    named("http_transmitted_bytes", "Bytes of the bodies of their answers.", is::API_BYTES_SENT),
    named("http_calls_received_total", "Requests to the HTTP API.", is::API_REQUESTS),
];

/// One app's value of one of them.
pub(super) struct SoketiSample<'s> {
    pub(super) app_id: &'s str,
    pub(super) value: u64,
}

impl SoketiMetric {
    pub(super) const fn metric_type(&self) -> MetricType {
        self.of.metric_type
    }

    /// Its values, app by app. Every app has one: none that has ended is 0.
    pub(super) fn samples<'s>(&self, snapshot: &'s Snapshot) -> Vec<SoketiSample<'s>> {
        let app_ids = snapshot.samples_of(is::CONNECTIONS).iter().map(|(labels, _)| app_id(labels));
        let mut samples: Vec<_> = app_ids.map(|app_id| SoketiSample { app_id, value: 0 }).collect();
        // Both are in the order of the apps.
        let mut at = 0;
        for (labels, value) in snapshot.samples_of(self.of) {
            let Value::Whole(value) = value else { continue };
            while samples.get(at).is_some_and(|sample| sample.app_id != app_id(labels)) {
                at += 1;
            }
            if let Some(sample) = samples.get_mut(at) {
                sample.value += value;
            }
        }
        samples
    }
}

fn app_id(labels: &Labels) -> &str {
    labels.first().map_or("", |(_, value)| value)
}

impl SoketiNames {
    /// All of them in a format, as lines that may follow others.
    ///
    /// # Errors
    /// Never: a string takes everything.
    pub(super) fn lines(&self, format: Format, snapshot: &Snapshot) -> Result<String, std::fmt::Error> {
        let SoketiNames { prefix, port } = self;
        let mut text = String::new();
        for metric in &ALL {
            let SoketiMetric { name, help, .. } = metric;
            let (described, its_type) = match (format, metric.metric_type(), name.strip_suffix("_total")) {
                (Format::Text, MetricType::Counter, _) => (*name, "counter"),
                (Format::OpenMetrics, MetricType::Counter, Some(stem)) => (stem, "counter"),
                (Format::OpenMetrics, MetricType::Counter, None) => (*name, "unknown"),
                _ => (*name, "gauge"),
            };
            writeln!(text, "# HELP {prefix}{described} {help}")?;
            writeln!(text, "# TYPE {prefix}{described} {its_type}")?;
            for SoketiSample { app_id, value } in metric.samples(snapshot) {
                write!(text, "{prefix}{name}{{app_id=\"")?;
                write_label_value(app_id, &mut text);
                writeln!(text, "\",port=\"{port}\"}} {value}")?;
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (app, connections) in [("1", 3_u64), ("a\"b\\c\nd", 0)] {
            snapshot.tell_of(is::CONNECTIONS, [app.into()], connections);
            snapshot.tell_of(is::BYTES_SENT, [app.into()], connections * 10);
        }
        for (app, code, count) in [("a\"b\\c\nd", "1005", 2_u64), ("a\"b\\c\nd", "1006", 5)] {
            snapshot.tell_of(is::CONNECTIONS_ENDED, [app.into(), code.into()], count);
        }
        snapshot
    }

    fn written(format: Format) -> String {
        let names = SoketiNames { prefix: "soketi_".to_owned(), port: 6001 };
        names.lines(format, &snapshot()).unwrap()
    }

    #[test]
    fn the_text_format_has_the_names_and_types_of_soketis_exporter() {
        let text = written(Format::Text);
        let types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        // As the exporter of soketi 1.6.1 writes them, in its order.
        let expected = [
            "soketi_connected gauge",
            "soketi_new_connections_total counter",
            "soketi_new_disconnections_total counter",
            "soketi_socket_received_bytes counter",
            "soketi_socket_transmitted_bytes counter",
            "soketi_ws_messages_received_total counter",
            "soketi_ws_messages_sent_total counter",
            "soketi_http_received_bytes counter",
            "soketi_http_transmitted_bytes counter",
            "soketi_http_calls_received_total counter",
        ];
        assert_eq!(types, expected);
        for line in [
            "soketi_connected{app_id=\"1\",port=\"6001\"} 3\n",
            "soketi_connected{app_id=\"a\\\"b\\\\c\\nd\",port=\"6001\"} 0\n",
            "soketi_socket_transmitted_bytes{app_id=\"1\",port=\"6001\"} 30\n",
            "soketi_new_disconnections_total{app_id=\"1\",port=\"6001\"} 0\n",
            "soketi_new_disconnections_total{app_id=\"a\\\"b\\\\c\\nd\",port=\"6001\"} 7\n",
        ] {
            assert!(text.contains(line), "{line} {text}");
        }
    }

    #[test]
    fn open_metrics_has_no_counter_without_its_suffix() {
        let text = written(Format::OpenMetrics);
        for lines in [
            "# TYPE soketi_new_connections counter\n",
            "# TYPE soketi_socket_transmitted_bytes unknown\n\
             soketi_socket_transmitted_bytes{app_id=\"1\",port=\"6001\"} 30\n",
            "# TYPE soketi_connected gauge\n",
        ] {
            assert!(text.contains(lines), "{lines} {text}");
        }
    }

    #[test]
    fn no_prefix_makes_a_name_that_there_is() {
        for own in catalogue::ALL {
            let ends_alike = |metric: &SoketiMetric| own.name.ends_with(metric.name);
            assert!(!ALL.iter().any(ends_alike), "{}", own.name);
        }
    }
}
