//! An engine within the process: several adapters on one [`LocalEngine`]. A process hosts one to the process that succeeds it;
//! and tests have what can go wrong between its members.

mod engine;
mod fate;
mod faults;
mod streams;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use engine::{LocalMemberId, LocalShared};
#[cfg(test)]
pub(crate) use fate::Fate;
pub(crate) use faults::LocalFaults;

use super::adapter::{
    self, Adapter, Conflict, Document, EngineError, EngineTicket, Keeping, KeptPage, Link, NoteName,
    OtherNote, OutboxCounts, OutboxFull, Remembered, Subject,
};
use super::inbox::Inbox;

/// How often it is looked whether there is room.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// The engine. Whoever has a clone of it can join it.
#[derive(Clone)]
pub(crate) struct LocalEngine {
    shared: Arc<Mutex<LocalShared>>,
}

impl LocalEngine {
    /// An empty engine.
    pub(crate) fn new() -> Self {
        LocalEngine { shared: Arc::new(Mutex::new(LocalShared::new())) }
    }

    /// An empty engine between two processes: whoever joins hears all events, whatever it subscribes to, and remembers by itself
    /// what there is to remember; the engine numbers it.
    pub(crate) fn between_two() -> Self {
        let engine = LocalEngine::new();
        engine.shared.lock().is_between_two = true;
        engine
    }

    /// Ends it: all have left.
    pub(crate) fn close(&self) {
        self.shared.lock().close();
    }

    /// Joins it. What is said on subjects that the adapter wants comes through `inbox`.
    pub(crate) fn join(&self, inbox: Inbox) -> LocalAdapter {
        let me = self.shared.lock().join(inbox);
        LocalAdapter { shared: Arc::clone(&self.shared), me }
    }

    /// Cuts all off, as if the engine was paused.
    pub(crate) fn halt(&self) {
        self.shared.lock().cut_all(true);
    }

    /// Ends what [`LocalEngine::halt`] has begun, for all.
    pub(crate) fn go_on(&self) {
        self.shared.lock().cut_all(false);
    }

    /// Puts an empty engine in its place: nothing is remembered, no document is there, and the identity is another one.
    pub(crate) fn wipe(&self) {
        self.shared.lock().wipe();
    }

    /// Puts a copy in its place: it has what this one had, and is another one.
    pub(crate) fn promote(&self) {
        self.shared.lock().promote();
    }

    /// How many members want a subject.
    pub(crate) fn wanted_by(&self, subject: &Subject) -> usize {
        self.shared.lock().wanted_by(subject)
    }
}

impl fmt::Debug for LocalEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEngine").finish_non_exhaustive()
    }
}

/// One member of a [`LocalEngine`]. Dropping it leaves.
pub(crate) struct LocalAdapter {
    shared: Arc<Mutex<LocalShared>>,
    me: LocalMemberId,
}

impl LocalAdapter {
    /// What can go wrong between this member and the engine. It may be kept when the adapter is given away.
    pub(crate) fn faults(&self) -> LocalFaults {
        LocalFaults::new(Arc::clone(&self.shared), self.me)
    }
}

impl Adapter for LocalAdapter {
    fn publish(
        &self,
        subject: &Subject,
        bytes: Bytes,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let answer = self.shared.lock().publish(self.me, subject, bytes);
        adapter::answer(ticket, answer);
        Ok(())
    }

    fn publish_and_remember(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        let answer = self.shared.lock().publish_and_remember(self.me, subject, bytes, expiry);
        adapter::answer(ticket, answer);
        Ok(())
    }

    fn restore(
        &self,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        over: u64,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send {
        std::future::ready(self.shared.lock().restore(self.me, subject, bytes, expiry, over))
    }

    fn recall(
        &self,
        subject: &Subject,
    ) -> impl Future<Output = Result<Option<Remembered>, EngineError>> + Send {
        std::future::ready(self.shared.lock().recall(self.me, subject))
    }

    fn publish_and_keep(
        &self,
        subject: &Subject,
        bytes: Bytes,
        keeping: &Keeping,
        ticket: Option<EngineTicket>,
    ) -> Result<(), OutboxFull> {
        if self.shared.lock().has_no_room(self.me) {
            return Err(OutboxFull);
        }
        let answer = self.shared.lock().publish_and_keep(self.me, subject, bytes, keeping);
        adapter::answer(ticket, answer);
        Ok(())
    }

    fn kept(
        &self,
        subject: &Subject,
        behind: u64,
        most: (usize, usize),
    ) -> impl Future<Output = Result<KeptPage, EngineError>> + Send {
        std::future::ready(self.shared.lock().kept(self.me, subject, behind, most))
    }

    fn note_miss(
        &self,
        subject: &Subject,
        expiry: Duration,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send {
        std::future::ready(self.shared.lock().note_miss(self.me, subject, expiry))
    }

    fn subscribe(&self, subject: &Subject, ticket: Option<EngineTicket>) {
        LocalShared::want(&self.shared, self.me, subject, true, ticket);
    }

    fn unsubscribe(&self, subject: &Subject) {
        LocalShared::want(&self.shared, self.me, subject, false, None);
    }

    fn write_document(
        &self,
        key: &str,
        expected: u64,
        bytes: Option<Bytes>,
    ) -> impl Future<Output = Result<Result<u64, Conflict>, EngineError>> + Send {
        std::future::ready(self.shared.lock().write_document(self.me, key, expected, bytes))
    }

    fn document(&self, key: &str) -> impl Future<Output = Result<Option<Document>, EngineError>> + Send {
        std::future::ready(self.shared.lock().document(self.me, key))
    }

    fn write_note(
        &self,
        name: &NoteName,
        expected: Option<Bytes>,
        note: Option<(Bytes, Duration)>,
    ) -> impl Future<Output = Result<Result<(), OtherNote>, EngineError>> + Send {
        std::future::ready(self.shared.lock().write_note(self.me, name, expected.as_ref(), note))
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.shared.lock().link(self.me)
    }

    async fn room(&self) {
        // In tests what has no room is to be lost.
        while self.shared.lock().is_filling_between_two() {
            tokio::time::sleep(LOOKED_AGAIN_AFTER).await;
        }
    }

    fn outbox(&self) -> OutboxCounts {
        self.shared.lock().outbox(self.me)
    }

    fn foreign_words(&self) -> u64 {
        // Nobody else is in the process.
        0
    }
}

impl Drop for LocalAdapter {
    fn drop(&mut self) {
        self.shared.lock().leave(self.me);
    }
}

impl fmt::Debug for LocalAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LocalAdapter").field(&self.me).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::super::inbox::{Words, inbox};
    use super::*;

    fn two() -> (LocalEngine, LocalAdapter, LocalAdapter, Words) {
        let engine = LocalEngine::new();
        let (heard, words) = inbox(100, 10_000);
        let says = engine.join(inbox(100, 10_000).0);
        let hears = engine.join(heard);
        hears.subscribe(&Subject::State, None);
        (engine, says, hears, words)
    }

    fn say(adapter: &LocalAdapter, text: &'static str) -> Result<(), EngineError> {
        let (ticket, mut answer) = oneshot::channel();
        adapter.publish(&Subject::State, Bytes::from_static(text.as_bytes()), Some(ticket.into())).unwrap();
        answer.try_recv().unwrap()
    }

    fn heard(words: &mut Words) -> Vec<String> {
        let text = |word: super::super::adapter::Word| String::from_utf8(word.bytes.to_vec()).unwrap();
        std::iter::from_fn(|| words.try_next().map(text)).collect()
    }

    #[tokio::test]
    async fn the_first_who_misses_what_a_subject_remembers_is_told_from_the_others() {
        let (_engine, one, other, _words) = two();
        let hour = Duration::from_secs(3600);
        let subject = Subject::State;
        assert_eq!(one.note_miss(&subject, hour).await, Ok(true));
        assert_eq!(other.note_miss(&subject, hour).await, Ok(false), "the other knows");
        one.publish_and_remember(&subject, Bytes::new(), hour, None).unwrap();
        assert_eq!(other.note_miss(&subject, hour).await, Ok(false), "there is something");
        one.publish_and_remember(&subject, Bytes::new(), Duration::ZERO, None).unwrap();
        assert_eq!(other.note_miss(&subject, hour).await, Ok(true), "it has been forgotten");
        assert_eq!(one.note_miss(&subject, hour).await, Ok(false));
        one.faults().cut();
        assert_eq!(one.note_miss(&subject, hour).await, Err(EngineError::Away));
    }

    #[test]
    fn words_are_lost_repeated_and_cut_off_as_the_test_wants() {
        let (engine, says, hears, mut words) = two();
        hears.faults().next(Subject::State, 1, Fate::IsLost);
        assert_eq!((say(&says, "lost"), say(&says, "heard")), (Ok(()), Ok(())));
        hears.faults().next(Subject::State, 1, Fate::ArrivesTwice);
        assert_eq!((say(&says, "twice"), say(&says, "once")), (Ok(()), Ok(())));
        assert_eq!(heard(&mut words), ["heard", "twice", "twice", "once"]);
        hears.faults().cut();
        assert_eq!((say(&says, "to nobody"), say(&hears, "by nobody")), (Ok(()), Err(EngineError::Away)));
        assert!(matches!(*hears.link().borrow(), Link::Away { .. }));
        hears.faults().heal();
        assert_eq!(say(&says, "again"), Ok(()));
        assert_eq!(heard(&mut words), ["again"]);
        assert_eq!((says.outbox().taken.0, hears.outbox().lost), (6, 1));
        drop(hears);
        assert_eq!(engine.wanted_by(&Subject::State), 0);
    }

    #[tokio::test]
    async fn with_a_delay_all_arrives_late_and_in_order() {
        let (engine, says, hears, mut words) = two();
        hears.faults().delay(Duration::from_millis(20));
        let (ticket, mut answer) = oneshot::channel();
        hears.subscribe(&Subject::Documents, Some(ticket.into()));
        assert_eq!((say(&says, "1"), say(&says, "2")), (Ok(()), Ok(())));
        hears.faults().delay(Duration::ZERO);
        assert_eq!(say(&says, "3"), Ok(()));
        assert_eq!(engine.wanted_by(&Subject::Documents), 0);
        // Nothing has been awaited, so nothing can have arrived.
        assert!(answer.try_recv().is_err() && heard(&mut words).is_empty());
        for expected in ["1", "2", "3"] {
            assert_eq!(words.next().await.unwrap().bytes, expected);
        }
        assert_eq!(answer.await, Ok(Ok(())));
    }
}
