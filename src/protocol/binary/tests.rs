//! Binary messages: their layout, and what is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::protocol::json::Data;

fn encoded(message: &BinaryMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    assert_eq!(bytes.len(), message.encoded_bytes());
    bytes
}

fn frame() -> BinaryMessage<'static> {
    let payload = BinaryPayload::new("image/jpeg", r#"{"n": 1, "q": "\""}"#, &[0xff, 0xd8, 0xff]).unwrap();
    BinaryMessage { channel: Some("stream"), event: "frame", user_id: None, payload }
}

#[test]
fn the_layout_is_as_specified() {
    let payload = BinaryPayload::new("a/b", "{}", b"xyz").unwrap();
    let message = BinaryMessage { channel: Some("c"), event: "ev", user_id: Some("u"), payload };
    let expected = b"\x01\x00\x00\x01\x00\x02\x00\x03\x00\x01\x00\x02ceva/bu{}xyz";
    assert_eq!(encoded(&message), expected);
    assert_eq!(BinaryMessage::parse(expected), Ok(message));
    let bytes = encoded(&frame());
    assert_eq!(BinaryMessage::parse(&bytes), Ok(frame()));
    let nothing = BinaryMessage::parse(b"\x01\x00\0\0\x00\x01\x00\x03\0\0\0\0ea/b").unwrap();
    assert_eq!((nothing.channel, nothing.payload.content()), (None, &b""[..]));
}

#[test]
fn the_json_form_is_an_object_with_a_data_url() {
    let text = |payload: BinaryPayload<'_>| Data::of_binary(payload).text().into_owned();
    assert_eq!(text(frame().payload), r#"{"dataUrl":"data:image/jpeg;base64,/9j/","n":1,"q":"\""}"#);
    for members in ["", "{}", "{ }"] {
        let bare = BinaryPayload::new("image/png", members, b"").unwrap();
        assert_eq!(text(bare), r#"{"dataUrl":"data:image/png;base64,"}"#);
    }
}

#[test]
fn every_fault_has_its_sentence() {
    use InvalidBinary::*;
    let with = |members: &str, media_type: &str| {
        let mut bytes = vec![1, 0, 0, 0, 0, 1, 0, media_type.len() as u8, 0, 0];
        bytes.extend_from_slice(&(members.len() as u16).to_be_bytes());
        bytes.extend_from_slice(format!("e{media_type}{members}").as_bytes());
        bytes
    };
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(128), "]".repeat(128));
    let table = [
        (vec![], TooShort(0)),
        (vec![1; 11], TooShort(11)),
        (vec![2; 20], Version(2)),
        (vec![1; 20], Reserved(1)),
        (b"{\"event\":\"client-x\"}".to_vec(), Version(b'{')),
        (b"\x01\x00\x00\x01\x00\x02\x00\x03\x00\x01\x00\x02cev".to_vec(), Truncated { announced: 9, got: 3 }),
        (b"\x01\x00\x00\x01\0\0\0\0\0\0\0\0\xff".to_vec(), NotUtf8("channel")),
        (b"\x01\x00\x00\x01\0\0\0\0\0\0\0\0c".to_vec(), NoEvent),
        (with("", ""), MediaType),
        (with("", "image"), MediaType),
        (with("", "image/"), MediaType),
        (with("", "a/b/c"), MediaType),
        (with("", "image/jpeg,x"), MediaType),
        (with("", "image/jpeg;base64"), MediaType),
        (with("", "image/jpeg\r\nx"), MediaType),
        (with("[]", "a/b"), Members),
        (with("{", "a/b"), Members),
        (with("{\"dataUrl\":1}", "a/b"), DataUrlMember),
        (with(&deep, "a/b"), Unrelayable(super::Unrelayable::TooDeep)),
    ];
    for (bytes, error) in table {
        assert_eq!(BinaryMessage::parse(&bytes), Err(error), "{bytes:?}");
    }
    assert!(is_media_type("video/webm;codecs=vp8") && is_media_type("image/svg+xml"));
}

proptest! {
    /// Whatever comes is read or refused, and never more than that: here what is nearly a message.
    #[test]
    fn no_bytes_can_do_harm(
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        end in prop_oneof![any::<Index>().prop_map(Some), Just(None)],
    ) {
        let mut bytes = encoded(&frame());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        if let Ok(message) = BinaryMessage::parse(&bytes) {
            prop_assert_eq!(encoded(&message), bytes.clone());
            let text = Data::of_binary(message.payload).text().into_owned();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
