//! Who is connected to an app under test: as whom, and subscribed to what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::protocol::SocketId;

use super::AppUnderTest;

/// Who is connected.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) sockets: HashMap<SocketId, Connected>,
    /// Numbers them in the order in which they came.
    pub(super) last: u64,
}

#[derive(Debug, Default)]
pub(super) struct Connected {
    pub(super) number: u64,
    pub(super) user_id: Option<Arc<str>>,
    /// What it is subscribed to, and as which member where that is a presence channel.
    pub(super) channels: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

impl Connected {
    /// Whom it is signed in as, and whom it is a member as.
    pub(super) fn users(&self) -> impl Iterator<Item = &Arc<str>> {
        self.user_id.iter().chain(self.channels.values().flatten())
    }
}

/// One connection, as tests see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionSummary {
    /// By which publishers exclude it, and tests end it.
    pub socket_id: String,
    /// Whom it is signed in as.
    pub user_id: Option<Arc<str>>,
    /// What it is subscribed to.
    pub channels: Vec<Arc<str>>,
}

impl AppUnderTest {
    /// The connections, in the order in which they came.
    pub fn connections(&self) -> Vec<ConnectionSummary> {
        let roster = self.roster.lock();
        let mut sockets: Vec<_> = roster.sockets.iter().collect();
        sockets.sort_unstable_by_key(|(_, connected)| connected.number);
        let summary = |(id, connected): (&SocketId, &Connected)| ConnectionSummary {
            socket_id: id.to_string(),
            user_id: connected.user_id.clone(),
            channels: connected.channels.keys().cloned().collect(),
        };
        sockets.into_iter().map(summary).collect()
    }

    /// Whom a connection is signed in as, and whom it is a member of presence channels as.
    pub(in crate::test_mode) fn users_of(&self, socket: SocketId) -> Vec<Arc<str>> {
        self.roster
            .lock()
            .sockets
            .get(&socket)
            .map(|connected| connected.users().cloned().collect())
            .unwrap_or_default()
    }

    /// Whom a connection is signed in as, or else a member as.
    pub(in crate::test_mode) fn user_of(&self, socket: SocketId) -> Option<Arc<str>> {
        self.roster.lock().sockets.get(&socket).and_then(|connected| connected.users().next().cloned())
    }

    /// Who is connected, in a sentence for whoever meant somebody else.
    pub(super) fn who_is_there(&self) -> String {
        const SHOWN: usize = 10;
        let roster = self.roster.lock();
        let mut sockets: Vec<_> = roster.sockets.iter().collect();
        sockets.sort_unstable_by_key(|(_, connected)| connected.number);
        let one = |(id, connected): &(&SocketId, &Connected)| {
            let users: BTreeSet<&str> = connected.users().map(|user| &**user).collect();
            let channels: Vec<&str> = connected.channels.keys().take(SHOWN).map(|name| &**name).collect();
            let users = if users.is_empty() { String::new() } else { format!(" of user {users:?}") };
            let channels = if channels.is_empty() { String::new() } else { format!(" on {channels:?}") };
            format!("{id}{users}{channels}")
        };
        match sockets.len() {
            0 => "nobody is connected".to_owned(),
            many if many > SHOWN => {
                let shown: Vec<_> = sockets[..SHOWN].iter().map(one).collect();
                format!("connected are {} and {} others", shown.join(", "), many - SHOWN)
            }
            _ => format!("connected are {}", sockets.iter().map(one).collect::<Vec<_>>().join(", ")),
        }
    }

    pub(super) fn enter(&self, socket: SocketId, change: impl FnOnce(&mut Connected)) {
        if let Some(connected) = self.roster.lock().sockets.get_mut(&socket) {
            change(connected);
        }
    }
}
