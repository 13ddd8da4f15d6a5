//! A fault is injected into connections of this worker: one is cut off, one is sent what was held back from it, or all of
//! an app look at a clock that was advanced.

use crate::hub::AppIndex;
use crate::hub::interceptor::Injection;
use crate::hub::rounds::SharedSignal;

use super::Worker;

impl Worker {
    /// Carries an injection out; `room` is how many connections may be told of something in this turn.
    pub(super) fn inject(&self, app: AppIndex, injection: Injection, room: &mut usize) {
        match injection {
            Injection::Cut(socket) => self.with_client((app, socket), |client| client.signal_lost()),
            Injection::Release(socket, frame) => self.with_client((app, socket), |client| {
                if client.release(frame, None) {
                    self.is_dirty(client, &self.dirty.prompt);
                }
            }),
            Injection::ClockAdvanced => {
                self.counts.clock_advanced(app);
                // Each driver asks to be reminded again.
                self.wheel.borrow_mut().take(|(of, _)| *of == app);
                self.begin_round(SharedSignal::Timer, Some(app), room);
            }
        }
    }
}
