//! `history` in `[[apps.channels]]`, and what it does not go together with.

use std::time::Duration;

use super::*;
use crate::app::{ChannelSettings, Delivery, HistoryBounds};

/// A file with one app, of which one channel setting says this.
fn with_channel(lines: &str) -> String {
    with_app("") + "[[apps.channels]]\npattern = 'a-*'\n" + lines
}

fn settings(lines: &str) -> ChannelSettings {
    let loaded = Sources { file: Some(&with_channel(lines)), ..Sources::default() }.load().unwrap();
    loaded.config.apps[0].app.channels[0].clone()
}

#[test]
fn what_is_not_said_of_a_history_is_as_in_the_default_file() {
    let read = settings("history = { events = 5, bytes = 2048, seconds = 1.5 }");
    let bounds = HistoryBounds { events: 5, bytes: 2048, time: Duration::from_millis(1500) };
    assert_eq!((read.delivery, read.history), (Delivery::Every, Some(bounds)));
    let read = settings("delivery = 'every'\nhistory = { events = 5 }");
    assert_eq!(read.history, Some(HistoryBounds { events: 5, ..HistoryBounds::default() }));
    assert_eq!(settings("history = {}").history, Some(HistoryBounds::default()));
    assert_eq!(settings("delivery = 'every'").history, None);
}

#[test]
fn mistakes_in_a_history_are_told_with_what_was_expected() {
    let table =
        "apps.channels.history must be a table such as { events = 1000, bytes = 1048576, seconds = 300 }";
    for (lines, told) in [
        ("history = true", format!("h.toml:8:11: {table}, got true")),
        ("history = 5", format!("h.toml:8:11: {table}, got 5")),
        (
            "history = { events = 0 }",
            "h.toml:8:22: apps.channels.history.events must be an integer from 1 to 1000000, got 0".to_owned(),
        ),
        (
            "history = { bytes = '1MB' }",
            "h.toml:8:21: apps.channels.history.bytes must be an integer from 1024 to 1000000000, got the string \"1MB\""
                .to_owned(),
        ),
        (
            "history = { seconds = 0 }",
            "h.toml:8:23: apps.channels.history.seconds must be a number of seconds from 0.1 to 86400, got 0".to_owned(),
        ),
        (
            "history = { event = 5 }",
            "h.toml:8:13: unknown key \"apps.channels.history.event\"; did you mean \"apps.channels.history.events\"?"
                .to_owned(),
        ),
        (
            "delivery = 'latest'\nhistory = {}",
            "h.toml:9:11: expected no history beside delivery = \"latest\", of which subscribers miss events by design, \
             got one"
                .to_owned(),
        ),
        ("", "h.toml:6:1: a channel setting needs delivery, history, or both".to_owned()),
    ] {
        let told_so = Sources { file: Some(&with_channel(lines)), ..Sources::default() }.complaints();
        assert_eq!(told_so, [told], "{lines}");
    }
}

#[test]
fn channels_keep_a_history_also_where_several_nodes_are_one_broker() {
    let text = "[cluster]\nurl = 'redis://127.0.0.1'\n".to_owned() + &with_channel("history = {}");
    let loaded = Sources { file: Some(&text), ..Sources::default() }.load().unwrap();
    assert!(loaded.config.apps[0].app.keeps_history());
}

#[test]
fn bounds_of_the_node_tell_what_was_expected() {
    for (line, told) in [
        (
            "retention_seconds = 149",
            "h.toml:2:21: recovery.retention_seconds must be a number of seconds from 150 to 86400, got 149",
        ),
        (
            "history_bytes = -1",
            "h.toml:2:17: recovery.history_bytes must be an integer from 0 to 1000000000, got -1",
        ),
        (
            "replay_bytes = 'x'",
            "h.toml:2:16: recovery.replay_bytes must be an integer from 0 to 1000000000, got the string \"x\"",
        ),
    ] {
        let text = with_app(&format!("[recovery]\n{line}"));
        assert_eq!(Sources { file: Some(&text), ..Sources::default() }.complaints(), [told]);
    }
}

#[test]
fn what_is_printed_is_read_again() {
    let text = with_channel("history = { events = 7, bytes = 2000, seconds = 0.5 }");
    let loaded = Sources { file: Some(&text), ..Sources::default() }.load().unwrap();
    let printed = loaded.to_toml(true);
    assert!(printed.contains("history = { events = 7, bytes = 2000, seconds = 0.5 }"), "{printed}");
    let again = Sources { file: Some(&printed), ..Sources::default() }.load().unwrap();
    assert_eq!(again.config, loaded.config);
}
