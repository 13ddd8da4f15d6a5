//! Reads the first message of a SockJS client: the path that it would have opened a WebSocket at.

use crate::auth::request::Query;
use crate::protocol::{json, quote};
use crate::recovery::GivenName;
use crate::transport::admission::ConnectionPath;

/// The path that a SockJS client names in its first message.
#[derive(Debug)]
pub(in crate::transport) struct IntroducedPath {
    /// The key of the app that it names, or why it names none, and what the client calls itself.
    pub(in crate::transport) named: ConnectionPath,
    /// Its parameters.
    pub(in crate::transport) query: Query,
}

impl IntroducedPath {
    /// Reads the first message. The path may begin with the broker's prefix, or without. `name` is what the client has
    /// called itself in its requests; if it has not, the path may tell it.
    pub(in crate::transport) fn read(message: &str, prefix: &str, name: GivenName) -> Self {
        let members = json::members(message, ["path"]).ok();
        let path = members.and_then(|[path]| path).and_then(json::as_string);
        let Some(path) = path else {
            let got = quote(message);
            let problem =
                format!("Expected {{\"path\":\"/app/KEY?protocol=7\"}} as the first message, got {got}");
            let named = ConnectionPath { key: Err(problem), name };
            return IntroducedPath { named, query: Query::default() };
        };
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let mut named = ConnectionPath::read(path, "");
        if named.key.is_err() && !prefix.is_empty() {
            named = ConnectionPath::read(path, prefix);
        }
        if name.is_given() {
            named.name = name;
        }
        IntroducedPath { named, query: Query::parse(query) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_app_and_the_parameters() {
        for path in ["/app/app-key?protocol=7&client=js", "/some/where/app/app%2Dkey?client=js&protocol=7"] {
            let message = serde_json::json!({ "path": path }).to_string();
            let path = IntroducedPath::read(&message, "/some/where", GivenName::None);
            assert_eq!(path.named.key.as_deref(), Ok("app-key"));
            assert_eq!(path.named.name, GivenName::None);
            assert_eq!((path.query.get("protocol"), path.query.get("client")), (Some("7"), Some("js")));
        }
        let path = IntroducedPath::read(r#"{"path":"/app/k"}"#, "", GivenName::Unfit);
        assert_eq!((path.named.key.as_deref(), path.named.name), (Ok("k"), GivenName::Unfit));
        let path = IntroducedPath::read(r#"{"path":"/x/r/tab/app/k"}"#, "/x", GivenName::None);
        assert_eq!((path.named.key.as_deref(), path.named.name), (Ok("k"), GivenName::Unfit));
    }

    #[test]
    fn anything_else_is_told_what_was_expected() {
        for message in ["", "x", "[]", "{}", r#"{"path":1}"#, r#"{"event":"pusher:ping"}"#] {
            let problem = IntroducedPath::read(message, "", GivenName::None).named.key.unwrap_err();
            assert!(problem.starts_with("Expected {\"path\""), "{problem}");
        }
        for path in ["", "/", "/app/", "/app/a/b", "app/k", "/pusher/app/k"] {
            let message = serde_json::json!({ "path": path }).to_string();
            let problem = IntroducedPath::read(&message, "", GivenName::None).named.key.unwrap_err();
            assert!(problem.starts_with("Path not found"), "{path}");
        }
    }
}
