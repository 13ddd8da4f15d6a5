//! The names of Reverb's settings, and of what Pusher's own libraries are told.

use super::engine::EnginePart;
use super::form::ForeignForm;
use super::row::Meaning::{Engine, ForClients, Only, Sets};
use super::row::{ForeignName, NameFamily, family, row};

/// What all of Reverb's begin with.
pub(in crate::config) const PREFIX: &str = "REVERB_";

/// Where the Redis is. A Kubernetes link of a service is never called so.
pub(super) const REDIS_URL: &str = "REDIS_URL";

const SCALING: &str = "it is true or false, and REDIS_URL, or REDIS_HOST and its like, say where the Redis between the nodes is";
const NODES: &str = "the nodes of a broker are joined here by cluster.url and what stands beside it";
const OWN_RATE: &str = "here client events are bounded per second and connection: set \
                        HELIOSTAT_APP_LIMITS_CLIENT_EVENTS_PER_SECOND, which is 10 unless it is set";

/// Reverb's that are known one by one.
pub(in crate::config) const NAMES: &[ForeignName] = &[
    row("REVERB_SERVER_HOST", "", Sets(&["server.host"], ForeignForm::Same)),
    row("REVERB_SERVER_PORT", "", Sets(&["server.port"], ForeignForm::Same)),
    row("REVERB_SERVER_PATH", "", Sets(&["server.path_prefix"], ForeignForm::Same)),
    row("REVERB_MAX_REQUEST_SIZE", "", Sets(&["server.http_body_bytes"], ForeignForm::Same)),
    row("REVERB_APP_ID", "", Sets(&["apps.id"], ForeignForm::Same)),
    row("REVERB_APP_KEY", "", Sets(&["apps.key"], ForeignForm::Same)),
    row("REVERB_APP_SECRET", "", Sets(&["apps.secret"], ForeignForm::Same)),
    row("REVERB_APP_MAX_CONNECTIONS", "", Sets(&["apps.limits.connections"], ForeignForm::Limit)),
    row(
        "REVERB_APP_MAX_MESSAGE_SIZE",
        "",
        Sets(&["apps.limits.message_bytes", "apps.limits.client_event_payload_bytes"], ForeignForm::Same),
    ),
    row("REVERB_APP_PING_INTERVAL", "", Sets(&["connection.ping_after_seconds"], ForeignForm::Same)),
    row("REVERB_APP_ACTIVITY_TIMEOUT", "", Sets(&["connection.activity_timeout_seconds"], ForeignForm::Same)),
    row("REVERB_APP_ALLOWED_ORIGINS", "", Sets(&["apps.allowed_origins"], ForeignForm::Hosts)),
    row("REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", "", Sets(&["apps.client_events"], ForeignForm::Senders)),
    row("REVERB_APP_RATE_LIMITING_ENABLED", "", Only(&["false", "0"], OWN_RATE)),
    row(
        "REVERB_SCALING_ENABLED",
        "",
        Engine(EnginePart::Switch { on: &["true", "1"], off: &["false", "0"], advice: SCALING }),
    ),
    row("REVERB_SCALING_CHANNEL", "", Engine(EnginePart::Prefix)),
    row(REDIS_URL, "", Engine(EnginePart::Url)),
    row("REDIS_HOST", "", Engine(EnginePart::Host)),
    row("REDIS_PORT", "", Engine(EnginePart::Port)),
    row("REDIS_USERNAME", "", Engine(EnginePart::User)),
    row("REDIS_PASSWORD", "", Engine(EnginePart::Password)),
    row("REDIS_DB", "", Engine(EnginePart::Database)),
    row(
        "REVERB_SERVER",
        "",
        Only(&["reverb"], "this broker has one server, set by REVERB_SERVER_HOST and REVERB_SERVER_PORT"),
    ),
    row("REVERB_HOST", "", ForClients),
    row("REVERB_PORT", "", ForClients),
    row("REVERB_SCHEME", "", ForClients),
];

/// Reverb's of which the same is said, whatever follows.
pub(in crate::config) const FAMILIES: &[NameFamily] = &[
    family("REVERB_APP_RATE_LIMIT_", "", OWN_RATE),
    family("REVERB_SCALING_", "", NODES),
    family("REVERB_PULSE_", "", "this broker tells Pulse nothing: its log and its metrics say what it does"),
    family("REVERB_TELESCOPE_", "", "this broker tells Telescope nothing: its log says what it does"),
];

/// What Pusher's libraries are told. Of theirs, only the credentials are a broker's business; where they dial is not where
/// it listens.
pub(in crate::config) const PUSHER_NAMES: &[ForeignName] = &[
    row("PUSHER_APP_ID", "", Sets(&["apps.id"], ForeignForm::Same)),
    row("PUSHER_APP_KEY", "", Sets(&["apps.key"], ForeignForm::Same)),
    row("PUSHER_APP_SECRET", "", Sets(&["apps.secret"], ForeignForm::Same)),
    row("PUSHER_KEY", "", Sets(&["apps.key"], ForeignForm::Same)),
    row("PUSHER_SECRET", "", Sets(&["apps.secret"], ForeignForm::Same)),
    row("PUSHER_HOST", "", ForClients),
    row("PUSHER_PORT", "", ForClients),
    row("PUSHER_SCHEME", "", ForClients),
    row("PUSHER_APP_CLUSTER", "", ForClients),
    row("PUSHER_URL", "", ForClients),
];

/// What platforms set for every program.
pub(in crate::config) const PLATFORM_NAMES: &[ForeignName] =
    &[row("PORT", "", Sets(&["server.port"], ForeignForm::Same))];
