//! What the metrics call the endpoint of a request: one of a few names, whatever the path.

/// The route of a path that was sent, below the prefix of the configuration.
pub(super) fn route_name(path: &str, prefix: &str) -> &'static str {
    let Some(path) = path.strip_prefix(prefix) else { return "other" };
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let [first, second, third, fourth, fifth] = std::array::from_fn(|_| segments.next());
    match (first, second, third, fourth, fifth) {
        (Some("apps"), Some(_), endpoint, name, attribute) => of_app(endpoint, name, attribute),
        (Some("users"), Some(_), Some("terminate_connections"), None, None) => "terminate_connections",
        (Some("health"), None, ..) => "health",
        (Some("ready"), None, ..) => "ready",
        (Some("app"), Some(_), None, ..) => "websocket",
        (Some("r"), Some(_), Some("app"), Some(_), None) => "websocket",
        (Some("test"), ..) => "test",
        (Some("dev"), ..) => "development",
        (None, ..) => "root",
        _ => "other",
    }
}

fn of_app(endpoint: Option<&str>, name: Option<&str>, attribute: Option<&str>) -> &'static str {
    match (endpoint, name, attribute) {
        (Some("events"), None, None) => "events",
        (Some("batch_events"), None, None) => "batch_events",
        (Some("channels"), None, None) => "channels",
        (Some("channels"), Some(_), None) => "channel",
        (Some("channels"), Some(_), Some("users")) => "channel_users",
        (Some("channels"), Some(_), Some("events")) => "channel_events",
        (Some("channels"), Some(_), Some("history")) => "channel_history",
        (Some("channels"), Some(_), Some("stats")) => "channel_stats",
        (Some("channels"), Some(_), Some("mjpeg" | "sse" | "webm")) => "channel_stream",
        (Some("users"), Some(_), Some("terminate_connections")) => "terminate_connections",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_make_no_routes() {
        let table = [
            ("/apps/1/events", "events"),
            ("/apps/1/batch_events", "batch_events"),
            ("//apps/1/channels/", "channels"),
            ("/apps/1/channels/a", "channel"),
            ("/apps/1/channels/a/users", "channel_users"),
            ("/apps/1/channels/a/history", "channel_history"),
            ("/apps/1/channels/a/sse", "channel_stream"),
            ("/apps/1/users/u/terminate_connections", "terminate_connections"),
            ("/users/u/terminate_connections", "terminate_connections"),
            ("/app/key", "websocket"),
            ("/r/name/app/key", "websocket"),
            ("/r/name/app", "other"),
            ("/health", "health"),
            ("/", "root"),
            ("/apps/1/anything", "other"),
            ("/wp-login.php", "other"),
        ];
        for (path, route) in table {
            assert_eq!(route_name(path, ""), route, "{path}");
            assert_eq!(route_name(&format!("/pusher{path}"), "/pusher"), route, "{path}");
        }
        assert_eq!(route_name("/health", "/pusher"), "other");
    }
}
