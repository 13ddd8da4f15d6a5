//! Apps: who may use the broker, with which keys, and within which limits.
//!
//! An [`App`] is configuration as a value; it knows nothing of the sockets or channels that live under it.

mod allowed_origin;
mod delivery;
mod history;
mod limits;
mod registry;
mod video_settings;

pub use allowed_origin::{AllowedOrigin, BadOrigin};
pub use delivery::{ChannelSettings, Delivery};
pub use history::HistoryBounds;
pub use limits::Limits;
pub use registry::{AppRegistry, DuplicateApp};
pub use video_settings::VideoSettings;

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit};
use sha2::Sha256;

/// One app: a name space of channels with its own credentials, switches and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// The id used in HTTP API paths. Any non-empty text of letters, digits, `-` and `_`; some official
    /// libraries insist on digits.
    pub id: String,
    /// The credentials, oldest first; any of them is accepted, each with its own secret. Never empty.
    pub keys: Vec<Key>,
    /// Off: connections are closed with 4003 and the HTTP API answers 403.
    pub enabled: bool,
    /// On: sockets that did not come over TLS are closed with 4000.
    pub force_tls: bool,
    /// On: clients may send `client-*` events on private and presence channels.
    pub client_events: bool,
    /// On: clients may also send `client-*` events on encrypted channels (the protocol does not forbid it).
    pub client_events_on_encrypted_channels: bool,
    /// On: subscribers are told how many they are, and the HTTP API tells it too.
    pub subscription_count: bool,
    /// On: connections are told when the users of their watchlist come and go.
    pub watchlist_events: bool,
    /// On: channels can be had as HTTP answers that do not end, public ones by anybody.
    pub http_streams: bool,
    /// On: a connection that neither signs in nor subscribes to a channel that takes a signature within
    /// `authorization_timeout` is closed with 4009. Until it has, it does not count towards `limits.connections`.
    pub authorized_connections: bool,
    /// How long a connection has for that.
    pub authorization_timeout: Duration,
    /// How long a cache channel remembers its last event.
    pub cache_ttl: Duration,
    /// The pages whose scripts may connect; empty for all. Clients that are no browsers send no `Origin`, and are
    /// not asked for one. Others are closed with 4009.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Settings of some of its channels; of several patterns that match a channel the first counts.
    pub channels: Vec<ChannelSettings>,
    /// Sizes, counts and rates.
    pub limits: Limits,
}

impl App {
    /// The id of development mode's app.
    pub const DEFAULT_ID: &str = "1001";
    /// The key of development mode's app.
    pub const DEFAULT_KEY: &str = "app-key";
    /// The secret of development mode's app. It is public knowledge.
    pub const DEFAULT_SECRET: &str = "app-secret";

    /// An app with hosted Pusher's defaults: enabled, and every optional feature off.
    pub fn new(id: impl Into<String>, key: impl Into<String>, secret: impl Into<String>) -> Self {
        App {
            id: id.into(),
            keys: vec![Key { key: key.into(), secret: Secret::new(secret) }],
            enabled: true,
            force_tls: false,
            client_events: false,
            client_events_on_encrypted_channels: true,
            subscription_count: false,
            watchlist_events: false,
            http_streams: false,
            authorized_connections: false,
            authorization_timeout: Duration::from_secs(30),
            cache_ttl: Duration::from_secs(30 * 60),
            allowed_origins: Vec::new(),
            channels: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Whether a connection may come from this `Origin`, or from none.
    pub fn admits_origin(&self, origin: Option<&str>) -> bool {
        let admitted = |origin: &str| self.allowed_origins.iter().any(|allowed| allowed.admits(origin));
        self.allowed_origins.is_empty() || origin.is_none_or(admitted)
    }

    /// The secret that belongs to `key`, if it is one of this app's.
    pub fn secret_of(&self, key: &str) -> Option<&Secret> {
        self.keys.iter().find(|k| k.key == key).map(|k| &k.secret)
    }
}

/// One pair of credentials of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Public half: names the app in `/app/{key}` and in signatures.
    pub key: String,
    /// Private half: signs.
    pub secret: Secret,
}

/// A signing secret: the raw bytes of its text. Never printed, not even by `Debug`.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// HMAC with the key worked in: half the work of a short signature, done once.
    keyed: Hmac<Sha256>,
}

impl Secret {
    /// The secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        // HMAC takes a key of any length, so this cannot fail; an impossible failure must still not panic.
        let keyed = <Hmac<Sha256> as KeyInit>::new_from_slice(text.as_bytes());
        let keyed = keyed.unwrap_or_else(|_| <Hmac<Sha256> as KeyInit>::new(&Default::default()));
        Secret { text, keyed }
    }

    /// The rule as it was written in the configuration.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// HMAC-SHA256 with this key, to be fed a message.
    pub fn hmac(&self) -> Hmac<Sha256> {
        self.keyed.clone()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
