//! What a scrape of a hub tells.

use std::collections::BTreeSet;

use std::time::Instant;

use super::*;
use crate::app::App;
use crate::channel::NodeId;
use crate::cluster::adapter::Link;
use crate::cluster::status::{
    ClusterFigures, ClusterStatus, Loss, PeerStatus, ReplicaSize, Traffic, WordKind,
};
use crate::connection::ConnectionConfig;
use crate::hub::{HandedKind, HandedLoss};

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
        feed: Arc::default(),
        webhooks: Webhooks::new(),
        relays: Relays::new(),
        certificates: None,
        usage: None,
        rules: Arc::default(),
        hooks: Vec::new(),
        soketi: None,
        cluster: None,
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
fn nothing_is_told_of_a_cluster_where_there_is_none_and_a_name_once_where_two_have_it() {
    assert!(!scrape(&metrics(1)).contains("heliostat_cluster_"));
    let peer = |name: &str, channels| PeerStatus {
        id: NodeId::new(channels as u128),
        name: name.into(),
        address: None,
        release: "1".into(),
        silent_for: Duration::ZERO,
        is_complete: channels > 1,
        size: ReplicaSize { channels, members: 2, users: 3, ..ReplicaSize::default() },
        is_namesake: name == "a",
        differing: if channels == 1 { vec!["fallback.path"] } else { Vec::new() },
    };
    let mut figures = ClusterFigures::default();
    figures.said[WordKind::Event as usize] = Traffic { messages: 7, bytes: 700 };
    figures.lost[Loss::InboxFull as usize] = 5;
    figures.joins_timed_out = 4;
    let status = ClusterStatus {
        me: NodeId::new(9),
        name: "me".into(),
        is_settled: true,
        link: Link::Away { since: Instant::now(), reason: "gone".into() },
        away: None,
        peers: vec![peer("a", 1), peer("a", 10), peer("b\n\"", 100)],
        own: ReplicaSize::default(),
        figures,
    };
    let mut snapshot = Snapshot::default();
    cluster::collect(&status, &mut snapshot);
    let text = Format::accepted(None).write(&Arc::new(snapshot), "").unwrap();
    for line in [
        "heliostat_cluster_bus_up 1",
        "heliostat_cluster_link_up 0",
        "heliostat_cluster_peers 3",
        "heliostat_cluster_incomplete_peers 1",
        "heliostat_cluster_namesakes 2",
        "heliostat_cluster_peer_channels{peer=\"a\"} 11",
        "heliostat_cluster_peer_users{peer=\"b\\n\\\"\"} 3",
        "heliostat_cluster_settings_differ{peer=\"a\",setting=\"fallback.path\"} 1",
        "heliostat_cluster_messages_total{direction=\"out\",kind=\"event\"} 7",
        "heliostat_cluster_bytes_total{direction=\"in\",kind=\"event\"} 0",
        "heliostat_cluster_lost_total{reason=\"inbox_full\"} 5",
        "heliostat_cluster_joins_total{result=\"timed_out\"} 4",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("round_trip"), "{text}");
}

#[test]
fn what_has_come_of_an_upgrade_is_told_afterwards_and_nothing_of_one_that_never_was() {
    let metrics = metrics(1);
    let text = scrape(&metrics);
    assert!(text.contains("heliostat_upgrade_linked 0\n"), "{text}");
    assert!(!text.contains("heliostat_upgrade_takeover_seconds "), "{text}");
    let upgrades = metrics.sources.hub.upgrades();
    upgrades.set_linked(true);
    upgrades.took(Duration::from_millis(1500));
    upgrades.taken(HandedKind::Event, 300);
    upgrades.lost(HandedLoss::Word, 2);
    let text = scrape(&metrics);
    for line in [
        "heliostat_upgrade_linked 1",
        "heliostat_upgrade_takeover_seconds 1.5",
        "heliostat_upgrade_taken_over_total{kind=\"event\"} 300",
        "heliostat_upgrade_taken_over_total{kind=\"name\"} 0",
        "heliostat_upgrade_lost_total{kind=\"word\"} 2",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is missing in\n{text}");
    }
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
            "complete",
            "direction",
            "hook",
            "kind",
            "method",
            "of",
            "peer",
            "reason",
            "result",
            "route",
            "rule",
            "setting",
            "source",
            "state",
            "status",
            "type",
            "version",
            "worker",
        ];
        assert!(metric.labels.iter().all(|label| known.contains(label)), "{name}: {:?}", metric.labels);
    }
}
