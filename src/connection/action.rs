//! What a connection asks its driver to do.

use std::sync::Arc;

use crate::channel::{JoinRefused, Member, Wanted};
use crate::event::AcceptedEvent;
use crate::protocol::{ChannelName, CloseCode, Frame};

use super::{HeldMessage, JoinNumber, Refusal, SignedInUser, ViewerRequest};

/// One thing to do, in the order given.
#[derive(Clone, Debug)]
pub enum Action<'m> {
    /// Send this to the client.
    Send(Frame),
    /// Ping the client by the means of the transport.
    Ping,
    /// Tell the client, and the log, that something it asked for was not done.
    Refuse(Refusal),
    /// Subscribe it, and give the result to [`Connection::joined`](super::Connection::joined), now or later.
    Join(Join),
    /// End its subscription, or cancel its join that has not been answered.
    Leave(ChannelName),
    /// Sign it in, and if that succeeds, call [`Connection::signed_in`](super::Connection::signed_in).
    SignIn(Box<SignIn>),
    /// It need not authorize itself any more: count it towards the app's quota, or end it if there is no room.
    Authorize,
    /// Hand its event, which was accepted, to the hub.
    Accept(AcceptedEvent<'m>),
    /// Do what it asks for as a viewer of tracks.
    Watch(Box<ViewerRequest>),
    /// End the connection.
    Close(CloseCode),
}

/// A subscription that the client may have as far as the connection knows.
#[derive(Clone, Debug)]
pub struct Join {
    /// Where the client wants to be a subscriber.
    pub channel: ChannelName,
    /// Who joins, on presence channels.
    pub member: Option<Member>,
    /// This authorizes the connection: it is to be counted towards the app's quota first.
    pub authorizes: bool,
    /// What the answer must name.
    pub number: JoinNumber,
    /// What was asked for of the channel's history, if anything was.
    pub(crate) wanted: Option<Box<Wanted>>,
}

impl Join {
    /// One without a member, that authorizes nothing and asks for nothing of the channel's history.
    pub fn plain(channel: ChannelName, number: JoinNumber) -> Self {
        Join { channel, member: None, authorizes: false, number, wanted: None }
    }
}

/// The answer to a join that had to wait.
#[derive(Clone, Debug)]
pub struct JoinAnswer {
    /// What it was to.
    pub channel: ChannelName,
    /// Which it was.
    pub number: JoinNumber,
    /// Whether it has become a subscription.
    pub result: Result<(), NotJoined>,
}

/// Why a join did not become a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotJoined {
    /// The channel refused it.
    Refused(JoinRefused),
    /// The connection had to authorize itself by it, and its app has all the connections it may have.
    AppFull,
}

/// What to do when a join has been answered.
#[derive(Debug, Default)]
pub struct Answered {
    /// First this.
    pub action: Option<Action<'static>>,
    /// Then these are to be received.
    pub held: Vec<HeldMessage>,
}

/// A sign-in that passed every check.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The user, to be made known.
    pub user: SignedInUser,
    /// The answer, to be sent then.
    pub answer: Frame,
    /// Whom it watches, where the app has that switched on.
    pub watchlist: Vec<Arc<str>>,
    /// What to tell it of a watchlist that is too long.
    pub warning: Option<Refusal>,
    /// This authorizes the connection: it is to be counted towards the app's quota first.
    pub authorizes: bool,
}
