//! The default file, the `Default` values and the table of settings say the same.

use std::collections::BTreeSet;

use super::*;
use crate::app::{ChannelSettings, Delivery, HistoryBounds};
use crate::config::environment::OWN_NAMES;
use crate::config::reference::entries;
use crate::config::settings::{app_settings, node_settings};
use crate::pipe::{Pattern, Rate, RuleSpec, parse_interval};
use crate::webhook::{self as hooks, EventTypes, WebhookEndpoint, WebhookHeader};

/// The default file with every setting in force.
fn all_in_force() -> String {
    let uncomment = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
        _ => line.to_owned(),
    };
    // What has a meaning with delivery = "video" alone goes together with no history.
    let is_of_video = |line: &str| line.starts_with("#publishers = ") || line.starts_with("#cache_bytes = ");
    TEMPLATE.lines().filter(|line| !is_of_video(line)).map(|line| uncomment(line) + "\n").collect()
}

#[test]
fn the_default_file_holds_the_default_values() {
    let text = all_in_force();
    let loaded = Sources { file: Some(&text), ..Sources::default() }.load().unwrap();
    let mut app = crate::app::App::new("1001", "app-key", "app-secret");
    let (pattern, history) = (Pattern::parse("mirror").unwrap(), Some(HistoryBounds::default()));
    app.channels = vec![ChannelSettings { pattern, delivery: Delivery::Every, history, video: None }];
    let mut rule = RuleSpec::new("stream", "frame", "mirror").unwrap();
    rule.rename = Some("other-event".to_owned());
    rule.add.insert("message".to_owned(), "Sending frame".into());
    rule.pick = Some(vec!["dataUrl".to_owned()]);
    rule.filter.insert("kind".to_owned(), "camera".into());
    (rule.rate, rule.min_interval) = (Rate::parse("10/s"), parse_interval("50ms"));
    rule.keep_latest = true;
    let mut endpoint = WebhookEndpoint::new("https://example.com/webhooks").unwrap();
    let groups = ["channel_existence", "presence"].into_iter().filter_map(EventTypes::of_name);
    endpoint.events = groups.fold(EventTypes::default(), EventTypes::with);
    endpoint.channels = Some(Pattern::parse("presence-*").unwrap());
    endpoint.headers.push(WebhookHeader::new("authorization", "Bearer choose-a-token").unwrap());
    let webhooks =
        webhook::WebhookConfig { endpoints: vec![endpoint], delivery: hooks::DeliverySettings::default() };
    let url = RelayUrl::parse("https://old.example.com").unwrap();
    let key = crate::app::Key { key: "old-key".to_owned(), secret: crate::app::Secret::new("old-secret") };
    let mut relay = RelaySettings::new(url, "1001", key);
    relay.channels = vec![Pattern::parse("room-*").unwrap()];
    let apps = vec![AppConfig { app, pipe: vec![rule], webhooks, relays: vec![relay] }];
    let mut config = Config { apps, ..Config::default() };
    let socket = ListenAddress::Unix("/run/heliostat/heliostat.sock".into());
    config.server.listeners = vec![ListenerConfig::new(socket)];
    assert_eq!(loaded.config, config);
}

#[test]
fn as_it_is_shipped_the_default_file_defines_no_app() {
    let errors = Sources { file: Some(TEMPLATE), ..Sources::default() }.load().unwrap_err();
    assert_eq!(errors, [Error::NoApps { file: "h.toml".to_owned() }]);
}

#[test]
fn the_default_file_explains_every_setting_and_nothing_else() {
    let (keys, tables): (Vec<_>, Vec<_>) = entries(TEMPLATE).into_iter().partition(|e| e.value.is_some());
    assert!(tables.iter().chain(&keys).all(|e| e.is_explained()), "a comment is missing");
    let by_itself = |path: &str| {
        ["server.listeners.", "apps.pipe.", "apps.channels.", "apps.webhooks.", "apps.relay."]
            .iter()
            .any(|table| path.starts_with(table))
    };
    let written: BTreeSet<_> = keys.into_iter().map(|e| e.path).filter(|path| !by_itself(path)).collect();
    let known = node_settings().into_iter().map(|s| s.path.to_owned());
    let known: BTreeSet<_> =
        known.chain(app_settings().into_iter().map(|s| format!("apps.{}", s.path))).collect();
    assert_eq!(written, known);
}

#[test]
fn every_setting_has_an_environment_variable_of_its_own() {
    let node = node_settings().into_iter().map(|s| s.variable("HELIOSTAT_"));
    let app = app_settings().into_iter().map(|s| s.variable("HELIOSTAT_APP_"));
    let all: Vec<_> = node.chain(app).chain(OWN_NAMES.map(str::to_owned)).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "two settings share a variable");
    for name in &all {
        let loaded = Sources { variables: &[(name, "\u{1}")], ..Sources::default() }.load();
        let unknown = |w: &Warning| matches!(w, Warning::UnknownVariable { .. });
        assert!(!loaded.is_ok_and(|loaded| loaded.warnings.iter().any(unknown)), "{name}");
    }
}

#[test]
fn every_limit_has_a_setting_that_sets_it_alone() {
    let plain = with_app("");
    let before = Sources { file: Some(&plain), ..Sources::default() }.load().unwrap().config;
    let names: Vec<_> = app_settings().iter().filter_map(|s| s.path.strip_prefix("limits.")).collect();
    for name in &names {
        let text = format!("{plain}[apps.limits]\n{name} = 2048\n");
        let after = Sources { file: Some(&text), ..Sources::default() }.load().unwrap().config;
        let (before, after) = (&before.apps[0].app.limits, &after.apps[0].app.limits);
        let (before, after) = (format!("{before:?}"), format!("{after:?}"));
        let changed: Vec<_> = before.split(", ").zip(after.split(", ")).filter(|(b, a)| b != a).collect();
        assert_eq!(changed.len(), 1, "{name}: {changed:?}");
        assert!(changed[0].1.contains(&format!("{name}: 2048")), "{name}: {changed:?}");
    }
    let fields = format!("{:?}", before.apps[0].app.limits).split(", ").count();
    assert_eq!(names.len(), fields, "a limit has no setting");
}
