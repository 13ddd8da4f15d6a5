//! What a listening socket is for.

/// The purpose of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything: clients, the HTTP API, backends.
    Broker,
    /// Backends on the pipe's wire, and nobody else.
    Pipe,
    /// Those who run the broker.
    Admin,
}

impl Role {
    /// What the HTTP server's log calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Broker => "heliostat",
            Role::Pipe => "pipe",
            Role::Admin => "admin",
        }
    }
}
