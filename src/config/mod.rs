//! Configuration: every value the broker can be told, where each came from, and what is wrong with it.
//!
//! [`Config`] is a plain value, and [`Config::default`] or [`Config::development`] is all that a program which
//! embeds the broker needs. `load` builds one from a TOML file, the environment and the command line, in rising
//! precedence. It is pure: the environment comes in as pairs and the file through a function, so it reads no
//! process state and starts nothing. Parsing of arguments is left to [`cli`](crate::cli).

mod app_check;
mod app_form;
mod builder;
mod channels;
mod difference;
mod draft;
mod environment;
mod error;
mod file;
mod first_app;
mod flags;
mod foreign;
mod imported;
mod input_value;
mod links;
mod listeners;
mod load;
mod loaded;
mod origin;
mod patch;
mod print;
mod read_file;
#[cfg(test)]
mod reference;
mod relays;
mod rules;
mod sections;
mod settings;
mod tables;
#[cfg(test)]
mod tests;
mod value_type;
mod webhooks;

pub(crate) use app_check::{app_complaints, app_name_complaint};
pub(crate) use app_form::{app_schema, setting_from_text};
pub(crate) use builder::APP_TABLES;
pub(crate) use difference::{AppDifferences, ConfigDifference, SettingDifference};
pub(crate) use environment::CONFIG as CONFIG_VARIABLE;
pub(crate) use environment::PREDECESSOR;
pub(crate) use error::nearest;
pub(crate) use error::{Error, Warning};
pub(crate) use flags::{
    CLUSTER, CONFIG, CONTROL_SOCKET, DEFAULT_FILE, DEVELOPMENT, FLAGS, Flag, Flags, Gives, HOST,
    InheritedAddresses, LAN,
};
pub(crate) use imported::{ImportedConfig, OptionsImporter, import_variables};
#[cfg(test)]
pub(crate) use load::only;
pub(crate) use load::{load, load_for_change};
pub(crate) use loaded::{Loaded, Mode};
pub(crate) use origin::{Origin, Origins};
pub use patch::with_settings;
pub(crate) use read_file::{read_file, read_file_once};
pub use sections::{ServerConfig, ShutdownCode};

pub use crate::admin::AdminConfig;
pub use crate::cluster::config::{BusLost, ClusterConfig};
pub use crate::cluster::{ClusterSettings, EngineUrl, StartWithoutBus};
pub use crate::connection::ConnectionConfig;
pub use crate::development::DevelopmentConfig as Development;
pub use crate::net::tls::CertificateFiles;
pub use crate::net::{ListenAddress, ListenHost, ListenerConfig, TrustedProxies, TrustedProxy};
pub use crate::pipe::PipeConfig;
pub use crate::protocol::WithoutVersion;
pub use crate::recovery::RecoveryConfig;
pub use crate::relay::{BadRelay, RelaySettings, RelayUrl};
pub use crate::telemetry::{LogFormat, Logging};
pub use crate::transport::fallback::FallbackConfig;
pub use crate::video::VideoConfig;

use crate::app::{App, ChannelSettings, Delivery, VideoSettings};
use crate::cluster::shared_settings::SharedSettings;
use crate::pipe::RuleSpec;
use crate::protocol::pattern::Pattern;
use crate::webhook;

/// The commented default configuration file: every key, its meaning and its default, with the apps commented out.
pub const TEMPLATE: &str = include_str!("default.toml");

/// Everything the broker can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The listener.
    pub server: ServerConfig,
    /// The life of one WebSocket connection.
    pub connection: ConnectionConfig,
    /// What is kept for clients that come back.
    pub recovery: RecoveryConfig,
    /// What is kept of video channels.
    pub video: VideoConfig,
    /// The HTTP transports.
    pub fallback: FallbackConfig,
    /// The wire of the pipe.
    pub pipe: PipeConfig,
    /// The listener for those who run the broker.
    pub admin: AdminConfig,
    /// Whether this node is one of several, and how.
    pub cluster: ClusterSettings,
    /// The log on standard error.
    pub logging: Logging,
    /// Conveniences for trying the broker out.
    pub development: Development,
    /// The apps, in the order of the file. The first is the one that development conveniences speak for.
    pub apps: Vec<AppConfig>,
}

/// One app with its pipe rules, webhooks and relays: `[[apps]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AppConfig {
    /// Its credentials, switches and limits.
    pub app: App,
    /// What its pipe forwards, in the order of the file.
    pub pipe: Vec<RuleSpec>,
    /// Where its webhooks go, and how.
    pub webhooks: webhook::WebhookConfig,
    /// The servers that what its backends publish is relayed to.
    pub relays: Vec<RelaySettings>,
}

impl Config {
    /// The settings of the node whose values differ in another configuration, by their names: `server.port`.
    pub fn node_differences(&self, other: &Config) -> Vec<&'static str> {
        let settings = settings::node_settings();
        let different = settings.iter().filter(|setting| setting.write(self) != setting.write(other));
        let listeners = (self.server.listeners != other.server.listeners).then_some("server.listeners");
        different.map(|setting| setting.path).chain(listeners).collect()
    }

    /// What all nodes of a cluster should have alike.
    pub(crate) fn shared_settings(&self) -> SharedSettings {
        let settings = settings::node_settings();
        let shared = settings.iter().filter(|setting| SHARED.contains(&setting.path));
        SharedSettings::new(shared.map(|setting| (setting.path, setting.write(self))))
    }

    /// Development mode's values: the default app with raised limits, its pipe rules, and every convenience. Not the
    /// admin listener, which the command brings along.
    pub fn development() -> Self {
        Config {
            development: Development { pages: true, auth_endpoints: true, ..Development::default() },
            apps: vec![AppConfig::development()],
            ..Config::default()
        }
    }
}

/// What all nodes of a cluster should have alike, because clients come to any of them and may not notice which.
const SHARED: [&str; 10] = [
    "cluster.message_bytes",
    "server.path_prefix",
    "server.http_body_bytes",
    "connection.activity_timeout_seconds",
    "connection.min_protocol",
    "connection.without_version",
    "connection.subscription_error_event",
    "connection.compression",
    "fallback.enabled",
    "fallback.path",
];

impl AppConfig {
    /// An app without pipe rules, webhooks and relays.
    pub fn new(app: App) -> Self {
        AppConfig { app, pipe: Vec::new(), webhooks: webhook::WebhookConfig::default(), relays: Vec::new() }
    }

    /// Development mode's app: well-known credentials, client events on, limits that fit camera frames, and a pipe
    /// from `stream` to `mirror`.
    pub fn development() -> Self {
        let mut app = App::new(App::DEFAULT_ID, App::DEFAULT_KEY, App::DEFAULT_SECRET);
        app.client_events = true;
        app.limits.client_event_payload_bytes = 1024 * 1024;
        app.limits.client_events_per_second = 100;
        app.http_streams = true;
        app.channels = development_channels().collect();
        AppConfig { pipe: development_rules().collect(), ..AppConfig::new(app) }
    }
}

/// The channel that the magic mirror's frames come on.
fn development_channels() -> impl Iterator<Item = ChannelSettings> {
    let settings = |pattern| ChannelSettings {
        pattern,
        delivery: Delivery::Video,
        history: None,
        video: Some(VideoSettings::default()),
    };
    Pattern::parse("mirror-video").ok().map(settings).into_iter()
}

/// The rules that make the magic mirror work: pictures from clients of the oldest kind and from today's, video with its
/// sound, and whether the stream is paused.
fn development_rules() -> impl Iterator<Item = RuleSpec> {
    [
        "stream:frame=mirror:frame",
        "private-stream:client-frame=mirror:frame",
        "private-stream:client-state=mirror:state",
        "private-stream:client-video=mirror-video:video",
        "private-stream:client-audio=mirror-video:audio",
    ]
    .into_iter()
    .filter_map(|rule| RuleSpec::parse(rule).ok())
}
