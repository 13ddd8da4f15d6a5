//! How messages are sent: as fast as they are answered and delivered, or at a pace.

use std::time::{Duration, Instant};

use crate::clients::{Crowd, Template};

/// Sends what may be sent now. Called after every turn of the sockets.
pub(crate) trait Load {
    /// Sends; says when it wants to be called again, if before the sockets have news.
    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant>;

    /// It begins, perhaps again: what would have been due meanwhile is not sent.
    fn begin(&mut self) {}

    /// Whether it sends as much as goes. Then this tool does not sleep while it waits for answers: the server would pay
    /// for waking it with each of them, a slow server with more of them than a fast one, and on a virtual machine that
    /// costs more than all the rest of a request.
    fn stays_awake(&self) -> bool {
        false
    }
}

/// Nothing is sent.
#[derive(Debug)]
pub(crate) struct Silence;

impl Load for Silence {
    fn pump(&mut self, _: &mut Crowd) -> Option<Instant> {
        None
    }
}

/// Every HTTP publisher of the crowd publishes again as soon as it has its answer, unless the subscribers are further
/// behind than `messages_behind`: an overload of the load tool itself would measure queues.
#[derive(Debug)]
pub(crate) struct SaturateHttp {
    pub(crate) subscribers: u64,
    pub(crate) messages_behind: u64,
    published: u64,
}

impl SaturateHttp {
    pub(crate) fn new(subscribers: usize, messages_behind: u64) -> Self {
        SaturateHttp { subscribers: subscribers as u64, messages_behind, published: 0 }
    }
}

impl Load for SaturateHttp {
    fn stays_awake(&self) -> bool {
        true
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let now = Instant::now();
        for publisher in 0..crowd.publishers() {
            let undelivered =
                (self.published * self.subscribers).saturating_sub(crowd.shared.ledger.delivered());
            if undelivered > self.messages_behind * self.subscribers {
                break;
            }
            if !crowd.is_busy(publisher) {
                crowd.publish(publisher, now);
                self.published += 1;
            }
        }
        None
    }
}

/// Every HTTP publisher of the crowd publishes again as soon as its last message is answered and has reached everybody.
#[derive(Debug)]
pub(crate) struct SaturateDelivered {
    pub(crate) subscribers: u64,
}

impl Load for SaturateDelivered {
    fn stays_awake(&self) -> bool {
        true
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let now = Instant::now();
        for publisher in 0..crowd.publishers() {
            let (ledger, number) = (&crowd.shared.ledger, publisher as u32);
            let owed = u64::from(ledger.sent(number)) * self.subscribers;
            if !crowd.is_busy(publisher) && ledger.received(number) >= owed {
                crowd.publish(publisher, now);
            }
        }
        None
    }
}

/// Every HTTP publisher of the crowd publishes so many messages, each as soon as the one before is answered.
#[derive(Debug)]
pub(crate) struct RoundsOfHttp {
    rounds: u32,
}

impl RoundsOfHttp {
    pub(crate) fn new(rounds: u32) -> Self {
        RoundsOfHttp { rounds }
    }

    /// Whether everything is sent and answered.
    pub(crate) fn is_over(&self, crowd: &Crowd) -> bool {
        let ledger = &crowd.shared.ledger;
        (0..crowd.publishers()).all(|one| ledger.sent(one as u32) == self.rounds && !crowd.is_busy(one))
    }
}

impl Load for RoundsOfHttp {
    fn stays_awake(&self) -> bool {
        true
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let now = Instant::now();
        for publisher in 0..crowd.publishers() {
            if !crowd.is_busy(publisher) && crowd.shared.ledger.sent(publisher as u32) < self.rounds {
                crowd.publish(publisher, now);
            }
        }
        None
    }
}

/// One who sends client events.
#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) client: usize,
    pub(crate) template: Template,
}

/// Every speaker sends its next event as soon as the last one has reached everybody.
#[derive(Debug)]
pub(crate) struct SaturateClients {
    pub(crate) speakers: Vec<Speaker>,
    pub(crate) listeners: u64,
}

impl Load for SaturateClients {
    fn stays_awake(&self) -> bool {
        true
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let now = Instant::now();
        for Speaker { client, template } in &mut self.speakers {
            let ledger = &crowd.shared.ledger;
            let publisher = template.publisher;
            if ledger.received(publisher) >= u64::from(ledger.sent(publisher)) * self.listeners {
                crowd.speak(*client, template, now);
            }
        }
        None
    }
}

/// A steady beat. A message that is late keeps the time at which it was due, so a stall of the server, or of this
/// tool, shows in the latencies instead of hiding between them.
#[derive(Debug)]
pub(crate) struct Beat {
    every: Duration,
    next: Instant,
}

impl Beat {
    pub(crate) fn new(per_second: f64) -> Self {
        Beat { every: Duration::from_secs_f64(1.0 / per_second), next: Instant::now() }
    }

    /// The next beat is due now.
    fn begin(&mut self) {
        self.next = Instant::now();
    }

    /// The time of the beat that is due, if one is.
    pub(crate) fn due(&mut self) -> Option<Instant> {
        let due = self.next;
        (due <= Instant::now()).then(|| {
            self.next += self.every;
            due
        })
    }

    /// When the next beat is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// The beat was not taken.
    fn put_back(&mut self) {
        self.next -= self.every;
    }
}

/// The crowd's HTTP publishers, at a pace, taking turns.
#[derive(Debug)]
pub(crate) struct PacedHttp {
    beat: Beat,
    turn: usize,
}

impl PacedHttp {
    pub(crate) fn new(per_second: f64) -> Self {
        PacedHttp { beat: Beat::new(per_second), turn: 0 }
    }
}

impl Load for PacedHttp {
    fn begin(&mut self) {
        self.beat.begin();
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        while let Some(due) = self.beat.due() {
            let publishers = crowd.publishers();
            let idle = (0..publishers)
                .map(|next| (self.turn + next) % publishers)
                .find(|next| !crowd.is_busy(*next));
            let Some(idle) = idle else {
                self.beat.put_back();
                return None;
            };
            crowd.publish(idle, due);
            self.turn = idle + 1;
        }
        Some(self.beat.next())
    }
}

/// Client events at a pace, the speakers taking turns in an order that jumps between channels.
#[derive(Debug)]
pub(crate) struct PacedClients {
    pub(crate) speakers: Vec<Speaker>,
    beat: Beat,
    turn: usize,
}

impl PacedClients {
    pub(crate) fn new(speakers: Vec<Speaker>, per_second: f64) -> Self {
        PacedClients { speakers, beat: Beat::new(per_second), turn: 0 }
    }
}

impl Load for PacedClients {
    fn begin(&mut self) {
        self.beat.begin();
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        /// A prime, so that everybody speaks before anybody speaks again.
        const STRIDE: usize = 7919;
        while let Some(due) = self.beat.due() {
            self.turn = (self.turn + STRIDE) % self.speakers.len();
            let Speaker { client, template } = &mut self.speakers[self.turn];
            crowd.speak(*client, template, due);
        }
        Some(self.beat.next())
    }
}

/// Two loads at once.
#[derive(Debug)]
pub(crate) struct Both<A, B>(pub(crate) A, pub(crate) B);

impl<A: Load, B: Load> Load for Both<A, B> {
    fn begin(&mut self) {
        self.0.begin();
        self.1.begin();
    }

    fn pump(&mut self, crowd: &mut Crowd) -> Option<Instant> {
        let (one, other) = (self.0.pump(crowd), self.1.pump(crowd));
        one.into_iter().chain(other).min()
    }
}
