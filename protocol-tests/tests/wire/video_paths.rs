//! Video over every way to a broker's WebSocket: what a viewer is sent is the same, and is never compressed. And what a rule may not do to it.

use std::fs;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::track::{TrackChecker, members};
use heliostat_protocol_tests::{Socket, Target, Transport, tls, unique};
use serde_json::json;

use crate::video::{camera, film, next_binary, refused_start, want};

const QUERY: &str = "protocol=7&client=js&version=8.4.0&flash=false&binary=1";
const CHANNEL: &str = "presence-camera";

fn broker(server: &str, connection: &str) -> Option<Target> {
    Target::own(&format!(
        "[server]\nworkers = 2\n{server}[connection]\n{connection}{MAIN_APP}[[apps.channels]]\npattern = '*-camera'\n\
         delivery = 'video'\npublishers = ['ann']\n"
    ))
}

/// A viewer on a way, live and late and after a pause.
fn watch(way: &str, target: &Target, join: impl Fn(&Target, &str, &str) -> Socket) {
    // Nobody has filmed there yet.
    let channel = format!("presence-{}-camera", way.replace(' ', "-"));
    let mut publisher = camera(target, &channel, "ann");
    let (mut early, mut checker) = (join(target, &channel, "v1"), TrackChecker::new());
    let mut next = |socket: &mut Socket| checker.take(&next_binary(socket)).unwrap().sequence;
    for n in 1..=4 {
        film(&mut publisher, &channel, &members(n, n == 1), 5000);
        assert_eq!(next(&mut early), n, "{way}");
    }
    let mut late = join(target, &channel, "v2");
    let mut of_late = TrackChecker::new();
    let seen = [1, 2, 3, 4].map(|_| of_late.take(&next_binary(&mut late)).unwrap().sequence);
    assert_eq!(seen, [1, 2, 3, 4], "{way}");
    want(&mut early, &channel, "none");
    film(&mut publisher, &channel, &members(5, false), 5000);
    assert_eq!(of_late.take(&next_binary(&mut late)).unwrap().sequence, 5, "{way}");
    assert!(!early.has_binary(), "{way}: it is hidden");
    film(&mut publisher, &channel, &members(6, true), 5000);
    assert_eq!(of_late.take(&next_binary(&mut late)).unwrap().sequence, 6, "{way}");
    early.drain();
    assert!(!early.has_binary(), "{way}: it is hidden");
    want(&mut early, &channel, "full");
    assert_eq!(next(&mut early), 6, "{way}: it begins with the key frame that there is");
    film(&mut publisher, &channel, &members(7, false), 5000);
    assert_eq!((next(&mut early), of_late.take(&next_binary(&mut late)).unwrap().sequence), (7, 7), "{way}");
    checker.assert_whole();
    of_late.assert_whole();
}

/// Viewers by the path of the app, with a name of their own, below a prefix, and over TLS.
///
/// Proves: video.
#[test]
fn video_goes_over_every_path_and_over_tls() {
    let join = |target: &Target, channel: &str, user: &str| camera(target, channel, user);
    let Some(target) = broker("path_prefix = '/broker'\n", "") else { return };
    let mut below = target.clone();
    below.path_prefix = "/broker".to_owned();
    watch("below a prefix", &below, join);
    watch("with a name", &below, |target, channel, user| {
        camera(&target.named(&unique("a-name-of-more-than-enough-characters-")), channel, user)
    });
    let file = std::env::temp_dir().join(format!("{}.pem", unique("video-")));
    fs::write(&file, include_str!("certificate.pem")).unwrap();
    let encrypted = broker(&format!("tls_certificate = {file:?}\ntls_key = {file:?}\n"), "");
    fs::remove_file(&file).unwrap();
    let mut by_tls = encrypted.unwrap();
    by_tls.port = tls::front(by_tls.port);
    watch("over TLS", &by_tls, join);
}

/// Where permessage-deflate is agreed on, frames go as they are: whoever reads these here knows no compression.
///
/// Proves: video.
#[test]
fn frames_are_not_compressed() {
    let Some(target) = broker("", "compression = true\n") else { return };
    watch("with permessage-deflate", &target, |target, channel, user| {
        let offer = ["Sec-WebSocket-Extensions: permessage-deflate"];
        let mut socket = Socket::upgrade(target, &target.socket_path(QUERY), &offer);
        let agreed = socket.response_header("sec-websocket-extensions");
        assert!(agreed.is_some_and(|agreed| agreed.starts_with("permessage-deflate")));
        socket.takes_binary = true;
        socket.await_established();
        socket.subscribe_presence(channel, user, &json!(null));
        socket
    });
}

/// Over a transport without binary messages nothing of a track is sent, not even as text.
///
/// Proves: video.
#[test]
fn transports_of_text_are_sent_no_frames() {
    let Some(target) = broker("", "") else { return };
    let mut publisher = camera(&target, CHANNEL, "ann");
    let texts = [Transport::SockJsWebSocket, Transport::SockJsRawWebSocket, Transport::XhrStreaming];
    let mut viewers = texts.map(|transport| {
        let mut socket = target.over(transport).connect_as(QUERY);
        socket.subscribe_presence(CHANNEL, "v", &json!(null));
        socket
    });
    let mut seeing = camera(&target, CHANNEL, "v1");
    for n in 1..=3 {
        film(&mut publisher, CHANNEL, &members(n, n == 1), 1000);
        next_binary(&mut seeing);
    }
    publisher.trigger(CHANNEL, "client-note", &json!(1));
    for viewer in &mut viewers {
        loop {
            let message = viewer.message();
            assert!(!message.event.contains("video"), "{}", message.whole);
            if message.event == "client-note" {
                break;
            }
        }
    }
}

/// What would leave out deltas that others need is refused before the broker starts, with the reason.
///
/// Proves: video, pipe rules, bad input.
#[test]
fn rules_that_would_leave_frames_out_are_refused() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'my-camera'\n";
    let channels = "[[apps.channels]]\npattern = '*-camera'\ndelivery = 'video'\n";
    let of = |channels: &str, more: &str| refused_start(&format!("{MAIN_APP}{channels}{rule}{more}"));
    for pace in ["rate = '1/s'\n", "min_interval = '100ms'\n", "rate = '5/s'\nkeep = 'latest'\n"] {
        let (is_accepted, log) = of(channels, pace);
        assert!(!is_accepted && log.contains("a channel with delivery = \"video\""), "{pace}: {log}");
    }
    let (is_accepted, log) = of(&format!("{channels}history = {{ events = 10 }}\n"), "");
    assert!(!is_accepted && log.contains("expected no history beside delivery = \"video\""), "{log}");
    let (is_accepted, log) = of(channels, "");
    assert!(is_accepted, "{log}");
}
