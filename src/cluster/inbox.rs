//! Where an engine puts what was said: a queue that is bounded in words and in bytes.
//!
//! What does not fit is dropped and counted. Senders number what they say, so whoever reads sees the gap. Events do not take
//! all of the room: see [`Subject::is_of_events`](super::adapter::Subject::is_of_events).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::adapter::{Word, for_events};

/// What a word takes beside its bytes: its subject and its place in the queue.
const BYTES_BESIDE: usize = 128;

/// An inbox that holds so much, and the end at which it is read.
pub(crate) fn inbox(max_words: usize, max_bytes: usize) -> (Inbox, Words) {
    let ((event, events), (other, others)) = (mpsc::channel(max_words), mpsc::channel(max_words));
    let counts = Arc::new(InboxCounts::default());
    (
        Inbox { events: event, others: other, max_words, max_bytes, counts: Arc::clone(&counts) },
        Words { events: Lane::new(events), others: Lane::new(others), counts },
    )
}

/// The end that an engine puts words into.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    events: mpsc::Sender<(u64, Word)>,
    others: mpsc::Sender<(u64, Word)>,
    max_words: usize,
    max_bytes: usize,
    counts: Arc<InboxCounts>,
}

/// The end that a node reads. It is read in the order in which words were put in; where what nodes say of themselves has to wait,
/// events go past it.
#[derive(Debug)]
pub(crate) struct Words {
    events: Lane,
    others: Lane,
    counts: Arc<InboxCounts>,
}

/// Words of one kind, by their numbers.
#[derive(Debug)]
struct Lane {
    words: mpsc::Receiver<(u64, Word)>,
    /// The one that is next, if it has been looked at.
    first: Option<(u64, Word)>,
}

/// What is in an inbox, and what it had no room for.
#[derive(Debug, Default)]
pub(crate) struct InboxCounts {
    last_number: AtomicU64,
    waiting_words: AtomicUsize,
    waiting_bytes: AtomicUsize,
    dropped_words: AtomicU64,
    dropped_bytes: AtomicU64,
}

impl Inbox {
    /// Whether a quarter of it is taken: whoever says much at once had better wait.
    pub(crate) fn is_filling(&self) -> bool {
        let counts = &self.counts;
        counts.waiting_words() > self.max_words / 4 || counts.waiting_bytes() > self.max_bytes / 4
    }

    /// Puts a word in, if there is room for it; whether there was. Never waits.
    pub(crate) fn put(&self, word: Word) -> bool {
        let bytes = word.bytes.len();
        let (max_words, max_bytes, lane) = if word.subject.is_of_events() {
            (for_events(self.max_words), for_events(self.max_bytes), &self.events)
        } else {
            (self.max_words, self.max_bytes, &self.others)
        };
        let counts = &self.counts;
        let taken = reserve(&counts.waiting_bytes, bytes + BYTES_BESIDE, max_bytes) && {
            // What is one word too many is given back with it.
            let has_room = counts.waiting_words.fetch_add(1, Ordering::Relaxed) < max_words;
            let number = counts.last_number.fetch_add(1, Ordering::Relaxed);
            (has_room && lane.try_send((number, word)).is_ok()) || {
                counts.took(bytes);
                false
            }
        };
        if !taken {
            self.counts.dropped_words.fetch_add(1, Ordering::Relaxed);
            self.counts.dropped_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        taken
    }
}

/// Adds so much, if the sum is within a bound.
fn reserve(waiting: &AtomicUsize, more: usize, bound: usize) -> bool {
    let more = |waiting: usize| waiting.checked_add(more).filter(|sum| *sum <= bound);
    waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Words {
    /// The next word, once there is one; none after the engine has gone.
    pub(crate) async fn next(&mut self) -> Option<Word> {
        self.next_of(false).await
    }

    /// The next word, if there is one already.
    pub(crate) fn try_next(&mut self) -> Option<Word> {
        self.try_next_of(false)
    }

    /// The next event, whatever comes before it, once there is one; none after the engine has gone.
    pub(crate) async fn next_event(&mut self) -> Option<Word> {
        self.next_of(true).await
    }

    /// The next event, whatever comes before it, if there is one already.
    pub(crate) fn try_next_event(&mut self) -> Option<Word> {
        self.try_next_of(true)
    }

    async fn next_of(&mut self, only_events: bool) -> Option<Word> {
        loop {
            if let Some(word) = self.try_next_of(only_events) {
                return Some(word);
            }
            // Whatever is not waited for is not looked at, so what comes first is not passed by.
            let is_there = tokio::select! {
                is_there = self.events.wait() => is_there,
                is_there = self.others.wait(), if !only_events => is_there,
            };
            // There is one end of both.
            if !is_there && self.events.is_empty() && (only_events || self.others.is_empty()) {
                return None;
            }
        }
    }

    fn try_next_of(&mut self, only_events: bool) -> Option<Word> {
        let event = self.events.number();
        let other = if only_events { None } else { self.others.number() };
        let lane = match (event, other) {
            (Some(event), Some(other)) if other < event => &mut self.others,
            (None, Some(_)) => &mut self.others,
            (Some(_), _) => &mut self.events,
            (None, None) => return None,
        };
        let (_, word) = lane.first.take()?;
        self.counts.took(word.bytes.len());
        Some(word)
    }

    /// What is in it, and what it had no room for.
    pub(crate) fn counts(&self) -> &Arc<InboxCounts> {
        &self.counts
    }
}

impl Lane {
    fn new(words: mpsc::Receiver<(u64, Word)>) -> Self {
        Lane { words, first: None }
    }

    /// The number of the next word, if there is one already.
    fn number(&mut self) -> Option<u64> {
        if self.first.is_none() {
            self.first = self.words.try_recv().ok();
        }
        self.first.as_ref().map(|(number, _)| *number)
    }

    /// Waits for a word, which is the next one then; whether one will come.
    async fn wait(&mut self) -> bool {
        if self.first.is_none() {
            self.first = self.words.recv().await;
        }
        self.first.is_some()
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.words.is_empty()
    }
}

impl InboxCounts {
    fn took(&self, bytes: usize) {
        self.waiting_words.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes + BYTES_BESIDE, Ordering::Relaxed);
    }

    /// Words that wait to be read.
    pub(crate) fn waiting_words(&self) -> usize {
        self.waiting_words.load(Ordering::Relaxed)
    }

    /// What these take.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// Words that there was no room for, and the bytes in them.
    pub(crate) fn dropped(&self) -> (u64, u64) {
        (self.dropped_words.load(Ordering::Relaxed), self.dropped_bytes.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::adapter::Subject;
    use super::*;
    use crate::protocol::ChannelName;

    fn word(bytes: usize) -> Word {
        Word { subject: Subject::State, bytes: Bytes::from(vec![0; bytes]), number: None, previous: None }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (inbox, mut words) = inbox(2, 1000);
        assert!(inbox.put(word(100)) && inbox.put(word(100)));
        assert!(!inbox.put(word(1)), "a third word");
        assert_eq!((words.counts().waiting_words(), words.counts().dropped()), (2, (1, 1)));
        assert_eq!(words.try_next().unwrap().bytes.len(), 100);
        assert!(!inbox.put(word(1000)), "too many bytes");
        assert!(inbox.put(word(600)));
        assert_eq!(
            (words.try_next().unwrap().bytes.len(), words.try_next().unwrap().bytes.len()),
            (100, 600)
        );
        assert!(words.try_next().is_none());
        assert_eq!((words.counts().waiting_words(), words.counts().waiting_bytes()), (0, 0));
        assert_eq!(words.counts().dropped(), (2, 1001));
    }

    #[test]
    fn events_leave_room_for_what_nodes_say_of_themselves() {
        let subject = Subject::Channel { app: "1".into(), channel: ChannelName::parse("news", 164).unwrap() };
        let event = |bytes| Word { subject: subject.clone(), ..word(bytes) };
        let (inbox, _words) = inbox(16, 1 << 20);
        assert_eq!((0..20).filter(|_| inbox.put(event(1))).count(), 14);
        assert!(inbox.put(word(1)) && inbox.put(word(1)) && !inbox.put(word(1)));
        let (inbox, _words) = super::inbox(1000, 80_000);
        assert!(inbox.put(event(69_000)) && !inbox.put(event(2000)) && inbox.put(word(2000)));
        assert_eq!(inbox.counts.waiting_bytes(), 71_000 + 2 * BYTES_BESIDE);
    }

    #[tokio::test]
    async fn words_are_read_in_their_order_and_events_go_past_what_has_to_wait() {
        let subject = Subject::Channel { app: "1".into(), channel: ChannelName::parse("news", 164).unwrap() };
        let event = |bytes| Word { subject: subject.clone(), ..word(bytes) };
        let (inbox, mut words) = inbox(100, 10_000);
        for bytes in 1..=6 {
            assert!(inbox.put(if bytes % 3 == 0 { event(bytes) } else { word(bytes) }));
        }
        assert_eq!(words.next().await.unwrap().bytes.len(), 1);
        assert_eq!(words.next_event().await.unwrap().bytes.len(), 3);
        assert_eq!(words.try_next_event().unwrap().bytes.len(), 6);
        assert!(words.try_next_event().is_none());
        assert!(inbox.put(event(7)));
        drop(inbox);
        for bytes in [2, 4, 5, 7] {
            assert_eq!(words.next().await.unwrap().bytes.len(), bytes);
        }
        assert!(words.next().await.is_none() && words.next_event().await.is_none());
        assert_eq!((words.counts().waiting_words(), words.counts().waiting_bytes()), (0, 0));
    }

    #[test]
    fn what_nobody_reads_holds_nothing() {
        let (inbox, words) = inbox(2, 1000);
        let counts = Arc::clone(words.counts());
        drop(words);
        assert!(!inbox.put(word(1)));
        assert_eq!((counts.waiting_bytes(), counts.dropped().0), (0, 1));
    }
}
