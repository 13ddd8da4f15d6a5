//! Video channels and those who mean no good, or know no better: each is answered, and nobody else is harmed.

use heliostat_protocol_tests::frame::{BINARY, FIN, PONG, header};
use heliostat_protocol_tests::track::{BinaryMessage, members};
use heliostat_protocol_tests::{Pipe, Shared, Sink, Socket};
use serde_json::{Value, json};

use crate::video::{DrainToError, broker, camera, connect, film, next_binary, sequence, told};

const CHANNEL: &str = "presence-camera";

fn named(sequence: u64, is_key: bool) -> Value {
    let mut members = members(sequence, is_key);
    members["publisher"] = json!("nobody else's");
    members
}

/// The text by which a publisher comes back is the publisher's own: nobody else is sent it, neither live nor late, nor before a rule.
///
/// Proves: video, pipe rules.
#[test]
fn what_proves_who_films_is_told_to_nobody() {
    let rule = "[[apps.pipe]]\nfrom = 'private-stream'\nevent = 'client-video'\nto = 'my-camera'\n";
    let Some(target) = broker(rule) else { return };
    let mut viewer = camera(&target, CHANNEL, "bob");
    let mut publisher = camera(&target, CHANNEL, "ann");
    film(&mut publisher, CHANNEL, &named(1, true), 100);
    film(&mut publisher, CHANNEL, &named(2, false), 100);
    let mut late = camera(&target, CHANNEL, "eve");
    for socket in [&mut viewer, &mut late] {
        for n in [1, 2] {
            assert_eq!(BinaryMessage::read(&next_binary(socket)).members, members(n, n == 1));
        }
    }
    // It still proves it: on another connection the publisher goes on.
    let mut again = camera(&target, CHANNEL, "studio-2");
    film(&mut again, CHANNEL, &named(3, true), 100);
    assert_eq!(sequence(&mut viewer), 3);
    let [mut source, mut neighbour] = [0, 1].map(|_| {
        let mut socket = connect(&target);
        socket.subscribe_private("private-stream");
        socket
    });
    let mut ordinary = target.connect();
    ordinary.subscribe_private("private-stream");
    let mut behind = connect(&target);
    behind.subscribe("my-camera");
    film(&mut source, "private-stream", &named(1, true), 100);
    for socket in [&mut neighbour, &mut behind] {
        assert_eq!(BinaryMessage::read(&next_binary(socket)).members, members(1, true));
    }
    let text = ordinary.expect_on("private-stream", "client-video").decoded();
    assert!(text["dataUrl"].is_string() && text.get("publisher").is_none(), "{text}");
}

/// A camera before a rule films as fast as on the channel itself, and webhooks hear nothing of it; other client events have their
/// limit.
///
/// Proves: video, pipe rules, 212.
#[test]
fn a_camera_before_a_rule_has_a_rate_of_its_own_and_is_nothing_for_webhooks() {
    let sink = Sink::start(&Shared::Main.credentials());
    let more = format!(
        "[[apps.pipe]]\nfrom = 'private-stream'\nevent = 'client-video'\nto = 'my-camera'\n\
         [[apps.webhooks]]\nurl = \"{}\"\nevents = [\"client_event\"]\n",
        sink.url()
    );
    let Some(target) = broker(&more) else { return };
    let mut publisher = connect(&target);
    publisher.subscribe_private("private-stream");
    let mut viewer = connect(&target);
    viewer.subscribe("my-camera");
    for n in 1..=100 {
        film(&mut publisher, "private-stream", &members(n, n == 1), 100);
    }
    for n in 1..=100 {
        assert_eq!(sequence(&mut viewer), n);
    }
    publisher.trigger("private-stream", "client-note", &json!("last"));
    let heard = sink.events_until(|event| event["event"] == "client-note");
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(publisher.drain().iter().all(|message| message.event != "pusher:error"));
}

/// What is refused is no event: backends do not hear what an impostor films.
///
/// Proves: video, pipe wire 1.0.
#[test]
fn backends_hear_nothing_of_what_is_refused() {
    let Some(target) = broker("") else { return };
    let mut backend = Pipe::connect(&target);
    backend.subscribe("socket_message");
    let mut publisher = camera(&target, CHANNEL, "ann");
    film(&mut publisher, CHANNEL, &members(1, true), 10);
    let mut impostor = camera(&target, CHANNEL, "studio-2");
    film(&mut impostor, CHANNEL, &members(100, true), 10);
    film(&mut impostor, CHANNEL, &json!({ "timestamp": 1 }), 10);
    impostor.trigger(CHANNEL, "client-note", &json!("last"));
    let mut heard = Vec::new();
    loop {
        let told = backend.expect("socket_message");
        heard.push(told.to_string());
        if told["event"] == "client-note" {
            break;
        }
    }
    assert_eq!(heard.len(), 2, "{heard:?}");
}

/// Everything that is wrong with messages of tracks is answered, its sender stays, and one who watches meanwhile sees every frame of
/// the camera that does nothing wrong.
///
/// Proves: video.
#[test]
fn whatever_comes_is_answered_and_harms_nobody_else() {
    let Some(target) = broker("") else { return };
    let mut good = camera(&target, CHANNEL, "ann");
    let mut viewer = camera(&target, CHANNEL, "v1");
    let mut bad = camera(&target, CHANNEL, "studio-bad");
    let mut number = 0;
    let mut goes_on = |viewer: &mut Socket| {
        number += 1;
        film(&mut good, CHANNEL, &members(number, number == 1), 2000);
        // What else comes is of the other one's tracks.
        loop {
            let members = BinaryMessage::read(&next_binary(viewer)).members;
            if members.get("track").is_none() {
                assert_eq!(members["sequence"], json!(number));
                return;
            }
        }
    };
    goes_on(&mut viewer);
    let other = |mut members: Value, track: &str| {
        members["track"] = json!(track);
        members
    };
    // A track that never sends a key frame is never seen, and its publisher is told what has come.
    for n in 0..50 {
        film(&mut bad, CHANNEL, &other(members(n, false), "deltas"), 100);
    }
    assert_eq!(told(&mut bad, "pusher:frame_received")["track"], json!("deltas"));
    goes_on(&mut viewer);
    // One more, from which nothing can begin, is asked for a key frame by who joins.
    let mut late = camera(&target, CHANNEL, "v2");
    assert_eq!(told(&mut bad, "pusher:keyframe_wanted")["track"], json!("deltas"));
    assert_eq!(sequence(&mut late), 1);
    // Configurations that are none.
    for (config, fault) in [
        (
            json!(null),
            "expected the member \"config\" to be an object, the decoder's configuration, got null",
        ),
        (
            json!({ "codec": "" }),
            "expected the member \"config.codec\" to be a text of 1 to 127 bytes, got \"\"",
        ),
        (json!({ "codec": "vp8", "codedWidth": 1 }), "expected the member \"config.codedHeight\", got none"),
    ] {
        let mut members = other(members(1, true), "config");
        members["config"] = config;
        film(&mut bad, CHANNEL, &members, 10);
        bad.drain_to_error(&format!("Track message rejected: {fault}"));
    }
    goes_on(&mut viewer);
    // Timestamps that run backwards are the decoder's business, and come as they are.
    for (n, timestamp) in [(1, 1_000_000), (2, -5), (3, 0)] {
        let mut members = other(members(n, n == 1), "back");
        members["timestamp"] = json!(timestamp);
        film(&mut bad, CHANNEL, &members, 10);
        assert_eq!(BinaryMessage::read(&next_binary(&mut viewer)).members, members);
    }
    goes_on(&mut viewer);
    // Two who claim one track: the second one is told, however often it tries.
    for _ in 0..10 {
        film(&mut bad, CHANNEL, &members(1000, true), 10);
    }
    for _ in 0..10 {
        let error = told(&mut bad, "pusher:error")["message"].as_str().unwrap().to_owned();
        assert!(error.starts_with("Track message rejected: the track \"client-video\" is held"), "{error}");
    }
    goes_on(&mut viewer);
    // A thousand tracks: there are three already, and of more than 64 of a connection the channel is not even asked.
    for n in 0..100 {
        film(&mut bad, CHANNEL, &other(members(1, false), &format!("t{n}")), 10);
    }
    let faults = [
        "Track message rejected: there are 16 tracks on the channel already",
        "Track message rejected: at most 64 tracks of a connection are allowed",
    ];
    for _ in 0..100 - 13 {
        let error = told(&mut bad, "pusher:error")["message"].as_str().unwrap().to_owned();
        assert!(faults.contains(&&*error), "{error}");
    }
    goes_on(&mut viewer);
}

/// A key frame of 200 MB is refused by its header, and its sender is closed; one that is a little too large is answered.
///
/// Proves: video, bad input.
#[test]
fn a_key_frame_of_200_megabytes_is_refused_by_its_header() {
    let Some(target) = broker("") else { return };
    let mut good = camera(&target, CHANNEL, "ann");
    let mut viewer = camera(&target, CHANNEL, "v1");
    let mut bad = camera(&target, CHANNEL, "studio-bad");
    film(&mut good, CHANNEL, &members(1, true), 100);
    assert_eq!(sequence(&mut viewer), 1);
    film(&mut bad, CHANNEL, &members(1, true), 1024 * 1024);
    assert!(bad.expect_some_error(Some(4301)).contains("exceeds the allowed maximum"));
    bad.send_bytes(&header(FIN | BINARY, 200_000_000, true));
    bad.expect_close_with(1009);
    film(&mut good, CHANNEL, &members(2, false), 100);
    assert_eq!(sequence(&mut viewer), 2);
}

/// A viewer that says that it has received what it was never sent, and what nobody ever sends, is served on, and so is everybody
/// else.
///
/// Proves: video.
#[test]
fn forged_positions_harm_nobody() {
    let Some(target) = broker("") else { return };
    let mut publisher = camera(&target, CHANNEL, "ann");
    let (mut forger, mut viewer) = (camera(&target, CHANNEL, "v1"), camera(&target, CHANNEL, "v2"));
    for n in 1..=60_u64 {
        for payload in [format!("v{n}"), format!("v{}", u64::MAX), "v-1".into(), "v".into(), "\u{0}".into()] {
            forger.send_frame(FIN | PONG, payload.as_bytes());
        }
        film(&mut publisher, CHANNEL, &members(n, n % 20 == 1), 1000);
        assert_eq!((sequence(&mut viewer), sequence(&mut forger)), (n, n));
    }
    // Wishes of all kinds, over and over again.
    for n in 0..200 {
        let wanted = ["full", "none", "small", "stills"][n % 4];
        let data = json!({ "wanted": wanted, "event": format!("e{n}") });
        forger.send(&json!({ "event": "pusher:track_wanted", "channel": CHANNEL, "data": data }));
        let data = json!({ "event": "client-video" });
        forger.send(&json!({ "event": "pusher:keyframe_wanted", "channel": CHANNEL, "data": data }));
    }
    let mut too_many = 0;
    while too_many < 200 - 16 {
        let error = told(&mut forger, "pusher:error")["message"].as_str().unwrap().to_owned();
        assert!(error.contains("wishes for at most 16 tracks of a channel"), "{error}");
        too_many += 1;
    }
    film(&mut publisher, CHANNEL, &members(61, false), 1000);
    assert_eq!(sequence(&mut viewer), 61);
    let asked = publisher.drain().iter().filter(|message| message.event == "pusher:keyframe_wanted").count();
    assert!(asked <= 2, "{asked} key frames for one who asks 200 times");
}
