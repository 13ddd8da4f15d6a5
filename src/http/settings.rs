//! The settings of a listener that concern every request on it.

/// The settings of a listener that concern every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerSettings {
    /// Put before every path; empty, or `/` and segments.
    pub path_prefix: String,
    /// Whether the listener itself speaks TLS.
    pub tls: bool,
    /// Whether `X-Forwarded-Proto` and `Forwarded` are believed.
    pub trust_forwarded_proto: bool,
    /// Whether answers allow any origin.
    pub cors: bool,
}
