//! What goes over the sockets: frames, marked payloads, signed HTTP requests. Pure.

pub(crate) mod frame;
pub(crate) mod http;
pub(crate) mod mark;
pub(crate) mod signature;
