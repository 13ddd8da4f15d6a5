//! A worker's task, turn by turn: its mailbox, its clock, what goes on over several turns, and what is to be written.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::hub::mailbox::MailboxReader;
use crate::hub::turn::come_again;

use super::Worker;

impl Worker {
    pub(super) async fn run(self: Rc<Self>, mut mailbox: MailboxReader) {
        let resolution = self.wheel.borrow().resolution();
        let mut ticks = tokio::time::interval(resolution);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // Also if the thread stops and drops this.
        let _end = WorkerEnd(&self);
        poll_fn(|context| {
            *self.waker.borrow_mut() = Some(context.waker().clone());
            self.turning.set(true);
            let began = Instant::now();
            let outcome = self.turn(&mut mailbox, &mut ticks, context);
            self.counters.turns.add(began.elapsed());
            self.turning.set(false);
            mailbox.turned();
            outcome
        })
        .await;
    }

    /// One turn: read the mailbox, look at the clock, write what is queued.
    fn turn(
        &self,
        mailbox: &mut MailboxReader,
        ticks: &mut tokio::time::Interval,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let all_read = self.read(mailbox, context);
        if ticks.poll_tick(context).is_ready() {
            // Polled again at once, so that the next tick wakes this task.
            while ticks.poll_tick(context).is_ready() {}
            self.tick();
        }
        if !self.ending.borrow().is_empty() {
            self.ending.take();
        }
        if !self.hub.is_congested() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
        // Each of them does what it can in this turn.
        let surveyed = self.go_on_with_survey();
        let ended = self.see_off();
        // Behind what they were sent in this turn.
        let pinged = self.send_pings(context);
        let all_done = [all_read, ended, self.tell_rounds(), self.clean_up(), pinged, self.flush(), surveyed];
        if all_done.contains(&false) {
            come_again(context);
        }
        Poll::Pending
    }

    /// Asks for a turn. During one, the flush at its end is sure to come.
    pub(super) fn wake(&self) {
        if self.turning.get() || self.dirty.len() > 1 {
            return;
        }
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// Ends a worker. Where a fault of the program does, the thread goes with it: nobody would be served there any more.
struct WorkerEnd<'a>(&'a Worker);

impl Drop for WorkerEnd<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(thread) = actix_rt::Arbiter::try_current()
        {
            thread.stop();
        }
        self.0.end();
    }
}
