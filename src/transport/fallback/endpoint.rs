//! Reads paths: which session a request belongs to, and which operation it asks for.

use percent_encoding::percent_decode_str;

use super::SockJsFraming;

/// Bytes that one id in a path may have. Clients use up to 8.
const ID_BYTES: usize = 64;

/// An endpoint of the HTTP transports, as its path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FallbackEndpoint {
    /// SockJS's greeting.
    Greeting,
    /// What SockJS asks for first.
    Info,
    /// The page from which SockJS reaches across origins.
    Iframe,
    /// A request of a session.
    Session {
        /// Which one. A session is found by all of its name: two that differ in anything are two sessions.
        name: SessionName,
        operation: SessionOperation,
    },
    /// A WebSocket, in SockJS's framing or without; by an upgrade.
    WebSocket(SockJsFraming),
    /// Statistics that old releases send: a script that calls them back under this number.
    StatisticsScript(String),
    /// The same, for the oldest releases.
    OldStatisticsScript(String),
    /// The same, as JSON.
    Statistics,
}

/// The family of a session, and its name within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SessionName {
    /// pusher-js's own transports. The key of the app is part of the name.
    Native {
        /// The app's key.
        key: String,
        /// Two ids, which the client drew.
        ids: (String, String),
    },
    /// SockJS. The server's number in the path is for proxies and has no meaning here.
    SockJs(String),
}

/// The operation on a session that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionOperation {
    /// To receive, for as long as it lasts.
    XhrStreaming,
    /// To receive once.
    Xhr,
    XhrSend,
    /// To receive as server-sent events.
    EventSource,
    /// To receive as a page.
    HtmlFile,
    /// To receive once, as a script.
    Jsonp,
    /// To send from a form.
    JsonpSend,
}

impl SessionOperation {
    /// The one method that fits.
    pub(super) fn method(self) -> &'static str {
        match self {
            SessionOperation::XhrStreaming
            | SessionOperation::Xhr
            | SessionOperation::XhrSend
            | SessionOperation::JsonpSend => "POST",
            SessionOperation::EventSource | SessionOperation::HtmlFile | SessionOperation::Jsonp => "GET",
        }
    }

    /// Whether the answer brings what the broker has to say.
    pub(super) fn receives(self) -> bool {
        match self {
            SessionOperation::XhrStreaming
            | SessionOperation::Xhr
            | SessionOperation::EventSource
            | SessionOperation::HtmlFile
            | SessionOperation::Jsonp => true,
            SessionOperation::XhrSend | SessionOperation::JsonpSend => false,
        }
    }

    fn at(segment: &str) -> Option<SessionOperation> {
        Some(match segment {
            "xhr_streaming" => SessionOperation::XhrStreaming,
            "xhr" => SessionOperation::Xhr,
            "xhr_send" => SessionOperation::XhrSend,
            "eventsource" => SessionOperation::EventSource,
            "htmlfile" => SessionOperation::HtmlFile,
            "jsonp" => SessionOperation::Jsonp,
            "jsonp_send" => SessionOperation::JsonpSend,
            _ => return None,
        })
    }
}

impl FallbackEndpoint {
    /// The endpoint at a path below the base path of the fallbacks, which begins with a slash or is empty.
    pub(super) fn at(path: &str) -> Option<FallbackEndpoint> {
        let Some(path) = path.strip_prefix('/') else {
            return path.is_empty().then_some(FallbackEndpoint::Greeting);
        };
        let segments: Vec<String> = path.split('/').map(decode).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [""] => Some(FallbackEndpoint::Greeting),
            ["info"] => Some(FallbackEndpoint::Info),
            ["websocket"] => Some(FallbackEndpoint::WebSocket(SockJsFraming::Raw)),
            [page] if is_iframe(page) => Some(FallbackEndpoint::Iframe),
            ["app", key, first, second, operation] if is_id(first) && is_id(second) && !key.is_empty() => {
                let operation = SessionOperation::at(operation)?;
                let native = matches!(
                    operation,
                    SessionOperation::XhrStreaming | SessionOperation::Xhr | SessionOperation::XhrSend
                );
                let ids = ((*first).to_owned(), (*second).to_owned());
                let name = SessionName::Native { key: (*key).to_owned(), ids };
                native.then_some(FallbackEndpoint::Session { name, operation })
            }
            [server, session, operation] if is_id(server) && is_id(session) => match *operation {
                "websocket" => Some(FallbackEndpoint::WebSocket(SockJsFraming::Framed)),
                operation => {
                    let name = SessionName::SockJs((*session).to_owned());
                    Some(FallbackEndpoint::Session { name, operation: SessionOperation::at(operation)? })
                }
            },
            _ => None,
        }
    }

    /// The endpoint at a path below `/timeline/`.
    pub(super) fn of_statistics(path: &str) -> Option<FallbackEndpoint> {
        let number = |text: &str| {
            let sound = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
            sound.then(|| text.to_owned())
        };
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["v2", "jsonp", id] => number(id).map(FallbackEndpoint::StatisticsScript),
            ["v2", "xhr", _] => Some(FallbackEndpoint::Statistics),
            [id] => number(id).map(FallbackEndpoint::OldStatisticsScript),
            _ => None,
        }
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// SockJS leaves ids to its clients, but for dots, which stand in the names of pages.
fn is_id(segment: &str) -> bool {
    !segment.is_empty() && segment.len() <= ID_BYTES && !segment.contains('.')
}

fn is_iframe(segment: &str) -> bool {
    let version = segment.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html"));
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    version.is_some_and(|version| version.bytes().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockjs(session: &str, operation: SessionOperation) -> Option<FallbackEndpoint> {
        Some(FallbackEndpoint::Session { name: SessionName::SockJs(session.to_owned()), operation })
    }

    #[test]
    fn the_two_families_are_told_apart_by_their_paths() {
        let name =
            SessionName::Native { key: "app-key".to_owned(), ids: ("1".to_owned(), "abcdefgh".to_owned()) };
        let native = FallbackEndpoint::Session { name, operation: SessionOperation::XhrStreaming };
        assert_eq!(FallbackEndpoint::at("/app/app-key/1/abcdefgh/xhr_streaming"), Some(native));
        assert_eq!(FallbackEndpoint::at("/000/abcdefgh/xhr"), sockjs("abcdefgh", SessionOperation::Xhr));
        assert_eq!(
            FallbackEndpoint::at("/999/abcdefgh/xhr"),
            sockjs("abcdefgh", SessionOperation::Xhr),
            "the server says nothing"
        );
        assert_eq!(FallbackEndpoint::at("/app/x/jsonp_send"), sockjs("x", SessionOperation::JsonpSend));
        assert_eq!(FallbackEndpoint::at("/a%20b/c%20d/htmlfile"), sockjs("c d", SessionOperation::HtmlFile));
        assert_eq!(FallbackEndpoint::at("/app/key/1/abcdefgh/jsonp"), None, "not a native transport");
    }

    #[test]
    fn sockjs_has_pages_and_sockets() {
        for greeting in ["", "/"] {
            assert_eq!(FallbackEndpoint::at(greeting), Some(FallbackEndpoint::Greeting));
        }
        for page in ["/iframe.html", "/iframe-a.html", "/iframe-.html", "/iframe-0.1.2abc-dirty.2144.html"] {
            assert_eq!(FallbackEndpoint::at(page), Some(FallbackEndpoint::Iframe), "{page}");
        }
        for none in
            ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/iframe.HTML", "/iframe-/.html", "/iframe.xml"]
        {
            assert_eq!(FallbackEndpoint::at(none), None, "{none}");
        }
        for raw in ["/websocket", "/web%73ocket"] {
            assert_eq!(
                FallbackEndpoint::at(raw),
                Some(FallbackEndpoint::WebSocket(SockJsFraming::Raw)),
                "{raw}"
            );
        }
        let framed = Some(FallbackEndpoint::WebSocket(SockJsFraming::Framed));
        assert_eq!(FallbackEndpoint::at("/000/abcdefgh/websocket"), framed);
    }

    #[test]
    fn what_is_no_path_of_a_session_is_nothing() {
        let long = format!("/a/{}/xhr", "x".repeat(65));
        for none in [
            "/a",
            "//",
            "///",
            "/a/a",
            "/a/a/",
            "//a/xhr",
            "/a//xhr",
            "/a./a/xhr",
            "/a/a./xhr",
            "/./././xhr",
            &long,
        ] {
            assert_eq!(FallbackEndpoint::at(none), None, "{none}");
        }
    }

    #[test]
    fn statistics_are_called_back_by_a_number_alone() {
        assert_eq!(
            FallbackEndpoint::of_statistics("v2/jsonp/12"),
            Some(FallbackEndpoint::StatisticsScript("12".to_owned()))
        );
        assert_eq!(
            FallbackEndpoint::of_statistics("3"),
            Some(FallbackEndpoint::OldStatisticsScript("3".to_owned()))
        );
        assert_eq!(FallbackEndpoint::of_statistics("v2/xhr/2"), Some(FallbackEndpoint::Statistics));
        for none in ["", "v2/jsonp/", "v2/jsonp/1;alert(1)", "v2/jsonp/-1", "1a", "v3/jsonp/1"] {
            assert_eq!(FallbackEndpoint::of_statistics(none), None, "{none}");
        }
    }
}
