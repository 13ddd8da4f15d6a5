//! What a scrape of a hub tells.

use std::collections::BTreeSet;

use super::*;
use crate::app::App;
use crate::connection::ConnectionConfig;

fn metrics(apps: usize) -> Metrics {
    let app = |n: usize| (App::new(format!("{n}"), format!("key-{n}"), "secret"), Vec::new());
    let hub = Hub::new((0..apps).map(app).collect(), ConnectionConfig::default(), 1, 0).unwrap();
    Metrics::new(MetricSources {
        hub,
        guesses: Arc::default(),
        sessions: Arc::new(Sessions::new(0)),
        slots: Arc::new(ConnectionSlots::new(0, 10, 1)),
        unfinished: Arc::new(UnfinishedBodies::new(0)),
        requests: Arc::default(),
        wire: PipeWire::new(Default::default()),
        webhooks: Webhooks::new(),
        relays: Relays::new(),
        certificates: None,
        usage: None,
        hooks: Vec::new(),
        soketi: None,
    })
}

fn scrape(metrics: &Metrics) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(metrics.scrape(None)).body
}

#[test]
fn every_app_has_its_series_unless_there_are_too_many() {
    let text = scrape(&metrics(2));
    assert!(
        text.contains("heliostat_connections{app_id=\"0\"} 0\nheliostat_connections{app_id=\"1\"} 0\n"),
        "{text}"
    );
    let text = scrape(&metrics(apps::MOST_APPS + 1));
    assert!(text.contains("heliostat_connections{app_id=\"\"} 0\n"), "{text}");
    assert!(!text.contains("app_id=\"1\""), "{text}");
}

#[test]
fn a_sum_of_all_apps_holds_an_app_once_while_it_is_removed() {
    let metrics = metrics(3);
    let hub = &metrics.sources.hub;
    let requests = |now: &crate::hub::Apps| hub.departed_counts(now).http_requests;
    let before = hub.apps();
    before.by_id("1").unwrap().cells_of(0).http_requests.add(7);
    let app = |n: usize| (App::new(format!("{n}"), format!("key-{n}"), "secret"), None);
    hub.set_apps(vec![app(0), app(2)]).unwrap();
    assert_eq!(requests(&before), 0, "it is among these");
    assert_eq!(requests(&hub.apps()), 7, "something is left of it");
    drop(before);
    assert_eq!((requests(&hub.apps()), hub.removed_apps()), (7, 0), "it has gone");
}

#[test]
fn names_and_labels_follow_the_rules() {
    let mut names = BTreeSet::new();
    for metric in catalogue::ALL {
        let name = metric.name;
        assert!(names.insert(name), "{name} twice");
        assert!(name.starts_with("heliostat_") || name.starts_with("process_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        let is_counter = metric.metric_type == metric::MetricType::Counter;
        assert_eq!(name.ends_with("_total"), is_counter, "{name}: only counters end so, and all of them");
        assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}: {}", metric.help);
        let known = [
            "app_id",
            "certificate",
            "code",
            "hook",
            "kind",
            "method",
            "of",
            "reason",
            "result",
            "route",
            "source",
            "status",
            "type",
            "version",
            "worker",
        ];
        assert!(metric.labels.iter().all(|label| known.contains(label)), "{name}: {:?}", metric.labels);
    }
}
