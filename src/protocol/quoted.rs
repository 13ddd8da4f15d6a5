//! Frames in the form of the HTTP transports and of SockJS: messages as JSON strings in an array, and a close frame
//! that is text.
//!
//! A quoted frame is kept as a WebSocket text frame like any other, so that everything that queues and counts frames
//! treats it alike; a transport that is no WebSocket takes the text alone.

use super::{CloseStatus, Frame};

/// What an array of messages begins with.
const BEGIN: &str = "a[";

impl Frame {
    /// The frame as an array that holds this one message. Control frames have no such form and stay what they are.
    pub fn quoted(&self) -> Frame {
        if !self.is_text() {
            return self.clone();
        }
        // A frame's JSON is text by construction.
        let text = std::str::from_utf8(self.json()).unwrap_or_default();
        Frame::text(text.len() + text.len() / 8 + 8, |out| {
            out.push_str(BEGIN);
            push_quoted(text, out);
            out.push(']');
        })
    }

    /// The text that begins a conversation.
    pub fn quoted_hello() -> Frame {
        Frame::text(1, |out| out.push('o'))
    }

    /// The text that ends a conversation: code and reason, which is cut as on a WebSocket.
    pub fn quoted_close(status: impl Into<CloseStatus>, reason: &str) -> Frame {
        let code = status.into().code();
        let reason = Frame::close_reason(reason);
        Frame::text(reason.len() + 16, |out| {
            out.push_str(&format!("c[{code},"));
            push_quoted(reason, out);
            out.push(']');
        })
    }

    /// The message within a frame that [`Frame::quoted`] made: a JSON string.
    pub fn quoted_message(&self) -> Option<&[u8]> {
        self.json().strip_prefix(BEGIN.as_bytes())?.strip_suffix(b"]")
    }
}

/// Appends `text` as a JSON string, with escapes for what some browsers lose or change on its way through a response
/// body or a script, as SockJS lists it.
pub fn push_quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b < 0x20 || matches!(b, b'"' | b'\\' | 0xe2 | 0xef)) {
        out.push_str(&rest[..at]);
        let Some(character) = rest[at..].chars().next() else { break };
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            lost if is_lost(lost) => out.push_str(&format!("\\u{:04x}", u32::from(lost))),
            other => out.push(other),
        }
        rest = &rest[at + character.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

fn is_lost(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f'
        | '\u{200c}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff0}'..='\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloseCode;
    use crate::protocol::json::Data;
    use crate::protocol::server_message::connection_event;

    #[test]
    fn a_message_becomes_a_string_in_an_array_and_control_frames_stay() {
        let frame = connection_event("e", &Data::of_text(r#"{"a":"b\\"}"#));
        let quoted = frame.quoted();
        let parsed: Vec<String> = serde_json::from_slice(&quoted.json()[1..]).unwrap();
        assert_eq!(parsed, [std::str::from_utf8(frame.json()).unwrap()]);
        assert_eq!(quoted.quoted_message().unwrap(), &quoted.json()[2..quoted.json().len() - 1]);
        assert_eq!(Frame::ping().quoted(), Frame::ping());
        assert_eq!(frame.quoted_message(), None);
    }

    #[test]
    fn a_close_is_code_and_reason() {
        let close = Frame::quoted_close(CloseCode::UnknownApp, "no \"x\"\u{2028}");
        assert_eq!(close.json(), br#"c[4001,"no \"x\"\u2028"]"#);
    }

    #[test]
    fn what_browsers_lose_is_escaped_and_the_rest_is_not() {
        let mut out = String::new();
        push_quoted("ä€→\u{200d}\u{2060}\u{fffd}\u{feff}😀\n\u{1}", &mut out);
        assert_eq!(out, "\"ä€→\\u200d\\u2060\\ufffd\u{feff}😀\\u000a\\u0001\"");
        assert_eq!(
            serde_json::from_str::<String>(&out).unwrap(),
            "ä€→\u{200d}\u{2060}\u{fffd}\u{feff}😀\n\u{1}"
        );
    }
}
