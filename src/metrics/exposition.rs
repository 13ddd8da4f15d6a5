//! Writes a snapshot in the format that was asked for: OpenMetrics, or Prometheus' own text format.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType as EncodedType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::metric::MetricType;
use super::snapshot::{Labels, Snapshot, Value};

/// A format of the answer to a scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' text format, which everything reads that scrapes.
    Text,
    /// OpenMetrics.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header wants: OpenMetrics only where the header prefers it.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        let weight = |wanted: fn(&str) -> bool| {
            let ranges = accept.into_iter().flat_map(|accept| accept.split(','));
            let weights = ranges.filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let media_type = parts.next()?;
                let mut version_is_known = true;
                let mut weight = 1000;
                for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                    match name.trim().to_ascii_lowercase().as_str() {
                        "q" => weight = thousandths(value.trim()),
                        "version" => {
                            let known = ["0.0.1", "0.0.4", "1.0.0"];
                            version_is_known = known.contains(&value.trim().trim_matches('"'));
                        }
                        _ => {}
                    }
                }
                (version_is_known && wanted(media_type)).then_some(weight)
            });
            weights.max().unwrap_or(0)
        };
        let open_metrics =
            weight(|media_type| media_type.eq_ignore_ascii_case("application/openmetrics-text"));
        let text = weight(|media_type| {
            ["text/plain", "text/*", "*/*"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
        });
        // Whoever names both with one weight names the newer one on purpose.
        if open_metrics > 0 && open_metrics >= text { Format::OpenMetrics } else { Format::Text }
    }

    /// The `Content-Type` of the answer.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Format::Text => prometheus_text::CONTENT_TYPE,
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The snapshot in this format, with further lines in it that are written already.
    ///
    /// # Errors
    /// Never, as far as is known: a string takes everything.
    pub(super) fn write(self, snapshot: &Arc<Snapshot>, further: &str) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(snapshot)));
        let mut text = String::new();
        match self {
            Format::Text => prometheus_text::encode(&mut text, &registry)?,
            Format::OpenMetrics => text::encode(&mut text, &registry)?,
        }
        // Nothing may follow the end.
        let end = if text.ends_with(END) { END } else { "" };
        text.insert_str(text.len() - end.len(), further);
        Ok(text)
    }
}

/// What OpenMetrics ends with.
const END: &str = "# EOF\n";

/// Writes the value of a label, as it stands within quotes in both formats.
pub(super) fn write_label_value(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// A weight of an `Accept` header in thousandths: `0.75` is 750. What is none weighs nothing.
fn thousandths(weight: &str) -> u16 {
    let weight: f32 = weight.parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&weight) { (weight * 1000.0).round() as u16 } else { 0 }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.families.iter().filter(|family| !family.samples.is_empty()) {
            let metric = family.metric;
            let encoded_type = match metric.metric_type {
                MetricType::Counter => EncodedType::Counter,
                MetricType::Gauge => EncodedType::Gauge,
                MetricType::Info => EncodedType::Info,
                MetricType::Histogram => EncodedType::Histogram,
            };
            let mut encoder = encoder.encode_descriptor(metric.stem(), metric.help, None, encoded_type)?;
            for (labels, value) in &family.samples {
                encode_sample(&mut encoder, metric.metric_type, labels, value)?;
            }
        }
        Ok(())
    }
}

fn encode_sample(
    encoder: &mut MetricEncoder<'_>,
    metric_type: MetricType,
    labels: &Labels,
    value: &Value,
) -> fmt::Result {
    if metric_type == MetricType::Info {
        return encoder.encode_info(labels);
    }
    let mut encoder = encoder.encode_family(labels)?;
    match (metric_type, value) {
        (_, Value::Durations(durations)) => encoder.encode_histogram::<NoLabelSet>(
            durations.seconds,
            durations.count(),
            &durations.ranges,
            None,
        ),
        (MetricType::Counter, Value::Whole(value)) => ConstCounter::new(*value).encode(encoder),
        (MetricType::Counter, Value::Real(value)) => ConstCounter::new(*value).encode(encoder),
        (_, Value::Whole(value)) => ConstGauge::new(*value).encode(encoder),
        (_, Value::Real(value)) => ConstGauge::new(*value).encode(encoder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalogue::{BUILD, CONNECTIONS, PROCESS_CPU};

    #[test]
    fn the_header_decides_the_format() {
        let open_metrics = "application/openmetrics-text;version=1.0.0";
        let table = [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Text),
            (Some(open_metrics), Format::OpenMetrics),
            (Some("Application/OpenMetrics-Text; charset=utf-8"), Format::OpenMetrics),
            (Some("application/openmetrics-text;version=2.0.0"), Format::Text),
            (Some("application/openmetrics-text;q=0.3,text/plain;q=0.7"), Format::Text),
            (Some("application/openmetrics-text;q=0,*/*;q=0.1"), Format::Text),
            (Some("application/openmetrics-text;q=none"), Format::Text),
            (Some("application/openmetrics-text;q=7"), Format::Text),
            // What Prometheus 2.42 sends, and what 3.0 does.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                Format::OpenMetrics,
            ),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ),
                Format::OpenMetrics,
            ),
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.7,*/*;q=0.1",
                ),
                Format::Text,
            ),
        ];
        for (accept, format) in table {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }

    fn snapshot() -> Arc<Snapshot> {
        let mut snapshot = Snapshot::default();
        snapshot.tell_of(BUILD, ["1.2.3".into()], 1_u64);
        snapshot.tell_of(CONNECTIONS, ["a\"b\\c\nd".into()], 3_usize);
        snapshot.tell_of(CONNECTIONS, ["2".into()], 0_usize);
        snapshot.tell(PROCESS_CPU, 1.5);
        Arc::new(snapshot)
    }

    #[test]
    fn prometheus_text_has_the_whole_names_and_no_end() {
        let expected = "# HELP heliostat_build_info The version of the broker.\n\
            # TYPE heliostat_build_info gauge\n\
            heliostat_build_info{version=\"1.2.3\"} 1\n";
        let text = Format::Text.write(&snapshot(), "").unwrap();
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("heliostat_connections{app_id=\"a\\\"b\\\\c\\nd\"} 3\n"), "{text}");
        assert!(
            text.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n"),
            "{text}"
        );
        assert!(!text.contains("# EOF"));
    }

    #[test]
    fn further_lines_stand_before_the_end() {
        let text = Format::Text.write(&snapshot(), "x 1\n").unwrap();
        assert!(text.ends_with("\nx 1\n"), "{text}");
        let text = Format::OpenMetrics.write(&snapshot(), "x 1\n").unwrap();
        assert!(text.ends_with("\nx 1\n# EOF\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn open_metrics_has_the_stems_and_an_end() {
        let text = Format::OpenMetrics.write(&snapshot(), "").unwrap();
        assert!(
            text.contains("# TYPE heliostat_build info\nheliostat_build_info{version=\"1.2.3\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.5\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
