//! Writes a snapshot as JSON, in the form that soketi's `/metrics?json=1` has: what prom-client's `getMetricsAsJSON` makes.
//! Panels for soketi read it.

use serde_json::{Map, Value as Json, json};

use super::catalogue::{BUILD, PROCESS_START};
use super::metric::{Metric, MetricType};
use super::snapshot::{Labels, Snapshot, Value};
use super::soketi::{self, SoketiNames, SoketiSample};

/// The `Content-Type` of the answer.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// All metrics, as an array; those under soketi's names, too, where they are told.
pub(super) fn write(snapshot: &Snapshot, names: Option<&SoketiNames>) -> String {
    let families = snapshot.families.iter().filter(|family| !family.samples.is_empty());
    let own = families.map(|family| {
        let Metric { name, help, metric_type, .. } = family.metric;
        let values = family.samples.iter().flat_map(|(labels, value)| samples(name, labels, value));
        let aggregator = match family.metric {
            same if std::ptr::eq(same, BUILD) => "first",
            same if std::ptr::eq(same, PROCESS_START) => "omit",
            _ => "sum",
        };
        metric((name, help, *metric_type), values.collect(), aggregator)
    });
    let own: Vec<Json> = own.collect();
    let of_soketi = names.into_iter().flat_map(|SoketiNames { prefix, port }| {
        soketi::ALL.iter().map(move |of_soketi| {
            let name = format!("{prefix}{}", of_soketi.name);
            let values = of_soketi.samples(snapshot).into_iter();
            let values = values.map(|SoketiSample { app_id, value }| {
                json!({ "value": value, "labels": { "app_id": app_id, "port": port } })
            });
            metric((&name, of_soketi.help, of_soketi.metric_type()), values.collect(), "sum")
        })
    });
    Json::Array(own.into_iter().chain(of_soketi).collect()).to_string()
}

fn metric((name, help, its_type): (&str, &str, MetricType), values: Vec<Json>, aggregator: &str) -> Json {
    let its_type = match its_type {
        MetricType::Counter => "counter",
        // There is no other way to say it there.
        MetricType::Gauge | MetricType::Info => "gauge",
        MetricType::Histogram => "histogram",
    };
    json!({ "help": help, "name": name, "type": its_type, "values": values, "aggregator": aggregator })
}

/// The entries of one sample: one, or those of a histogram, each with the name of its series.
fn samples(name: &str, labels: &Labels, value: &Value) -> Vec<Json> {
    let labels: Map<String, Json> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), Json::from(value.as_ref()))).collect();
    let durations = match value {
        Value::Whole(value) => return vec![json!({ "value": value, "labels": labels })],
        Value::Real(value) => return vec![json!({ "value": value, "labels": labels })],
        Value::Durations(durations) => durations,
    };
    let series = |suffix: &str, labels: Map<String, Json>, value: Json| {
        let name = format!("{name}{suffix}");
        json!({ "labels": labels, "value": value, "metricName": name })
    };
    let mut so_far = 0;
    let buckets = durations.ranges.iter().map(|(bound, count)| {
        so_far += count;
        let bound = if bound.is_finite() { json!(bound) } else { json!("+Inf") };
        let mut with_bound = Map::from_iter([("le".to_owned(), bound)]);
        with_bound.extend(labels.clone());
        series("_bucket", with_bound, so_far.into())
    });
    let mut all: Vec<Json> = buckets.collect();
    all.push(series("_sum", labels.clone(), durations.seconds.into()));
    all.push(series("_count", labels.clone(), durations.count().into()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Durations;
    use crate::metrics::catalogue::{CONNECTIONS, CONNECTIONS_OPENED, TURNS};

    #[test]
    fn it_has_the_form_of_prom_client() {
        let mut snapshot = Snapshot::default();
        snapshot.tell_of(BUILD, ["1.2.3".into()], 1_u64);
        snapshot.tell_of(CONNECTIONS, ["a".into()], 2_u64);
        snapshot.tell_of(CONNECTIONS_OPENED, ["a".into()], 3_u64);
        snapshot.tell(PROCESS_START, 1.5);
        let ranges = vec![(0.1, 0), (1.0, 1), (f64::INFINITY, 2)];
        snapshot.tell_of(TURNS, ["0".into()], Durations { ranges, seconds: 7.5 });
        let names = SoketiNames { prefix: "soketi_".to_owned(), port: 6001 };
        let parse = |names| serde_json::from_str::<Vec<Json>>(&write(&snapshot, names)).unwrap();
        assert_eq!(parse(None).len(), 5);
        let metrics = parse(Some(&names));
        let named = |name: &str| {
            let mut metric =
                metrics.iter().find(|metric| metric["name"] == name).cloned().expect("it is there");
            assert!(metric.as_object_mut().unwrap().remove("help").is_some_and(|help| help.is_string()));
            metric
        };
        // As prom-client 14 answers that stands behind soketi 1.6.1, which has the port as a number.
        let of = |its_type: &str, value: u64, name: &str| {
            json!({
                "name": name,
                "type": its_type,
                "values": [{ "value": value, "labels": { "app_id": "a", "port": 6001 } }],
                "aggregator": "sum",
            })
        };
        assert_eq!(named("soketi_connected"), of("gauge", 2, "soketi_connected"));
        assert_eq!(named("soketi_new_connections_total"), of("counter", 3, "soketi_new_connections_total"));
        assert_eq!(named("soketi_socket_received_bytes"), of("counter", 0, "soketi_socket_received_bytes"));
        assert_eq!(named("heliostat_build_info")["aggregator"], "first");
        assert_eq!(
            named("heliostat_connections")["values"],
            json!([{ "value": 2, "labels": { "app_id": "a" } }])
        );
        assert_eq!(named("process_start_time_seconds")["values"], json!([{ "value": 1.5, "labels": {} }]));
        let series = |suffix: &str, labels: Json, value: Json| {
            let name = format!("heliostat_worker_turn_seconds{suffix}");
            json!({ "labels": labels, "value": value, "metricName": name })
        };
        let expected = json!({
            "name": "heliostat_worker_turn_seconds",
            "type": "histogram",
            "values": [
                series("_bucket", json!({ "le": 0.1, "worker": "0" }), json!(0)),
                series("_bucket", json!({ "le": 1.0, "worker": "0" }), json!(1)),
                series("_bucket", json!({ "le": "+Inf", "worker": "0" }), json!(3)),
                series("_sum", json!({ "worker": "0" }), json!(7.5)),
                series("_count", json!({ "worker": "0" }), json!(3)),
            ],
            "aggregator": "sum",
        });
        assert_eq!(named("heliostat_worker_turn_seconds"), expected);
    }
}
