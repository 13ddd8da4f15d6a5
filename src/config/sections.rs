//! The sections of the configuration that concern the whole node, as plain values.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::EncryptionMasterKey;
pub use crate::protocol::WithoutVersion;

/// `[server]`: the listener, and what it tolerates from HTTP clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// The address to listen on. Development mode needs a loopback one.
    pub host: IpAddr,
    /// The TCP port; 0 takes any free one.
    pub port: u16,
    /// The certificate chain to serve TLS with, a PEM file; `None` serves plain connections. Needs `tls_key`.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, a PEM file. Needs `tls_certificate`.
    pub tls_key: Option<PathBuf>,
    /// Put before every path the broker serves: empty, or `/` and segments without a trailing slash.
    pub path_prefix: String,
    /// Worker threads, at most [`Server::MOST_WORKERS`]; 0 stands for one per core.
    pub workers: usize,
    /// Connections the kernel may hold before they are accepted.
    pub backlog: u32,
    /// Simultaneous WebSocket connections of this node, all apps together; 0 stands for as many as the limit of open
    /// files leaves room for, which is a bound in any case. Over it: close 4100, so that clients come back later.
    pub max_connections: usize,
    /// Simultaneous connections of this node that speak HTTP, those not counted that have become WebSockets; 0 lifts the
    /// limit. Over it: HTTP 503, and the connection ends.
    pub max_http_connections: usize,
    /// Bytes that request bodies of this node that have not come whole may hold together. Over it: HTTP 503.
    pub http_unfinished_bytes: usize,
    /// Bytes of one HTTP request body. Over it: HTTP 413.
    pub http_body_bytes: usize,
    /// How long a client may take to send a whole request head, and then a whole body. Over it: HTTP 408.
    pub http_request_timeout: Duration,
    /// How long an idle HTTP connection is kept for the next request.
    pub keep_alive: Duration,
    /// How long open connections may take to end on shutdown before they are cut.
    pub shutdown_grace: Duration,
    /// What clients are told on shutdown.
    pub shutdown_code: ShutdownCode,
    /// Where commands reach the running broker: the path of a Unix socket. `None`: nowhere.
    pub control_socket: Option<PathBuf>,
    /// On: `X-Forwarded-Proto: https` counts as TLS. Only for brokers that clients cannot reach directly.
    pub trust_forwarded_proto: bool,
    /// On: HTTP answers allow any origin.
    pub cors: bool,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 6001,
            tls_certificate: None,
            tls_key: None,
            path_prefix: String::new(),
            workers: 0,
            backlog: 4096,
            max_connections: 0,
            max_http_connections: 20_000,
            http_unfinished_bytes: 64 * 1024 * 1024,
            http_body_bytes: 1024 * 1024,
            http_request_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            shutdown_grace: Duration::from_secs(5),
            shutdown_code: ShutdownCode::Auto,
            control_socket: None,
            trust_forwarded_proto: false,
            cors: true,
        }
    }
}

impl Server {
    /// The most worker threads that the framework runs.
    pub const MOST_WORKERS: usize = 512;

    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// Worker threads to start: `workers`, or one per core.
    #[must_use]
    pub fn worker_threads(&self) -> usize {
        let workers = match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        };
        workers.min(Self::MOST_WORKERS)
    }
}

/// The code that connections are closed with on shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShutdownCode {
    /// 4200 if another broker listens at this address already, else 4100.
    #[default]
    Auto,
    /// 4100: come back after a second.
    Soon,
    /// 4200: come back at once.
    AtOnce,
}

/// `[connection]`: the life of one WebSocket connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// The silence after which a client should ping, as told to clients that speak protocol 7.
    /// Whole seconds, at least one.
    pub activity_timeout: Duration,
    /// The silence after which the broker itself pings a client.
    pub ping_after: Duration,
    /// How long a client may take to answer a ping. Over it: close 4201.
    pub pong_timeout: Duration,
    /// The oldest protocol version that may connect, 1 to 7. Below it: close 4007.
    pub min_protocol: u8,
    /// What becomes of a client that names no protocol version.
    pub without_version: WithoutVersion,
    /// On: a refused subscription is answered with `pusher:subscription_error` where the version knows it.
    pub subscription_error_event: bool,
    /// On: clients that offer permessage-deflate are sent compressed broadcasts, and may send compressed messages.
    pub compression: bool,
    /// Bytes that may wait for one slow reader. Over it: the connection is closed.
    pub outbox_bytes: usize,
    /// Frames that may wait for one slow reader. Over it: the connection is closed.
    pub outbox_frames: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        ConnectionConfig {
            activity_timeout: Duration::from_secs(120),
            ping_after: Duration::from_secs(45),
            pong_timeout: Duration::from_secs(30),
            min_protocol: 1,
            without_version: WithoutVersion::Legacy,
            subscription_error_event: true,
            compression: false,
            outbox_bytes: 1024 * 1024,
            outbox_frames: 4096,
        }
    }
}

/// `[fallback]`: the HTTP transports, for clients that cannot have a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackConfig {
    /// Off: their paths are not found.
    pub enabled: bool,
    /// Where they begin, after the server's path prefix: `/` and segments without a trailing slash. Clients call it
    /// `httpPath`.
    pub path: String,
    /// The host that clients are told to send a session's later requests to; empty tells them none.
    pub hostname: String,
    /// The silence after which a stream is sent a heartbeat.
    pub heartbeat: Duration,
    /// How long a poll is held that has nothing to deliver.
    pub poll_hold: Duration,
    /// How long a session lives while nobody receives. Over it: the disconnect procedure.
    pub session_timeout: Duration,
    /// How long a SockJS client may take to name its app. Over it: close 4009.
    pub introduction_timeout: Duration,
    /// Bytes after which a stream of SockJS is ended, for the client to begin another. Native streams are never ended.
    pub sockjs_stream_bytes: usize,
    /// Sessions of this node at once, all apps together; 0 lifts the limit. Over it: close 4100.
    pub max_sessions: usize,
    /// The SockJS client that the iframe page loads, a URL.
    pub sockjs_url: String,
}

impl Default for FallbackConfig {
    fn default() -> Self {
        FallbackConfig {
            enabled: true,
            path: "/pusher".to_owned(),
            hostname: String::new(),
            heartbeat: Duration::from_secs(25),
            poll_hold: Duration::from_secs(25),
            session_timeout: Duration::from_secs(5),
            introduction_timeout: Duration::from_secs(10),
            sockjs_stream_bytes: 128 * 1024,
            max_sessions: 100_000,
            sockjs_url: "https://js.pusher.com/8.4/sockjs.min.js".to_owned(),
        }
    }
}

/// `[pipe]`: the wire on which backends hear what clients say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// On: the wire is also served on a port of its own. It is always served on the listener's.
    pub own_port: bool,
    /// That port; 0 takes any free one.
    pub port: u16,
    /// Bytes of one message from a pipe client, all its fragments together. Over it: close 1009.
    pub request_bytes: usize,
    /// Bytes of notifications that may wait for one pipe client. Over it, they are missed, and counted.
    pub queue_bytes: usize,
    /// Notifications that may wait for one pipe client. Over it, they are missed, and counted.
    pub queue_messages: usize,
}

impl Default for PipeConfig {
    fn default() -> Self {
        PipeConfig {
            own_port: false,
            port: 8080,
            request_bytes: 8 * 1024 * 1024,
            queue_bytes: 16 * 1024 * 1024,
            queue_messages: 10_000,
        }
    }
}

/// `[logging]`: what is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// For people or for machines.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter of the `tracing` crate such as
    /// `info,heliostat::pipe=debug`.
    pub level: String,
}

impl Default for Logging {
    fn default() -> Self {
        Logging { format: LogFormat::Human, level: "info".to_owned() }
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Human,
    /// One JSON object per event.
    Json,
}

/// `[development]`: conveniences for trying the broker out. They give anyone who can reach the broker the
/// rights of the first app's backend, so they are off by default; development mode turns them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Development {
    /// Serves the example pages at `/`, with the first app's credentials filled in.
    pub pages: bool,
    /// Serves `/dev/auth`, `/dev/user-auth` and `/dev/config.json`: they sign whatever they are asked to.
    pub auth_endpoints: bool,
    /// What `/dev/auth` derives the keys of encrypted channels from; `None` derives it from the first app's secret.
    pub encryption_master_key: Option<EncryptionMasterKey>,
    /// A `pusher.min.js` to serve to the example pages, in place of one found in `node_modules` or on the CDN.
    pub pusher_js: Option<PathBuf>,
}
