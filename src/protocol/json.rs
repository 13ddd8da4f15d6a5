//! JSON as it passes through: values are looked at as far as the protocol needs and no further.
//!
//! A payload is never turned into a tree and back. What must be known of it (its length once unescaped, its
//! compact text) is found in one pass over the bytes as they came.

mod equal;
mod number;

pub use equal::equals;
pub use number::{Decimal, first_rounded, is_held_exactly};

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr, memchr2};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::BinaryPayload;

/// How deep a value that is relayed may be nested. Clients parse what they are sent, some of them recursively.
pub const MAX_DEPTH: usize = 128;

/// A value that may not be relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unrelayable {
    /// A string escape that stands for half a character; strict parsers refuse the whole frame.
    #[error("a string holds half of a surrogate pair")]
    LoneSurrogate,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The `data` of an event in the form in which every client accepts it: a JSON string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<'a>(Payload<'a>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Payload<'a> {
    Text {
        literal: Cow<'a, str>,
        bytes: usize,
    },
    /// It came as a binary message, and is made a string when somebody asks for that.
    Binary(Box<BinaryPayload<'a>>),
}

impl<'a> Data<'a> {
    /// A string passes unchanged; any other value becomes the string of its compact JSON text.
    ///
    /// # Errors
    /// If the value holds what some client could not parse.
    pub fn relay(value: &'a RawValue) -> Result<Self, Unrelayable> {
        let text = value.get();
        if text.starts_with('"') {
            return Ok(Data::of_literal(Cow::Borrowed(text), unescaped_bytes(text)?));
        }
        let escapes = text.bytes().filter(|b| matches!(b, b'"' | b'\\')).count();
        let mut literal = String::with_capacity(text.len() + escapes + 2);
        literal.push('"');
        let bytes = compact(text, &mut literal, Escaping::InsideString)?;
        literal.push('"');
        Ok(Data::of_literal(Cow::Owned(literal), bytes))
    }

    fn of_literal(literal: Cow<'a, str>, bytes: usize) -> Self {
        Data(Payload::Text { literal, bytes })
    }

    /// The data of a binary message.
    #[must_use]
    pub fn of_binary(payload: BinaryPayload<'a>) -> Self {
        Data(Payload::Binary(Box::new(payload)))
    }

    /// The binary payload, if it came as one.
    #[must_use]
    pub fn as_binary(&self) -> Option<&BinaryPayload<'a>> {
        match &self.0 {
            Payload::Text { .. } => None,
            Payload::Binary(payload) => Some(payload),
        }
    }

    /// The same, for keeping.
    #[must_use]
    pub fn into_owned(self) -> Data<'static> {
        match self.0 {
            Payload::Text { literal, bytes } => Data::of_literal(Cow::Owned(literal.into_owned()), bytes),
            Payload::Binary(payload) => Data::of_binary(payload.into_owned()),
        }
    }

    /// The data of an event whose payload is `text`, to be delivered as it is.
    #[must_use]
    pub fn of_text(text: &str) -> Data<'static> {
        Data::of_literal(Cow::Owned(string_literal(text)), text.len())
    }

    /// The payload itself, every escape resolved.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let literal = self.literal();
        let inner = &literal[1..literal.len() - 1];
        match memchr(b'\\', inner.as_bytes()) {
            None => Cow::Borrowed(inner),
            // The literal is valid JSON and holds no half characters, so it can always be read.
            Some(_) => Cow::Owned(serde_json::from_str(literal).unwrap_or_default()),
        }
    }

    /// The JSON string, quotes included.
    #[must_use]
    pub fn literal(&self) -> &str {
        match &self.0 {
            Payload::Text { literal, .. } => literal,
            Payload::Binary(payload) => payload.literal(),
        }
    }

    /// Bytes of the payload itself: without quotes, and with every escape resolved; of a binary payload, its content.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Payload::Text { bytes, .. } => *bytes,
            Payload::Binary(payload) => payload.content().len(),
        }
    }
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn string_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    push_string(text, &mut literal);
    literal
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_string(text: &str, out: &mut String) {
    use fmt::Write;
    let needs_escape = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    let mut rest = text;
    out.push('"');
    while let Some(at) = rest.bytes().position(needs_escape) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            // Writing to a String cannot fail.
            control => drop(write!(out, "\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Appends the JSON text `value` without its insignificant white space.
///
/// # Errors
/// If it is nested too deeply.
pub fn push_compact(value: &RawValue, out: &mut String) -> Result<(), Unrelayable> {
    compact(value.get(), out, Escaping::None).map(|_| ())
}

/// The value as a string: `None` if it is another type, or cannot be one.
#[must_use]
pub fn as_string(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    match memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(text).ok().map(Cow::Owned),
    }
}

/// Whether the value is `null`.
#[must_use]
pub fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Reads the named members of a JSON object, as raw text. Where a name is repeated the last one counts, as in
/// every JavaScript engine; other members are skipped.
///
/// # Errors
/// If `text` is not JSON, or not an object.
pub fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> serde_json::Result<[Option<&'a RawValue>; N]> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = Members(names).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(index) = map.next_key_seed(IndexOf(&self.0))? {
            match index {
                Some(index) => found[index] = Some(map.next_value::<&'de RawValue>()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Finds a key among the wanted names without keeping it.
struct IndexOf<'n, const N: usize>(&'n [&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for IndexOf<'_, N> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for IndexOf<'_, N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// Whether the text that is written stands on its own or inside a JSON string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escaping {
    None,
    InsideString,
}

/// Writes valid JSON text without white space between its tokens; returns its length before escaping.
fn compact(text: &str, out: &mut String, escaping: Escaping) -> Result<usize, Unrelayable> {
    let mut rest = text;
    let mut depth = 0_usize;
    let mut bytes = 0;
    while let Some(first) = rest.bytes().next() {
        match first {
            b'"' => {
                let (end, escaped) = string_end(rest);
                bytes += end;
                match escaping {
                    Escaping::None => out.push_str(&rest[..end]),
                    Escaping::InsideString if escaped => push_escaped(&rest[..end], out),
                    Escaping::InsideString => {
                        out.push_str("\\\"");
                        out.push_str(&rest[1..end - 1]);
                        out.push_str("\\\"");
                    }
                }
                rest = &rest[end..];
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            token => {
                match token {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > MAX_DEPTH {
                    return Err(Unrelayable::TooDeep);
                }
                bytes += 1;
                out.push(char::from(token));
            }
        }
        rest = &rest[1..];
    }
    Ok(bytes)
}

/// The length of the string literal that `text` begins with, quotes included, and whether it holds an escape.
fn string_end(text: &str) -> (usize, bool) {
    let bytes = text.as_bytes();
    let mut at = 1;
    let mut escaped = false;
    while let Some(found) = memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        match bytes[at] {
            b'"' => return (at + 1, escaped),
            _ => (at, escaped) = (at + 2, true),
        }
    }
    (bytes.len(), true)
}

/// Valid JSON text holds no control characters, so only quotes and backslashes need escaping.
fn push_escaped(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = memchr2(b'"', b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push('\\');
        out.push(char::from(rest.as_bytes()[at]));
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

/// Bytes of the text that a valid string literal stands for.
fn unescaped_bytes(literal: &str) -> Result<usize, Unrelayable> {
    let mut rest = &literal.as_bytes()[1..literal.len() - 1];
    let mut bytes = 0;
    while let Some(at) = next_escape(rest) {
        let (written, meant) = escape(&rest[at..])?;
        bytes += at + meant;
        rest = rest.get(at + written..).unwrap_or_default();
    }
    Ok(bytes + rest.len())
}

/// Where the next escape begins. JSON within a string has one every few bytes: so it is looked for nearby, a word at a
/// time, before memchr is asked, which is better at long stretches and worse at short ones.
fn next_escape(text: &[u8]) -> Option<usize> {
    const NEARBY_WORDS: usize = 4;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let (words, _) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words.iter().take(NEARBY_WORDS) {
        // A byte that is a backslash is zero here, and the lowest bit that is set below is the top one of the first
        // byte that is zero.
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\\'));
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr(b'\\', &text[at..]).map(|found| at + found)
}

/// The bytes of the escape that `text` begins with, and of the character that it stands for.
fn escape(text: &[u8]) -> Result<(usize, usize), Unrelayable> {
    let Some(digits) = text.strip_prefix(br"\u") else { return Ok((2, 1)) };
    match code_unit(digits) {
        0..=0x7f => Ok((6, 1)),
        0x80..=0x7ff => Ok((6, 2)),
        0xd800..=0xdbff => {
            let low = text.get(6..).and_then(|rest| rest.strip_prefix(br"\u")).map(code_unit);
            match low {
                Some(0xdc00..=0xdfff) => Ok((12, 4)),
                _ => Err(Unrelayable::LoneSurrogate),
            }
        }
        0xdc00..=0xdfff => Err(Unrelayable::LoneSurrogate),
        _ => Ok((6, 3)),
    }
}

/// The four hexadecimal digits that `text` begins with.
fn code_unit(text: &[u8]) -> u32 {
    let digit = |b: &u8| char::from(*b).to_digit(16).unwrap_or_default();
    text.iter().take(4).fold(0, |unit, b| unit * 16 + digit(b))
}

#[cfg(test)]
mod tests;
