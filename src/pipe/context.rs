//! What a pipe can do to its app.

use std::ops::Deref;
use std::sync::Arc;

use crate::app::App;
use crate::channel::{HistoryPage, HistoryStart};
use crate::event::{AcceptedEvent, Destination};
use crate::hub::{AppState, Bus, ChannelSummary, Clock, Current, Hub, Receipts};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, InvalidChannelName, SERVER_TO_USER_PREFIX, SocketId};

/// The hands of a pipe: it sends, ends connections, and looks at channels, all within one app.
///
/// Nothing here waits. What is sent is on its way when the call returns, and what one caller sends to one channel or
/// connection arrives in that order. No pipe hears it, so that no loop can arise. The app's limits on payloads and
/// rates do not apply; names that begin with `pusher:` or `pusher_internal:` are the protocol's own, and clients believe
/// them.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    hub: Held<'a, Hub>,
    app: Held<'a, AppState>,
}

/// A share in something, or a loan of one: a loan costs nothing, and a share may be kept.
#[derive(Debug)]
enum Held<'a, T> {
    Borrowed(&'a Arc<T>),
    Owned(Arc<T>),
}

impl<'a> Context<'a> {
    /// On loan.
    pub(crate) fn borrowed(hub: &'a Arc<Hub>, app: &'a Arc<AppState>) -> Self {
        Context { hub: Held::Borrowed(hub), app: Held::Borrowed(app) }
    }

    /// A context that may be kept, and sent to other threads.
    pub fn into_owned(self) -> Context<'static> {
        Context { hub: Held::Owned(self.hub.share()), app: Held::Owned(self.app.share()) }
    }

    /// The app, as it is now.
    pub fn app(&self) -> Current<App> {
        self.app.app()
    }

    /// A rule did not pass an event on because of its pace.
    pub(super) fn count_paced_out(&self) {
        self.app.count(|cells| &cells.paced_out, 1);
    }

    /// A page of what a channel keeps: at most so many events, and so many bytes of them.
    pub(crate) async fn read_history(
        &self,
        channel: &ChannelName,
        start: HistoryStart,
        most: (usize, usize),
    ) -> Option<HistoryPage> {
        self.hub.read_history(&self.app, channel, start, most).await
    }

    /// The app's clock.
    pub(crate) fn clock(&self) -> &Clock {
        self.app.clock()
    }

    /// A channel of the app.
    ///
    /// # Errors
    /// If the name is not a valid one.
    pub fn channel(&self, name: &str) -> Result<ChannelName, InvalidChannelName> {
        ChannelName::parse(name, self.app().limits.channel_name_chars)
    }

    /// Sends an event to every subscriber of a channel, whatever its type. A cache channel remembers it.
    pub fn trigger(&self, channel: &ChannelName, event: &str, data: &Data<'_>) {
        self.trigger_except(channel, event, data, None);
    }

    /// As [`Context::trigger`], but for one connection, which does not get it.
    pub fn trigger_except(
        &self,
        channel: &ChannelName,
        event: &str,
        data: &Data<'_>,
        except: Option<SocketId>,
    ) {
        self.publish(channel, event, data, except, None);
    }

    /// As [`Context::trigger_except`]; `receipts` as of [`Hub::accept_for_receipt`], for whoever wants some.
    pub(crate) fn publish(
        &self,
        channel: &ChannelName,
        event: &str,
        data: &Data<'_>,
        except: Option<SocketId>,
        receipts: Option<&mut Receipts>,
    ) {
        let to = Destination::Subscribers { channel: channel.clone(), except };
        let event = AcceptedEvent::of_pipe(to, event, data.borrowed());
        match receipts {
            None => self.hub.accept(&self.app, &event),
            Some(receipts) => self.hub.accept_for_receipt(&self.app, &event, receipts),
        };
    }

    /// Hands the hub an event of the pipe. `false` if it is for one connection, and there is no such connection.
    pub(crate) fn accept(&self, event: &AcceptedEvent<'_>) -> bool {
        self.hub.accept(&self.app, event)
    }

    /// Sends an event to one connection, on no channel: pusher-js hands it to what is bound on the connection or, in
    /// the releases that had one, on the back channel. `false` if there is no such connection.
    #[must_use = "there may be no such connection"]
    pub fn send_to_socket(&self, socket_id: SocketId, event: &str, data: &Data<'_>) -> bool {
        self.accept(&AcceptedEvent::of_pipe(Destination::Connection(socket_id), event, data.borrowed()))
    }

    /// Sends an event to the connections that are signed in as a user. Returns how many there are, on all nodes.
    ///
    /// # Errors
    /// If the id holds a character that no channel name may hold, or is too long: nobody can be signed in by it.
    pub fn send_to_user(
        &self,
        user_id: &str,
        event: &str,
        data: &Data<'_>,
    ) -> Result<usize, InvalidChannelName> {
        self.publish_to_user(user_id, event, data, None)
    }

    /// The same; `receipts` as of [`Context::publish`].
    pub(crate) fn publish_to_user(
        &self,
        user_id: &str,
        event: &str,
        data: &Data<'_>,
        receipts: Option<&mut Receipts>,
    ) -> Result<usize, InvalidChannelName> {
        let channel = self.channel(&format!("{SERVER_TO_USER_PREFIX}{user_id}"))?;
        let connections = self.app.subscription_count(&channel);
        self.publish(&channel, event, data, None, receipts);
        Ok(connections)
    }

    /// Ends a connection with 4009, on whichever node it is. `false` if there is no such connection on this node, and no
    /// other node that it may be on.
    pub fn close_socket(&self, socket_id: SocketId) -> bool {
        self.hub.close_socket_everywhere(&self.app, socket_id)
    }

    /// How a channel is occupied; `None` if nobody is subscribed.
    pub fn channel_state(&self, channel: &ChannelName) -> Option<ChannelSummary> {
        self.app.channel(channel)
    }

    /// The occupied channels whose names begin with `prefix`, in no particular order.
    pub fn channels(&self, prefix: &str) -> Vec<ChannelSummary> {
        self.app.channels(prefix)
    }

    /// The first `most` by name of the occupied channels whose names begin with `prefix` and come behind `after`.
    pub fn channels_behind(&self, after: &str, prefix: &str, most: usize) -> Vec<ChannelSummary> {
        self.app.channels_behind(after, prefix, most)
    }

    /// The distinct members of a presence channel, in the order in which they came.
    pub fn user_ids(&self, channel: &ChannelName) -> Vec<String> {
        self.app.user_ids(channel)
    }

    /// Whether some worker of the broker is far behind, so that whoever sends much should wait.
    pub fn is_congested(&self) -> bool {
        self.hub.is_congested()
    }

    /// What carries to the other nodes, where there are some.
    pub(crate) fn bus(&self) -> Option<Arc<dyn Bus>> {
        self.hub.bus()
    }

    /// Whether the broker has begun to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.hub.shutdown().is_some()
    }
}

impl<T> Held<'_, T> {
    fn share(&self) -> Arc<T> {
        Arc::clone(self)
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        match self {
            Held::Borrowed(share) => share,
            Held::Owned(share) => share,
        }
    }
}

impl<T> Clone for Held<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Held::Borrowed(share) => Held::Borrowed(share),
            Held::Owned(share) => Held::Owned(Arc::clone(share)),
        }
    }
}
