//! The settings of a connection's life: `[connection]`.

use std::time::Duration;

use crate::protocol::WithoutVersion;

/// `[connection]`: the life of one WebSocket connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// The silence after which a client should ping, as told to clients that speak protocol 7.
    /// Whole seconds, at least one.
    pub activity_timeout: Duration,
    /// The silence after which the broker itself pings a client.
    pub ping_after: Duration,
    /// How long a client may take to answer a ping. Over it: close 4201.
    pub pong_timeout: Duration,
    /// The oldest protocol version that may connect, 1 to 7. Below it: close 4007.
    pub min_protocol: u8,
    /// What becomes of a client that names no protocol version.
    pub without_version: WithoutVersion,
    /// On: a refused subscription is answered with `pusher:subscription_error` where the version knows it.
    pub subscription_error_event: bool,
    /// On: clients that offer permessage-deflate are sent compressed broadcasts, and may send compressed messages.
    pub compression: bool,
    /// Bytes that may wait for one slow reader. Over it: the connection is closed.
    pub outbox_bytes: usize,
    /// Frames that may wait for one slow reader. Over it: the connection is closed.
    pub outbox_frames: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        ConnectionConfig {
            activity_timeout: Duration::from_secs(120),
            ping_after: Duration::from_secs(45),
            pong_timeout: Duration::from_secs(30),
            min_protocol: 1,
            without_version: WithoutVersion::Legacy,
            subscription_error_event: true,
            compression: false,
            outbox_bytes: 1024 * 1024,
            outbox_frames: 4096,
        }
    }
}
