//! A worker's clock ticks: what is due is begun, and gone on with in each turn.

use std::time::Instant;

use crate::hub::rounds::SharedSignal;

use super::Worker;

/// Times of the clock that are looked at in one turn of a sweep: some tenth of a millisecond's worth.
const SWEPT_PER_TURN: usize = 2048;

impl Worker {
    pub(super) fn tick(&self) {
        // What is global needs one worker to look after it.
        if self.index == 0 {
            self.expiring.set(true);
            self.hub.tell_conflated();
            self.hub.sweep_tracks();
        }
        let (now, mut due) = (Instant::now(), Vec::new());
        self.counts.tick(now);
        let mut wheel = self.wheel.borrow_mut();
        wheel.turn(now, |key| due.push(key));
        self.rounds.begin(SharedSignal::Timer, due);
        let clients = self.clients.borrow().len();
        // Connections that come and go quickly leave their times behind. They are swept before they are half of all, so
        // that a sweep costs no more than putting them in did.
        if wheel.len() > 2 * clients {
            wheel.begin_sweep();
        }
        self.dirty.shrink(clients);
    }

    /// Goes on with what a tick has begun. Returns whether that was all.
    pub(super) fn clean_up(&self) -> bool {
        let all_expired = !self.expiring.get()
            || [self.hub.expire_caches(), self.hub.expire_histories(), self.hub.names.expire()] == [true; 3];
        self.expiring.set(!all_expired);
        let all_told = self.counts.tell(&self.hub);
        let clients = self.clients.borrow();
        let all_swept = self.wheel.borrow_mut().sweep(SWEPT_PER_TURN, |key| clients.contains_key(key));
        all_expired && all_told && all_swept
    }
}
