//! Slots of two workers: eviction, refusal, and the slots that are kept free.

use std::future::poll_fn;
use std::task::Poll;

use super::*;

/// Connections of one worker, all of which are idle unless they are said not to be.
struct TestConnections(Rc<WorkerSlots>, Vec<(ConnectionSlot, Result<IdleEntry, NoSlot>)>);

impl TestConnections {
    fn connect(&mut self, connections: usize) {
        for _ in 0..connections {
            let (slot, entry) = self.0.accept();
            entry.iter().for_each(IdleEntry::keep_idle);
            self.1.push((slot, entry));
        }
    }

    fn set_busy(&self) {
        self.1.iter().flat_map(|(_, entry)| entry).for_each(IdleEntry::set_busy);
    }

    /// How many are there, evicted and refused.
    fn counts(&self) -> (usize, usize, usize) {
        let evicted = self.1.iter().filter(|(_, entry)| entry.as_ref().is_ok_and(IdleEntry::is_evicted));
        let refused = self.1.iter().filter(|(_, entry)| entry.is_err());
        (self.1.len(), evicted.count(), refused.count())
    }

    /// Those that were evicted or refused go.
    fn remove_evicted(&mut self) {
        self.1.retain(|(_, entry)| entry.as_ref().is_ok_and(|entry| !entry.is_evicted()));
    }
}

/// Runs this with the rooms of two workers, which share the thread.
fn with_two_workers(
    most_http: usize,
    per_worker: usize,
    test: impl AsyncFnOnce(TestConnections, TestConnections),
) {
    let node = Arc::new(ConnectionSlots::new(most_http, per_worker, 2));
    actix_web::rt::System::new().block_on(async {
        let workers = [(); 2].map(|()| {
            CURRENT.take();
            TestConnections(node.of_this_thread(), Vec::new())
        });
        let [one, other] = workers;
        test(one, other).await;
    });
}

#[test]
fn a_newcomer_has_the_room_of_whoever_is_idle() {
    with_two_workers(0, 64, async |mut connections, _| {
        connections.connect(62);
        assert_eq!(connections.counts(), (62, 0, 0), "two places are kept free");
        connections.connect(10);
        assert_eq!(connections.counts(), (72, 10, 0));
        connections.remove_evicted();
        assert_eq!(connections.0.open.get(), 62);
    });
}

#[test]
fn a_worker_whose_connections_are_all_busy_has_what_it_may_have() {
    with_two_workers(0, 64, async |mut connections, mut other| {
        connections.connect(62);
        connections.set_busy();
        connections.connect(1);
        connections.set_busy();
        connections.connect(1);
        connections.set_busy();
        assert_eq!(connections.counts(), (64, 0, 0), "the other one has room: this one is passed over now");
        other.connect(62);
        other.set_busy();
        assert_eq!(other.counts(), (62, 0, 0));
        other.connect(1);
        assert_eq!(other.counts(), (63, 0, 1), "nobody is idle anywhere");
        other.remove_evicted();
        assert_eq!(other.0.node.open.load(Ordering::Relaxed), 126);
    });
}

#[test]
fn where_nobody_is_idle_another_worker_ends_one() {
    with_two_workers(3, 64, async |mut connections, mut other| {
        let mut http = Vec::new();
        connections.connect(3);
        http.extend((0..3).map(|_| connections.0.begin_http().unwrap()));
        other.connect(1);
        other.set_busy();
        http.push(other.0.begin_http().expect("one of the first worker's gives way"));
        while connections.counts() != (3, 1, 0) {
            tokio::task::yield_now().await;
        }
        // One goes; the others are busy.
        connections.remove_evicted();
        http.pop();
        connections.set_busy();
        assert_eq!(other.0.begin_http().unwrap_err(), NoSlot);
        http.clear();
        assert!(other.0.begin_http().is_ok(), "places are given back");
    });
}

#[test]
fn what_is_full_is_told_without_counting_who_asks() {
    with_two_workers(2, 64, async |mut connections, _other| {
        let slots = Arc::clone(&connections.0.node);
        connections.connect(2);
        let http = [(); 2].map(|()| connections.0.begin_http().unwrap());
        assert_eq!(slots.full_of_http(0), None, "who is idle gives way");
        connections.set_busy();
        assert_eq!((slots.full_of_http(0), slots.full_of_http(1)), (Some(2), None));
        drop(http);
        assert_eq!(slots.full_of_http(0), None);
        assert_eq!(slots.full(0), None);
        connections.connect(122);
        assert_eq!(slots.full(0), None, "who is idle gives way");
        connections.set_busy();
        assert_eq!((slots.full(0), slots.full(1)), (Some(128), None), "four are kept free");
        connections.1.pop();
        assert_eq!(slots.full(0), None);
    });
}

#[test]
fn some_places_are_always_kept_free() {
    let kept: Vec<_> = [1, 2, 64, 1000, 1 << 20].map(reserved_slots).into();
    assert_eq!(kept, [1, 1, 2, 31, 64]);
}

#[tokio::test]
async fn who_waits_for_handshakes_waits_for_those_that_have_begun() {
    let slots = ConnectionSlots::new(0, 8, 1);
    slots.handshakes_done().await;
    let (one, other) = (slots.begin_handshake(), slots.begin_handshake());
    let mut waits = std::pin::pin!(slots.handshakes_done());
    assert!(poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_pending())).await);
    drop(one);
    assert!(poll_fn(|context| Poll::Ready(waits.as_mut().poll(context).is_pending())).await);
    drop(other);
    waits.await;
}

#[test]
fn what_ends_with_the_broker_has_given_way_to_nobody() {
    actix_web::rt::System::new().block_on(async {
        let slots = Arc::new(ConnectionSlots::new(0, 8, 1));
        let room = slots.of_this_thread();
        let (_slot, entry) = room.accept();
        let entry = entry.unwrap();
        assert_eq!(slots.evict_all_idle(), 0, "it may have something to say");
        assert_eq!(entry.unless_evicted(async { tokio::task::yield_now().await }).await, Some(()));
        entry.keep_idle();
        assert_eq!(slots.evict_all_idle(), 1);
        assert_eq!(entry.unless_evicted(std::future::pending::<()>()).await, None);
        assert_eq!(slots.counters().evicted.get(), 0);
    });
}
