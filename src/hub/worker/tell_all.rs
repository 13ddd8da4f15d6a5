//! What is said to all connections of a worker, or to all of one app: begun with a command or a tick, and gone on with in
//! each turn.

use crate::hub::AppIndex;
use crate::hub::rounds::SharedSignal;

use super::Worker;

/// Connections that are looked at, when those of one app are wanted, in the time in which one is given an event.
const LOOKS_PER_HEARER: usize = 16;

impl Worker {
    /// Begins to tell every connection there is now, of all apps or of one.
    pub(super) fn begin_round(&self, signal: SharedSignal, app: Option<AppIndex>, room: &mut usize) {
        let clients = self.clients.borrow();
        let of_app = clients.keys().filter(|(of, _)| app.is_none_or(|app| app == *of));
        self.rounds.begin(signal, of_app.copied().collect());
        *room = room.saturating_sub(clients.len() / LOOKS_PER_HEARER);
    }

    /// Begins to tell some more of the connections that there were when this was called first.
    pub(super) fn begin_round_of_some(&self, signal: SharedSignal, most: usize) {
        let mut draining = self.draining.borrow_mut();
        let names = draining.get_or_insert_with(|| {
            let names: Vec<_> = self.clients.borrow().keys().copied().collect();
            names.into_iter()
        });
        self.rounds.begin(signal, names.take(most).collect());
    }

    /// Goes on with what is being said to many connections. Returns whether that was all.
    pub(super) fn tell_rounds(&self) -> bool {
        let clients = self.clients.borrow();
        self.rounds.go_on(self.allowance.is_wanted(), |key, signal| {
            if let Some(client) = clients.get(key) {
                signal.tell(client);
            }
        })
    }
}
