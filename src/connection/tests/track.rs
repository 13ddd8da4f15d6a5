//! Who may film, how often, and what viewers ask for.

use super::*;
use crate::app::{ChannelSettings, Delivery, VideoSettings};
use crate::protocol::pattern::Pattern;
use crate::protocol::{BinaryMessage, BinaryPayload};

/// A connection whose app has video channels.
fn subject() -> Subject {
    Subject::new(|app| {
        app.limits.client_events_per_second = 1;
        let video = VideoSettings { publishers: vec!["ann".to_owned()], ..VideoSettings::default() };
        app.channels = vec![ChannelSettings {
            pattern: Pattern::parse("*-camera").unwrap(),
            delivery: Delivery::Video,
            history: None,
            video: Some(video),
        }];
    })
}

/// What a connection does about a binary message.
fn show(subject: &mut Subject, channel: &str, media_type: &str, members: &str) -> String {
    let payload = BinaryPayload::new(media_type, members, b"content").unwrap();
    let message = BinaryMessage { channel: Some(channel), event: "client-x", user_id: None, payload };
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let pipe = subject.pipe;
    let action = subject.connection.receive_binary(&bytes, subject.now, &|_, _| pipe, &|_| false);
    action.as_ref().map(in_short).unwrap_or_default()
}

const REFUSED: &str = "refuse null Track message rejected: only its publishers and pipes may send tracks on ";

#[test]
fn those_film_whose_user_id_is_among_the_publishers() {
    let mut stranger = subject();
    for channel in ["private-camera", "presence-camera", "private-a"] {
        stranger.subscribe(channel, channel.starts_with("presence-").then_some(r#"{"user_id":"bob"}"#));
    }
    for channel in ["private-camera", "presence-camera"] {
        let refused = format!("{REFUSED}{channel}");
        assert_eq!(show(&mut stranger, channel, "video/x", ""), refused);
        assert_eq!(show(&mut stranger, channel, "audio/x", ""), refused);
        assert_eq!(show(&mut stranger, channel, "image/x", r#"{"still":true}"#), refused);
    }
    assert!(show(&mut stranger, "private-a", "video/x", "").starts_with("broadcast"), "no video channel");
    let mut member = subject();
    member.subscribe("presence-camera", Some(r#"{"user_id":"ann"}"#));
    assert!(show(&mut member, "presence-camera", "video/x", "").starts_with("broadcast"));
    let mut user = subject();
    user.subscribe("private-camera", None);
    let user_data = r#"{"id":"ann"}"#;
    let signed = format!("1.2::user::{user_data}");
    let auth = format!("app-key:{}", sign(&Secret::new("app-secret"), &signed));
    let data = serde_json::json!({ "auth": auth, "user_data": user_data });
    assert!(
        user.say(&serde_json::json!({ "event": "pusher:signin", "data": data }).to_string())
            .starts_with("sign in")
    );
    assert!(show(&mut user, "private-camera", "video/x", "").starts_with("broadcast"));
}

#[test]
fn messages_of_tracks_have_a_rate_of_their_own() {
    let mut member = subject();
    member.subscribe("presence-camera", Some(r#"{"user_id":"ann"}"#));
    let frames = |subject: &mut Subject| {
        (0..300).filter(|_| show(subject, "presence-camera", "video/x", "").starts_with("broadcast")).count()
    };
    assert_eq!(frames(&mut member), 250);
    let refused = show(&mut member, "presence-camera", "video/x", "");
    assert_eq!(
        refused,
        "refuse 4301 Track message rejected: at most 250 per second and connection are allowed"
    );
    let picture = |subject: &mut Subject| show(subject, "presence-camera", "image/x", r#"{"still":true}"#);
    assert!(picture(&mut member).starts_with("broadcast"));
    assert!(picture(&mut member).starts_with("refuse 4301"), "stills are events like any other");
    member.now += Duration::from_secs(1);
    assert_eq!(frames(&mut member), 250);
    // Where a pipe leads them to a video channel, also those of other channels, and those that only a pipe hears.
    let sent = |channel: &str, event: &str, films: bool, app_has_video: bool| {
        let mut piped = if app_has_video { subject() } else { Subject::new(|_| {}) };
        piped.subscribe(channel, None);
        let payload = BinaryPayload::new("video/x", "", b"").unwrap();
        let message = BinaryMessage { channel: Some(channel), event, user_id: None, payload };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let heard = (0..300).filter(|_| {
            let action = piped.connection.receive_binary(&bytes, piped.now, &|_, _| true, &|_| films);
            !action.as_ref().map(in_short).unwrap_or_default().starts_with("refuse")
        });
        heard.count()
    };
    assert_eq!(sent("private-a", "client-frame", true, true), 250);
    assert_eq!(sent("private-a", "frame", true, true), 250);
    assert_eq!(sent("private-a", "client-frame", false, true), 1, "a client event like any other");
    assert_eq!(sent("private-a", "frame", false, true), 300, "it has no rate");
    assert_eq!(sent("private-a", "frame", true, false), 300, "there are no video channels");
}

#[test]
fn one_connection_films_few_tracks() {
    let mut member = subject();
    for n in 0..5 {
        member.subscribe(&format!("presence-{n}-camera"), Some(r#"{"user_id":"ann"}"#));
    }
    let film = |member: &mut Subject, channel: usize, n: usize| {
        member.now += Duration::from_millis(10);
        show(member, &format!("presence-{channel}-camera"), "video/x", &format!(r#"{{"track":"{n}"}}"#))
    };
    let refused = "refuse null Track message rejected: at most 64 tracks of a connection are allowed";
    let filmed = (0..80).filter(|n| film(&mut member, n / 16, n % 16).starts_with("broadcast"));
    assert_eq!(filmed.count(), 64);
    assert_eq!(film(&mut member, 4, 0), refused);
    assert!(film(&mut member, 3, 15).starts_with("broadcast"), "one that it films");
    // Those of channels that it has left count no more.
    member.say(r#"{"event":"pusher:unsubscribe","data":{"channel":"presence-0-camera"}}"#);
    let filmed = (64..80).filter(|n| film(&mut member, n / 16, n % 16).starts_with("broadcast"));
    assert_eq!(filmed.count(), 16);
}

#[test]
fn a_viewer_asks_on_channels_that_it_is_subscribed_to() {
    let mut viewer = subject();
    viewer.subscribe("private-camera", None);
    let wish = r#"{"event":"pusher:track_wanted","channel":"private-camera","data":{"wanted":"small"}}"#;
    assert_eq!(viewer.say(wish), r#"watch Wish("private-camera", None, Small)"#);
    let request = wish
        .replace("track_wanted", "keyframe_wanted")
        .replace("\"wanted\":\"small\"", "\"event\":\"e\",\"track\":\"t\"");
    assert!(viewer.say(&request).starts_with("watch Keyframe"));
    for (text, told) in [
        (wish.replace("private-camera", "private-other"), "not subscribed to channel private-other"),
        (wish.replace("\"channel\":\"private-camera\",", ""), "not subscribed to channel"),
        (wish.replace("{\"wanted\":\"small\"}", "7"), "expected data to be an object"),
        (
            wish.replace("small", "tiny"),
            "expected wanted to be \"full\", \"small\", \"stills\" or \"none\", got \"tiny\"",
        ),
        (
            wish.replace("\"wanted\":\"small\"", "\"wanted\":\"small\",\"track\":\"t\""),
            "expected event to be",
        ),
        (
            request.replace("\"event\":\"e\",", ""),
            "expected event to be the name of the track's events, got none",
        ),
        (
            request.replace("\"e\"", &format!("\"{}\"", "e".repeat(201))),
            "expected event to be the name of an event, got 201 characters",
        ),
        (
            request.replace("\"t\"", &format!("\"{}\"", "t".repeat(65))),
            "expected track to be at most 64 bytes, got 65 bytes",
        ),
    ] {
        let answer = viewer.say(&text);
        assert!(answer.starts_with("refuse null ") && answer.contains(told), "{text}: {answer}");
    }
    let other = r#"{"event":"pusher:wanted","channel":"private-camera","data":{}}"#;
    assert!(viewer.say(other).contains("Unsupported event received on socket: pusher:wanted"));
    let mut elsewhere = Subject::new(|_| {});
    elsewhere.subscribe("private-camera", None);
    let unsupported = "Unsupported event received on socket: pusher:track_wanted";
    assert!(elsewhere.say(wish).contains(unsupported), "no channel carries tracks");
}
