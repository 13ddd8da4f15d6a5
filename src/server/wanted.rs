//! Where a configuration wants the broker to listen, and for what.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::role::Role;
use crate::config::Config;
use crate::net::{ListenAddress, ListenerConfig};

/// A place to listen, and what is served there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedListener {
    pub(super) role: Role,
    pub(super) point: ListenPoint,
    /// Whether connections speak TLS where that is configured.
    pub(super) tls: bool,
    pub(super) proxy_protocol: bool,
}

/// Two places to listen exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on both {one} and {other}: one of them takes all that the other would")]
pub struct OverlappingListeners {
    /// The later one.
    one: String,
    /// The one before it.
    other: String,
}

/// What a place to listen stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListenPoint {
    /// A port at one address or more; of several the machine may lack some.
    Tcp(Vec<SocketAddr>),
    Unix {
        path: PathBuf,
        mode: u32,
    },
}

impl WantedListener {
    fn new(role: Role, listener: &ListenerConfig) -> Self {
        let ListenerConfig { address, mode, proxy_protocol, tls } = listener;
        let point = match address {
            ListenAddress::Tcp(host, port) => {
                let addresses = host.addresses().into_iter();
                ListenPoint::Tcp(addresses.map(|address| SocketAddr::new(address, *port)).collect())
            }
            ListenAddress::Unix(path) => ListenPoint::Unix { path: path.clone(), mode: *mode },
        };
        WantedListener { role, point, tls: *tls, proxy_protocol: *proxy_protocol }
    }

    /// A place that nobody has configured: for clients and the HTTP API.
    pub(super) fn at(point: ListenPoint) -> Self {
        WantedListener { role: Role::Broker, point, tls: true, proxy_protocol: false }
    }

    /// The same at any free port.
    pub(super) fn at_any_port(mut self) -> Self {
        if let ListenPoint::Tcp(addresses) = &mut self.point {
            addresses.iter_mut().for_each(|address| address.set_port(0));
        }
        self
    }

    /// How many sockets it takes at most.
    pub(super) fn sockets(&self) -> usize {
        match &self.point {
            ListenPoint::Tcp(addresses) => addresses.len(),
            ListenPoint::Unix { .. } => 1,
        }
    }
}

impl ListenPoint {
    /// Whether a socket that listens there is one of those that it stands for.
    pub(super) fn is_at(&self, place: &InheritedPlace) -> bool {
        match (self, place) {
            (ListenPoint::Tcp(addresses), InheritedPlace::Tcp(address)) => addresses.contains(address),
            (ListenPoint::Unix { path, .. }, InheritedPlace::Unix(other)) => path == other,
            (ListenPoint::Tcp(_), InheritedPlace::Unix(_))
            | (ListenPoint::Unix { .. }, InheritedPlace::Tcp(_)) => false,
        }
    }
}

/// Where a socket listens that was passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InheritedPlace {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenPoint {
    /// Whether it stands for that place. Where any port would do, it does for that of the place from now on.
    pub(super) fn takes(&mut self, place: &InheritedPlace) -> bool {
        if let (ListenPoint::Tcp(addresses), InheritedPlace::Tcp(at)) = (&mut *self, place)
            && !addresses.contains(at)
            && let Some(any) = addresses.iter_mut().find(|any| any.port() == 0 && any.ip() == at.ip())
        {
            *any = *at;
        }
        self.is_at(place)
    }
}

impl InheritedPlace {
    /// The place to listen that it alone stands for.
    pub(super) fn as_point(&self) -> ListenPoint {
        match self {
            InheritedPlace::Tcp(address) => ListenPoint::Tcp(vec![*address]),
            InheritedPlace::Unix(path) => ListenPoint::Unix { path: path.clone(), mode: 0 },
        }
    }
}

/// As in the configuration.
impl fmt::Display for InheritedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InheritedPlace::Tcp(address) => address.fmt(f),
            InheritedPlace::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// As in a complaint.
impl fmt::Display for ListenPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenPoint::Tcp(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&addresses.join(", "))
            }
            ListenPoint::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where the admin listener is to listen, if there is to be one.
pub(super) fn wanted_admin(config: &Config) -> Option<WantedListener> {
    let address = ListenAddress::Tcp(config.admin.host, config.admin.port);
    let listener = ListenerConfig { tls: false, ..ListenerConfig::new(address) };
    config.admin.enabled.then(|| WantedListener::new(Role::Admin, &listener))
}

/// All places where a configuration wants the broker to listen for clients and backends, the main address first.
///
/// # Errors
/// If two of them exclude each other.
pub(super) fn wanted_listeners(config: &Config) -> Result<Vec<WantedListener>, OverlappingListeners> {
    let main = ListenerConfig::new(config.server.address());
    let pipe_address = ListenAddress::Tcp(config.server.own_host(), config.pipe.port);
    let pipe = config.pipe.own_port.then(|| (Role::Pipe, ListenerConfig::new(pipe_address)));
    let further = config.server.listeners.iter().map(|listener| (Role::Broker, listener.clone()));
    let all: Vec<_> = [(Role::Broker, main)].into_iter().chain(pipe).chain(further).collect();
    for (index, (_, one)) in all.iter().enumerate() {
        if let Some((_, other)) = all[..index].iter().find(|(_, other)| other.address.overlaps(&one.address))
        {
            let [one, other] = [one, other].map(|listener| listener.address.to_string());
            return Err(OverlappingListeners { one, other });
        }
    }
    Ok(all.iter().map(|(role, listener)| WantedListener::new(*role, listener)).collect())
}
