//! Several nodes as one broker: what one accepts, the subscribers of all are sent, and what one knows of its connections,
//! all know. Between them is an engine that hands on what they say.
//!
//! The engine is behind [`adapter::Adapter`]; what nodes say is bytes by `envelope`, and untrusted.

pub(crate) mod adapter;
#[allow(unreachable_pub)] // until `config` shows it
pub(crate) mod config;
pub(crate) mod counts;
pub(crate) mod inbox;
pub(crate) mod status;
