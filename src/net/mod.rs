//! Accepts and bounds connections below HTTP and WebSockets: streams of bytes, TLS, slots, and the guard of a stream
//! while HTTP is spoken on it.

pub(crate) mod guard;
pub(crate) mod idle;
mod listen;
mod peer;
mod proxied;
mod proxies;
mod proxy_header;
pub(crate) mod slots;
mod stream;
pub(crate) mod tls;

pub use listen::{ListenAddress, ListenHost, ListenerConfig};
pub(crate) use peer::{ConnectionPeers, PeerField, ProxyField, ProxyName, peer_field};
pub(crate) use proxied::accepting_proxied;
pub use proxies::{TrustedProxies, TrustedProxy};
pub(crate) use stream::{Socket, Stream};
