//! The settings of the pipe's wire: `[pipe]`.

/// `[pipe]`: the wire on which backends hear what clients say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// On: the wire is also served on a port of its own. It is always served on the listener's.
    pub own_port: bool,
    /// That port; 0 takes any free one.
    pub port: u16,
    /// Bytes of one message from a pipe client, all its fragments together. Over it: close 1009.
    pub request_bytes: usize,
    /// Bytes of notifications that may wait for one pipe client. Over it, they are missed, and counted.
    pub queue_bytes: usize,
    /// Notifications that may wait for one pipe client. Over it, they are missed, and counted.
    pub queue_messages: usize,
}

impl Default for PipeConfig {
    fn default() -> Self {
        PipeConfig {
            own_port: false,
            port: 8080,
            request_bytes: 8 * 1024 * 1024,
            queue_bytes: 16 * 1024 * 1024,
            queue_messages: 10_000,
        }
    }
}
