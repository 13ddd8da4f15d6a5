//! Who holds a track: nobody else films on it until that one has gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{ChannelName, SocketId, TrackKind, TrackMessage, TrackName};

use super::claim::{FilmingClaim, TrackMoves};
use super::doubt::HolderDoubt;
use super::wishes::TrackRequest;

/// How long a track is kept for a holder that has gone.
pub(super) const HELD_FOR: Duration = Duration::from_secs(5);

/// So long after somebody has taken a track, what comes from another node may have been sent before that node knew.
const CROSSES_WITHIN: Duration = Duration::from_secs(1);

/// Connections that a holder has taken over from, which cannot take over from it in turn: of two that believe to be the same
/// publisher one would cut the other off for ever.
const DISPLACED: usize = 8;

/// Another node of the broker, by the bits of its id: there is nothing else of it that tracks know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OtherNode(pub(crate) u128);

/// Who sends messages of tracks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Filmer<'a> {
    /// A client, on this channel and with this event name: those of what it has sent, where a rule passes that on.
    Client { socket: SocketId, user_id: Option<&'a Arc<str>>, channel: &'a ChannelName, event: &'a str },
    /// A hook or a backend of this node. They are not told apart.
    Backend,
    /// Whoever holds the track on another node, which has judged that; and the member that it is, if that is told.
    Elsewhere { node: OtherNode, user_id: Option<&'a str> },
}

/// Who holds a track.
#[derive(Clone, Debug)]
pub(super) struct TrackHolder {
    place: HolderPlace,
    user_id: Option<Arc<str>>,
    publisher: Option<Box<str>>,
    since: Instant,
    /// Since when it is known to have gone; of what is no client of this node, when it was last heard.
    gone_since: Option<Instant>,
    /// It may be a client that may film no longer.
    doubt: Option<HolderDoubt>,
    displaced: Vec<SocketId>,
    moves: TrackMoves,
    /// Other nodes have been told of it, if it is theirs to know.
    is_told: bool,
    /// When another node, which does not seem to know of it, was told again.
    told_again_at: Option<Instant>,
    /// When others were told that it has filmed for longer than they.
    said_older_at: Option<Instant>,
    /// What comes from another node while nothing comes of it.
    rival: Option<RivalNode>,
}

/// A node from which something comes of a track that is held on another one, of which nothing comes meanwhile.
#[derive(Clone, Copy, Debug)]
struct RivalNode {
    node: OtherNode,
    since: Instant,
    last: Instant,
}

/// Where the holder of a track is.
#[derive(Clone, Debug)]
pub(super) enum HolderPlace {
    /// A client of this node.
    Client(FilmingClient),
    /// A hook or a backend of this node.
    Backend,
    /// It is on another node.
    Elsewhere(OtherNode),
}

/// The same, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    /// A client of this node.
    Client(SocketId),
    /// A hook or a backend of this node.
    Backend,
    /// It is on another node.
    Elsewhere(OtherNode),
}

/// The client that holds a track.
#[derive(Clone, Debug)]
pub(super) struct FilmingClient {
    pub(super) socket: SocketId,
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
    /// Nothing comes of the holder, and this comes from another node as if there were none.
    Succeeds,
    /// The holder has gone for good.
    Free,
    /// It is somebody else's.
    Held,
}

/// What becomes of who holds a track, where a client of another node films it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rivalry {
    /// It goes on, and the other one is told so by what it has been told already.
    Stays,
    /// It goes on, and the other node is to hear of it.
    StaysAndSays,
    /// It is refused from now on.
    Yields,
}

impl HolderPlace {
    /// Where somebody is who films.
    pub(super) fn of(filmer: &Filmer<'_>) -> Self {
        match *filmer {
            Filmer::Backend => HolderPlace::Backend,
            Filmer::Elsewhere { node, .. } => HolderPlace::Elsewhere(node),
            Filmer::Client { socket, channel, event, .. } => {
                HolderPlace::Client(FilmingClient { socket, channel: channel.clone(), event: event.into() })
            }
        }
    }
}

impl Filmer<'_> {
    fn user_id(&self) -> Option<&str> {
        match self {
            Filmer::Client { user_id, .. } => user_id.map(|id| &**id),
            Filmer::Backend => None,
            Filmer::Elsewhere { user_id, .. } => *user_id,
        }
    }
}

impl TrackHolder {
    pub(super) fn new(filmer: &Filmer<'_>, message: &TrackMessage, now: Instant) -> Self {
        let place = HolderPlace::of(filmer);
        let gone_since = (!matches!(place, HolderPlace::Client(_))).then_some(now);
        let user_id = match filmer {
            Filmer::Client { user_id, .. } => user_id.cloned(),
            _ => filmer.user_id().map(Arc::from),
        };
        let publisher = message.publisher.clone();
        TrackHolder {
            place,
            user_id,
            publisher,
            since: now,
            gone_since,
            doubt: None,
            displaced: Vec::new(),
            moves: TrackMoves::default(),
            is_told: false,
            told_again_at: None,
            said_older_at: None,
            rival: None,
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &HolderPlace {
        &self.place
    }

    /// The client that it is.
    pub(super) fn client(&self) -> Option<&FilmingClient> {
        match &self.place {
            HolderPlace::Client(client) => Some(client),
            HolderPlace::Backend | HolderPlace::Elsewhere(_) => None,
        }
    }

    /// Where it is, the member that it is, and for how long it has held the track.
    pub(super) fn held_by(&self, now: Instant) -> (HeldBy, Option<Arc<str>>, Duration) {
        let place = match &self.place {
            HolderPlace::Client(client) => HeldBy::Client(client.socket),
            HolderPlace::Backend => HeldBy::Backend,
            HolderPlace::Elsewhere(node) => HeldBy::Elsewhere(*node),
        };
        (place, self.user_id.clone(), now.saturating_duration_since(self.since))
    }

    /// Who this message comes from.
    pub(super) fn claim(
        &mut self,
        filmer: &Filmer<'_>,
        message: &TrackMessage,
        now: Instant,
        is_connected: &dyn Fn(SocketId) -> bool,
    ) -> HoldClaim {
        match (filmer, &self.place) {
            (Filmer::Backend, HolderPlace::Backend) => {
                self.gone_since = Some(now);
                return HoldClaim::Own;
            }
            (Filmer::Elsewhere { node, .. }, HolderPlace::Elsewhere(holder)) if node == holder => {
                (self.gone_since, self.rival) = (Some(now), None);
                if message.is_key {
                    // That node has judged who may take over there, and it may be another one.
                    self.publisher.clone_from(&message.publisher);
                    self.user_id = filmer.user_id().map(Arc::from);
                }
                return HoldClaim::Own;
            }
            (Filmer::Client { socket, .. }, HolderPlace::Client(holder)) if *socket == holder.socket => {
                self.gone_since = None;
                self.doubt = self.doubt.and_then(|doubt| doubt.after_message(now));
                return HoldClaim::Own;
            }
            _ => {}
        }
        let is_from_elsewhere = matches!(filmer, Filmer::Elsewhere { .. });
        if self.has_gone(now, is_connected) || is_from_elsewhere && self.is_doubtful(now) {
            return HoldClaim::Free;
        }
        let may_return = match filmer {
            Filmer::Client { socket, .. } => !self.displaced.contains(socket),
            Filmer::Backend => false,
            Filmer::Elsewhere { .. } => self.since + CROSSES_WITHIN <= now,
        };
        let is_user = filmer.user_id().is_some_and(|id| self.user_id.as_deref() == Some(id));
        let is_publisher = message.publisher.is_some() && message.publisher == self.publisher;
        if may_return && (is_user || is_publisher) {
            HoldClaim::Returns
        } else if self.has_lost_to(filmer, now) {
            HoldClaim::Succeeds
        } else {
            HoldClaim::Held
        }
    }

    /// Whether this comes from a node that goes on to send the track while the holder's node does not. Nodes whose clients film
    /// agree on who goes on, and this one may not have heard of it.
    fn has_lost_to(&mut self, filmer: &Filmer<'_>, now: Instant) -> bool {
        let (Filmer::Elsewhere { node, .. }, HolderPlace::Elsewhere(_)) = (filmer, &self.place) else {
            return false;
        };
        let goes_on = |rival: &RivalNode| rival.node == *node && rival.last + CROSSES_WITHIN > now;
        let since = self.rival.filter(goes_on).map_or(now, |rival| rival.since);
        self.rival = Some(RivalNode { node: *node, since, last: now });
        since + CROSSES_WITHIN <= now
    }

    /// A client of this node holds it from now on, and other nodes have not been told of that.
    pub(super) fn has_to_be_told(&mut self) -> bool {
        self.client().is_some() && !std::mem::replace(&mut self.is_told, true)
    }

    /// What another node goes on to send is refused here, long after it should know of the client that holds this: whether it is
    /// told again.
    pub(super) fn has_to_be_told_again(&mut self, now: Instant) -> bool {
        let is_due = self.client().is_some()
            && self.since + CROSSES_WITHIN <= now
            && !self.is_doubtful(now)
            && self.told_again_at.is_none_or(|at| at + CROSSES_WITHIN <= now);
        if is_due {
            self.told_again_at = Some(now);
        }
        is_due
    }

    /// What another node is told of it: that it has filmed for longer, where that is so or is to count as so.
    pub(super) fn claim_against(
        &mut self,
        name: &TrackName,
        kind: TrackKind,
        is_older: bool,
        now: Instant,
    ) -> Box<FilmingClaim> {
        if is_older {
            self.said_older_at = Some(now);
        }
        self.claim_of(name, kind, is_older)
    }

    /// What other nodes are told of it.
    pub(super) fn claim_of(&self, name: &TrackName, kind: TrackKind, is_older: bool) -> Box<FilmingClaim> {
        let (channel, of) = (name.channel.clone(), TrackRequest::of(name));
        let (publisher, user_id) = (self.publisher.clone(), self.user_id.as_deref().map(Box::from));
        Box::new(FilmingClaim { channel, of, kind, publisher, user_id, is_older, moves: self.moves })
    }

    /// A client of another node films as well, and this is what is told of it: who goes on, as far as this node can know. Of two who
    /// have begun at the same time it is the one on the node with the lower id.
    pub(super) fn stays(
        &self,
        claim: &FilmingClaim,
        (from, own): (OtherNode, OtherNode),
        now: Instant,
    ) -> Rivalry {
        let is_user = claim.user_id.is_some() && claim.user_id.as_deref() == self.user_id.as_deref();
        let is_same = is_user || claim.publisher.is_some() && claim.publisher == self.publisher;
        let is_later = is_same && claim.moves.is_ahead_of(self.moves);
        let is_earlier = is_same && self.moves.is_ahead_of(claim.moves);
        let has_just_begun = self.since + CROSSES_WITHIN > now;
        // Where both say so, the same one of them goes on for both.
        let says_older_too =
            own < from && self.said_older_at.is_some_and(|said_at| said_at + CROSSES_WITHIN > now);
        match (&self.place, has_just_begun) {
            (HolderPlace::Backend, _) => Rivalry::Stays,
            (HolderPlace::Elsewhere(node), _) if *node == from => Rivalry::Stays,
            (HolderPlace::Elsewhere(_), _) if is_later => Rivalry::Yields,
            (HolderPlace::Elsewhere(node), true) if from < *node && !is_earlier => Rivalry::Yields,
            // Whoever has filmed there for longer says so itself.
            (HolderPlace::Elsewhere(_), _) => Rivalry::Stays,
            (HolderPlace::Client(_), _) if is_later || self.is_doubtful(now) => Rivalry::Yields,
            (HolderPlace::Client(_), _) if claim.is_older && says_older_too => Rivalry::Stays,
            (HolderPlace::Client(_), _) if claim.is_older => Rivalry::Yields,
            (HolderPlace::Client(_), true) if from < own && !is_earlier => Rivalry::Yields,
            (HolderPlace::Client(_), true) if is_same => Rivalry::Stays,
            // It has gone there.
            (HolderPlace::Client(_), false) if is_same => Rivalry::Yields,
            (HolderPlace::Client(_), _) => Rivalry::StaysAndSays,
        }
    }

    /// It is on another node from now on. Where it was on another one before, and that one may know better, it is kept for no longer
    /// than what is on its way may take, as long as nothing comes from there.
    pub(super) fn yield_to(&mut self, node: OtherNode, claim: &FilmingClaim, now: Instant) {
        self.displace();
        let kept_for = if self.client().is_some() { HELD_FOR } else { CROSSES_WITHIN };
        self.place = HolderPlace::Elsewhere(node);
        (self.publisher, self.user_id) = (claim.publisher.clone(), claim.user_id.as_deref().map(Arc::from));
        self.moves = claim.moves;
        (self.doubt, self.rival) = (None, None);
        (self.since, self.gone_since) = (now, now.checked_sub(HELD_FOR - kept_for).or(Some(now)));
    }

    /// It is where this was said, and nothing else is new.
    pub(super) fn hear_of_moves(&mut self, node: OtherNode, claim: &FilmingClaim) {
        if matches!(self.place, HolderPlace::Elsewhere(holder) if holder == node) {
            self.moves = claim.moves;
        }
    }

    /// The client that it is cannot take it over again.
    fn displace(&mut self) {
        if let HolderPlace::Client(client) = &self.place {
            if self.displaced.len() == DISPLACED {
                self.displaced.remove(0);
            }
            self.displaced.push(client.socket);
        }
    }

    /// Who films on another node holds it from now on.
    pub(super) fn give_up_to(&mut self, filmer: &Filmer<'_>, message: &TrackMessage, now: Instant) {
        let displaced = std::mem::take(&mut self.displaced);
        *self = TrackHolder { displaced, ..TrackHolder::new(filmer, message, now) };
    }

    /// The same publisher holds it on another connection.
    pub(super) fn move_to(&mut self, filmer: &Filmer<'_>, message: &TrackMessage, now: Instant) {
        self.displace();
        let displaced = std::mem::take(&mut self.displaced);
        let moves = self.moves.next();
        *self = TrackHolder { displaced, moves, ..TrackHolder::new(filmer, message, now) };
    }

    /// A subscription of a connection to the channel of the track has ended.
    pub(super) fn left(&mut self, socket: SocketId, channel: &ChannelName, now: Instant) {
        if let HolderPlace::Client(client) = &self.place
            && client.socket == socket
            && client.channel == *channel
        {
            self.gone_since.get_or_insert(now);
        }
    }

    /// Whether it may be a client that may film no longer, of which nothing has come since the settings have changed: no other node
    /// is to believe in it.
    fn is_doubtful(&self, now: Instant) -> bool {
        self.doubt.is_some_and(|doubt| doubt.since() + CROSSES_WITHIN <= now)
    }

    /// It may be a client that may film no longer: what it sends will tell.
    pub(super) fn doubt(&mut self, now: Instant) {
        self.doubt = Some(HolderDoubt::raised(self.doubt, now));
    }

    /// Whether it has gone, and its time is over.
    pub(super) fn has_gone(&mut self, now: Instant, is_connected: &dyn Fn(SocketId) -> bool) -> bool {
        if let HolderPlace::Client(client) = &self.place
            && self.gone_since.is_none()
            && !is_connected(client.socket)
        {
            self.gone_since = Some(now);
        }
        let since = [self.gone_since, self.doubt.map(|doubt| doubt.since())];
        since.into_iter().flatten().any(|since| since + HELD_FOR <= now)
    }
}
