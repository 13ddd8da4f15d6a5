//! The entrances for what other nodes have accepted: events for subscribers, frames for one connection, ends of a user's
//! connections, and what backends on the pipe are to hear. Nobody else who listens hears of it here: a rule, a hook or a
//! webhook acts on the node that accepted it.
//!
//! They are called from a thread that is no worker's. Whoever calls them often waits for [`Hub::until_uncongested`] before
//! each call, so that no mailbox grows beyond its bound.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::channel::StreamNumber;
use crate::connection::is_still;
use crate::protocol::{BinaryMessage, Broadcast, ChannelName, Frame, LatestKey, SocketId};

use super::mailbox::WorkerCommand;
use super::publish::{Remembering, Way};
use super::{AppState, Hub, KeptAs, Notice};

/// How long nobody who waits misses that a worker has died, whose mailbox nobody reads any more.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An event that another node has accepted, or this one, if it comes back with a number.
#[derive(Debug)]
pub(crate) struct ArrivedEvent<'a> {
    /// Whose subscribers are sent it.
    pub(crate) channel: &'a ChannelName,
    /// What they are sent.
    pub(crate) frame: Frame,
    /// The name of the event, where a slow subscriber needs only the newest of each name.
    pub(crate) latest: Option<&'a str>,
    /// The connection that is not sent it.
    pub(crate) except: Option<SocketId>,
    /// How the channel remembers it, if it does.
    pub(crate) remembered: Option<RememberedAs>,
    /// How it is kept, if it comes from the stream of a channel with a history.
    pub(crate) kept: Option<KeptAs>,
}

/// How a cache channel remembers an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RememberedAs {
    /// What the engine has numbered it; none if the engine does not have it. An event whose number is not larger than that
    /// of what the channel remembers has been heard, or is older: nobody is sent it.
    pub(crate) number: Option<u64>,
    /// The engine was asked for it: it is no event that was published just now.
    pub(crate) is_recalled: bool,
    /// For how long.
    pub(crate) expires_in: Duration,
}

impl Hub {
    /// Sends an event that came from elsewhere to the subscribers on this node, in the order of the calls.
    pub(crate) fn deliver_from_elsewhere(&self, app_id: &str, event: &ArrivedEvent<'_>) {
        let ArrivedEvent { channel, ref frame, latest, except, remembered, kept } = *event;
        let apps = self.apps();
        let Some(app) = apps.by_id(app_id) else { return };
        let message = Broadcast::new(frame.clone(), self.connection.compression);
        let message = match latest {
            None => message,
            Some(name) => {
                let message = message.latest_only(LatestKey { channel: channel.clone(), event: name.into() });
                if frame.is_binary() && is_still_from_elsewhere(app, channel, frame) {
                    message.for_stills()
                } else {
                    message
                }
            }
        };
        let number = |epoch| Some(StreamNumber { epoch, number: kept?.number });
        let numbered = self.engine_epoch().and_then(number);
        let was_delivered = numbered.filter(|_| kept.is_some_and(|kept| kept.is_delivered));
        if let Some(numbered) = was_delivered {
            app.number_event(self, channel, frame, numbered);
        }
        let is_delivered = was_delivered.is_some();
        let way = Way { app, channel, except, numbered };
        if let Some(RememberedAs { number, is_recalled, expires_in }) = remembered
            && channel.channel_type().is_cache()
        {
            let remembering = Remembering { number, is_recalled, is_delivered, ttl: expires_in };
            return self.broadcast_and_remember(&way, &message, remembering);
        }
        if !is_delivered {
            self.broadcast_by_mailboxes(&way, &message);
        }
    }

    /// Tells the backends on the pipe, and nobody else, of something that happened on another node. `groups` are those of
    /// which one backend of this node is to hear it.
    pub(crate) fn hear_from_elsewhere(&self, app_id: &str, notice: &Notice<'_>, groups: &[Arc<str>]) {
        let apps = self.apps();
        let Some(app) = apps.by_id(app_id) else { return };
        if let Some(listeners) = app.awake_listeners() {
            listeners.iter().for_each(|listener| listener.notice_elsewhere(app, notice, groups));
        }
    }

    /// Sends a frame to a connection of this node. `false` if there is no such connection.
    pub(crate) fn send_to_socket_from_elsewhere(&self, app_id: &str, socket: SocketId, frame: Frame) -> bool {
        let apps = self.apps();
        let Some(app) = apps.by_id(app_id) else { return false };
        self.send_to_socket(app, socket, || frame)
    }

    /// Ends a connection of this node, if there is such a one.
    pub(crate) fn close_socket_from_elsewhere(&self, app_id: &str, socket: SocketId) {
        if let Some(app) = self.apps().by_id(app_id) {
            self.close_socket(app, socket);
        }
    }

    /// Ends every connection of this node that is signed in as the user.
    pub(crate) fn terminate_from_elsewhere(&self, app_id: &str, user_id: &str) {
        if let Some(app) = self.apps().by_id(app_id) {
            self.terminate_user(app, user_id);
        }
    }

    /// Waits until no worker is far behind with what it was posted. For threads that are no worker's.
    pub(crate) async fn until_uncongested(&self) {
        loop {
            // It hears of what comes after this line, also while it is not polled.
            let relieved = self.relieved.notified();
            if !self.is_congested() {
                return;
            }
            // In vain or not, it is looked at again.
            let _ = timeout(LOOK_AGAIN, relieved).await;
        }
    }

    /// Sends a frame to a connection of this node, made only if there is one. `false` if there is none.
    pub(super) fn send_to_socket(
        &self,
        app: &AppState,
        socket: SocketId,
        frame: impl FnOnce() -> Frame,
    ) -> bool {
        self.post_to_socket(app, socket, |app| WorkerCommand::ToSocket { app, socket, frame: frame() })
    }
}

/// Whether a binary message that another node has accepted is a still of a video channel.
#[cold]
fn is_still_from_elsewhere(app: &AppState, channel: &ChannelName, frame: &Frame) -> bool {
    let message = app.app().video(channel).and_then(|_| BinaryMessage::parse(frame.payload()).ok());
    message.is_some_and(|message| is_still(&message.payload))
}

#[cfg(test)]
mod tests;
