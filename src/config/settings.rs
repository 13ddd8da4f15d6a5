//! The table of all keys: name, type, and the field that each one sets.
//!
//! The file, the environment, the flags, `print-config` and the reference documentation all read this table, so
//! a key that stands here exists in all of them.

use serde_json::Value as Json;

use super::draft::AppDraft;
use super::input_value::InputValue;
use super::value_type::{
    APP_ID, APP_KEY, AllowedOrigins, BasePath, Boolean, CertificateList, Choice, Host, HostName, HostNames,
    Integer, IntegerOrZero, MetricsPrefix, ValueType,
};
use super::value_type::{EnginePassword, EngineUser, NodeName, OptionalEngine, SubjectPrefix};
use super::value_type::{
    LogLevel, OptionalFile, OptionalMasterKey, OptionalPassword, PathPrefix, ProxyList, ScriptUrl, Seconds,
};
use super::value_type::{SecretText, ShutdownCodes, WholeSeconds};
use super::{BusLost, Config, Error, LogFormat, Origin, StartWithoutBus, WithoutVersion};

/// Sets a field, or says what came in place of a value that fits.
type Read<T> = Box<dyn Fn(&mut T, &InputValue<'_>) -> Result<(), String>>;

/// One key that takes a single value.
pub(super) struct Setting<T> {
    /// Section and key, `server.port`; of an app, as seen from the app: `id`, `limits.connections`.
    pub(super) path: &'static str,
    /// What is allowed, as the end of the sentence "it must be …".
    pub(super) expected: String,
    /// The JSON Schema of its value.
    pub(super) schema: Json,
    read: Read<T>,
    write: Box<dyn Fn(&T) -> String>,
}

impl<T: 'static> Setting<T> {
    fn new<F: ValueType + Clone + 'static>(
        path: &'static str,
        value_type: F,
        field: fn(&T) -> &F::Value,
        field_mut: fn(&mut T) -> &mut F::Value,
    ) -> Self {
        let reader = value_type.clone();
        Setting {
            path,
            expected: value_type.expected(),
            schema: value_type.schema(),
            read: Box::new(move |target, given| match reader.read(given) {
                Some(value) => {
                    *field_mut(target) = value;
                    Ok(())
                }
                None => Err(reader.got(given)),
            }),
            write: Box::new(move |source| value_type.write(field(source))),
        }
    }

    /// Sets the field, or says what was expected of `key`.
    pub(super) fn assign(
        &self,
        target: &mut T,
        given: &InputValue<'_>,
        key: &str,
        origin: &Origin,
    ) -> Result<(), Error> {
        (self.read)(target, given).map_err(|got| Error::Value {
            at: origin.clone(),
            key: key.to_owned(),
            expected: self.expected.clone(),
            got,
        })
    }

    /// The field's value in TOML.
    pub(super) fn write(&self, source: &T) -> String {
        (self.write)(source)
    }

    /// The environment variable of this setting.
    pub(super) fn variable(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.path.replace('.', "_").to_uppercase())
    }
}

/// The largest count, and the largest size in bytes. More is a slip of the finger.
const MOST: usize = 1_000_000_000;

macro_rules! settings {
    ($target:ty: $($path:literal, $value_type:expr, $($field:ident).+;)*) => {
        vec![$(Setting::<$target>::new($path, $value_type, |t| &t.$($field).+, |t| &mut t.$($field).+)),*]
    };
}

/// The keys of the whole node, section by section.
pub(super) fn node_settings() -> Vec<Setting<Config>> {
    [serving_settings(), cluster_settings(), other_settings()].into_iter().flatten().collect()
}

/// Those of what it serves, and of who runs it.
fn serving_settings() -> Vec<Setting<Config>> {
    const WITHOUT_VERSION: &[(&str, WithoutVersion)] =
        &[("legacy", WithoutVersion::Legacy), ("strict", WithoutVersion::Strict)];
    settings! { Config:
        "server.host", Host, server.host;
        "server.port", Integer(0..=65_535), server.port;
        "server.tls_certificate", OptionalFile, server.tls_certificate;
        "server.tls_key", OptionalFile, server.tls_key;
        "server.certificates", CertificateList, server.certificates;
        "server.path_prefix", PathPrefix, server.path_prefix;
        "server.workers", Integer(0..=512), server.workers;
        "server.backlog", Integer(1..=65_535), server.backlog;
        "server.max_connections", Integer(0..=MOST), server.max_connections;
        "server.max_connections_per_address", Integer(0..=MOST), server.max_connections_per_address;
        "server.max_refusals_per_address_per_minute", Integer(0..=MOST), server.max_refusals_per_address_per_minute;
        "server.max_http_connections", Integer(0..=MOST), server.max_http_connections;
        "server.http_unfinished_bytes", Integer(1024..=MOST), server.http_unfinished_bytes;
        "server.http_body_bytes", Integer(1..=MOST), server.http_body_bytes;
        "server.http_request_timeout_seconds", Seconds { least: 0.001 }, server.http_request_timeout;
        "server.keep_alive_seconds", Seconds { least: 0.001 }, server.keep_alive;
        "server.control_socket", OptionalFile, server.control_socket;
        "server.drain_delay_seconds", Seconds { least: 0.0 }, server.drain_delay;
        "server.drain_connections_per_second", Integer(0..=MOST), server.drain_connections_per_second;
        "server.shutdown_grace_seconds", Seconds { least: 0.0 }, server.shutdown_grace;
        "server.shutdown_code", ShutdownCodes, server.shutdown_code;
        "server.trusted_proxies", ProxyList, server.trusted_proxies;
        "server.trust_forwarded_proto", Boolean, server.trust_forwarded_proto;
        "server.cors", Boolean, server.cors;
        "connection.activity_timeout_seconds", WholeSeconds, connection.activity_timeout;
        "connection.ping_after_seconds", Seconds { least: 0.001 }, connection.ping_after;
        "connection.pong_timeout_seconds", Seconds { least: 0.001 }, connection.pong_timeout;
        "connection.min_protocol", Integer(1..=7), connection.min_protocol;
        "connection.without_version", Choice(WITHOUT_VERSION), connection.without_version;
        "connection.subscription_error_event", Boolean, connection.subscription_error_event;
        "connection.compression", Boolean, connection.compression;
        "connection.outbox_bytes", Integer(1024..=MOST), connection.outbox_bytes;
        "connection.outbox_frames", Integer(1..=MOST), connection.outbox_frames;
        "recovery.retention_seconds", Seconds { least: 150.0 }, recovery.retention;
        "recovery.history_bytes", Integer(0..=MOST), recovery.history_bytes;
        "recovery.replay_bytes", Integer(0..=MOST), recovery.replay_bytes;
        "recovery.max_names", Integer(0..=MOST), recovery.max_names;
        "recovery.max_names_per_address", Integer(0..=MOST), recovery.max_names_per_address;
        "recovery.cursor_bytes", Integer(0..=MOST), recovery.cursor_bytes;
        "video.cache_bytes", Integer(0..=MOST), video.cache_bytes;
        "fallback.enabled", Boolean, fallback.enabled;
        "fallback.path", BasePath, fallback.path;
        "fallback.hostname", HostName, fallback.hostname;
        "fallback.heartbeat_seconds", Seconds { least: 0.001 }, fallback.heartbeat;
        "fallback.poll_hold_seconds", Seconds { least: 0.001 }, fallback.poll_hold;
        "fallback.session_timeout_seconds", Seconds { least: 0.001 }, fallback.session_timeout;
        "fallback.introduction_timeout_seconds", Seconds { least: 0.001 }, fallback.introduction_timeout;
        "fallback.sockjs_stream_bytes", Integer(1..=MOST), fallback.sockjs_stream_bytes;
        "fallback.max_sessions", Integer(0..=MOST), fallback.max_sessions;
        "fallback.sockjs_url", ScriptUrl, fallback.sockjs_url;
        "pipe.own_port", Boolean, pipe.own_port;
        "pipe.port", Integer(0..=65_535), pipe.port;
        "pipe.request_bytes", Integer(1024..=MOST), pipe.request_bytes;
        "pipe.queue_bytes", Integer(1024..=MOST), pipe.queue_bytes;
        "pipe.queue_messages", Integer(1..=MOST), pipe.queue_messages;
        "admin.enabled", Boolean, admin.enabled;
        "admin.host", Host, admin.host;
        "admin.port", Integer(0..=65_535), admin.port;
        "admin.password", OptionalPassword, admin.password;
        "admin.token", OptionalPassword, admin.token;
        "admin.usage_file", OptionalFile, admin.usage_file;
        "admin.hostnames", HostNames, admin.hostnames;
        "admin.metrics_prefix", MetricsPrefix, admin.metrics_prefix;
        "admin.apps_file", OptionalFile, admin.apps_file;
    }
}

fn cluster_settings() -> Vec<Setting<Config>> {
    const BUS_LOST: &[(&str, BusLost)] =
        &[(BusLost::Degrade.name(), BusLost::Degrade), (BusLost::Drain.name(), BusLost::Drain)];
    const START_WITHOUT_BUS: &[(&str, StartWithoutBus)] =
        &[("fail", StartWithoutBus::Fail), ("wait", StartWithoutBus::Wait)];
    settings! { Config:
        "cluster.url", OptionalEngine, cluster.url;
        "cluster.username", EngineUser, cluster.username;
        "cluster.password", EnginePassword, cluster.password;
        "cluster.sentinel_username", EngineUser, cluster.sentinel_username;
        "cluster.sentinel_password", EnginePassword, cluster.sentinel_password;
        "cluster.ca_file", OptionalFile, cluster.ca_file;
        "cluster.tls_certificate", OptionalFile, cluster.tls_certificate;
        "cluster.tls_key", OptionalFile, cluster.tls_key;
        "cluster.prefix", SubjectPrefix, cluster.node.prefix;
        "cluster.node_name", NodeName, cluster.node_name;
        "cluster.start_without_bus", Choice(START_WITHOUT_BUS), cluster.start_without_bus;
        "cluster.bus_lost", Choice(BUS_LOST), cluster.node.bus_lost;
        "cluster.connect_timeout_seconds", Seconds { least: 0.1 }, cluster.connect_timeout;
        "cluster.join_wait_seconds", Seconds { least: 0.001 }, cluster.node.join_wait;
        "cluster.state_wait_seconds", Seconds { least: 0.001 }, cluster.node.state_wait;
        "cluster.linger_seconds", Seconds { least: 0.0 }, cluster.node.linger;
        "cluster.settle_listen_seconds", Seconds { least: 0.0 }, cluster.node.settle_listen;
        "cluster.settle_most_seconds", Seconds { least: 0.0 }, cluster.node.settle_most;
        "cluster.inbox_words", Integer(1..=MOST), cluster.node.inbox_words;
        "cluster.inbox_bytes", Integer(1024..=MOST), cluster.node.inbox_bytes;
        "cluster.message_bytes", Integer(1_048_576..=MOST), cluster.node.message_bytes;
        "cluster.outgoing_bytes", Integer(1024..=MOST), cluster.node.outgoing_bytes;
        "cluster.numbered_channels", Integer(1..=MOST), cluster.node.numbered_channels;
        "cluster.waiting_events", Integer(0..=MOST), cluster.node.waiting_events;
        "cluster.waiting_bytes", Integer(0..=MOST), cluster.node.waiting_bytes;
    }
}

/// Those of its log, and of what makes trying it out easy.
fn other_settings() -> Vec<Setting<Config>> {
    const LOG_FORMAT: &[(&str, LogFormat)] = &[("human", LogFormat::Human), ("json", LogFormat::Json)];
    settings! { Config:
        "logging.format", Choice(LOG_FORMAT), logging.format;
        "logging.level", LogLevel, logging.level;
        "development.pages", Boolean, development.pages;
        "development.auth_endpoints", Boolean, development.auth_endpoints;
        "development.encryption_master_key_base64", OptionalMasterKey, development.encryption_master_key;
        "development.pusher_js", OptionalFile, development.pusher_js;
    }
}

/// The keys of one app that take a single value; `keys`, `pipe` and `webhooks` are read by themselves.
pub(super) fn app_settings() -> Vec<Setting<AppDraft>> {
    settings! { AppDraft:
        "id", APP_ID, id;
        "key", APP_KEY, key;
        "secret", SecretText, secret;
        "enabled", Boolean, app.enabled;
        "force_tls", Boolean, app.force_tls;
        "client_events", Boolean, app.client_events;
        "client_events_on_encrypted_channels", Boolean, app.client_events_on_encrypted_channels;
        "subscription_count", Boolean, app.subscription_count;
        "watchlist_events", Boolean, app.watchlist_events;
        "http_streams", Boolean, app.http_streams;
        "authorized_connections", Boolean, app.authorized_connections;
        "authorization_timeout_seconds", Seconds { least: 0.001 }, app.authorization_timeout;
        "cache_ttl_seconds", Seconds { least: 0.001 }, app.cache_ttl;
        "allowed_origins", AllowedOrigins, app.allowed_origins;
        "limits.event_payload_bytes", Integer(1..=MOST), app.limits.event_payload_bytes;
        "limits.event_name_chars", Integer(1..=MOST), app.limits.event_name_chars;
        "limits.channels_per_event", Integer(1..=MOST), app.limits.channels_per_event;
        "limits.events_per_batch", Integer(1..=MOST), app.limits.events_per_batch;
        "limits.channel_name_chars", Integer(1..=MOST), app.limits.channel_name_chars;
        "limits.client_event_payload_bytes", Integer(1..=MOST), app.limits.client_event_payload_bytes;
        "limits.client_events_per_second", Integer(0..=1_000_000), app.limits.client_events_per_second;
        "limits.backend_events_per_second", Integer(0..=1_000_000), app.limits.backend_events_per_second;
        "limits.publish_ids", Integer(0..=250_000), app.limits.publish_ids;
        "limits.read_requests_per_second", Integer(0..=1_000_000), app.limits.read_requests_per_second;
        "limits.presence_members_per_channel", Integer(1..=MOST), app.limits.presence_members_per_channel;
        "limits.presence_user_id_chars", Integer(1..=MOST), app.limits.presence_user_id_chars;
        "limits.presence_member_bytes", Integer(1..=MOST), app.limits.presence_member_bytes;
        "limits.subscriptions_per_connection", Integer(0..=MOST), app.limits.subscriptions_per_connection;
        "limits.connections", Integer(0..=MOST), app.limits.connections;
        "limits.outbox_bytes", IntegerOrZero(1024..=MOST), app.limits.outbox_bytes;
        "limits.outbox_frames", IntegerOrZero(1..=MOST), app.limits.outbox_frames;
        "limits.message_bytes", Integer(1024..=MOST), app.limits.message_bytes;
        "limits.watchlist_users", Integer(0..=MOST), app.limits.watchlist_users;
        "limits.cached_channels", Integer(0..=MOST), app.limits.cached_channels;
        "limits.cached_bytes", Integer(0..=MOST), app.limits.cached_bytes;
        "limits.history_bytes", Integer(0..=MOST), app.limits.history_bytes;
        "limits.pipe_message_bytes", Integer(1..=MOST), app.limits.pipe_message_bytes;
        "limits.pipe_connections", Integer(0..=MOST), app.limits.pipe_connections;
        "limits.binary_message_bytes", Integer(1..=MOST), app.limits.binary_message_bytes;
        "webhook_delivery.batching", Boolean, webhooks.delivery.batching;
        "webhook_delivery.batch_window_seconds", Seconds { least: 0.0 }, webhooks.delivery.batch_window;
        "webhook_delivery.batch_events", Integer(1..=10_000), webhooks.delivery.batch_events;
        "webhook_delivery.removal_delay_seconds", Seconds { least: 0.0 }, webhooks.delivery.removal_delay;
        "webhook_delivery.timeout_seconds", Seconds { least: 0.001 }, webhooks.delivery.timeout;
        "webhook_delivery.retry_first_seconds", Seconds { least: 0.001 }, webhooks.delivery.retry.first;
        "webhook_delivery.retry_longest_seconds", Seconds { least: 0.001 }, webhooks.delivery.retry.longest;
        "webhook_delivery.give_up_after_seconds", Seconds { least: 0.0 }, webhooks.delivery.retry.give_up_after;
        "webhook_delivery.requests_at_once", Integer(1..=1000), webhooks.delivery.requests_at_once;
        "webhook_delivery.queue_events", Integer(1..=MOST), webhooks.delivery.queue_events;
        "webhook_delivery.queue_bytes", Integer(1..=MOST), webhooks.delivery.queue_bytes;
        "webhook_delivery.log_attempts", Integer(0..=100_000), webhooks.delivery.log_attempts;
        "webhook_delivery.ca_file", OptionalFile, webhooks.delivery.ca_file;
    }
}
