//! The formats of responses: the text around each frame, and before the first.
//!
//! Pure text. What a frame says (`o`, `h`, `a[…]`, `c[…]`) is the session's business.

use bytes::Bytes;

use crate::protocol::quoted::push_quoted;

/// Bytes before the first frame, without which some browsers do not begin to read.
const PRELUDE_BYTES: usize = 2048;

/// The format of a response that receives frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    /// A line for each frame, in a response that goes on.
    XhrStreaming,
    /// A line for one frame.
    Xhr,
    /// Server-sent events.
    EventSource,
    /// A page whose scripts call the function that its parent has under this name.
    HtmlFile(String),
    /// A script that calls this function.
    Jsonp(String),
}

/// The bytes that a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prelude {
    /// What the format itself needs.
    Plain,
    /// SockJS's own: a line of the letter `h`.
    Heartbeats,
    /// A line of spaces, which native clients pass over.
    Spaces,
}

impl ResponseFormat {
    /// Whether a response ends after its first frame.
    pub(super) fn is_single(&self) -> bool {
        match self {
            ResponseFormat::Xhr | ResponseFormat::Jsonp(_) => true,
            ResponseFormat::XhrStreaming | ResponseFormat::EventSource | ResponseFormat::HtmlFile(_) => false,
        }
    }

    /// The media type of the response.
    pub(super) fn content_type(&self) -> &'static str {
        match self {
            ResponseFormat::XhrStreaming | ResponseFormat::Xhr | ResponseFormat::Jsonp(_) => {
                "application/javascript; charset=UTF-8"
            }
            ResponseFormat::EventSource => "text/event-stream; charset=UTF-8",
            ResponseFormat::HtmlFile(_) => "text/html; charset=UTF-8",
        }
    }

    /// What comes before the first frame.
    pub(super) fn prelude(&self, prelude: Prelude) -> Bytes {
        let line = |character: char| Bytes::from(character.to_string().repeat(PRELUDE_BYTES) + "\n");
        match (self, prelude) {
            (ResponseFormat::XhrStreaming, Prelude::Heartbeats) => line('h'),
            (ResponseFormat::XhrStreaming, Prelude::Spaces) => line(' '),
            (ResponseFormat::EventSource, _) => Bytes::from_static(b"\r\n"),
            (ResponseFormat::HtmlFile(callback), _) => Bytes::from(html_head(callback)),
            (ResponseFormat::XhrStreaming | ResponseFormat::Xhr | ResponseFormat::Jsonp(_), _) => {
                Bytes::new()
            }
        }
    }

    /// The frame as it stands in the response.
    pub(super) fn wrap(&self, frame: &str) -> Bytes {
        Bytes::from(match self {
            ResponseFormat::XhrStreaming | ResponseFormat::Xhr => format!("{frame}\n"),
            // A frame is one line: JSON has its line breaks escaped.
            ResponseFormat::EventSource => format!("data: {frame}\r\n\r\n"),
            ResponseFormat::HtmlFile(_) => format!("<script>\np({});\n</script>\r\n", script_string(frame)),
            // The comment keeps a browser from taking the callback's name for the beginning of some other file type.
            ResponseFormat::Jsonp(callback) => format!("/**/{callback}({});\r\n", script_string(frame)),
        })
    }
}

/// Whether `name` is fit to be called from a script: nothing in it can end the call and begin another.
pub(super) fn is_callback(name: &str) -> bool {
    const MAX_BYTES: usize = 128;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    !name.is_empty() && name.len() <= MAX_BYTES && name.bytes().all(allowed)
}

/// A string in a script within a page: nothing in it can end the script.
fn script_string(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + text.len() / 4 + 2);
    push_quoted(text, &mut literal);
    if literal.contains('<') { literal.replace('<', "\\u003c") } else { literal }
}

/// The page that a hidden frame loads bit by bit.
fn html_head(callback: &str) -> String {
    let head = format!(
        "<!doctype html>\n<html><head>\n\
         <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n\
         <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n\
         </head><body><h2>Don't panic!</h2>\n<script>\n\
         document.domain = document.domain;\nvar c = parent.{callback};\nc.start();\n\
         function p(d) {{c.message(d);}};\nwindow.onload = c.stop;\n</script>"
    );
    let padding = " ".repeat(PRELUDE_BYTES.saturating_sub(head.len()));
    format!("{head}{padding}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(format: &ResponseFormat, frame: &str) -> String {
        String::from_utf8(format.wrap(frame).to_vec()).unwrap()
    }

    #[test]
    fn each_kind_of_response_has_its_own_words_around_a_frame() {
        let frame = r#"a["{\"x\":1}"]"#;
        let jsonp = ResponseFormat::Jsonp("_jp.a".to_owned());
        let html = ResponseFormat::HtmlFile("_jp.a".to_owned());
        assert_eq!(wrapped(&ResponseFormat::XhrStreaming, frame), format!("{frame}\n"));
        assert_eq!(wrapped(&ResponseFormat::Xhr, frame), format!("{frame}\n"));
        assert_eq!(wrapped(&ResponseFormat::EventSource, frame), format!("data: {frame}\r\n\r\n"));
        assert_eq!(wrapped(&jsonp, frame), "/**/_jp.a(\"a[\\\"{\\\\\\\"x\\\\\\\":1}\\\"]\");\r\n");
        assert_eq!(wrapped(&html, "o"), "<script>\np(\"o\");\n</script>\r\n");
    }

    #[test]
    fn nothing_in_a_frame_ends_the_script_that_it_stands_in() {
        let html = ResponseFormat::HtmlFile("f".to_owned());
        let text = wrapped(&html, "a[\"</script><script>alert(1)<!--\u{2028}\"]");
        assert_eq!(text.matches('<').count(), 2, "{text}");
        assert!(!text.contains('\u{2028}'));
    }

    #[test]
    fn a_callback_is_a_name_and_nothing_else() {
        for good in ["callback", "_jp.a1b2", "a.b.c", "x-y"] {
            assert!(is_callback(good), "{good}");
        }
        for bad in ["", "a(b)", "a;b", "a b", "%20", "<script>", "a\n", "é", &"a".repeat(129)] {
            assert!(!is_callback(bad), "{bad}");
        }
    }

    #[test]
    fn preludes_are_long_enough_for_browsers_to_begin_to_read() {
        let stream = ResponseFormat::XhrStreaming;
        assert_eq!(stream.prelude(Prelude::Heartbeats), "h".repeat(2048) + "\n");
        assert_eq!(stream.prelude(Prelude::Spaces).len(), 2049);
        assert!(stream.prelude(Prelude::Plain).is_empty());
        let page = ResponseFormat::HtmlFile("cb".to_owned()).prelude(Prelude::Plain);
        assert!(page.len() > 1024 && String::from_utf8_lossy(&page).contains("parent.cb;"));
    }
}
