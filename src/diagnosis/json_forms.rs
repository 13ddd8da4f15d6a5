//! The ways in which common libraries write one and the same JSON value.

use std::fmt::Write;

use serde::de::IgnoredAny;

use crate::protocol::json::string_end;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// Without spaces, and with nothing escaped that need not be: JavaScript, Ruby, Go, .NET.
    Compact,
    /// Without spaces, with `\/` for a slash and `\u` for what is not ASCII: PHP.
    Php,
    /// With a space behind each colon and comma, and `\u` for what is not ASCII: Python.
    Python,
    /// As a JSON string that holds the text.
    Quoted,
}

impl JsonForm {
    /// All of them, the likeliest first.
    pub(super) const ALL: [JsonForm; 4] =
        [JsonForm::Compact, JsonForm::Python, JsonForm::Php, JsonForm::Quoted];
}

/// A JSON text in another form, its members in their order and its numbers as they are written; `None` if it is no JSON.
pub(super) fn in_form(text: &str, form: JsonForm) -> Option<String> {
    if form == JsonForm::Quoted {
        return serde_json::to_string(text).ok();
    }
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => {
                let (length, _) = string_end(rest);
                let string: String = serde_json::from_str(&rest[..length]).ok()?;
                push_string(&string, form, &mut out);
                rest = &rest[length..];
                continue;
            }
            ' ' | '\n' | '\r' | '\t' => {}
            ':' | ',' => {
                out.push(first);
                if form == JsonForm::Python {
                    out.push(' ');
                }
            }
            other => out.push(other),
        }
        rest = &rest[first.len_utf8()..];
    }
    Some(out)
}

/// The text that a JSON string holds, if that is what it is.
pub(super) fn unquoted(text: &str) -> Option<String> {
    text.trim_start().starts_with('"').then(|| serde_json::from_str(text).ok()).flatten()
}

fn push_string(string: &str, form: JsonForm, out: &mut String) {
    // A string can always be written.
    let plain = serde_json::to_string(string).unwrap_or_default();
    if form == JsonForm::Compact {
        return out.push_str(&plain);
    }
    for character in plain.chars() {
        match character {
            '/' if form == JsonForm::Php => out.push_str("\\/"),
            other if other.is_ascii() => out.push(other),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_is_written_as_each_library_writes_it() {
        let text = "{ \"b\" : \"\\u00e9/\\\"📷\",\n\t\"a\":[1.0, 2e3 ,true] }";
        let forms = JsonForm::ALL.map(|form| in_form(text, form).unwrap());
        assert_eq!(forms[0], "{\"b\":\"é/\\\"📷\",\"a\":[1.0,2e3,true]}");
        assert_eq!(forms[1], "{\"b\": \"\\u00e9/\\\"\\ud83d\\udcf7\", \"a\": [1.0, 2e3, true]}");
        assert_eq!(forms[2], "{\"b\":\"\\u00e9\\/\\\"\\ud83d\\udcf7\",\"a\":[1.0,2e3,true]}");
        assert_eq!(unquoted(&forms[3]).as_deref(), Some(text));
        for other in ["", "{", "no JSON", "{\"a\":1} x"] {
            assert_eq!(in_form(other, JsonForm::Compact), None, "{other}");
            assert_eq!(unquoted(other), None);
        }
    }
}
