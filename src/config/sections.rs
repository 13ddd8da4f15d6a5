//! The settings of the listener: `[server]`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::net::TrustedProxies;
use crate::net::tls::CertificateFiles;
use crate::net::{ListenAddress, ListenHost, ListenerConfig};

/// `[server]`: the listener, and what it tolerates from HTTP clients.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// The address to listen on. Development mode needs a loopback one.
    pub host: ListenHost,
    /// The TCP port; 0 takes any free one.
    pub port: u16,
    /// Where to listen besides.
    pub listeners: Vec<ListenerConfig>,
    /// No setting: the addresses of sockets that the process was started with. They count for who can reach the broker.
    pub inherited: Vec<IpAddr>,
    /// No setting: the address that was configured, where that of such a socket has taken its place.
    pub replaced_host: Option<ListenHost>,
    /// The certificate chain to serve TLS with, a PEM file. Needs `tls_key`. Without any certificate, connections are plain.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, a PEM file. Needs `tls_certificate`.
    pub tls_key: Option<PathBuf>,
    /// More certificates, each shown to the clients that ask for a host that it is for. Without `tls_certificate` the first
    /// of them is the default.
    pub certificates: Vec<CertificateFiles>,
    /// Put before every path the broker serves: empty, or `/` and segments without a trailing slash.
    pub path_prefix: String,
    /// Worker threads, at most [`ServerConfig::MOST_WORKERS`]; 0 stands for one per core.
    pub workers: usize,
    /// Connections the kernel may hold before they are accepted.
    pub backlog: u32,
    /// Simultaneous WebSocket connections of this node, all apps together; 0 stands for as many as the limit of open
    /// files leaves room for, which is a bound in any case. Over it: close 4100, so that clients come back later.
    pub max_connections: usize,
    /// Simultaneous connections of clients from one address, all apps together, of IPv6 from one /64; 0 stands for any
    /// number. Over it: close 4100.
    pub max_connections_per_address: usize,
    /// Handshakes and requests from one address, of IPv6 from one /64, that are refused within a minute for what they
    /// show; 0 stands for any number. Over it nothing that comes from there is looked at until the minute is over: close
    /// 4100 of WebSockets and sessions of the fallbacks, HTTP 429 of the rest.
    pub max_refusals_per_address_per_minute: usize,
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
    /// How long everything is served still when the broker is to stop, and says that it is not ready.
    pub drain_delay: Duration,
    /// Clients that are closed per second then, all workers together; 0: all at once.
    pub drain_connections_per_second: usize,
    /// How long open connections may take to end on shutdown before they are cut.
    pub shutdown_grace: Duration,
    /// What clients are told on shutdown.
    pub shutdown_code: ShutdownCode,
    /// Where commands reach the running broker: the path of a Unix socket. `None`: nowhere.
    pub control_socket: Option<PathBuf>,
    /// The proxies whose word counts on where a client is, and on whether it came by TLS. Where any is named, nobody else
    /// is believed.
    pub trusted_proxies: TrustedProxies,
    /// On: `X-Forwarded-Proto: https` counts as TLS, whoever says so, unless `trusted_proxies` are named. Only for brokers
    /// that clients cannot reach directly.
    pub trust_forwarded_proto: bool,
    /// On: HTTP answers allow any origin.
    pub cors: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            host: ListenHost::Address(Ipv4Addr::LOCALHOST.into()),
            port: 6001,
            listeners: Vec::new(),
            inherited: Vec::new(),
            replaced_host: None,
            tls_certificate: None,
            tls_key: None,
            certificates: Vec::new(),
            path_prefix: String::new(),
            workers: 0,
            backlog: 4096,
            max_connections: 0,
            max_connections_per_address: 0,
            max_refusals_per_address_per_minute: 0,
            max_http_connections: 20_000,
            http_unfinished_bytes: 64 * 1024 * 1024,
            http_body_bytes: 1024 * 1024,
            http_request_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            drain_delay: Duration::ZERO,
            drain_connections_per_second: 0,
            shutdown_grace: Duration::from_secs(5),
            shutdown_code: ShutdownCode::Auto,
            control_socket: None,
            trusted_proxies: TrustedProxies::default(),
            trust_forwarded_proto: false,
            cors: true,
        }
    }
}

impl ServerConfig {
    /// The most worker threads that the framework runs.
    pub const MOST_WORKERS: usize = 512;

    /// The main address to listen on.
    pub fn address(&self) -> ListenAddress {
        ListenAddress::Tcp(self.host, self.port)
    }

    /// The address to listen on for what has a port of its own and no socket that was passed on.
    pub(crate) fn own_host(&self) -> ListenHost {
        self.replaced_host.unwrap_or(self.host)
    }

    /// An address to listen on that other machines can reach, or a loopback one where there is none such.
    pub(crate) fn widest_host(&self) -> IpAddr {
        let further = self.listeners.iter().filter_map(|listener| listener.address.host());
        let inherited = self.inherited.iter().copied().map(ListenHost::Address);
        let mut all = [self.host].into_iter().chain(further).chain(inherited);
        match all.find(|host| !host.is_loopback()).unwrap_or(self.host) {
            ListenHost::Address(address) => address,
            ListenHost::Localhost => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Whether connections are to speak TLS.
    pub fn serves_tls(&self) -> bool {
        self.tls_certificate.is_some() || !self.certificates.is_empty()
    }

    /// Worker threads to start: `workers`, or one per core.
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
