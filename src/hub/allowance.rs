//! What the connections of a worker may do before everybody else on it gets their turn: each of them, and all together.
//!
//! What happens to thousands of connections at once, such as their end, wakes thousands of tasks at once, each of which has
//! little to do; and one connection may bring so much at once that it alone takes long. So each task of a connection asks
//! for a [`Turn`] before it does anything. Those who get none queue, and follow when the runtime has looked at its sockets
//! and timers.
//!
//! Whoever is woken while others queue comes before them, as long as there are turns left: it may be somebody who wants
//! little, beside thousands who all want the same.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Turns between two looks at the sockets: as many connections as one look tells of. Most want little.
const TURNS: usize = 1024;

/// The time of those turns together.
const TIME: Duration = Duration::from_millis(5);

/// The time of one turn.
const TIME_OF_ONE: Duration = Duration::from_millis(2);

/// Messages, control frames and requests in one turn. A read may bring ten thousand.
const EVENTS: usize = 512;

/// Bytes of messages in one turn, as they are once decompressed; the last may go beyond. A read of compressed ones may stand
/// for a thousand times as much.
const BYTES: usize = 256 * 1024;

/// Of those who queue, as many are called at once as may each take the whole time of a turn; each of them calls another.
const CALLED_AT_ONCE: usize = 2;

/// What is left of it for all connections of a worker.
#[derive(Debug)]
pub(super) struct Allowance {
    turns: Cell<usize>,
    time: Cell<Duration>,
    queue: RefCell<VecDeque<Rc<Place>>>,
    /// The next to be called is the one who came last.
    from_the_end: Cell<bool>,
    /// Told when it is spent, or somebody queues.
    wanted: Notify,
}

/// A place in the queue.
#[derive(Debug)]
struct Place {
    waker: RefCell<Waker>,
    called: Cell<bool>,
}

/// Whether a task queues for a turn. It keeps this between its turns.
#[derive(Debug, Default)]
pub struct Queued(Option<Rc<Place>>);

/// A turn of one connection: what it may still do. What it has taken counts when it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    allowance: &'a Allowance,
    began: Instant,
    events: usize,
    bytes: usize,
}

impl Allowance {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Allowance {
            turns: Cell::new(TURNS),
            time: Cell::new(TIME),
            queue: RefCell::default(),
            from_the_end: Cell::new(false),
            wanted: Notify::new(),
        })
    }

    /// Whether somebody queues for a turn.
    pub(super) fn is_wanted(&self) -> bool {
        !self.queue.borrow().is_empty()
    }

    /// How many queue for a turn.
    pub(super) fn queued(&self) -> usize {
        self.queue.borrow().len()
    }

    /// A turn for the task that is being polled. If there is none for it now, it is woken when there is.
    pub(super) fn take(&self, queued: &mut Queued, context: &Context<'_>) -> Option<Turn<'_>> {
        match &queued.0 {
            Some(place) if place.called.get() => queued.0 = None,
            Some(place) => {
                place.waker.borrow_mut().clone_from(context.waker());
                return None;
            }
            None if self.count_one() => {}
            None => {
                let waker = RefCell::new(context.waker().clone());
                let place = Rc::new(Place { waker, called: Cell::new(false) });
                self.queue.borrow_mut().push_back(Rc::clone(&place));
                queued.0 = Some(place);
                self.wanted.notify_one();
                return None;
            }
        }
        Some(self.turn())
    }

    /// A turn that nobody has to queue for.
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn { allowance: self, began: Instant::now(), events: EVENTS, bytes: BYTES }
    }

    /// Counts a turn, if there is one left.
    fn count_one(&self) -> bool {
        let turns = self.turns.get();
        if turns == 0 || self.time.get().is_zero() {
            return false;
        }
        self.turns.set(turns - 1);
        if turns == 1 {
            self.wanted.notify_one();
        }
        true
    }

    /// Calls one of those who queue, if there is a turn left: in turn the first, who has waited longest, and the last, for
    /// whom others need not be waited for. Returns whether somebody was called.
    fn call(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        // Some may have gone.
        while queue.front().is_some_and(|place| Rc::strong_count(place) == 1) {
            queue.pop_front();
        }
        if queue.is_empty() || !self.count_one() {
            return false;
        }
        let place = if self.from_the_end.replace(!self.from_the_end.get()) {
            queue.pop_back()
        } else {
            queue.pop_front()
        };
        let Some(place) = place else { return false };
        drop(queue);
        place.called.set(true);
        place.waker.borrow().wake_by_ref();
        true
    }

    /// Renews it each time that it was spent and the runtime has looked at its sockets.
    pub(super) async fn renew(self: Rc<Self>) {
        loop {
            self.wanted.notified().await;
            loop {
                tokio::task::yield_now().await;
                self.turns.set(TURNS);
                self.time.set(TIME);
                if (0..CALLED_AT_ONCE).filter(|_| self.call()).count() == 0 {
                    break;
                }
            }
            if self.queue.borrow().capacity() > 2 * TURNS {
                self.queue.borrow_mut().shrink_to(TURNS);
            }
        }
    }
}

impl Turn<'_> {
    /// Counts a message of so many bytes, or anything else that came.
    pub fn spend(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.began.elapsed() >= TIME_OF_ONE {
            self.events = 0;
        }
    }

    /// Whether what is left is to be done in another turn.
    pub fn is_over(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let left = self.allowance.time.get().saturating_sub(self.began.elapsed());
        self.allowance.time.set(left);
        if left.is_zero() {
            self.allowance.wanted.notify_one();
        } else {
            self.allowance.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    /// So many tasks that are woken at once, each of which does something in one turn of its own. Returns how many had
    /// theirs before a byte was read that came meanwhile.
    fn turns_before_a_byte(tasks: usize, act: fn()) -> usize {
        actix_web::rt::System::new().block_on(async move {
            let allowance = Allowance::new();
            actix_web::rt::spawn(Rc::clone(&allowance).renew());
            let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let far = tokio::net::UnixStream::from_std(far).unwrap();
            let order = Rc::new(RefCell::new(Vec::new()));
            let spawned: Vec<_> = (0..tasks)
                .map(|number| {
                    let (allowance, order) = (Rc::clone(&allowance), Rc::clone(&order));
                    let mut queued = Queued::default();
                    actix_web::rt::spawn(poll_fn(move |context| {
                        let Some(_turn) = allowance.take(&mut queued, context) else { return Poll::Pending };
                        act();
                        order.borrow_mut().push(number);
                        Poll::Ready(())
                    }))
                })
                .collect();
            let so_far = Rc::clone(&order);
            let reader = actix_web::rt::spawn(async move {
                far.readable().await.unwrap();
                so_far.borrow().len()
            });
            std::io::Write::write_all(&mut near, b"x").unwrap();
            let before_the_byte = reader.await.unwrap();
            for task in spawned {
                task.await.unwrap();
            }
            order.borrow_mut().sort_unstable();
            assert!(order.borrow().iter().copied().eq(0..tasks), "each of them, once");
            assert!(allowance.queue.borrow().is_empty());
            before_the_byte
        })
    }

    #[test]
    fn many_tasks_at_once_do_not_keep_a_socket_waiting() {
        let turns = turns_before_a_byte(5000, || {});
        assert!(turns <= 2 * TURNS, "{turns}");
    }

    #[test]
    fn what_takes_long_leaves_fewer_turns() {
        let turns = turns_before_a_byte(100, || {
            let began = Instant::now();
            while began.elapsed() < TIME_OF_ONE {
                std::hint::spin_loop();
            }
        });
        assert!(turns <= 2 * (3 + CALLED_AT_ONCE), "{turns}");
    }

    #[test]
    fn a_turn_is_over_after_so_many_events_or_bytes_or_so_long() {
        let allowance = Allowance::new();
        // However slow the machine is.
        let began = Instant::now() + Duration::from_secs(600);
        let long = || Turn { allowance: &allowance, began, events: EVENTS, bytes: BYTES };
        let (mut events, mut bytes) = (long(), long());
        let long_ago = Instant::now().checked_sub(TIME_OF_ONE).unwrap();
        let mut time = Turn { allowance: &allowance, began: long_ago, events: EVENTS, bytes: BYTES };
        bytes.spend(BYTES - 1);
        assert!(!bytes.is_over());
        bytes.spend(2);
        assert!(bytes.is_over());
        (1..EVENTS).for_each(|_| events.spend(0));
        assert!(!events.is_over());
        events.spend(0);
        assert!(events.is_over());
        time.spend(0);
        assert!(time.is_over());
    }

    #[test]
    fn whoever_leaves_the_queue_takes_no_turn() {
        let allowance = Allowance::new();
        allowance.turns.set(0);
        let context = Context::from_waker(Waker::noop());
        let (mut first, mut second, mut third) = <(Queued, Queued, Queued)>::default();
        for queued in [&mut first, &mut second, &mut third] {
            assert!(allowance.take(queued, &context).is_none());
        }
        drop(first);
        allowance.turns.set(2);
        assert!(allowance.call());
        assert!(allowance.take(&mut third, &context).is_none(), "another is before it");
        drop(allowance.take(&mut second, &context).expect("its turn"));
        assert!(allowance.take(&mut third, &context).is_some(), "it was called by the one before");
        assert_eq!(allowance.turns.get(), 0);
    }
}
