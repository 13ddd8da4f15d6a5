//! The settings of what is kept for those who come back: `[recovery]`.

use std::time::Duration;

/// `[recovery]`: what the node keeps for clients that come back.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveryConfig {
    /// For how long it is known, after a client is gone, what it has received.
    pub retention: Duration,
    /// Bytes that the histories of all channels of all apps may hold together. Over it: the oldest events go.
    pub history_bytes: usize,
    /// Bytes that one connection may be sent of what it missed, besides what may wait for it at any time, until all that waits
    /// for it is written. Over it: it is told that it missed something, and is sent nothing of that.
    pub replay_bytes: usize,
    /// Names of clients that are kept. Over it: those that were left first are forgotten, and where all are held, further clients
    /// are served without recovery.
    pub max_names: usize,
    /// Those of one client address, of IPv6 of one /64. Over it: the same.
    pub max_names_per_address: usize,
    /// Bytes of what is kept of all clients: what each has received of each channel. Over it: the same.
    pub cursor_bytes: usize,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        RecoveryConfig {
            retention: Duration::from_secs(300),
            history_bytes: 256 * 1024 * 1024,
            replay_bytes: 16 * 1024 * 1024,
            max_names: 100_000,
            max_names_per_address: 1000,
            cursor_bytes: 64 * 1024 * 1024,
        }
    }
}
