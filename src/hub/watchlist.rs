//! Those who watch a user are told that it has come online, or gone offline.

use std::sync::Arc;

use indexmap::set::Slice;

use crate::protocol::server_message;

use super::users::Address;
use super::{AppState, Hub};

impl Hub {
    /// The user has come online: on this node or on another, and it was on none before.
    pub(super) fn tell_online(&self, app: &AppState, user_id: &Arc<str>, watchers: &Slice<Address>) {
        let came = || server_message::watchlist_events(std::slice::from_ref(user_id), &[]);
        self.post_to_sockets(app, watchers, came);
    }

    /// The user has gone offline: it is on no node any more.
    pub(super) fn tell_offline(&self, app: &AppState, user_id: &Arc<str>, watchers: &Slice<Address>) {
        let gone = || server_message::watchlist_events(&[], std::slice::from_ref(user_id));
        self.post_to_sockets(app, watchers, gone);
    }
}
