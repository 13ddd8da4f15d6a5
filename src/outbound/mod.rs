//! What the broker needs to send requests to other servers: connections, an HTTP client, and a thread to do it on.
//!
//! It does not know what is sent.

pub(crate) mod client;
mod connector;
mod drop_log;
mod shown;
mod thread;

pub(crate) use client::{AGENT, HttpClient, Reply, SendError};
pub use connector::ConnectorError;
#[cfg(feature = "redis")]
pub(crate) use connector::{OwnCertificate, client_tls};
pub(crate) use connector::{TrustedFile, connector, server_verifier};
pub(crate) use drop_log::DropLog;
pub(crate) use shown::shown;
pub(crate) use thread::SenderThread;
