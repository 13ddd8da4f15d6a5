//! What channels keep of their last events where several nodes are one broker: the engine keeps a stream of each, which all nodes
//! hear in one order. What a node keeps of a channel that it has subscribers of is filled from there.

use crate::protocol::{ChannelName, Frame, SocketId};

use super::Hub;

/// How a channel with a history keeps an event that comes from the engine's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptAs {
    /// Its number there, which is the time at which the engine has taken it, in microseconds since 1970.
    pub(crate) number: u64,
    /// This node's subscribers have been sent it before, without a number. It gets the number, and that is all.
    pub(crate) is_delivered: bool,
}

/// An event as a stream keeps it.
#[derive(Clone, Debug)]
pub(crate) struct StreamEvent {
    /// How it is kept.
    pub(crate) kept: KeptAs,
    /// There is none between this number and its own.
    pub(crate) previous: u64,
    /// What subscribers were sent.
    pub(crate) frame: Frame,
    /// The connection that was not.
    pub(crate) except: Option<SocketId>,
}

/// A part of a stream, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamPart {
    pub(crate) events: Vec<StreamEvent>,
    /// Everything up to this number is known with it, but for what is not kept any more.
    pub(crate) reached: u64,
    /// The engine's clock, as numbers have it.
    pub(crate) now: u64,
}

impl Hub {
    /// The numbers that come from now on are those of this engine.
    pub(crate) fn set_history_epoch(&self, _engine: u64) {}

    /// Up to which number of the engine all is known of a channel that this node has; none if nothing is.
    pub(crate) fn history_reached(&self, _app_id: &str, _channel: &ChannelName) -> Option<u64> {
        None
    }

    /// Adds to what a channel keeps what its stream has behind it. Nobody is sent it.
    pub(crate) fn fill_history(&self, _app_id: &str, _channel: &ChannelName, part: StreamPart) {
        let StreamPart { events, reached, now } = part;
        for StreamEvent { kept: KeptAs { number, is_delivered }, previous, frame, except } in events {
            tracing::trace!(number, is_delivered, previous, bytes = frame.websocket().len(), ?except);
        }
        tracing::trace!(reached, now);
    }

    /// Events of a channel may be missing before the next one: those who are there are told, and whoever comes back for what was
    /// before.
    pub(crate) fn history_hole(&self, _app_id: &str, _channel: &ChannelName) {}
}
