//! Reads and writes binary messages: an event whose payload is bytes of a media type, such as a camera's picture.
//! `docs/binary.md` is the specification.
//!
//! Clients ask for them when they connect. To all others the same event is JSON with a data URL, and everything inside
//! the broker that looks at payloads sees that form too; it is made when it is first needed.

use std::borrow::Cow;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::json::{self, Unrelayable};

/// The only version of the layout.
const VERSION: u8 = 1;

/// The version, a byte that is reserved, and five lengths of two bytes.
const HEADER_BYTES: usize = 12;

/// The member of the JSON form that holds the bytes.
pub const DATA_URL: &str = "dataUrl";

/// Characters that a media type may have. Real ones have at most some dozens.
const MEDIA_TYPE_CHARS: usize = 127;

/// An event as a binary message carries it, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryMessage<'a> {
    /// Its channel; none for a client's event on no channel.
    pub channel: Option<&'a str>,
    /// Its name.
    pub event: &'a str,
    /// On presence channels, the member that sent it. Clients do not say it.
    pub user_id: Option<&'a str>,
    /// What it carries.
    pub payload: BinaryPayload<'a>,
}

/// Bytes of a media type, with members that describe them.
#[derive(Clone, Debug)]
pub struct BinaryPayload<'a> {
    media_type: Cow<'a, str>,
    /// A JSON object without the member `dataUrl`, or empty.
    members: Cow<'a, str>,
    content: Cow<'a, [u8]>,
    /// The payload of the JSON form as a JSON string, once it was needed.
    literal: OnceLock<String>,
}

/// A binary message that cannot be understood. The text is part of the `pusher:error` it is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBinary {
    /// Not even a header.
    #[error("expected a header of {HEADER_BYTES} bytes, got {0} bytes altogether")]
    TooShort(usize),
    /// A layout of the future, or something else altogether.
    #[error("expected the version {VERSION} in its first byte, got {0}")]
    Version(u8),
    /// The byte after the version.
    #[error("expected 0 in its second byte, got {0}")]
    Reserved(u8),
    /// The lengths of its parts lead beyond its end.
    #[error("its header announces {announced} bytes before the content, but only {got} came")]
    Truncated {
        /// What the header says.
        announced: usize,
        /// Bytes that came.
        got: usize,
    },
    /// Its text is not UTF-8.
    #[error("its {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// An event needs a name.
    #[error("its event name is empty")]
    NoEvent,
    /// It would stand in a data URL.
    #[error(
        "its media type must be like \"image/jpeg\": two tokens with a slash between them, perhaps parameters, at most {MEDIA_TYPE_CHARS} characters"
    )]
    MediaType,
    /// What describes the content must be JSON.
    #[error("its members must be a JSON object, or empty")]
    Members,
    /// That one is made from the content.
    #[error("its members may not have the name \"{DATA_URL}\", which stands for the content")]
    DataUrlMember,
    /// A member that some client could not parse.
    #[error("its members are unusable, {0}")]
    Unrelayable(#[from] Unrelayable),
}

impl<'a> BinaryMessage<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// See [`InvalidBinary`]. The connection stays open.
    pub fn parse(message: &'a [u8]) -> Result<Self, InvalidBinary> {
        let Some((header, rest)) = message.split_at_checked(HEADER_BYTES) else {
            return Err(InvalidBinary::TooShort(message.len()));
        };
        match *header {
            [VERSION, 0, ..] => {}
            [VERSION, reserved, ..] => return Err(InvalidBinary::Reserved(reserved)),
            [version, ..] => return Err(InvalidBinary::Version(version)),
            [] => return Err(InvalidBinary::TooShort(0)),
        }
        let (lengths, _) = header[2..].as_chunks::<2>();
        let announced = lengths.iter().map(|length| usize::from(u16::from_be_bytes(*length))).sum();
        let truncated = InvalidBinary::Truncated { announced, got: rest.len() };
        let mut rest = rest;
        let mut parts = [""; 5];
        let names = ["channel", "event name", "media type", "user id", "members"];
        for ((part, length), name) in parts.iter_mut().zip(lengths).zip(names) {
            let (bytes, after) =
                rest.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(truncated)?;
            *part = std::str::from_utf8(bytes).map_err(|_| InvalidBinary::NotUtf8(name))?;
            rest = after;
        }
        let [channel, event, media_type, user_id, members] = parts;
        if event.is_empty() {
            return Err(InvalidBinary::NoEvent);
        }
        let named = |text: &'a str| (!text.is_empty()).then_some(text);
        let payload = BinaryPayload::new(media_type, members, rest)?;
        Ok(BinaryMessage { channel: named(channel), event, user_id: named(user_id), payload })
    }

    /// Bytes of the message.
    pub fn encoded_bytes(&self) -> usize {
        let texts: usize = self.texts().iter().map(|text| text.len()).sum();
        HEADER_BYTES + texts + self.payload.content.len()
    }

    /// Appends the message. Its texts are shorter than 64 KiB each: so they came, or they are names within the app's
    /// limits, and a longer one is cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[VERSION, 0]);
        for text in self.texts() {
            // Cut by `texts`.
            out.extend_from_slice(&(text.len() as u16).to_be_bytes());
        }
        for text in self.texts() {
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&self.payload.content);
    }

    fn texts(&self) -> [&str; 5] {
        let BinaryPayload { media_type, members, .. } = &self.payload;
        let texts = [
            self.channel.unwrap_or_default(),
            self.event,
            media_type,
            self.user_id.unwrap_or_default(),
            members,
        ];
        texts.map(|text| &text[..text.floor_char_boundary(usize::from(u16::MAX))])
    }
}

impl<'a> BinaryPayload<'a> {
    /// Bytes of a media type. `members` is a JSON object that describes them, or empty.
    ///
    /// # Errors
    /// If the media type or the members are not what they should be.
    pub fn new(media_type: &'a str, members: &'a str, content: &'a [u8]) -> Result<Self, InvalidBinary> {
        if !is_media_type(media_type) {
            return Err(InvalidBinary::MediaType);
        }
        if !members.is_empty() {
            let [data_url] = json::members(members, [DATA_URL]).map_err(|_| InvalidBinary::Members)?;
            if data_url.is_some() {
                return Err(InvalidBinary::DataUrlMember);
            }
            relayed_object(members)?;
        }
        Ok(BinaryPayload {
            media_type: media_type.into(),
            members: members.into(),
            content: content.into(),
            literal: OnceLock::new(),
        })
    }

    /// The same content with other members: those of a JSON object without `dataUrl`.
    pub fn with_members(&self, members: String) -> BinaryPayload<'_> {
        BinaryPayload { members: members.into(), ..self.borrowed() }
    }

    /// The same, without a copy of its content.
    pub fn borrowed(&self) -> BinaryPayload<'_> {
        BinaryPayload {
            media_type: Cow::Borrowed(&self.media_type),
            members: Cow::Borrowed(&self.members),
            content: Cow::Borrowed(&self.content),
            literal: OnceLock::new(),
        }
    }

    /// The same, for keeping.
    pub fn into_owned(self) -> BinaryPayload<'static> {
        BinaryPayload {
            media_type: Cow::Owned(self.media_type.into_owned()),
            members: Cow::Owned(self.members.into_owned()),
            content: Cow::Owned(self.content.into_owned()),
            literal: self.literal,
        }
    }

    /// The media type and the bytes.
    pub fn into_parts(self) -> (Cow<'a, str>, Cow<'a, [u8]>) {
        (self.media_type, self.content)
    }

    /// What kind of bytes they are, such as `image/jpeg`.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// A JSON object that describes the content, or the empty text.
    pub fn members(&self) -> &str {
        &self.members
    }

    /// The bytes.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The payload of the JSON form, an object whose first member is `dataUrl`, as a JSON string with its quotes.
    pub(super) fn literal(&self) -> &str {
        self.literal.get_or_init(|| {
            let base64_bytes = self.content.len().div_ceil(3) * 4;
            let mut literal = String::with_capacity(base64_bytes + self.members.len() * 2 + 64);
            literal.push_str("\"{\\\"");
            literal.push_str(DATA_URL);
            literal.push_str("\\\":\\\"data:");
            literal.push_str(&self.media_type);
            literal.push_str(";base64,");
            STANDARD.encode_string(&self.content, &mut literal);
            literal.push_str("\\\"");
            // It was checked that they can be relayed.
            let members = relayed_object(&self.members).ok();
            match members.as_deref().and_then(|m| m.strip_prefix("\"{")).and_then(|m| m.strip_suffix("}\"")) {
                None | Some("") => {}
                Some(members) => {
                    literal.push(',');
                    literal.push_str(members);
                }
            }
            literal.push_str("}\"");
            literal
        })
    }
}

impl PartialEq for BinaryPayload<'_> {
    fn eq(&self, other: &Self) -> bool {
        (&self.media_type, &self.members, &self.content)
            == (&other.media_type, &other.members, &other.content)
    }
}

impl Eq for BinaryPayload<'_> {}

/// The text of a JSON object as a JSON string.
fn relayed_object(members: &str) -> Result<String, InvalidBinary> {
    if members.is_empty() {
        return Ok(String::new());
    }
    let value: &RawValue = serde_json::from_str(members).map_err(|_| InvalidBinary::Members)?;
    Ok(json::relay(value)?.0.into_owned())
}

/// Whether the text is a media type, perhaps with parameters, and nothing that would end a data URL's head or a header
/// line early.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let mut parts = text.split(';');
    let is_type =
        parts.next().and_then(|kind| kind.split_once('/')).is_some_and(|(a, b)| token(a) && token(b));
    let parameter =
        |part: &str| part.split_once('=').is_some_and(|(name, value)| token(name) && token(value));
    is_type && text.len() <= MEDIA_TYPE_CHARS && parts.all(parameter)
}

#[cfg(test)]
mod tests;
