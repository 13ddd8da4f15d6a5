//! The errors of requests of pipe clients, and their codes.

use crate::protocol::json::Unrelayable;
use crate::protocol::{InvalidChannelName, quote};

use super::Dialect;

/// An error of a request, which it is answered with. The connection stays open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PipeRequestError {
    /// The name is empty, too long, or the protocol's own.
    #[error("invalid event name {name:?}: {reason}")]
    EventName {
        /// What came.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such connection.
    #[error("no connection has the socket id {0:?}")]
    UnknownSocket(String),
    /// No channel can have this name.
    #[error("invalid channel name {name:?}: {reason}")]
    Channel {
        /// What came.
        name: String,
        /// What is wrong with it.
        reason: InvalidChannelName,
    },
    /// The parameters are not those of the method.
    #[error("bad params of {method}: {reason}")]
    Params {
        method: String,
        /// What was expected, and what came.
        reason: String,
    },
    /// No such method in this version of the protocol.
    #[error("unknown method {method:?}: protocol {dialect} has {}", dialect.methods().join(", "))]
    UnknownMethod {
        /// What came.
        method: String,
        /// What is spoken.
        dialect: Dialect,
    },
    /// No such group of notifications in this version of the protocol.
    #[error("unknown event group {group:?}: protocol {dialect} has {}", dialect.kind_names().join(", "))]
    UnknownGroup {
        /// What came.
        group: String,
        /// What is spoken.
        dialect: Dialect,
    },
    /// Not a JSON object with a method.
    #[error("expected a JSON object {{\"id\", \"method\", \"params\"}}: {0}")]
    Unreadable(String),
    /// The broker is about to close every connection.
    #[error("the broker is stopping, and this was not done")]
    Stopping,
}

impl PipeRequestError {
    /// The `code` on the wire.
    pub(crate) fn code(&self) -> u16 {
        match self {
            PipeRequestError::EventName { .. } => 4210,
            PipeRequestError::UnknownSocket(_) => 4211,
            PipeRequestError::Channel { .. } => 4212,
            PipeRequestError::Params { .. } => 4213,
            PipeRequestError::UnknownMethod { .. } => 4214,
            PipeRequestError::UnknownGroup { .. } => 4215,
            PipeRequestError::Unreadable(_) => 4216,
            PipeRequestError::Stopping => 4217,
        }
    }

    /// Bad parameters.
    pub(crate) fn params(method: &str, reason: impl ToString) -> Self {
        PipeRequestError::Params { method: method.to_owned(), reason: reason.to_string() }
    }

    /// A bad channel name.
    pub(crate) fn channel(name: &str, reason: InvalidChannelName) -> Self {
        PipeRequestError::Channel { name: quote(name).into_owned(), reason }
    }

    /// Data that no client could read.
    pub(crate) fn data(method: &str, reason: Unrelayable) -> Self {
        PipeRequestError::params(method, format!("the data is unusable, {reason}"))
    }
}
