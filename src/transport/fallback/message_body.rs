//! Reads the bodies of requests into messages.

use crate::auth::request::Query;

/// A body that is no list of messages. The sentences are SockJS's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::transport) enum MessageBodyError {
    /// There is nothing in it.
    #[error("Payload expected.")]
    Missing,
    /// It is something else.
    #[error("Broken JSON encoding.")]
    Broken,
}

/// The messages of a body: a JSON array of strings. `h`, which is no JSON, is how the first native releases say that
/// they live; it holds no message, and neither does an empty array.
pub(super) fn messages(body: &[u8]) -> Result<Vec<String>, MessageBodyError> {
    match body.trim_ascii() {
        b"" => Err(MessageBodyError::Missing),
        b"h" => Ok(Vec::new()),
        body => serde_json::from_slice(body).map_err(|_| MessageBodyError::Broken),
    }
}

/// The messages of a form, in its field `d`; or of a body that is not called one.
pub(super) fn messages_of_form(body: &[u8], content_type: &str) -> Result<Vec<String>, MessageBodyError> {
    if !content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return messages(body);
    }
    let form = std::str::from_utf8(body).map_err(|_| MessageBodyError::Broken)?;
    messages(Query::parse(form).get("d").unwrap_or_default().as_bytes())
}

/// The messages of one WebSocket message in SockJS's framing: an array of strings, or one string. An empty one holds
/// none.
pub(in crate::transport) fn messages_of_frame(text: &str) -> Result<Vec<String>, MessageBodyError> {
    match text.as_bytes().trim_ascii() {
        b"" => Ok(Vec::new()),
        [b'"', ..] => {
            serde_json::from_str(text).map(|message| vec![message]).map_err(|_| MessageBodyError::Broken)
        }
        body => messages(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_array_of_strings() {
        assert_eq!(messages(br#"["a","{\"b\":1}"]"#), Ok(vec!["a".to_owned(), r#"{"b":1}"#.to_owned()]));
        assert_eq!(messages(b"[]"), Ok(Vec::new()));
        assert_eq!(messages(b"h"), Ok(Vec::new()), "the heartbeat of 2.2.0");
        assert_eq!(messages(b" "), Err(MessageBodyError::Missing));
        for broken in [&b"[\"x"[..], b"{}", b"[1]", b"\"x\"", b"[\"\xff\"]", b"[[\"x\"]]", b"hh", b"[] []"] {
            assert_eq!(
                messages(broken),
                Err(MessageBodyError::Broken),
                "{}",
                String::from_utf8_lossy(broken)
            );
        }
    }

    #[test]
    fn a_form_has_the_array_in_a_field() {
        let form = "application/x-www-form-urlencoded; charset=UTF-8";
        assert_eq!(messages_of_form(b"d=%5B%22x%22%5D", form), Ok(vec!["x".to_owned()]));
        assert_eq!(messages_of_form(b"d=", form), Err(MessageBodyError::Missing));
        assert_eq!(messages_of_form(b"e=1", form), Err(MessageBodyError::Missing));
        assert_eq!(messages_of_form(b"d=p", form), Err(MessageBodyError::Broken));
        assert_eq!(messages_of_form(br#"["x"]"#, "text/plain"), Ok(vec!["x".to_owned()]));
    }

    #[test]
    fn a_websocket_message_may_hold_one_string_alone() {
        assert_eq!(messages_of_frame(r#""x""#), Ok(vec!["x".to_owned()]));
        assert_eq!(messages_of_frame(r#"["x","y"]"#), Ok(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(messages_of_frame(""), Ok(Vec::new()));
        assert_eq!(messages_of_frame("[\"x"), Err(MessageBodyError::Broken));
    }
}
