//! The settings of the node for video channels: `[video]`.

/// `[video]`: what the node keeps for viewers that come later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoConfig {
    /// Bytes that the caches of all video channels of all apps may hold together. Over it: what would pass it is not kept, and
    /// who comes waits for the next key frame.
    pub cache_bytes: usize,
}

impl Default for VideoConfig {
    fn default() -> Self {
        VideoConfig { cache_bytes: 256 * 1024 * 1024 }
    }
}
