//! What lies under HTTP and WebSockets: streams of bytes, TLS, and the guard of a stream while HTTP is spoken on it.

pub mod guard;
pub(crate) mod idle;
pub mod room;
mod stream;
pub mod tls;

pub use stream::Stream;
