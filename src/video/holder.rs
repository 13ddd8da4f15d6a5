//! Who holds a track: nobody else films on it until that one has gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{ChannelName, SocketId, TrackMessage};

/// How long a track is kept for a holder that has gone.
pub(super) const HELD_FOR: Duration = Duration::from_secs(5);

/// Connections that a holder has taken over from, which cannot take over from it in turn: of two that believe to be the same
/// publisher one would cut the other off for ever.
const DISPLACED: usize = 8;

/// Who sends messages of tracks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filmer<'a> {
    /// A client, on this channel and with this event name: those of what it has sent, where a rule passes that on.
    Client { socket: SocketId, user_id: Option<&'a Arc<str>>, channel: &'a ChannelName, event: &'a str },
    /// A hook or a backend. They are not told apart.
    Backend,
}

/// Who holds a track.
#[derive(Clone, Debug)]
pub(super) struct TrackHolder {
    client: Option<FilmingClient>,
    publisher: Option<Box<str>>,
    /// Since when it is known to have gone; of a backend, when it was last heard.
    gone_since: Option<Instant>,
    displaced: Vec<SocketId>,
}

/// The client that holds a track.
#[derive(Clone, Debug)]
pub(super) struct FilmingClient {
    pub(super) socket: SocketId,
    user_id: Option<Arc<str>>,
    /// Where it sends, and what: there it is told what concerns it.
    pub(super) channel: ChannelName,
    pub(super) event: Box<str>,
}

/// What a message means for who holds its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldClaim {
    /// It is the holder's.
    Own,
    /// It is the holder's, on another connection.
    Returns,
    /// The holder has gone for good.
    Free,
    /// It is somebody else's.
    Held,
}

impl TrackHolder {
    pub(super) fn new(filmer: &Filmer<'_>, message: &TrackMessage, now: Instant) -> Self {
        let (client, gone_since) = match *filmer {
            Filmer::Backend => (None, Some(now)),
            Filmer::Client { socket, user_id, channel, event } => {
                let (user_id, channel) = (user_id.cloned(), channel.clone());
                (Some(FilmingClient { socket, user_id, channel, event: event.into() }), None)
            }
        };
        TrackHolder { client, publisher: message.publisher.clone(), gone_since, displaced: Vec::new() }
    }

    /// The client that it is.
    pub(super) fn client(&self) -> Option<&FilmingClient> {
        self.client.as_ref()
    }

    /// Who this message comes from.
    pub(super) fn claim(
        &mut self,
        filmer: &Filmer<'_>,
        message: &TrackMessage,
        now: Instant,
        is_connected: &dyn Fn(SocketId) -> bool,
    ) -> HoldClaim {
        match (filmer, &self.client) {
            (Filmer::Backend, None) => {
                self.gone_since = Some(now);
                return HoldClaim::Own;
            }
            (Filmer::Client { socket, .. }, Some(holder)) if *socket == holder.socket => {
                self.gone_since = None;
                return HoldClaim::Own;
            }
            _ => {}
        }
        if self.has_gone(now, is_connected) {
            return HoldClaim::Free;
        }
        let Filmer::Client { socket, user_id, .. } = filmer else { return HoldClaim::Held };
        let is_user = user_id
            .is_some_and(|id| self.client.as_ref().is_some_and(|client| client.user_id.as_ref() == Some(id)));
        let is_publisher = message.publisher.is_some() && message.publisher == self.publisher;
        if (is_user || is_publisher) && !self.displaced.contains(socket) {
            HoldClaim::Returns
        } else {
            HoldClaim::Held
        }
    }

    /// The same publisher holds it on another connection.
    pub(super) fn move_to(&mut self, filmer: &Filmer<'_>, message: &TrackMessage, now: Instant) {
        let mut displaced = std::mem::take(&mut self.displaced);
        if let Some(client) = &self.client {
            if displaced.len() == DISPLACED {
                displaced.remove(0);
            }
            displaced.push(client.socket);
        }
        *self = TrackHolder { displaced, ..TrackHolder::new(filmer, message, now) };
    }

    /// A subscription of a connection to the channel of the track has ended.
    pub(super) fn left(&mut self, socket: SocketId, channel: &ChannelName, now: Instant) {
        if let Some(client) = &self.client
            && client.socket == socket
            && client.channel == *channel
        {
            self.gone_since.get_or_insert(now);
        }
    }

    /// Whether it has gone, and its time is over.
    pub(super) fn has_gone(&mut self, now: Instant, is_connected: &dyn Fn(SocketId) -> bool) -> bool {
        if let Some(client) = &self.client
            && self.gone_since.is_none()
            && !is_connected(client.socket)
        {
            self.gone_since = Some(now);
        }
        self.gone_since.is_some_and(|since| since + HELD_FOR <= now)
    }
}
