//! What each frame looks like on the wire.

use super::super::{Broadcast, CloseCode, Form};
use super::*;
use crate::protocol::deflate;

fn json(frame: &Frame) -> &str {
    std::str::from_utf8(frame.json()).unwrap()
}

fn channel() -> ChannelName {
    ChannelName::parse("presence-room", 164).unwrap()
}

#[test]
fn the_greeting_differs_by_version() {
    let greet = |n| {
        let version = ProtocolVersion::new(n).unwrap();
        connection_established(version, SocketId::new(1, 2), Duration::from_secs(120), None)
    };
    assert_eq!(json(&greet(1)), r#"{"event":"connection_established","data":"{\"socket_id\":\"1.2\"}"}"#);
    assert_eq!(
        json(&greet(6)),
        r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\"}"}"#
    );
    let newest = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.2\",\"activity_timeout\":120}"}"#;
    assert_eq!(json(&greet(7)), newest);
    let version = ProtocolVersion::new(7).unwrap();
    let binary = connection_established(version, SocketId::new(1, 2), Duration::from_secs(120), Some(1000));
    let expected = newest.replace(":120}", ":120,\\\"binary_message_bytes\\\":1000}");
    assert_eq!(json(&binary), expected);
}

#[test]
fn errors_carry_an_object_and_everything_else_a_string() {
    let frame = error(ErrorCode::Unnumbered, "Unsupported event received on socket: \"x\"");
    let expected = r#"{"event":"pusher:error","data":{"code":null,"message":"Unsupported event received on socket: \"x\""}}"#;
    assert_eq!(json(&frame), expected);
    let frame = member_added(&channel(), "u\"1", Some(r#"{"name":"Ann"}"#));
    let expected = r#"{"event":"pusher_internal:member_added","data":"{\"user_id\":\"u\\\"1\",\"user_info\":{\"name\":\"Ann\"}}","channel":"presence-room"}"#;
    assert_eq!(json(&frame), expected);
    let frame = channel_event("client-x", &Data::of_text("1"), &channel(), Some("u1"));
    assert_eq!(json(&frame), r#"{"event":"client-x","data":"1","channel":"presence-room","user_id":"u1"}"#);
}

#[test]
fn the_header_announces_the_length_in_the_shortest_form() {
    for (length, header_bytes) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
        let frame = Frame::text(length, |out| out.push_str(&"x".repeat(length)));
        assert_eq!(frame.websocket().len(), length + header_bytes, "{length}");
        assert_eq!(frame.json().len(), length);
        assert_eq!(frame.websocket()[0], 0x81);
    }
    let frame = Frame::text(0, |out| out.push_str(&"x".repeat(300)));
    assert_eq!(&frame.websocket()[..4], [0x81, 126, 1, 44]);
}

#[test]
fn the_compressed_form_is_made_once_and_only_where_it_is_shorter() {
    let long = Data::of_text(&r#"{"price":1234,"name":"Ann"}"#.repeat(40));
    let frame = channel_event("update", &long, &channel(), None);
    let broadcast = Broadcast::new(frame.clone(), true);
    let [first, second] =
        [broadcast.for_client(Form::Compressed), broadcast.clone().for_client(Form::Compressed)];
    assert_eq!(first.websocket().as_ptr(), second.websocket().as_ptr(), "one form for all");
    assert_eq!(first.websocket()[0], 0xc1);
    assert_eq!(deflate::inflate(first.json(), 10_000).unwrap(), frame.json());
    assert_eq!(broadcast.for_client(Form::Plain), frame);
    assert_eq!(Broadcast::new(frame.clone(), false).for_client(Form::Compressed), frame);
    let short = channel_event("update", &Data::of_text("1"), &channel(), None);
    assert_eq!(Broadcast::new(short.clone(), true).for_client(Form::Compressed), short);
}

#[test]
fn a_close_reason_is_cut_between_characters() {
    let frame = Frame::close(CloseCode::UnknownApp, &"é".repeat(100));
    assert_eq!(frame.websocket()[..4], [0x88, 2 + 122, 0x0f, 0xa1]);
}
