//! Reads the first message of a SockJS client: the path that it would have opened a WebSocket at.

use std::borrow::Cow;

use crate::auth::request::Query;
use crate::protocol::{json, quote};
use crate::transport::admission;

/// The path that a SockJS client names in its first message.
#[derive(Debug)]
pub(in crate::transport) struct IntroducedPath {
    /// The key of the app that it names, or why it names none.
    pub(in crate::transport) key: Result<Cow<'static, str>, String>,
    /// Its parameters.
    pub(in crate::transport) query: Query,
}

impl IntroducedPath {
    /// Reads the first message. The path may begin with the broker's prefix, or without.
    pub(in crate::transport) fn read(message: &str, prefix: &str) -> Self {
        let members = json::members(message, ["path"]).ok();
        let path = members.and_then(|[path]| path).and_then(json::as_string);
        let Some(path) = path else {
            let got = quote(message);
            let problem =
                format!("Expected {{\"path\":\"/app/KEY?protocol=7\"}} as the first message, got {got}");
            return IntroducedPath { key: Err(problem), query: Query::default() };
        };
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let key = admission::key_in_path(path, "").or_else(|problem| match prefix {
            "" => Err(problem),
            prefix => admission::key_in_path(path, prefix),
        });
        IntroducedPath { key, query: Query::parse(query) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_app_and_the_parameters() {
        for path in ["/app/app-key?protocol=7&client=js", "/some/where/app/app%2Dkey?client=js&protocol=7"] {
            let path = IntroducedPath::read(&serde_json::json!({ "path": path }).to_string(), "/some/where");
            assert_eq!(path.key.as_deref(), Ok("app-key"));
            assert_eq!((path.query.get("protocol"), path.query.get("client")), (Some("7"), Some("js")));
        }
        assert_eq!(IntroducedPath::read(r#"{"path":"/app/k"}"#, "").key.as_deref(), Ok("k"));
    }

    #[test]
    fn anything_else_is_told_what_was_expected() {
        for message in ["", "x", "[]", "{}", r#"{"path":1}"#, r#"{"event":"pusher:ping"}"#] {
            let problem = IntroducedPath::read(message, "").key.unwrap_err();
            assert!(problem.starts_with("Expected {\"path\""), "{problem}");
        }
        for path in ["", "/", "/app/", "/app/a/b", "app/k", "/pusher/app/k"] {
            let message = serde_json::json!({ "path": path }).to_string();
            assert!(
                IntroducedPath::read(&message, "").key.unwrap_err().starts_with("Path not found"),
                "{path}"
            );
        }
    }
}
