//! Takes events from the hub to the webhooks: a listener that puts them into a bounded queue and does nothing else.
//!
//! It is called on the workers' threads, often under a channel's lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::hub::{AppState, Busy, HeldRemoval, Hub, Listener, Notice};

use super::batch_queue::BatchQueueBounds;
use super::counts::WebhookCounts;
use super::decision::Decision;
use super::endpoint::WebhookEndpoint;
use super::event::WebhookEvent;
use super::event_id::IdentifiedEvent;

/// The listener of one app, for its endpoints.
#[derive(Debug)]
pub(super) struct WebhookListener {
    endpoints: Arc<[WebhookEndpoint]>,
    events: mpsc::Sender<Received>,
    decision: Decision,
    gauge: Arc<Gauge>,
}

/// What comes by the queue.
#[derive(Debug)]
pub(super) enum Received {
    /// An event.
    Event(ReceivedEvent),
    /// Somebody wants to know which removals are held back, with those that came before this.
    AskHeld(oneshot::Sender<Vec<HeldRemoval>>),
}

/// An event that was heard.
#[derive(Debug)]
pub(super) struct ReceivedEvent {
    pub(super) identified: IdentifiedEvent,
    /// This node was to tell it when it happened, if there are several.
    pub(super) is_ours: bool,
    /// By the app's clock.
    pub(super) happened_at: Instant,
    /// What stands for it until it has been handled.
    pub(super) busy: Busy,
}

/// The receiving end of a listener's queue: events in the order in which they happened on each channel. It ends when
/// the listener is dropped.
#[derive(Debug)]
pub(super) struct EventReceiver {
    events: mpsc::Receiver<Received>,
    gauge: Arc<Gauge>,
}

/// The bytes and losses of the queue between listener and receiver.
#[derive(Debug)]
struct Gauge {
    most_bytes: usize,
    bytes: AtomicUsize,
    /// Events for which there was no room, and that were not told of yet.
    lost: AtomicU64,
    /// Removals that are held back behind the queue.
    held: AtomicUsize,
    counts: Arc<WebhookCounts>,
}

/// A listener for these endpoints, and the other end of its queue. When the queue is full, events are lost and counted.
pub(super) fn listener(
    endpoints: Arc<[WebhookEndpoint]>,
    bounds: BatchQueueBounds,
    counts: Arc<WebhookCounts>,
    decision: Decision,
) -> (WebhookListener, EventReceiver) {
    let gauge = Arc::new(Gauge {
        most_bytes: bounds.bytes,
        bytes: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        held: AtomicUsize::new(0),
        counts,
    });
    let (sender, receiver) = mpsc::channel(bounds.events.clamp(1, Semaphore::MAX_PERMITS));
    let listener = WebhookListener { endpoints, events: sender, decision, gauge: Arc::clone(&gauge) };
    (listener, EventReceiver { events: receiver, gauge })
}

impl WebhookListener {
    fn offer(&self, received: ReceivedEvent) {
        let bytes = received.identified.bytes();
        // The bound may be passed by as many events as there are workers; it is there to keep memory in check.
        let room = self.gauge.bytes.load(Ordering::Relaxed) + bytes <= self.gauge.most_bytes;
        if !room || self.events.capacity() == 0 {
            self.gauge.lose_one();
            return;
        }
        self.gauge.bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.events.try_send(Received::Event(received)).is_err() {
            self.gauge.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.gauge.lose_one();
        }
    }
}

impl WebhookListener {
    /// Whether what another node tells has to be known here, too, and has room: what comes and goes, as this node may come to
    /// tell what follows, and what is told once. It leaves half of the queue to what is this node's own.
    fn has_room_for_others(&self, event: &WebhookEvent) -> bool {
        let is_full = self.events.capacity() <= self.events.max_capacity() / 2
            || self.gauge.bytes.load(Ordering::Relaxed) > self.gauge.most_bytes / 2;
        !matches!(event, WebhookEvent::SubscriptionCount(..)) && !is_full
    }

    /// Leaves an event to the node that tells it.
    fn leave(&self, event: &WebhookEvent) {
        let wants = |endpoint: &&WebhookEndpoint| endpoint.wants(event.event_type(), event.channel());
        self.gauge.counts.elsewhere.add_from_anywhere(self.endpoints.iter().filter(wants).count() as u64);
    }

    /// Events that have not been sorted, and removals that are held back.
    pub(super) fn unsorted_and_held(&self) -> (usize, usize) {
        let unsorted = self.events.max_capacity() - self.events.capacity();
        (unsorted, self.gauge.held.load(Ordering::Relaxed))
    }
}

impl Gauge {
    fn lose_one(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.counts.lost.add_from_anywhere(1);
    }
}

/// Whether it is a frame or a piece of sound, of which there are too many for webhooks.
fn is_of_track(app: &AppState, notice: &Notice<'_>) -> bool {
    matches!(notice, Notice::Event(event) if app.is_filmed(event))
}

impl Listener for WebhookListener {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let concerns = |event_type, channel: &_| {
            self.endpoints.iter().any(|endpoint| endpoint.is_concerned(event_type, channel))
        };
        if is_of_track(app, notice) {
            return;
        }
        if let Some(event) = WebhookEvent::of_notice(notice, concerns) {
            // What clients send is no change of a channel, and is numbered like one.
            let origin = notice.origin().unwrap_or_else(|| hub.own_change(hub.next_version()));
            self.decision.learn(hub);
            let identified = IdentifiedEvent { event, origin };
            let is_ours = self.decision.is_ours(app.id(), &identified, Duration::ZERO);
            if !is_ours && !self.has_room_for_others(&identified.event) {
                return self.leave(&identified.event);
            }
            let (happened_at, busy) = (app.clock().now(), app.clock().busy());
            self.offer(ReceivedEvent { identified, is_ours, happened_at, busy });
        }
    }

    fn held_removals(&self) -> Option<oneshot::Receiver<Vec<HeldRemoval>>> {
        let (tell, told) = oneshot::channel();
        // If there is no room, whoever asked hears that.
        let _ = self.events.try_send(Received::AskHeld(tell));
        Some(told)
    }

    fn take_held(&self, app: &AppState, removal: &HeldRemoval) {
        let HeldRemoval { channel, user_id, origin, ago } = removal.clone();
        let event = match user_id {
            Some(user_id) => WebhookEvent::MemberRemoved(channel, user_id),
            None => WebhookEvent::ChannelVacated(channel),
        };
        let (event_type, channel) = (event.event_type(), event.channel());
        if !self.endpoints.iter().any(|endpoint| endpoint.is_concerned(event_type, channel)) {
            return;
        }
        let now = app.clock().now();
        let (happened_at, busy) = (now.checked_sub(ago).unwrap_or(now), app.clock().busy());
        let identified = IdentifiedEvent { event, origin };
        self.offer(ReceivedEvent { identified, is_ours: false, happened_at, busy });
    }
}

impl EventReceiver {
    /// What comes next; `None` when the listener is gone, or after [`EventReceiver::close`], and everything has been
    /// taken.
    pub(super) async fn next(&mut self) -> Option<Received> {
        let received = self.events.recv().await?;
        if let Received::Event(event) = &received {
            self.gauge.bytes.fetch_sub(event.identified.bytes(), Ordering::Relaxed);
        }
        Some(received)
    }

    /// Takes no more events; those that are in the queue can still be had.
    pub(super) fn close(&mut self) {
        self.events.close();
    }

    /// Tells how many removals are held back.
    pub(super) fn tell_held(&self, held: usize) {
        self.gauge.held.store(held, Ordering::Relaxed);
    }

    /// Events lost since this was last asked.
    pub(super) fn take_lost(&self) -> u64 {
        self.gauge.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{ChangeOrigin, ChannelVersion, NodeId};
    use crate::protocol::ChannelName;

    fn origin(n: u64) -> ChangeOrigin {
        ChangeOrigin { node: NodeId::new(1), version: ChannelVersion::new(n) }
    }

    fn event(n: u64) -> IdentifiedEvent {
        let event = WebhookEvent::ChannelOccupied(ChannelName::parse(&format!("room-{n}"), 164).unwrap());
        IdentifiedEvent { event, origin: origin(n) }
    }

    fn ends(events: usize, bytes: usize) -> (WebhookListener, EventReceiver) {
        listener(
            Arc::new([WebhookEndpoint::new("http://localhost/").unwrap()]),
            BatchQueueBounds { events, bytes },
            Arc::default(),
            Decision::new(Duration::ZERO),
        )
    }

    fn offer(listener: &WebhookListener, identified: IdentifiedEvent, happened_at: Instant) {
        listener.offer(ReceivedEvent { identified, is_ours: true, happened_at, busy: Busy::default() });
    }

    async fn next(receiver: &mut EventReceiver) -> Option<(IdentifiedEvent, Instant)> {
        match receiver.next().await? {
            Received::Event(received) => Some((received.identified, received.happened_at)),
            Received::AskHeld(_) => None,
        }
    }

    #[tokio::test]
    async fn what_has_no_room_is_lost_and_counted() {
        let now = Instant::now();
        let (listener, mut receiver) = ends(2, usize::MAX);
        (1..=3).for_each(|n| offer(&listener, event(n), now));
        assert_eq!((receiver.take_lost(), receiver.take_lost()), (1, 0));
        drop(listener);
        assert_eq!(next(&mut receiver).await, Some((event(1), now)));
        assert_eq!(next(&mut receiver).await, Some((event(2), now)));
        assert_eq!(next(&mut receiver).await, None);

        let (listener, mut receiver) = ends(100, event(1).bytes() * 2);
        (1..=3).for_each(|n| offer(&listener, event(n), now));
        assert_eq!(receiver.take_lost(), 1);
        next(&mut receiver).await;
        offer(&listener, event(4), now);
        assert_eq!(receiver.take_lost(), 0, "there is room again");
        receiver.close();
        offer(&listener, event(5), now);
        assert_eq!(receiver.take_lost(), 1);
        assert_eq!(next(&mut receiver).await, Some((event(2), now)));
        assert_eq!(next(&mut receiver).await, Some((event(4), now)));
        assert_eq!(next(&mut receiver).await, None);
    }
}
