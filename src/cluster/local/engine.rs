//! What all members of an engine within the process share: who wants what, and what is remembered.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::fate::{Fate, FateOf, Late};
use super::streams::LocalStreams;
use crate::cluster::adapter::{
    self, Conflict, Document, EngineError, EngineId, EngineTicket, Keeping, KeptPage, Link, NoteName,
    OtherNote, OutboxCounts, Remembered, Subject, Word,
};
use crate::cluster::inbox::Inbox;

pub(super) type LocalMemberId = u64;

pub(super) struct LocalShared {
    engine: EngineId,
    /// Engines that there were in this place.
    engines: u64,
    /// Drawn from for members, and for what is numbered. It never goes back, not even when the engine is replaced.
    last_number: u64,
    members: BTreeMap<LocalMemberId, LocalMember>,
    /// Its members hear all events, and remember by themselves.
    pub(super) is_between_two: bool,
    remembered: HashMap<Subject, (Bytes, u64, Instant)>,
    /// Of which subjects it is known that somebody has missed something, and until when.
    missed: HashMap<Subject, Instant>,
    documents: BTreeMap<Arc<str>, Document>,
    notes: HashMap<NoteName, (Bytes, Instant)>,
    streams: LocalStreams,
}

/// What the engine has of one member.
pub(super) struct LocalMember {
    inbox: Inbox,
    wanted: HashSet<Subject>,
    link: watch::Sender<Link>,
    pub(super) is_cut: bool,
    /// What becomes of each word on its way to the member, where something is to go wrong.
    pub(super) fate: Option<FateOf>,
    /// What is on its way, since there has been a delay: once it is used it stays, or words would overtake each other.
    pub(super) late: Option<mpsc::Sender<Late>>,
    pub(super) delay: Duration,
    /// The next word of this subject is taken, and whoever asks is not told so.
    pub(super) unanswered: Option<Subject>,
    /// The next time that it wants this subject it is refused.
    pub(super) refused: Option<Subject>,
    /// For so many of the next words that streams are to keep there is no room.
    pub(super) full: usize,
    /// The next word that a stream is to keep is refused.
    pub(super) keeps_none: bool,
    counts: OutboxCounts,
}

impl LocalShared {
    pub(super) fn new() -> Self {
        LocalShared {
            engine: engine(0),
            engines: 0,
            last_number: 0,
            members: BTreeMap::new(),
            is_between_two: false,
            remembered: HashMap::new(),
            missed: HashMap::new(),
            documents: BTreeMap::new(),
            notes: HashMap::new(),
            streams: LocalStreams::default(),
        }
    }

    pub(super) fn join(&mut self, inbox: Inbox) -> LocalMemberId {
        self.last_number += 1;
        let member = LocalMember {
            inbox,
            wanted: HashSet::new(),
            link: watch::Sender::new(up(&self.engine)),
            is_cut: false,
            fate: None,
            late: None,
            delay: Duration::ZERO,
            unanswered: None,
            refused: None,
            full: 0,
            keeps_none: false,
            counts: OutboxCounts::default(),
        };
        self.members.insert(self.last_number, member);
        self.last_number
    }

    pub(super) fn leave(&mut self, me: LocalMemberId) {
        self.members.remove(&me);
    }

    pub(super) fn close(&mut self) {
        self.members.clear();
    }

    /// Whether somebody has much to read.
    pub(super) fn is_filling_between_two(&self) -> bool {
        self.is_between_two && self.members.values().any(|member| member.inbox.is_filling())
    }

    pub(super) fn member(&mut self, me: LocalMemberId) -> Option<&mut LocalMember> {
        self.members.get_mut(&me)
    }

    /// The member, as long as it reaches the engine.
    fn reaching(&mut self, me: LocalMemberId) -> Result<&mut LocalMember, EngineError> {
        self.member(me).filter(|member| !member.is_cut).ok_or(EngineError::Away)
    }

    pub(super) fn publish(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        bytes: Bytes,
    ) -> Result<(), EngineError> {
        self.count(me, bytes.len())?;
        self.hand_out(&Word { subject: subject.clone(), bytes, number: None, previous: None });
        self.answer(me, subject)
    }

    pub(super) fn publish_and_remember(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
    ) -> Result<(), EngineError> {
        self.count(me, bytes.len())?;
        self.last_number += 1;
        let number = self.last_number;
        if !self.is_between_two {
            self.remembered.insert(subject.clone(), (bytes.clone(), number, Instant::now() + expiry));
            self.missed.remove(subject);
        }
        self.hand_out(&Word { subject: subject.clone(), bytes, number: Some(number), previous: None });
        self.answer(me, subject)
    }

    pub(super) fn publish_and_keep(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        bytes: Bytes,
        keeping: &Keeping,
    ) -> Result<(), EngineError> {
        if self.is_between_two {
            return match keeping.remembered_for {
                Some(expiry) => self.publish_and_remember(me, subject, bytes, expiry),
                None => self.publish(me, subject, bytes),
            };
        }
        self.count(me, bytes.len())?;
        if self.member(me).is_some_and(|member| std::mem::take(&mut member.keeps_none)) {
            return Err(EngineError::Refused("a test has it so".to_owned()));
        }
        let now = Instant::now();
        let kept = self.streams.keep(subject, bytes.clone(), keeping, (self.last_number, now));
        self.last_number = kept.number;
        if let Some(expiry) = keeping.remembered_for {
            self.remembered.insert(subject.clone(), (bytes.clone(), kept.number, now + expiry));
            self.missed.remove(subject);
        }
        let (number, previous) = (Some(kept.number), Some(kept.previous));
        self.hand_out(&Word { subject: subject.clone(), bytes, number, previous });
        self.answer(me, subject)
    }

    /// Whether there is no room for a word that is to be kept.
    pub(super) fn has_no_room(&mut self, me: LocalMemberId) -> bool {
        let Some(member) = self.member(me).filter(|member| member.full > 0) else { return false };
        member.full -= 1;
        true
    }

    pub(super) fn kept(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        behind: u64,
        most: (usize, usize),
    ) -> Result<KeptPage, EngineError> {
        self.reaching(me)?;
        if self.is_between_two {
            return Err(EngineError::Refused("there are no streams between two".to_owned()));
        }
        Ok(self.streams.page(subject, behind, most, Instant::now()))
    }

    /// What whoever asks is told of a word that was taken.
    fn answer(&mut self, me: LocalMemberId, subject: &Subject) -> Result<(), EngineError> {
        let member = self.member(me).ok_or(EngineError::Away)?;
        let is_lost = member.unanswered.take_if(|of| of == subject).is_some();
        if is_lost { Err(EngineError::Away) } else { Ok(()) }
    }

    pub(super) fn restore(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        bytes: Bytes,
        expiry: Duration,
        over: u64,
    ) -> Result<bool, EngineError> {
        let last = self.recall(me, subject)?.map_or(0, |remembered| remembered.number);
        if last == over {
            self.publish_and_remember(me, subject, bytes, expiry)?;
        }
        Ok(last == over)
    }

    fn count(&mut self, me: LocalMemberId, bytes: usize) -> Result<(), EngineError> {
        let member = self.member(me).ok_or(EngineError::Away)?;
        if member.is_cut {
            member.counts.lost += 1;
            return Err(EngineError::Away);
        }
        member.counts.taken.0 += 1;
        member.counts.taken.1 += bytes as u64;
        Ok(())
    }

    fn hand_out(&mut self, word: &Word) {
        let is_for_all = self.is_between_two && word.subject.is_of_events();
        for member in self.members.values_mut() {
            if is_for_all || member.wanted.contains(&word.subject) {
                member.give(word);
            }
        }
    }

    pub(super) fn recall(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
    ) -> Result<Option<Remembered>, EngineError> {
        self.reaching(me)?;
        let now = Instant::now();
        let of = |(bytes, number, ends): &(Bytes, u64, Instant)| {
            let expires_in = ends.checked_duration_since(now).filter(|left| !left.is_zero())?;
            Some(Remembered { bytes: bytes.clone(), number: *number, expires_in })
        };
        Ok(self.remembered.get(subject).and_then(of))
    }

    pub(super) fn note_miss(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        expiry: Duration,
    ) -> Result<bool, EngineError> {
        if self.recall(me, subject)?.is_some() {
            return Ok(false);
        }
        let now = Instant::now();
        let is_known = self.missed.get(subject).is_some_and(|ends| *ends > now);
        if !is_known {
            self.missed.insert(subject.clone(), now + expiry);
        }
        Ok(!is_known)
    }

    pub(super) fn want(
        shared: &Arc<Mutex<LocalShared>>,
        me: LocalMemberId,
        subject: &Subject,
        wants: bool,
        ticket: Option<EngineTicket>,
    ) {
        let late = {
            let mut shared = shared.lock();
            let Some(member) = shared.member(me) else { return };
            member.late.clone().map(|late| (late, member.due()))
        };
        match late {
            Some((late, due)) => {
                let _ = late.try_send(Late::Want { due, subject: subject.clone(), wants, ticket });
            }
            None => shared.lock().want_now(me, subject, wants, ticket),
        }
    }

    pub(super) fn want_now(
        &mut self,
        me: LocalMemberId,
        subject: &Subject,
        wants: bool,
        ticket: Option<EngineTicket>,
    ) {
        let Some(member) = self.member(me) else { return };
        if wants && member.refused.take_if(|of| of == subject).is_some() {
            return adapter::answer(ticket, Err(EngineError::Refused("a test has it so".to_owned())));
        }
        if wants {
            member.wanted.insert(subject.clone());
        } else {
            member.wanted.remove(subject);
        }
        adapter::answer(ticket, if member.is_cut { Err(EngineError::Away) } else { Ok(()) });
    }

    pub(super) fn wanted_by(&self, subject: &Subject) -> usize {
        self.members.values().filter(|member| member.wanted.contains(subject)).count()
    }

    pub(super) fn write_document(
        &mut self,
        me: LocalMemberId,
        key: &str,
        expected: u64,
        bytes: Option<Bytes>,
    ) -> Result<Result<u64, Conflict>, EngineError> {
        self.reaching(me)?;
        let version = self.documents.get(key).map_or(0, |document| document.version);
        if version != expected {
            return Ok(Err(Conflict { version }));
        }
        let key: Arc<str> = key.into();
        let mut version = 0;
        match bytes {
            Some(bytes) => {
                self.last_number += 1;
                version = self.last_number;
                self.documents.insert(Arc::clone(&key), Document { key: Arc::clone(&key), version, bytes });
            }
            None => drop(self.documents.remove(&key)),
        }
        let bytes = Bytes::copy_from_slice(key.as_bytes());
        self.hand_out(&Word { subject: Subject::Documents, bytes, number: Some(version), previous: None });
        Ok(Ok(version))
    }

    pub(super) fn document(&mut self, me: LocalMemberId, key: &str) -> Result<Option<Document>, EngineError> {
        self.reaching(me)?;
        Ok(self.documents.get(key).cloned())
    }

    pub(super) fn write_note(
        &mut self,
        me: LocalMemberId,
        name: &NoteName,
        expected: Option<&Bytes>,
        note: Option<(Bytes, Duration)>,
    ) -> Result<Result<(), OtherNote>, EngineError> {
        self.reaching(me)?;
        if self.is_between_two {
            return Err(EngineError::Refused("there are no notes between two".to_owned()));
        }
        let now = Instant::now();
        self.notes.retain(|_, (_, ends)| *ends > now);
        let found = self.notes.get(name).map(|(note, _)| note);
        if found != expected {
            return Ok(Err(OtherNote(found.cloned())));
        }
        match note {
            Some((note, expiry)) => drop(self.notes.insert(name.clone(), (note, now + expiry))),
            None => drop(self.notes.remove(name)),
        }
        Ok(Ok(()))
    }

    pub(super) fn link(&mut self, me: LocalMemberId) -> watch::Receiver<Link> {
        match self.member(me) {
            Some(member) => member.link.subscribe(),
            None => watch::Sender::new(away("the member has left")).subscribe(),
        }
    }

    pub(super) fn outbox(&mut self, me: LocalMemberId) -> OutboxCounts {
        self.member(me).map(|member| member.counts).unwrap_or_default()
    }

    pub(super) fn cut_all(&mut self, cut: bool) {
        let members: Vec<LocalMemberId> = self.members.keys().copied().collect();
        members.into_iter().for_each(|me| self.cut(me, cut));
    }

    pub(super) fn cut(&mut self, me: LocalMemberId, cut: bool) {
        let link = if cut { away("it was cut off") } else { up(&self.engine) };
        if let Some(member) = self.member(me).filter(|member| member.is_cut != cut) {
            member.is_cut = cut;
            member.link.send_replace(link);
        }
    }

    pub(super) fn wipe(&mut self) {
        self.remembered.clear();
        self.missed.clear();
        self.documents.clear();
        self.notes.clear();
        self.streams = LocalStreams::default();
        self.promote();
    }

    pub(super) fn promote(&mut self) {
        self.engines += 1;
        self.engine = engine(self.engines);
        for member in self.members.values().filter(|member| !member.is_cut) {
            member.link.send_replace(up(&self.engine));
        }
    }
}

impl LocalMember {
    fn give(&mut self, word: &Word) {
        if self.is_cut {
            return;
        }
        let times = match self.fate.as_mut().map_or(Fate::Arrives, |fate| fate(word)) {
            Fate::Arrives => 1,
            Fate::IsLost => 0,
            Fate::ArrivesTwice => 2,
        };
        for _ in 0..times {
            match &self.late {
                Some(late) => {
                    let _ = late.try_send(Late::Word { due: self.due(), word: word.clone() });
                }
                None => _ = self.inbox.put(word.clone()),
            }
        }
    }

    pub(super) fn put(&self, word: Word) {
        if !self.is_cut {
            self.inbox.put(word);
        }
    }

    fn due(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.delay
    }
}

fn engine(number: u64) -> EngineId {
    EngineId(format!("local-{number}").into())
}

fn up(engine: &EngineId) -> Link {
    Link::Up { engine: engine.clone(), round_trip: Duration::ZERO }
}

fn away(reason: &str) -> Link {
    Link::Away { since: Instant::now(), reason: reason.into() }
}
