//! The picture in an event: the content of a binary message, or a data URL in the payload.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use indexmap::IndexMap;
use serde_json::value::RawValue;

use crate::protocol::{BinaryMessage, Frame, json};

/// Base64 as it is found: with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An image, ready to be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture<'f> {
    pub(super) media_type: Cow<'f, str>,
    pub(super) content: Cow<'f, [u8]>,
}

/// The picture of an event, if it has one.
pub(super) fn picture_of(frame: &Frame) -> Option<Picture<'_>> {
    if frame.is_binary() {
        // It borrows from the frame, and so do its parts.
        let message = BinaryMessage::parse(frame.payload()).ok()?;
        let (media_type, content) = message.payload.into_parts();
        return media_type.starts_with("image/").then_some(Picture { media_type, content });
    }
    let text = std::str::from_utf8(frame.json()).ok()?;
    let [data] = json::members(text, ["data"]).ok()?;
    of_data_url(&data_url(&json::as_string(data?)?)?)
}

/// The data URL of an image in a payload: the payload itself, a JSON string, or the first member of a JSON object, in the
/// order of the text, whose value is one.
fn data_url(payload: &str) -> Option<Cow<'_, str>> {
    let is_image = |text: &str| text.starts_with("data:image/");
    if is_image(payload) {
        return Some(Cow::Borrowed(payload));
    }
    if payload.starts_with('"') {
        return serde_json::from_str::<String>(payload).ok().filter(|text| is_image(text)).map(Cow::Owned);
    }
    let members: IndexMap<Cow<'_, str>, &RawValue> = serde_json::from_str(payload).ok()?;
    let texts = members.into_iter().filter_map(|(_, value)| json::as_string(value));
    texts.into_iter().find(|text| is_image(text))
}

/// The picture of a data URL in base64; other encodings are not for pictures of a camera.
fn of_data_url(url: &str) -> Option<Picture<'static>> {
    let (head, content) = url.strip_prefix("data:")?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    // It will stand in a header line.
    let sound = media_type.bytes().all(|b| b.is_ascii_graphic());
    let content = BASE64.decode(content).ok().filter(|_| sound)?;
    Some(Picture { media_type: Cow::Owned(media_type.to_owned()), content: Cow::Owned(content) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::Data;
    use crate::protocol::{BinaryPayload, ChannelName, server_message};

    fn channel() -> ChannelName {
        ChannelName::parse("mirror", 164).unwrap()
    }

    #[test]
    fn a_data_url_is_found_wherever_it_stands() {
        let url = "data:image/png;base64,eHl6";
        for payload in [
            url.to_owned(),
            format!("\"{url}\""),
            format!("{{\"dataUrl\":\"{url}\"}}"),
            format!(
                "{{\"n\":1,\"text\":\"data:\",\"picture\":\"{url}\",\"other\":\"data:image/gif;base64,\"}}"
            ),
            "{\"dataUrl\":\"data:image\\/png;base64,eHl6\"}".to_owned(),
        ] {
            let frame = server_message::channel_event("frame", &Data::of_text(&payload), &channel(), None);
            let picture = picture_of(&frame).unwrap();
            assert_eq!((&*picture.media_type, &*picture.content), ("image/png", &b"xyz"[..]), "{payload}");
        }
    }

    #[test]
    fn what_is_no_picture_is_none() {
        for payload in [
            "",
            "text",
            "{}",
            "[\"data:image/png;base64,eHl6\"]",
            "{\"a\":{\"b\":\"data:image/png;base64,eHl6\"}}",
            "data:text/plain;base64,eHl6",
            "data:image/svg+xml,<svg/>",
            "data:image/png;base64,?",
            "data:image/png\r\nX: y;base64,eHl6",
        ] {
            let frame = server_message::channel_event("frame", &Data::of_text(payload), &channel(), None);
            assert_eq!(picture_of(&frame), None, "{payload}");
        }
        let payload = BinaryPayload::new("audio/ogg", "", b"xyz").unwrap();
        assert_eq!(picture_of(&server_message::binary_event("frame", &payload, &channel(), None)), None);
    }

    #[test]
    fn the_content_of_a_binary_message_is_taken_as_it_is() {
        let payload = BinaryPayload::new("image/jpeg", "{\"n\":1}", b"xyz").unwrap();
        let frame = server_message::binary_event("frame", &payload, &channel(), None);
        let picture = picture_of(&frame).unwrap();
        assert_eq!(picture, Picture { media_type: "image/jpeg".into(), content: b"xyz"[..].into() });
        assert!(matches!(picture.content, Cow::Borrowed(_)), "without a copy");
    }
}
