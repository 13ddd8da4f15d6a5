//! Video channels: who may film, what late and slow viewers are sent, and what publishers are told. What is sent is judged by a
//! decoder of our own, which knows no more than it was sent.

use std::thread::sleep;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::track::{BinaryMessage, TrackChecker, members};
use heliostat_protocol_tests::{Socket, Target, patience, unique};
use serde_json::{Value, json};

const QUERY: &str = "protocol=7&client=js&version=8.4.0&flash=false&binary=1";

/// The time between two frames of a camera.
const PACE: Duration = Duration::from_millis(8);

pub(crate) fn broker(more: &str) -> Option<Target> {
    Target::own(&format!(
        "[server]\nworkers = 2\n{MAIN_APP}[[apps.channels]]\npattern = '*-camera'\ndelivery = 'video'\n\
         publishers = ['ann', 'studio-*']\n{more}"
    ))
}

pub(crate) fn connect(target: &Target) -> Socket {
    let mut socket = target.connect_as(QUERY);
    socket.takes_binary = true;
    socket
}

/// Says what it wants of a channel, and reads what has come meanwhile.
pub(crate) fn want(viewer: &mut Socket, channel: &str, wanted: &str) {
    let data = json!({ "wanted": wanted });
    viewer.send(&json!({ "event": "pusher:track_wanted", "channel": channel, "data": data }));
    viewer.drain();
}

pub(crate) fn camera(target: &Target, channel: &str, user_id: &str) -> Socket {
    let mut socket = connect(target);
    socket.subscribe_presence(channel, user_id, &json!(null));
    socket
}

pub(crate) fn film(socket: &mut Socket, channel: &str, members: &Value, bytes: usize) {
    BinaryMessage::new(channel, "client-video", "video/webcodecs", members, vec![0x5a; bytes]).send(socket);
}

/// A picture for those who take no frames.
fn still(channel: &str) -> BinaryMessage {
    BinaryMessage::new(channel, "client-still", "image/jpeg", &json!({ "still": true }), b"x".to_vec())
}

/// The next binary message; whatever else comes is passed over.
#[track_caller]
pub(crate) fn next_binary(socket: &mut Socket) -> Vec<u8> {
    let deadline = Instant::now() + patience();
    while !socket.has_binary() {
        assert!(Instant::now() < deadline, "no binary message came");
        socket.drain();
    }
    socket.receive_binary()
}

/// The sequence of the next frame.
#[track_caller]
pub(crate) fn sequence(socket: &mut Socket) -> u64 {
    let message = BinaryMessage::read(&next_binary(socket));
    assert_eq!((&*message.event, &*message.media_type), ("client-video", "video/webcodecs"));
    message.members["sequence"].as_u64().unwrap()
}

/// The data of the next event of this name, whatever comes before it.
#[track_caller]
pub(crate) fn told(socket: &mut Socket, name: &str) -> Value {
    loop {
        let message = socket.message();
        if message.event == name {
            return if message.data.is_string() { message.decoded() } else { message.data };
        }
    }
}

/// Who comes late is sent the last key frame and what has followed it, and then what comes.
///
/// Proves: video.
#[test]
fn late_viewers_begin_at_once() {
    let Some(target) = broker("") else { return };
    let channel = "presence-camera";
    let (mut publisher, mut early) = (camera(&target, channel, "studio-1"), camera(&target, channel, "v1"));
    for n in 1..=6 {
        film(&mut publisher, channel, &members(n, n == 1 || n == 4), 1000);
        assert_eq!(sequence(&mut early), n);
    }
    let mut late = camera(&target, channel, "v2");
    assert_eq!([4, 5, 6].map(|_| sequence(&mut late)), [4, 5, 6]);
    film(&mut publisher, channel, &members(7, false), 1000);
    assert_eq!((sequence(&mut early), sequence(&mut late)), (7, 7));
    // A number that is missing was lost: what needs it goes to nobody, until the next key frame.
    film(&mut publisher, channel, &members(9, false), 1000);
    film(&mut publisher, channel, &members(10, true), 1000);
    assert_eq!((sequence(&mut early), sequence(&mut late)), (10, 10));
    for socket in [&mut early, &mut late] {
        socket.drain();
        assert!(!socket.has_binary());
    }
    publisher.drain();
    assert!(!publisher.has_binary(), "a publisher is not sent its own");
}

/// A permission to watch is none to publish, and who holds a track keeps it.
///
/// Proves: video.
#[test]
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a camera")]
fn only_publishers_film_and_one_of_them_at_a_time() {
    let Some(target) = broker("") else { return };
    let channel = "presence-camera";
    let mut publisher = camera(&target, channel, "ann");
    film(&mut publisher, channel, &members(1, true), 100);
    assert_eq!(told(&mut publisher, "pusher:frame_received")["sequence"], json!(1));
    let mut viewer = camera(&target, channel, "bob");
    film(&mut viewer, channel, &members(1, true), 100);
    viewer.drain_to_error(
        "Track message rejected: only its publishers and pipes may send tracks on presence-camera",
    );
    still(channel).send(&mut viewer);
    assert!(viewer.expect_some_error(None).starts_with("Track message rejected: only its publishers"));
    assert_eq!(sequence(&mut viewer), 1);
    let mut other = camera(&target, channel, "studio-2");
    let refusal = "Track message rejected: the track \"client-video\" is held by another publisher until five seconds after \
                   that one has gone";
    film(&mut other, channel, &members(1, true), 100);
    other.drain_to_error(refusal);
    // Another connection of the same user is the same publisher.
    let mut again = camera(&target, channel, "ann");
    film(&mut again, channel, &members(50, true), 100);
    assert_eq!(sequence(&mut viewer), 50);
    film(&mut publisher, channel, &members(2, true), 100);
    publisher.drain_to_error(refusal);
    // The holder leaves, and five seconds later the track is free.
    again.unsubscribe(channel);
    let left = Instant::now();
    loop {
        film(&mut other, channel, &members(7, true), 100);
        let drained = other.drain();
        if !drained.iter().any(|message| message.event == "pusher:error") {
            break;
        }
        assert!(left.elapsed() < patience() + Duration::from_secs(5), "{drained:?}");
        sleep(Duration::from_millis(100));
    }
    assert!(left.elapsed() > Duration::from_secs(4), "{:?}", left.elapsed());
    assert_eq!(sequence(&mut viewer), 7);
    // What is wrong with a message is said, and nothing else happens.
    for (wrong, told) in [
        (json!({ "timestamp": 1 }), "expected the member \"sequence\", got none"),
        (json!({ "sequence": 1, "timestamp": 1, "key": true }), "expected the member \"config\", got none"),
    ] {
        film(&mut other, channel, &wrong, 100);
        other.drain_to_error(&format!("Track message rejected: {told}"));
    }
}

pub(crate) trait DrainToError {
    fn drain_to_error(&mut self, text: &str);
}

impl DrainToError for Socket {
    /// The next error, which must be this; what else a publisher is told is passed over.
    #[track_caller]
    fn drain_to_error(&mut self, text: &str) {
        let error = told(self, "pusher:error");
        assert_eq!(error, json!({ "code": null, "message": text }));
    }
}

/// Through a rule the client that films is told what has come, where it sends, and is asked for key frames.
///
/// Proves: video, pipe rules.
#[test]
fn a_publisher_behind_a_rule_is_told_what_it_must_know() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'my-camera'\nas = 'picture'\n";
    let Some(target) = broker(rule) else { return };
    let (mut publisher, mut viewer) = (connect(&target), connect(&target));
    publisher.subscribe("stream");
    viewer.subscribe("my-camera");
    let send = |publisher: &mut Socket, members: &Value| {
        BinaryMessage::new("stream", "frame", "video/webcodecs", members, b"content of a frame".to_vec())
            .send(publisher);
    };
    send(&mut publisher, &members(1, true));
    let received = publisher.expect_on("stream", "pusher:frame_received").decoded();
    assert_eq!(
        received,
        json!({ "event": "frame", "rendition": "full", "sequence": 1, "timestamp": 33_333 })
    );
    let seen = BinaryMessage::read(&viewer.receive_binary());
    assert_eq!((&*seen.event, &seen.members), ("picture", &members(1, true)));
    send(&mut publisher, &members(2, false));
    // Nothing follows, and it is told of the last one all the same.
    assert_eq!(publisher.expect_on("stream", "pusher:frame_received").decoded()["sequence"], json!(2));
    viewer.receive_binary();
    let request =
        json!({ "event": "pusher:keyframe_wanted", "channel": "my-camera", "data": { "event": "picture" } });
    viewer.send(&request);
    let asked = publisher.expect_on("stream", "pusher:keyframe_wanted").decoded();
    assert_eq!(asked, json!({ "event": "frame", "rendition": "full" }));
    // Its decoder has failed: it is sent nothing before a key frame.
    send(&mut publisher, &members(3, false));
    send(&mut publisher, &members(4, true));
    assert_eq!(BinaryMessage::read(&viewer.receive_binary()).members["sequence"], json!(4));
    for (channel, data, text) in [
        (
            "my-camera",
            json!({}),
            "Received an invalid pusher:keyframe_wanted: expected event to be the name of the track's \
                                 events, got none",
        ),
        (
            "your-camera",
            json!({ "event": "picture" }),
            "Cannot broadcast client event (connection not subscribed to channel \
                                                     your-camera)",
        ),
    ] {
        viewer.send(&json!({ "event": "pusher:keyframe_wanted", "channel": channel, "data": data }));
        viewer.expect_error(None, text);
    }
    let paced = format!(
        "{MAIN_APP}[[apps.channels]]\npattern = '*-camera'\ndelivery = 'video'\n{rule}rate = '1/s'\n"
    );
    let (status, log) = refused_start(&paced);
    assert!(!status && log.contains("a channel with delivery = \"video\""), "{log}");
}

/// Whether a broker starts with these settings, and what it says.
pub(crate) fn refused_start(config: &str) -> (bool, String) {
    let file = std::env::temp_dir().join(format!("{}.toml", unique("heliostat-video-")));
    std::fs::write(&file, config).unwrap();
    let mut command = heliostat_protocol_tests::broker::command();
    let output = command.arg("check-config").arg("--config").arg(&file).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whoever takes no binary messages is sent stills and nothing else of the pictures; others choose.
///
/// Proves: video.
#[test]
fn stills_are_for_those_who_take_no_frames() {
    let Some(target) = broker("") else { return };
    let channel = "presence-camera";
    let (mut publisher, mut viewer) = (camera(&target, channel, "ann"), camera(&target, channel, "v1"));
    let mut ordinary = target.connect();
    ordinary.subscribe_presence(channel, "v2", &json!(null));
    film(&mut publisher, channel, &members(1, true), 100);
    still(channel).send(&mut publisher);
    assert_eq!(sequence(&mut viewer), 1);
    let picture = json!({ "dataUrl": "data:image/jpeg;base64,eA==", "still": true });
    assert_eq!(ordinary.expect_on(channel, "client-still").decoded(), picture);
    want(&mut viewer, channel, "stills");
    film(&mut publisher, channel, &members(2, false), 100);
    still(channel).send(&mut publisher);
    assert_eq!(BinaryMessage::read(&next_binary(&mut viewer)).event, "client-still");
    want(&mut viewer, channel, "none");
    film(&mut publisher, channel, &members(3, false), 100);
    still(channel).send(&mut publisher);
    ordinary.expect_on(channel, "client-still");
    ordinary.expect_on(channel, "client-still");
    want(&mut viewer, channel, "full");
    assert_eq!([1, 2, 3].map(|_| sequence(&mut viewer)), [1, 2, 3], "it begins as who joins");
    viewer.send(&json!({ "event": "pusher:track_wanted", "channel": channel, "data": { "wanted": "more" } }));
    assert!(
        viewer
            .expect_some_error(None)
            .starts_with("Received an invalid pusher:track_wanted: expected wanted")
    );
    viewer.assert_silence();
    ordinary.assert_silence();
    assert!(!viewer.has_binary());
}

/// A viewer that was away is not closed, has missed no ordinary event, and goes on with a key frame: it can decode all that it
/// was sent. Others have seen everything.
///
/// Proves: video.
#[test]
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a camera")]
fn a_slow_viewer_goes_on_with_a_key_frame() {
    const FRAMES: u64 = 240;
    const BYTES: usize = 100_000;
    let Some(target) = broker("[connection]\noutbox_bytes = 65536\n") else { return };
    let channel = "presence-camera";
    let (mut publisher, mut quick) = (camera(&target, channel, "ann"), camera(&target, channel, "v1"));
    let mut slow = camera(&target, channel, "v2");
    let (mut notes, mut number) = (0, 0);
    for n in 1..=FRAMES {
        film(&mut publisher, channel, &members(n, n % 40 == 1), BYTES);
        assert_eq!(sequence(&mut quick), n);
        if n % 30 == 0 {
            notes += 1;
            publisher.trigger(channel, "client-note", &json!(notes));
        }
        number = n;
        sleep(PACE);
    }
    let mut checker = TrackChecker::new();
    let mut seen = Vec::new();
    let mut noted = Vec::new();
    let began = Instant::now();
    while seen.last().is_none_or(|last| *last <= FRAMES) {
        assert!(began.elapsed() < patience(), "it is not live again; it has seen {seen:?}");
        number += 1;
        film(&mut publisher, channel, &members(number, true), 1000);
        for message in slow.drain() {
            if message.event == "client-note" {
                noted.push(message.decoded().as_i64().unwrap());
            }
        }
        while slow.has_binary() {
            let frame = checker.take(&slow.receive_binary()).unwrap();
            seen.push(frame.sequence);
        }
        sleep(PACE);
    }
    checker.assert_whole();
    assert!(seen.is_sorted() && seen.len() < FRAMES as usize, "{seen:?}");
    assert_eq!(noted, (1..=notes).collect::<Vec<_>>());
}
