//! Writes and reads JSON strings.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;
use serde_json::value::RawValue;

/// `text` as a JSON string, quotes included.
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

/// The value as a string: `None` if it is another type, or cannot be one.
pub fn as_string(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    match memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(text).ok().map(Cow::Owned),
    }
}

/// Whether the value is `null`.
pub fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}
