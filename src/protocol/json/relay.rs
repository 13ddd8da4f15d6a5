//! Makes of any JSON value a string that every client can parse, in one pass over the bytes as they came.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use serde_json::value::RawValue;

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

/// A value as a JSON string, quotes included, and the bytes of the text that the string stands for. A string passes
/// unchanged; any other value becomes the string of its compact JSON text.
///
/// # Errors
/// If the value holds what some client could not parse.
pub(in crate::protocol) fn relay(value: &RawValue) -> Result<(Cow<'_, str>, usize), Unrelayable> {
    let text = value.get();
    if text.starts_with('"') {
        return Ok((Cow::Borrowed(text), unescaped_bytes(text)?));
    }
    let escapes = text.bytes().filter(|b| matches!(b, b'"' | b'\\')).count();
    let mut literal = String::with_capacity(text.len() + escapes + 2);
    literal.push('"');
    let bytes = compact(text, &mut literal, Escaping::InsideString)?;
    literal.push('"');
    Ok((Cow::Owned(literal), bytes))
}

/// Appends the JSON text `value` without its insignificant white space.
///
/// # Errors
/// If it is nested too deeply.
pub fn push_compact(value: &RawValue, out: &mut String) -> Result<(), Unrelayable> {
    compact(value.get(), out, Escaping::None).map(|_| ())
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
pub(crate) fn string_end(text: &str) -> (usize, bool) {
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
