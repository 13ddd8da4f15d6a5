//! Who films before a rule keeps its track there for as long as the rules lead it there, whatever else listens.

use std::borrow::Cow;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::{Broker, connections};
use crate::app::{ChannelSettings, Delivery, VideoSettings};
use crate::config::Config;
use crate::event::{AcceptedEvent, Destination, Source};
use crate::pipe::RuleSpec;
use crate::protocol::json::Data;
use crate::protocol::pattern::Pattern;
use crate::protocol::{BinaryPayload, ChannelName, SocketId, WrittenSocketId};
use crate::video::HeldBy;

const CAMERA: &str = "my-camera";
const KEY_FRAME: &str =
    r#"{"sequence":1,"timestamp":1,"key":true,"config":{"codec":"vp8","codedWidth":8,"codedHeight":8}}"#;

/// Before which another client films.
const OTHER: &str = "other:client-video=my-camera";

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, 164).unwrap()
}

/// A broker with a video channel that takes what these rules lead to it.
fn studio(rules: &[&str]) -> Config {
    let mut config = Config::development();
    let app = &mut config.apps[0];
    app.app.channels = vec![ChannelSettings {
        pattern: Pattern::parse("*-camera").unwrap(),
        delivery: Delivery::Video,
        history: None,
        video: Some(VideoSettings::default()),
    }];
    app.pipe = rules.iter().map(|rule| RuleSpec::parse(rule).unwrap()).collect();
    config
}

/// Connections that film, and the ids of them.
fn cameras(broker: &Broker) -> [(TcpStream, SocketId); 2] {
    let app = broker.app();
    [1_usize, 2].map(|count| {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        write!(
            stream,
            "GET /app/{}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            app.key()
        )
        .unwrap();
        app.until(connections(count)).blocking().unwrap();
        let written = WrittenSocketId::parse(&app.connections()[count - 1].socket_id).unwrap();
        (stream, written.ours().unwrap())
    })
}

/// Has a connection film a key frame on a channel. Returns who holds the track at the camera then.
fn film(broker: &Broker, socket: SocketId, source: &str) -> Vec<HeldBy> {
    let payload = BinaryPayload::new("video/webcodecs", KEY_FRAME, b"x").unwrap();
    let event = AcceptedEvent {
        source: Source::Client { socket_id: socket, user_id: None },
        to: Destination::Subscribers { channel: channel(source), except: Some(socket) },
        name: Cow::Borrowed("client-video"),
        data: Data::of_binary(payload),
        raw: None,
    };
    let apps = broker.hub.apps();
    let app = apps.by_id(broker.app().id()).unwrap();
    broker.hub.accept(app, &event);
    let tracks = broker.hub.track_figures(app, &channel(CAMERA));
    tracks.iter().map(|track| track.holder.place).collect()
}

/// Whether who films on a channel before a reload holds the track for good, although nothing of it comes afterwards.
fn holds(source: &str, before: &Config, after: &Config) -> bool {
    let broker = Broker::start(before.clone()).unwrap();
    let [(_one, first), (_two, second)] = cameras(&broker);
    assert_eq!(film(&broker, first, source), [HeldBy::Client(first)]);
    broker.reload(after.clone()).unwrap();
    broker.app().advance(Duration::from_secs(1)).unwrap();
    assert_eq!(film(&broker, second, "other"), [HeldBy::Client(first)], "five seconds have not gone by");
    broker.app().advance(Duration::from_secs(4)).unwrap();
    film(&broker, second, "other") == [HeldBy::Client(first)]
}

#[test]
fn who_films_before_a_rule_holds_its_track_for_as_long_as_that_may_lead_there() {
    let before = studio(&["stream:client-video=my-camera", "stream:client-video=elsewhere", OTHER]);
    for (rule, stays) in [
        ("stream:client-video=elsewhere", false),
        ("stream:client-video=your-camera", false),
        ("stream:client-video=my-camera:picture", false),
        ("stream:client-video=my-camera", true),
        ("str*:*=*-camera", false),
        ("str*:*=my-camera", true),
    ] {
        assert_eq!(holds("stream", &before, &studio(&[rule, OTHER])), stays, "{rule}");
    }
}

#[test]
fn who_films_on_a_channel_before_a_rule_holds_its_track_there_for_as_long_as_it_may_film_on_that_channel() {
    let studio = |publishers: &[&str]| {
        let mut config = studio(&["a-camera:client-video=my-camera", OTHER]);
        let publishers = publishers.iter().map(|publisher| (*publisher).to_owned()).collect();
        let settings = &mut config.apps[0].app.channels[0].video;
        *settings = Some(VideoSettings { publishers, ..VideoSettings::default() });
        config
    };
    for (publishers, stays) in [(&["ann"], true), (&["bob"], false)] {
        assert_eq!(holds("a-camera", &studio(&["ann"]), &studio(publishers)), stays, "{publishers:?}");
    }
}
