//! The broker's configuration under load: its defaults, with the limits lifted that a scenario would run into.

use std::path::Path;

use crate::wire::signature::App;

/// The id, key and secret of the second app.
pub(crate) const CROWD_KEY: &str = "crowd";

/// Who has it may watch.
pub(crate) const ADMIN_TOKEN: &str = "a-token-for-the-load-tool-alone";

/// Where it begins in the configuration.
const CROWD: &str = "# Whose connections are closed all at once.\n[[apps]]";

/// One worker, because the server has one core; payloads up to 1 MiB; no rate limit on client events. What is on besides
/// (compression, watchlists, a latest-only channel) is used by the scenarios of long turns only.
/// With the paths of a certificate and its key it serves TLS.
///
/// A second app is there until [`without_crowd`].
pub(super) fn configuration(
    app: &App,
    tls: Option<(&Path, &Path)>,
    video: bool,
    admin: Option<u16>,
) -> String {
    let video = if video { VIDEO } else { "" };
    let admin =
        admin.map(|port| format!("\n[admin]\nenabled = true\nport = {port}\ntoken = \"{ADMIN_TOKEN}\"\n"));
    let admin = admin.unwrap_or_default();
    let App { id, key, secret } = app;
    let tls = tls.map(|(certificate, key)| format!("tls_certificate = {certificate:?}\ntls_key = {key:?}\n"));
    let tls = tls.unwrap_or_default();
    format!(
        r#"[server]
host = "127.0.0.1"
port = 0
workers = 1
http_body_bytes = 2097152
{tls}
[connection]
compression = true

[logging]
level = "warn"
{admin}
[[apps]]
id = "{id}"
key = "{key}"
secret = "{secret}"
client_events = true
watchlist_events = true

[apps.limits]
event_payload_bytes = 1048576
client_event_payload_bytes = 1048576
client_events_per_second = 0
presence_members_per_channel = 10000
subscriptions_per_connection = 0

[[apps.channels]]
pattern = "latest-*"
delivery = "latest"
{video}
{CROWD}
id = "{CROWD_KEY}"
key = "{CROWD_KEY}"
secret = "{CROWD_KEY}"
"#
    )
}

/// What is on besides where pictures are filmed: a channel of video, and the rule through which they come.
const VIDEO: &str = r#"
[[apps.channels]]
pattern = "camera"
delivery = "video"

[[apps.pipe]]
from = "film"
event = "picture"
to = "camera"
as = "picture"
"#;

/// The same configuration without the second app.
pub(super) fn without_crowd(configuration: &str) -> &str {
    configuration.split(CROWD).next().unwrap_or_default()
}
