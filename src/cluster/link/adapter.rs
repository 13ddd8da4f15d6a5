//! The other end of the link: the engine of the process at the other side, as an adapter.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::super::adapter::{
    self, Adapter, Conflict, Document, EngineError, EngineId, EngineTicket, Keeping, KeptPage, Link,
    NoteName, OtherNote, OutboxCounts, OutboxFull, Remembered, Subject, Word,
};
use super::super::inbox::Inbox;
use super::stream::{read_message, write_message};
use super::words::{EngineAnswer, EngineAsk, LinkReply, LinkRequest};

/// Messages that wait to be written. Those of a node come at once at its start: what it subscribes to.
const MOST_WAITING: usize = 1 << 20;

/// How soon it is looked again whether there is room for what has come.
const READS_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// The engine of another process. Dropping it leaves.
pub(crate) struct LinkAdapter {
    shared: Arc<LinkShared>,
    _tasks: JoinSet<()>,
}

struct LinkShared {
    link: watch::Sender<Link>,
    /// Nobody is at the other end any more.
    is_gone: AtomicBool,
    outgoing: mpsc::Sender<Bytes>,
    waiting_bytes: AtomicUsize,
    max_bytes: usize,
    asked: Mutex<HashMap<u64, EngineWaiter>>,
    last_number: AtomicU64,
    counts: Mutex<OutboxCounts>,
}

/// Who waits for an answer.
enum EngineWaiter {
    Ticket(Option<EngineTicket>, usize),
    Answer(oneshot::Sender<EngineAnswer>),
}

impl LinkAdapter {
    /// Joins the engine at the other end, as soon as that says which it is. At most `max_bytes` wait to be said. Within a
    /// runtime.
    pub(crate) fn join(stream: UnixStream, inbox: Inbox, max_bytes: usize) -> Self {
        let (from, to) = stream.into_split();
        let from = BufReader::new(from);
        let (outgoing, messages) = mpsc::channel(MOST_WAITING);
        let shared = Arc::new(LinkShared {
            link: watch::Sender::new(away("it has said nothing yet")),
            is_gone: AtomicBool::new(false),
            outgoing,
            waiting_bytes: AtomicUsize::new(0),
            max_bytes,
            asked: Mutex::default(),
            last_number: AtomicU64::new(0),
            counts: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let (hears, says) = (Arc::clone(&shared), Arc::clone(&shared));
        tasks.spawn(async move {
            let ended = tokio::select! {
                heard = hears.hear(from, inbox) => heard,
                said = says.say(BufWriter::new(to), messages) => said,
            };
            hears.end(ended.err());
        });
        LinkAdapter { shared, _tasks: tasks }
    }

    /// Whether nobody is at the other end any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.is_gone.load(Ordering::Acquire)
    }

    /// Asks, and waits for the answer.
    async fn ask(&self, asked: EngineAsk) -> EngineAnswer {
        let (tell, answer) = oneshot::channel();
        if self.shared.send(asked, EngineWaiter::Answer(tell)).is_err() {
            return EngineAnswer::Failed(EngineError::Away);
        }
        answer.await.unwrap_or(EngineAnswer::Failed(EngineError::Away))
    }
}

impl LinkShared {
    /// Has something asked. Who waits is answered in any case where there was room for it.
    fn send(&self, asked: EngineAsk, waiter: EngineWaiter) -> Result<(), OutboxFull> {
        // What is wanted is said in any case: it is to come when the engine is there again.
        let is_wanted = matches!(asked, EngineAsk::Subscribe { .. } | EngineAsk::Unsubscribe { .. });
        let is_away = !is_wanted && self.is_away();
        if is_away || self.is_gone.load(Ordering::Acquire) {
            self.counts.lock().lost += u64::from(!is_wanted);
            waiter.tell(EngineAnswer::Failed(EngineError::Away));
            return Ok(());
        }
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let message = LinkRequest { number, asked }.encode();
        let bytes = message.len();
        let more = |waiting: usize| waiting.checked_add(bytes).filter(|sum| *sum <= self.max_bytes);
        if self.waiting_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            self.counts.lock().full += 1;
            return Err(OutboxFull);
        }
        let mut asked = self.asked.lock();
        // Under the lock: what one thread says, is sent in that order, and answered when somebody waits for it.
        if self.outgoing.try_send(message).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.counts.lock().full += 1;
            return Err(OutboxFull);
        }
        asked.insert(number, waiter);
        drop(asked);
        // It may have gone in between.
        if self.is_gone.load(Ordering::Acquire) {
            self.answer_all_away();
        }
        Ok(())
    }

    fn is_away(&self) -> bool {
        matches!(*self.link.borrow(), Link::Away { .. })
    }

    async fn say(
        &self,
        mut to: BufWriter<OwnedWriteHalf>,
        mut messages: mpsc::Receiver<Bytes>,
    ) -> io::Result<()> {
        while let Some(message) = messages.recv().await {
            let mut next = Some(message);
            while let Some(message) = next {
                write_message(&mut to, &message).await?;
                self.waiting_bytes.fetch_sub(message.len(), Ordering::Relaxed);
                next = messages.try_recv().ok();
            }
            to.flush().await?;
        }
        Ok(())
    }

    async fn hear(&self, mut from: BufReader<OwnedReadHalf>, inbox: Inbox) -> io::Result<()> {
        while let Some(message) = read_message(&mut from).await? {
            match LinkReply::decode(&message) {
                Ok(LinkReply::Word { subject, bytes, number }) => {
                    while matches!(subject, Subject::Node(_)) && inbox.is_filling() {
                        // What one node asks of another is much: it waits at the other end.
                        tokio::time::sleep(READS_AGAIN_AFTER).await;
                    }
                    inbox.put(Word { subject, bytes, number, previous: None });
                }
                Ok(LinkReply::Answer { number, answer }) => {
                    let waiter = self.asked.lock().remove(&number);
                    if let Some(waiter) = waiter {
                        self.count(&waiter, &answer);
                        waiter.tell(answer);
                    }
                }
                Ok(LinkReply::Engine(engine)) => {
                    let engine = EngineId(engine.into());
                    self.link.send_replace(Link::Up { engine, round_trip: Duration::ZERO });
                }
                Ok(LinkReply::Away(reason)) => _ = self.link.send_replace(away(&reason)),
                Err(_) => {
                    return Err(io::Error::other("the other process says what cannot be understood"));
                }
            }
        }
        Ok(())
    }

    fn count(&self, waiter: &EngineWaiter, answer: &EngineAnswer) {
        if let EngineWaiter::Ticket(_, bytes) = waiter
            && *bytes > 0
        {
            let mut counts = self.counts.lock();
            if let EngineAnswer::Done = answer {
                counts.taken.0 += 1;
                counts.taken.1 += *bytes as u64;
            } else {
                counts.lost += 1;
            }
        }
    }

    /// The other process has gone.
    fn end(&self, error: Option<io::Error>) {
        let reason = error.map_or_else(|| "the other process has gone".to_owned(), |error| error.to_string());
        self.is_gone.store(true, Ordering::Release);
        self.link.send_replace(away(&reason));
        self.answer_all_away();
    }

    fn answer_all_away(&self) {
        let all = std::mem::take(&mut *self.asked.lock());
        self.counts.lock().lost += all.len() as u64;
        all.into_values().for_each(|waiter| waiter.tell(EngineAnswer::Failed(EngineError::Away)));
    }
}

fn away(reason: &str) -> Link {
    Link::Away { since: Instant::now(), reason: reason.into() }
}

impl EngineWaiter {
    fn tell(self, answer: EngineAnswer) {
        match self {
            EngineWaiter::Ticket(ticket, _) => {
                let answer = match answer {
                    EngineAnswer::Failed(error) => Err(error),
                    EngineAnswer::Done
                    | EngineAnswer::Recalled(_)
                    | EngineAnswer::Restored { .. }
                    | EngineAnswer::Missed { .. } => Ok(()),
                };
                adapter::answer(ticket, answer);
            }
            // Whoever asked may have gone.
            EngineWaiter::Answer(tell) => _ = tell.send(answer),
        }
    }
}

impl Adapter for LinkAdapter {
    fn publish(
        &self,
        subject: &Subject,
        bytes: Bytes,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let waiter = EngineWaiter::Ticket(ticket, bytes.len());
        self.shared.send(EngineAsk::Publish { subject: subject.clone(), bytes }, waiter)
    }

    fn publish_and_remember(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let waiter = EngineWaiter::Ticket(ticket, bytes.len());
        self.shared.send(EngineAsk::Remember { subject: subject.clone(), bytes, expiry }, waiter)
    }

    async fn restore(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        over: u64,
    ) -> Result<bool, EngineError> {
        match self.ask(EngineAsk::Restore { subject: subject.clone(), bytes, expiry, over }).await {
            EngineAnswer::Restored { is_done } => Ok(is_done),
            EngineAnswer::Failed(error) => Err(error),
            EngineAnswer::Done | EngineAnswer::Recalled(_) | EngineAnswer::Missed { .. } => {
                Err(EngineError::Away)
            }
        }
    }

    async fn recall(&self, subject: &Subject) -> Result<Option<Remembered>, EngineError> {
        match self.ask(EngineAsk::Recall { subject: subject.clone() }).await {
            EngineAnswer::Recalled(remembered) => Ok(remembered),
            EngineAnswer::Failed(error) => Err(error),
            EngineAnswer::Done | EngineAnswer::Restored { .. } | EngineAnswer::Missed { .. } => {
                Err(EngineError::Away)
            }
        }
    }

    /// There are no streams on a link: each of the two keeps what it hears.
    fn publish_and_keep(
        &self,
        subject: &Subject,
        bytes: Bytes,
        keeping: &Keeping,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        match keeping.remembered_for {
            Some(expiry) => self.publish_and_remember(subject, bytes, expiry, ticket),
            None => self.publish(subject, bytes, ticket),
        }
    }

    async fn kept(
        &self,
        _subject: &Subject,
        _behind: u64,
        _most: (usize, usize),
    ) -> Result<KeptPage, EngineError> {
        Err(EngineError::Refused("there are no streams on this link".to_owned()))
    }

    async fn note_miss(&self, subject: &Subject, expiry: Duration) -> Result<bool, EngineError> {
        match self.ask(EngineAsk::NoteMiss { subject: subject.clone(), expiry }).await {
            EngineAnswer::Missed { is_first } => Ok(is_first),
            EngineAnswer::Failed(error) => Err(error),
            EngineAnswer::Done | EngineAnswer::Restored { .. } | EngineAnswer::Recalled(_) => {
                Err(EngineError::Away)
            }
        }
    }

    fn subscribe(&self, subject: &Subject, ticket: Option<EngineTicket>) {
        // Where there is no room its ticket is dropped, which whoever waits sees.
        let _ = self
            .shared
            .send(EngineAsk::Subscribe { subject: subject.clone() }, EngineWaiter::Ticket(ticket, 0));
    }

    fn unsubscribe(&self, subject: &Subject) {
        let _ = self
            .shared
            .send(EngineAsk::Unsubscribe { subject: subject.clone() }, EngineWaiter::Ticket(None, 0));
    }

    /// There are no documents on a link: the two have one configuration.
    async fn write_document(
        &self,
        _key: &str,
        _expected: u64,
        _bytes: Option<Bytes>,
    ) -> Result<Result<u64, Conflict>, EngineError> {
        Err(EngineError::Refused("there are no documents on this link".to_owned()))
    }

    async fn document(&self, _key: &str) -> Result<Option<Document>, EngineError> {
        if self.shared.is_away() { Err(EngineError::Away) } else { Ok(None) }
    }

    /// There are no notes on a link: one of the two tells the other.
    async fn write_note(
        &self,
        _name: &NoteName,
        _expected: Option<Bytes>,
        _note: Option<(Bytes, Duration)>,
    ) -> Result<Result<(), OtherNote>, EngineError> {
        Err(EngineError::Refused("there are no notes on this link".to_owned()))
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    fn outbox(&self) -> OutboxCounts {
        let waiting = (self.shared.asked.lock().len(), self.shared.waiting_bytes.load(Ordering::Relaxed));
        OutboxCounts { waiting, ..*self.shared.counts.lock() }
    }

    fn foreign_words(&self) -> u64 {
        // Nobody else is on the link.
        0
    }
}

impl std::fmt::Debug for LinkAdapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkAdapter").finish_non_exhaustive()
    }
}
