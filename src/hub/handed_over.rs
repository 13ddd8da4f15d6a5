//! What a process that is succeeded hands over, as values.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::recent_publishes::IdDigest;
use crate::channel::ChangeOrigin;
use crate::protocol::{ChannelName, Frame};

/// A removal that a listener holds back for a while: of a channel, or of a member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRemoval {
    /// The channel.
    pub channel: ChannelName,
    /// The member who has left, if it is that.
    pub user_id: Option<Arc<str>>,
    /// Where it happened.
    pub origin: ChangeOrigin,
    /// How long ago.
    pub ago: Duration,
}

/// Something that is handed over, of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HandedOver {
    /// A cache channel remembers this for so long from now on. The number is that which the engine between the two has given
    /// it, 0 if it is older.
    Remembered { channel: ChannelName, frame: Frame, number: u64, expires_in: Duration },
    /// It is known that a cache channel was missed.
    Missed { channel: ChannelName },
    /// A removal is held back.
    Held(HeldRemoval),
    /// Something was published under an id: what there is to know of it, and for how long it is to be known.
    Published { id: IdDigest, note: Bytes, expires_in: Duration },
}
