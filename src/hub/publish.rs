//! An event on its way to the subscribers of its channel: encoded once, and handed to each worker that has some.

use std::sync::Arc;

use tracing::{Level, enabled};

use crate::app::Delivery;
use crate::channel::{CachedEvent, WorkerIndex};
use crate::protocol::json::Data;
use crate::protocol::{Broadcast, ChannelName, LatestKey, SocketId, server_message};

use super::mailbox::Letter;
use super::worker::HEARERS_PER_TURN;
use super::{AppState, Heard, Hub, Notice, Timed, Worker, accepted};

/// An event to be published on one channel.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    /// Where to.
    pub channel: &'a ChannelName,
    /// Its name.
    pub event: &'a str,
    /// Its payload.
    pub data: &'a Data<'a>,
    /// On presence channels, the member that sent it.
    pub user_id: Option<&'a str>,
    /// The connection that does not get it.
    pub except: Option<SocketId>,
    /// A cache channel remembers it. What clients send is not remembered.
    pub remember: bool,
}

impl Hub {
    /// Carries an event that was accepted: to the subscribers, if they are to hear it, and then to those who listen to the
    /// app.
    pub fn carry(
        self: &Arc<Self>,
        app: &Arc<AppState>,
        publication: Option<&Publication<'_>>,
        heard: Heard<'_>,
    ) {
        let _step = app.begin_step();
        app.interceptor().accepted(&heard);
        if enabled!(Level::DEBUG) {
            accepted::tell(app, publication, &heard);
        }
        if let Some(publication) = publication {
            self.publish(app, publication);
        }
        self.announce(app, &Notice::Event(heard));
    }

    /// Publishes an event that nobody who listens to the app hears. `source` is what the log says of where it came from.
    pub fn publish_unannounced(&self, app: &AppState, publication: &Publication<'_>, source: &'static str) {
        if enabled!(Level::DEBUG) {
            accepted::tell_unannounced(app, publication, source);
        }
        self.publish(app, publication);
    }

    /// Sends an event to every subscriber of a channel. From a worker's thread its own subscribers are reached
    /// directly, and events of one publisher stay in order everywhere.
    pub fn publish(&self, app: &AppState, publication: &Publication<'_>) {
        if publication.remember && publication.channel.channel_type().is_cache() {
            return self.publish_and_remember(app, publication);
        }
        let Publication { channel, except, .. } = *publication;
        let own = Worker::current(self);
        let mut direct = None;
        {
            // Posted under the entry, so that a letter to a worker always follows its subscription.
            let Some(entry) = app.channels.get(channel) else { return };
            let message = self.encode(app, publication);
            for (worker, hearers) in entry.subscribers().groups() {
                let is_own = own.as_ref().is_some_and(|own| own.index() == worker);
                if is_own && hearers <= HEARERS_PER_TURN && self.mailbox(worker).is_empty() {
                    direct = Some(message.clone());
                    continue;
                }
                self.post_broadcast(worker, app, channel, &message, except, 0);
            }
        }
        if let (Some(worker), Some(message)) = (own, direct) {
            worker.deliver(app.index(), channel, &message, except, 0);
        }
    }

    /// As [`Hub::publish`], on a cache channel. The event gets a version, so that a subscriber that is given it as
    /// the remembered one does not hear it again.
    fn publish_and_remember(&self, app: &AppState, publication: &Publication<'_>) {
        let Publication { channel, except, .. } = *publication;
        let message = self.encode(app, publication);
        let frame = message.plain().clone();
        let settings = app.app();
        let (bytes, expires) = (frame.websocket().len(), app.clock().now() + settings.cache_ttl);
        let (_, due) = app.clock().wait_until(expires, Timed::CacheExpiry);
        let forgotten = {
            let mut entry = app.channels.entry(channel.clone()).or_default();
            let version = self.next_version();
            entry.remember(CachedEvent { frame, expires, version });
            for worker in entry.subscribers().workers() {
                self.post_broadcast(worker, app, channel, &message, except, version);
            }
            // Under the entry: of two publishers the one that the channel remembers is the last one to be noted, too.
            app.cache.lock().remember(channel, version, bytes, (expires, due), &settings.limits)
        };
        app.forget(forgotten);
    }

    fn encode(&self, app: &AppState, publication: &Publication<'_>) -> Broadcast {
        let Publication { channel, event, data, user_id, .. } = *publication;
        let frame = match data.as_binary() {
            None => server_message::channel_event(event, data, channel, user_id),
            Some(payload) => server_message::binary_event(event, payload, channel, user_id),
        };
        let message = Broadcast::new(frame, self.connection.compression);
        match app.app().delivery(channel) {
            Delivery::Every => message,
            Delivery::Latest => {
                message.latest_only(LatestKey { channel: channel.clone(), event: event.into() })
            }
        }
    }

    pub(super) fn post_broadcast(
        &self,
        worker: WorkerIndex,
        app: &AppState,
        channel: &ChannelName,
        message: &Broadcast,
        except: Option<SocketId>,
        version: u64,
    ) {
        let (app, channel, message) = (app.index(), channel.clone(), message.clone());
        self.mailbox(worker).post(Letter::Broadcast { app, channel, message, except, version });
    }
}
