//! What a process that is succeeded hands over, as values.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::recent_publishes::IdDigest;
use crate::app::{App, ChannelSettings};
use crate::channel::ChangeOrigin;
use crate::protocol::pattern::Pattern;
use crate::protocol::{ChannelName, Frame, SocketId};
use crate::recovery::NoteNumber;

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
    /// From now on it is told what channels keep of their last events, and everything that is published there comes by that. The
    /// numbers are of this run.
    Histories { run: u64, kept: KeptChannels },
    /// What is known of a name, as a note, for when its client comes.
    Name { number: NoteNumber, note: Bytes },
    /// Asked by the process that succeeds: the client of this name has come, with this key of the app.
    NameAsked { asked: u64, key: Arc<str>, name: Arc<str> },
    /// The answer.
    NameGiven { asked: u64, note: Option<Bytes> },
    /// A channel keeps this, behind what was told of it before.
    Kept { channel: ChannelName, events: HandedEvents, live: Option<LiveEvent> },
}

impl HandedOver {
    /// A channel keeps what comes behind this.
    pub(crate) fn begun(channel: &ChannelName, behind: HandedFloor) -> Self {
        let events = HandedEvents { behind, events: Vec::new() };
        HandedOver::Kept { channel: channel.clone(), events, live: None }
    }
}

/// Which channels of an app keep their last events: by the first pattern that matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptChannels(pub(crate) Vec<(Pattern, bool)>);

/// Up to which number events are lost, and how long ago that was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandedFloor {
    pub(crate) number: u64,
    pub(crate) ago: Duration,
}

/// Events that a channel keeps, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HandedEvents {
    /// There is none in front of the first of them that comes behind this one; or that is lost.
    pub(crate) behind: HandedFloor,
    pub(crate) events: Vec<HandedHistoryEvent>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedHistoryEvent {
    pub(crate) number: u64,
    pub(crate) ago: Duration,
    /// When it was published, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) frame: Frame,
    /// The connection that was not sent it.
    pub(crate) except: Option<SocketId>,
}

/// What there is to know of an event that is kept just now, for those who deliver it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LiveEvent {
    /// Whether the channel remembers it, too.
    pub(crate) is_remembered: bool,
    /// The process that succeeds has accepted it, and has said it as this one: epoch and number.
    pub(crate) said_as: Option<(u64, u64)>,
    /// The number of the last fact of the process that keeps it: what was true for its sender, and is to be known where it is
    /// delivered. 0 if it need not wait for any.
    pub(crate) state: u64,
}

impl HandedEvents {
    /// About as many bytes as they take.
    pub(crate) fn bytes(&self) -> usize {
        /// More than a few numbers.
        const BESIDE: usize = 64;
        self.events.iter().map(|event| event.frame.websocket().len() + BESIDE).sum()
    }
}

impl KeptChannels {
    /// Those of an app.
    pub(crate) fn of(app: &App) -> Self {
        let kept = |settings: &ChannelSettings| (settings.pattern.clone(), settings.history.is_some());
        KeptChannels(app.channels.iter().map(kept).collect())
    }

    /// Whether there is any.
    pub(crate) fn is_any(&self) -> bool {
        self.0.iter().any(|(_, is_kept)| *is_kept)
    }

    /// Whether a channel is one of them.
    pub(crate) fn has(&self, channel: &ChannelName) -> bool {
        let first = self.0.iter().find(|(pattern, _)| pattern.capture(channel.as_str()).is_some());
        first.is_some_and(|(_, is_kept)| *is_kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_matches_says_whether_a_channel_is_kept() {
        let pattern = |text: &str, is_kept| (Pattern::parse(text).unwrap(), is_kept);
        let kept = KeptChannels(vec![pattern("a-log", false), pattern("a-*", true)]);
        let has = |name: &str| kept.has(&ChannelName::parse(name, 164).unwrap());
        assert_eq!(["a-log", "a-1", "b"].map(has), [false, true, false]);
        assert!(kept.is_any() && !KeptChannels(vec![pattern("*", false)]).is_any());
    }
}
