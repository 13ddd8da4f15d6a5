//! What is asked about something that happens, before anything is made of it.

use super::FeedKind;
use crate::protocol::{SocketId, WrittenSocketId};

/// What filters ask about something that happens, before anything is made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedSubject<'s> {
    pub(crate) kind: FeedKind,
    pub(crate) app: Option<&'s str>,
    pub(crate) channel: Option<&'s str>,
    pub(crate) event: Option<&'s str>,
    pub(crate) socket: Option<SocketId>,
    pub(crate) user: Option<&'s str>,
}

impl<'s> FeedSubject<'s> {
    /// Something of this kind, of which nothing more is known.
    pub(crate) fn of(kind: FeedKind) -> Self {
        FeedSubject { kind, app: None, channel: None, event: None, socket: None, user: None }
    }

    /// The same in an app.
    pub(crate) fn in_app(kind: FeedKind, app: &'s str) -> Self {
        FeedSubject { app: Some(app), ..FeedSubject::of(kind) }
    }
}

/// The connection that this names, if one of a broker of this kind could be named so.
pub(super) fn own_socket(text: &str) -> Option<SocketId> {
    WrittenSocketId::parse(text).ok()?.ours()
}
