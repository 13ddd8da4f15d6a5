//! Reads what the HTTP fallbacks answer: the frames within the text of each of their formats.
//!
//! Pure: text in, frames out. What has not come whole yet is no frame.

use serde_json::Value as Json;

use crate::cli::told_values::{number_of, text_of};

/// The text around each frame of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFormat {
    /// A line for each.
    Lines,
    /// Server-sent events.
    EventSource,
    /// A page whose scripts call a function for each.
    HtmlFile,
    /// A script that calls a function with one.
    Jsonp,
}

/// A frame of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SessionFrame {
    /// The session has begun.
    Opened,
    /// Messages of the protocol.
    Messages(Vec<String>),
    Heartbeat,
    /// The session is closed.
    Closed(u64, String),
}

impl FrameFormat {
    /// The frames that have come whole.
    pub(super) fn frames(self, text: &str) -> Vec<SessionFrame> {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(str::trim_end);
        let told = lines.filter_map(|line| match self {
            FrameFormat::Lines => Some(line.to_owned()),
            FrameFormat::EventSource => line.strip_prefix("data:").map(|data| data.trim_start().to_owned()),
            FrameFormat::HtmlFile => argument(line.strip_prefix("p(")?),
            FrameFormat::Jsonp => argument(line.split_once('(')?.1),
        });
        told.filter_map(|frame| session_frame(&frame)).collect()
    }
}

/// The text that a function is called with, of what stands behind its opening parenthesis.
fn argument(call: &str) -> Option<String> {
    serde_json::from_str(call.strip_suffix(");")?).ok()
}

fn session_frame(frame: &str) -> Option<SessionFrame> {
    let (kind, rest) = frame.split_at_checked(1)?;
    match kind {
        // Pages of websites have lines that begin like this.
        "o" if rest.is_empty() => Some(SessionFrame::Opened),
        "h" => Some(SessionFrame::Heartbeat),
        "a" => Some(SessionFrame::Messages(serde_json::from_str(rest).ok()?)),
        "m" => Some(SessionFrame::Messages(vec![serde_json::from_str(rest).ok()?])),
        "c" => {
            let parts: Json = serde_json::from_str(rest).ok()?;
            Some(SessionFrame::Closed(number_of(&parts[0])?, text_of(&parts[1]).unwrap_or_default()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_in_the_words_of_each_format() {
        let message = r#"{"event":"e"}"#;
        let expected =
            [SessionFrame::Opened, SessionFrame::Messages(vec![message.to_owned()]), SessionFrame::Heartbeat];
        for (format, text) in [
            (FrameFormat::Lines, "  \no\na[\"{\\\"event\\\":\\\"e\\\"}\"]\nh\n"),
            (
                FrameFormat::EventSource,
                "\r\ndata: o\r\n\r\ndata: a[\"{\\\"event\\\":\\\"e\\\"}\"]\r\n\r\ndata: h\r\n\r\n",
            ),
            (
                FrameFormat::HtmlFile,
                "<script>\nfunction p(d) {c.message(d);};\n</script>\r\n<script>\np(\"o\");\n</script>\r\n\
                 <script>\np(\"a[\\\"{\\\\\\\"event\\\\\\\":\\\\\\\"e\\\\\\\"}\\\"]\");\n</script>\r\n<script>\np(\"h\");\n</script>\r\n",
            ),
            (
                FrameFormat::Jsonp,
                "/**/f(\"o\");\r\n/**/f(\"a[\\\"{\\\\\\\"event\\\\\\\":\\\\\\\"e\\\\\\\"}\\\"]\");\r\n/**/f(\"h\");\r\n",
            ),
        ] {
            assert_eq!(format.frames(text), expected, "{format:?}");
        }
    }

    #[test]
    fn a_prelude_is_a_heartbeat() {
        let expected = [SessionFrame::Heartbeat, SessionFrame::Opened];
        assert_eq!(FrameFormat::Lines.frames(&format!("{}\no\n", "h".repeat(2048))), expected);
    }

    #[test]
    fn what_has_not_come_whole_is_no_frame() {
        assert_eq!(FrameFormat::Lines.frames("o\na[\"x\"]"), [SessionFrame::Opened]);
        assert_eq!(FrameFormat::Lines.frames("o"), []);
        assert_eq!(FrameFormat::Lines.frames("<html>\n<h1>502</h1>\nor not\n"), []);
        assert_eq!(FrameFormat::EventSource.frames("data: o\r"), []);
        assert_eq!(FrameFormat::Jsonp.frames("/**/f(\"o\")\n"), []);
    }

    #[test]
    fn a_close_has_its_code() {
        let closed = |code, reason: &str| [SessionFrame::Closed(code, reason.to_owned())];
        assert_eq!(FrameFormat::Lines.frames("c[4001,\"no app\"]\n"), closed(4001, "no app"));
        assert_eq!(FrameFormat::Lines.frames("c[3000]\n"), closed(3000, ""));
        assert_eq!(FrameFormat::Lines.frames("c[\"4001\",7]\n"), closed(4001, "7"));
        assert_eq!(FrameFormat::Lines.frames("c{}\n"), []);
    }
}
