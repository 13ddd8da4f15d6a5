//! Accepts and bounds connections below HTTP and WebSockets: streams of bytes, TLS, slots, and the guard of a stream
//! while HTTP is spoken on it.

pub(crate) mod guard;
pub(crate) mod idle;
pub(crate) mod slots;
mod stream;
pub(crate) mod tls;

pub(crate) use stream::Stream;
