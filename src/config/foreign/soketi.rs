//! The names of soketi's settings. The un-prefixed ones of old compose files are those of the default app without the
//! prefix.

use super::engine::EnginePart;
use super::form::ForeignForm;
use super::row::Meaning::{Advice, Engine, Only, Sets, Webhooks};
use super::row::{ForeignName, NameFamily, family, row};

/// What all of them begin with.
pub(in crate::config) const PREFIX: &str = "SOKETI_";

const NODES: &str = "the nodes of a broker are joined here by a Redis: cluster.url says where it is";
const RATES: &str = "each node counts what comes to it by itself";
const CACHES: &str = "the events of cache channels are remembered by the Redis between the nodes where there is one, and else by this \
                      node, within limits.cached_bytes of the app";
const QUEUE: &str =
    "webhooks wait in this process, within webhook_delivery.queue_events and queue_bytes of the app";
const APPS: &str =
    "apps stand in the configuration file: `heliostat import` makes it of a dump of the table, SQL or CSV";
const NO_DATABASE: &str = "this broker has no database: apps stand in the configuration file, and `heliostat import` \
                           makes it of a dump of the table";
const REDIS: &str =
    "it says nothing of the Redis between the nodes that cluster.url and what stands beside it do not say";
/// What is said of the engine counts only where this says so.
pub(in crate::config) const SWITCH: &str =
    "SOKETI_ADAPTER_DRIVER, which is adapter.driver, is not redis, and nothing else here needs one";

/// Those that are known one by one.
pub(in crate::config) const NAMES: &[ForeignName] = &[
    row("SOKETI_HOST", "host", Sets(&["server.host"], ForeignForm::Same)),
    row("SOKETI_PORT", "port", Sets(&["server.port"], ForeignForm::Same)),
    row("SOKETI_PATH_PREFIX", "pathPrefix", Sets(&["server.path_prefix"], ForeignForm::Same)),
    row("SOKETI_SSL_CERT", "ssl.certPath", Sets(&["server.tls_certificate"], ForeignForm::Same)),
    row("SOKETI_SSL_KEY", "ssl.keyPath", Sets(&["server.tls_key"], ForeignForm::Same)),
    row(
        "SOKETI_SSL_PASS",
        "ssl.passphrase",
        Advice(
            "a key with a passphrase is not read here: decrypt it with `openssl pkey -in key.pem -out plain.pem`",
        ),
    ),
    row(
        "SOKETI_SSL_CA",
        "ssl.caPath",
        Advice("put the certificates in between into the file of the certificate, behind it"),
    ),
    row(
        "SOKETI_SHUTDOWN_GRACE_PERIOD",
        "shutdownGracePeriod",
        Sets(&["server.shutdown_grace_seconds"], ForeignForm::Milliseconds),
    ),
    row("SOKETI_DEBUG", "debug", Sets(&["logging.level"], ForeignForm::Debug)),
    row(
        "SOKETI_MODE",
        "mode",
        Only(&["full"], "this broker takes connections and sends its webhooks itself: leave it out"),
    ),
    row("SOKETI_METRICS_ENABLED", "metrics.enabled", Sets(&["admin.enabled"], ForeignForm::Same)),
    row("SOKETI_METRICS_SERVER_PORT", "metrics.port", Sets(&["admin.port"], ForeignForm::Same)),
    row(
        "SOKETI_METRICS_HOST",
        "metrics.host",
        Only(
            &["127.0.0.1", "localhost", "::1"],
            "the admin listener, which has the metrics, stays on this machine: \
              HELIOSTAT_ADMIN_HOST, with HELIOSTAT_ADMIN_TOKEN, opens it to others",
        ),
    ),
    row(
        "SOKETI_METRICS_DRIVER",
        "metrics.driver",
        Only(&["prometheus"], "metrics are served in the form of Prometheus alone"),
    ),
    row(
        "SOKETI_METRICS_PROMETHEUS_PREFIX",
        "metrics.prometheus.prefix",
        Sets(&["admin.metrics_prefix"], ForeignForm::Same),
    ),
    row("SOKETI_DEFAULT_APP_ID", "app.id", Sets(&["apps.id"], ForeignForm::Same)),
    row("SOKETI_DEFAULT_APP_KEY", "app.key", Sets(&["apps.key"], ForeignForm::Same)),
    row("SOKETI_DEFAULT_APP_SECRET", "app.secret", Sets(&["apps.secret"], ForeignForm::Same)),
    row("SOKETI_DEFAULT_APP_ENABLED", "app.enabled", Sets(&["apps.enabled"], ForeignForm::Same)),
    row(
        "SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES",
        "app.enableClientMessages",
        Sets(&["apps.client_events"], ForeignForm::Same),
    ),
    row(
        "SOKETI_DEFAULT_APP_USER_AUTHENTICATION",
        "app.enableUserAuthentication",
        Sets(&["apps.authorized_connections"], ForeignForm::Same),
    ),
    row(
        "SOKETI_DEFAULT_APP_MAX_CONNS",
        "app.maxConnections",
        Sets(&["apps.limits.connections"], ForeignForm::Limit),
    ),
    row(
        "SOKETI_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC",
        "app.maxClientEventsPerSecond",
        Sets(&["apps.limits.client_events_per_second"], ForeignForm::Limit),
    ),
    row(
        "SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC",
        "app.maxBackendEventsPerSecond",
        Sets(&["apps.limits.backend_events_per_second"], ForeignForm::Limit),
    ),
    row(
        "SOKETI_DEFAULT_APP_MAX_READ_REQ_PER_SEC",
        "app.maxReadRequestsPerSecond",
        Sets(&["apps.limits.read_requests_per_second"], ForeignForm::Limit),
    ),
    row("SOKETI_DEFAULT_APP_WEBHOOKS", "app.webhooks", Webhooks),
    row(
        "",
        "app.maxPresenceMembersPerChannel",
        Sets(&["apps.limits.presence_members_per_channel"], ForeignForm::Same),
    ),
    row(
        "",
        "app.maxPresenceMemberSizeInKb",
        Sets(&["apps.limits.presence_member_bytes"], ForeignForm::Kilobytes),
    ),
    row("", "app.maxChannelNameLength", Sets(&["apps.limits.channel_name_chars"], ForeignForm::Same)),
    row("", "app.maxEventChannelsAtOnce", Sets(&["apps.limits.channels_per_event"], ForeignForm::Same)),
    row("", "app.maxEventNameLength", Sets(&["apps.limits.event_name_chars"], ForeignForm::Same)),
    row("", "app.maxEventPayloadInKb", Sets(PAYLOADS, ForeignForm::Kilobytes)),
    row("", "app.maxEventBatchSize", Sets(&["apps.limits.events_per_batch"], ForeignForm::Same)),
    row(
        "SOKETI_USER_AUTHENTICATION_TIMEOUT",
        "userAuthenticationTimeout",
        Sets(&["apps.authorization_timeout_seconds"], ForeignForm::Milliseconds),
    ),
    row(
        "SOKETI_CHANNEL_LIMITS_MAX_NAME_LENGTH",
        "channelLimits.maxNameLength",
        Sets(&["apps.limits.channel_name_chars"], ForeignForm::Same),
    ),
    row(
        "SOKETI_CHANNEL_CACHE_TTL",
        "channelLimits.cacheTtl",
        Sets(&["apps.cache_ttl_seconds"], ForeignForm::Same),
    ),
    row(
        "SOKETI_EVENT_MAX_BATCH_SIZE",
        "eventLimits.maxBatchSize",
        Sets(&["apps.limits.events_per_batch"], ForeignForm::Same),
    ),
    row(
        "SOKETI_EVENT_MAX_CHANNELS_AT_ONCE",
        "eventLimits.maxChannelsAtOnce",
        Sets(&["apps.limits.channels_per_event"], ForeignForm::Same),
    ),
    row(
        "SOKETI_EVENT_MAX_NAME_LENGTH",
        "eventLimits.maxNameLength",
        Sets(&["apps.limits.event_name_chars"], ForeignForm::Same),
    ),
    row("SOKETI_EVENT_MAX_SIZE_IN_KB", "eventLimits.maxPayloadInKb", Sets(PAYLOADS, ForeignForm::Kilobytes)),
    row(
        "SOKETI_PRESENCE_MAX_MEMBERS",
        "presence.maxMembersPerChannel",
        Sets(&["apps.limits.presence_members_per_channel"], ForeignForm::Same),
    ),
    row(
        "SOKETI_PRESENCE_MAX_MEMBER_SIZE",
        "presence.maxMemberSizeInKb",
        Sets(&["apps.limits.presence_member_bytes"], ForeignForm::Kilobytes),
    ),
    row(
        "SOKETI_WEBHOOKS_BATCHING",
        "webhooks.batching.enabled",
        Sets(&["apps.webhook_delivery.batching"], ForeignForm::Same),
    ),
    row(
        "SOKETI_WEBHOOKS_BATCHING_DURATION",
        "webhooks.batching.duration",
        Sets(&["apps.webhook_delivery.batch_window_seconds"], ForeignForm::Milliseconds),
    ),
    row(
        "SOKETI_ADAPTER_DRIVER",
        "adapter.driver",
        Engine(EnginePart::Switch { on: &["redis"], off: &["local"], advice: NODES }),
    ),
    row("SOKETI_ADAPTER_REDIS_PREFIX", "adapter.redis.prefix", Engine(EnginePart::Prefix)),
    row("SOKETI_ADAPTER_REDIS_CLUSTER_MODE", "adapter.redis.clusterMode", Engine(EnginePart::ClusterMode)),
    row("SOKETI_DB_REDIS_HOST", "database.redis.host", Engine(EnginePart::Host)),
    row("SOKETI_DB_REDIS_PORT", "database.redis.port", Engine(EnginePart::Port)),
    row("SOKETI_DB_REDIS_DB", "database.redis.db", Engine(EnginePart::Database)),
    row("SOKETI_DB_REDIS_USERNAME", "database.redis.username", Engine(EnginePart::User)),
    row("SOKETI_DB_REDIS_PASSWORD", "database.redis.password", Engine(EnginePart::Password)),
    row("SOKETI_DB_REDIS_KEY_PREFIX", "database.redis.keyPrefix", Engine(EnginePart::Prefix)),
    row("SOKETI_DB_REDIS_SENTINELS", "database.redis.sentinels", Engine(EnginePart::Sentinels)),
    row(
        "SOKETI_DB_REDIS_SENTINEL_PASSWORD",
        "database.redis.sentinelPassword",
        Engine(EnginePart::SentinelPassword),
    ),
    row("SOKETI_DB_REDIS_INSTANCE_NAME", "database.redis.name", Engine(EnginePart::Primary)),
    row("SOKETI_DB_REDIS_CLUSTER_NODES", "database.redis.clusterNodes", Engine(EnginePart::ClusterNodes)),
    row("SOKETI_APP_MANAGER_DRIVER", "appManager.driver", Only(&["array"], APPS)),
    row("SOKETI_CACHE_DRIVER", "cache.driver", Only(&["memory"], CACHES)),
    row("SOKETI_QUEUE_DRIVER", "queue.driver", Only(&["sync"], QUEUE)),
    row("SOKETI_RATE_LIMITER_DRIVER", "rateLimiter.driver", Only(&["local"], RATES)),
    row(
        "SOKETI_HTTP_ACCEPT_TRAFFIC_MEMORY_THRESHOLD",
        "httpApi.acceptTraffic.memoryThreshold",
        Advice(
            "connections are bounded here by their number: server.max_connections and the limit of open files",
        ),
    ),
];

/// Events over HTTP and events of clients have one limit there.
const PAYLOADS: &[&str] = &["apps.limits.event_payload_bytes", "apps.limits.client_event_payload_bytes"];

/// Those of which the same is said, whatever follows.
pub(in crate::config) const FAMILIES: &[NameFamily] = &[
    family("SOKETI_ADAPTER_", "adapter.", NODES),
    family("SOKETI_CLUSTER_", "cluster.", NODES),
    family("SOKETI_APP_MANAGER_", "appManager.", NO_DATABASE),
    family("SOKETI_DB_MYSQL_", "database.mysql.", NO_DATABASE),
    family("SOKETI_DB_POSTGRES_", "database.postgres.", NO_DATABASE),
    family("SOKETI_DB_POOLING_", "databasePooling.", NO_DATABASE),
    family("SOKETI_DB_REDIS_", "database.redis.", REDIS),
    family("SOKETI_QUEUE_", "queue.", QUEUE),
];

/// Names in the wild that never existed, and what was meant.
pub(in crate::config) const NEVER_EXISTED: &[(&str, &str)] = &[
    ("SOKETI_DEFAULT_APP_MAX_CONNECTIONS", "SOKETI_DEFAULT_APP_MAX_CONNS"),
    ("SOKETI_REDIS_HOST", "SOKETI_DB_REDIS_HOST"),
    ("SOKETI_REDIS_PORT", "SOKETI_DB_REDIS_PORT"),
    ("SOKETI_REDIS_PASSWORD", "SOKETI_DB_REDIS_PASSWORD"),
];
