//! An engine that one process serves to another on the same machine, by a Unix socket: the two brokers of an upgrade are nodes
//! of one broker by it. One of them has the engine, a [`LocalEngine`](super::local::LocalEngine), and hosts it to the other.

mod adapter;
mod host;
mod stream;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use adapter::LinkAdapter;
pub(crate) use host::serve;
