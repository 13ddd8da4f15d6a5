//! `delivery = "video"` in `[[apps.channels]]`, and what it does not go together with.

use super::*;
use crate::app::{ChannelSettings, Delivery, VideoSettings};

/// A file with one app, of which one channel setting says this.
fn with_channel(lines: &str) -> String {
    with_app("") + "[[apps.channels]]\npattern = 'camera-*'\n" + lines
}

fn settings(lines: &str) -> ChannelSettings {
    let loaded = Sources { file: Some(&with_channel(lines)), ..Sources::default() }.load().unwrap();
    loaded.config.apps[0].app.channels[0].clone()
}

#[test]
fn what_is_not_said_of_a_video_channel_is_as_in_the_default_file() {
    let read = settings("delivery = 'video'");
    assert_eq!((read.delivery, read.video), (Delivery::Video, Some(VideoSettings::default())));
    let read = settings("delivery = 'video'\npublishers = ['ann', 'studio-*']\ncache_bytes = 1000");
    let publishers = vec!["ann".to_owned(), "studio-*".to_owned()];
    assert_eq!(read.video, Some(VideoSettings { publishers, cache_bytes: 1000 }));
    assert_eq!(settings("delivery = 'every'").video, None);
    let default = VideoSettings::default();
    assert!(TEMPLATE.contains(&format!("\n#publishers = {:?}\n", default.publishers)));
    assert!(TEMPLATE.contains(&format!("\n#cache_bytes = {}\n", default.cache_bytes)));
}

#[test]
fn mistakes_are_told_with_what_was_expected() {
    let list = "apps.channels.publishers must be a list of user ids such as [\"ann\", \"studio-*\"], each with one star at most";
    for (lines, told) in [
        ("publishers = []", "h.toml:6:1: a channel setting needs delivery, history, or both".to_owned()),
        (
            "delivery = 'every'\npublishers = []",
            "h.toml:9:1: expected publishers only beside delivery = \"video\"".to_owned(),
        ),
        (
            "delivery = 'latest'\ncache_bytes = 5",
            "h.toml:9:1: expected cache_bytes only beside delivery = \"video\"".to_owned(),
        ),
        (
            "delivery = 'video'\nhistory = {}",
            "h.toml:9:11: expected no history beside delivery = \"video\", which keeps what viewers can begin with, got one"
                .to_owned(),
        ),
        ("delivery = 'video'\npublishers = 'ann'", format!("h.toml:9:14: {list}, got the string \"ann\"")),
        (
            "delivery = 'video'\ncache_bytes = -1",
            "h.toml:9:15: apps.channels.cache_bytes must be an integer from 0 to 1000000000, got -1".to_owned(),
        ),
    ] {
        let told_so = Sources { file: Some(&with_channel(lines)), ..Sources::default() }.complaints();
        assert_eq!(told_so, [told], "{lines}");
    }
    for publishers in ["['a*b*']", "['']", "[1]"] {
        let lines = format!("delivery = 'video'\npublishers = {publishers}");
        let told = Sources { file: Some(&with_channel(&lines)), ..Sources::default() }.complaints();
        assert!(told[0].contains(list), "{told:?}");
    }
}

#[test]
fn what_is_printed_is_read_again() {
    let text = with_channel("delivery = 'video'\npublishers = ['ann']\ncache_bytes = 1000");
    let loaded = Sources { file: Some(&text), ..Sources::default() }.load().unwrap();
    let printed = loaded.to_toml(true);
    let again = Sources { file: Some(&printed), ..Sources::default() }.load().unwrap();
    assert_eq!(again.config.apps[0].app.channels, loaded.config.apps[0].app.channels);
}
