//! Video channels that a reload makes of other channels, and others that it makes of them, while somebody films and others watch.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::track::members;
use heliostat_protocol_tests::{Socket, Target};
use serde_json::json;

use crate::video::{camera, film, sequence, told, want};

const CHANNEL: &str = "presence-camera";

/// A channel on which `ann` films.
fn with_video() -> String {
    format!("{MAIN_APP}[[apps.channels]]\npattern = '*-camera'\ndelivery = 'video'\npublishers = ['ann']\n")
}

#[track_caller]
fn reload(target: &Target, config: &str) {
    let reloaded = target.broker().unwrap().reload(config);
    assert!(reloaded.status.success(), "{reloaded:?}");
}

/// Films a frame of this number, and waits until the broker has it.
#[track_caller]
fn film_and_hear(publisher: &mut Socket, number: u64, is_key: bool) {
    film(publisher, CHANNEL, &members(number, is_key), 1000);
    assert_eq!(told(publisher, "pusher:frame_received")["sequence"], json!(number));
}

/// Where a channel carries tracks no more nothing is kept of them, and what is filmed is an ordinary event; where it carries them
/// again everybody goes on with a key frame.
///
/// Proves: video.
#[test]
fn a_channel_becomes_another_kind_of_channel_while_somebody_films() {
    let Some(target) = Target::own(&with_video()) else { return };
    let (mut publisher, mut viewer) = (camera(&target, CHANNEL, "ann"), camera(&target, CHANNEL, "v1"));
    let mut hidden = camera(&target, CHANNEL, "v2");
    want(&mut hidden, CHANNEL, "none");
    film_and_hear(&mut publisher, 1, true);
    film(&mut publisher, CHANNEL, &members(2, false), 1000);
    assert_eq!([1, 2].map(|_| sequence(&mut viewer)), [1, 2]);
    reload(&target, MAIN_APP);
    let mut late = camera(&target, CHANNEL, "v3");
    film(&mut publisher, CHANNEL, &members(3, true), 1000);
    for socket in [&mut viewer, &mut hidden, &mut late] {
        assert_eq!(sequence(socket), 3, "an ordinary event is for all, and nothing of the film came before");
    }
    reload(&target, &with_video());
    // What it refers to was sent, but not as a track's.
    film_and_hear(&mut publisher, 4, false);
    film(&mut publisher, CHANNEL, &members(5, true), 1000);
    film(&mut publisher, CHANNEL, &members(6, false), 1000);
    for socket in [&mut viewer, &mut late] {
        assert_eq!([5, 6].map(|_| sequence(socket)), [5, 6]);
    }
    let mut latest = camera(&target, CHANNEL, "v4");
    assert_eq!([5, 6].map(|_| sequence(&mut latest)), [5, 6]);
    hidden.drain();
    assert!(!hidden.has_binary(), "what it wants it wants still");
}
