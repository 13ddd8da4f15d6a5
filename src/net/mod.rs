//! Accepts and bounds connections below HTTP and WebSockets: streams of bytes, TLS, slots, and the guard of a stream
//! while HTTP is spoken on it.

pub mod guard;
pub(crate) mod idle;
pub mod slots;
mod stream;
pub mod tls;

pub use stream::Stream;
