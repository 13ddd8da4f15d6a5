//! Follows the streams of the channels with a history whose events this node wants: what comes of them goes through their chains,
//! what is missing is fetched, and the hub is told what cannot be known.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::channel::NodeId;
use crate::hub::{KeptAs, StreamEvent, StreamPart};
use crate::protocol::Frame;

use super::adapter::{Adapter, EngineError, KeptPage, KeptWord, Subject, Word};
use super::awaited::NumberedAs;
use super::chain::{
    Chain, ChainPage, ChainStep, ChainTimes, ChainWord, ChainedWord, FetchFailure, HoleReason,
};
use super::chains::ChainDeed;
use super::engine_time::{EngineTime, micros};
use super::envelope::{Content, Envelope, EventMessage};
use super::event_numbers::EventNumber;
use super::fetches::{FetchedPage, PAGE};
use super::intake::{WordReader, kind_of};
use super::keeping::LEAST_KNOWN_FOR;
use super::status::Loss;

/// Pages that are fetched side by side.
const FETCHED_AT_ONCE: usize = 64;

/// How long the engine has for a page.
const PAGE_WITHIN: Duration = Duration::from_secs(2);

/// How soon all that is followed is looked at again, where words have no room again.
const LOOKS_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How soon what could not be fetched is asked for again.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(500);

impl<A: Adapter> WordReader<A> {
    /// A word of a stream comes live.
    pub(super) async fn take_kept(&mut self, word: Word) {
        let (Subject::Channel { .. }, Some(number), Some(previous)) =
            (&word.subject, word.number, word.previous)
        else {
            return self.node.counts.lost(Loss::Unreadable, 1);
        };
        // Nobody is here for it, or it is on its way while the last one leaves.
        let Some(subscription) = self.node.claims.subscription(&word.subject) else { return };
        let said = self.read_kept(&word, true);
        if matches!(said, ChainedWord::Lost { is_own: false }) {
            // What has come without a place has come before it.
            self.plain.is_said(&word.subject, Instant::now().into_std());
        }
        let word_of_chain = ChainWord { number, previous, said };
        let times = self.times();
        let (steps, was_there) = self.node.chains.hear(&word.subject, subscription, word_of_chain, &times);
        if was_there {
            self.node.counts.repeated_events.add_from_anywhere(1);
        }
        self.do_steps(&word.subject, steps).await;
    }

    fn times(&self) -> ChainTimes {
        let time = self.node.engine_time.lock();
        let latest = time.latest(Instant::now().into_std());
        ChainTimes { last_known_for: micros(LEAST_KNOWN_FOR), heard_until: time.heard_until(), latest }
    }

    /// What a word of a stream says. What comes live of others is counted.
    fn read_kept(&self, word: &Word, is_live: bool) -> ChainedWord {
        match Envelope::decode(&word.bytes) {
            Ok(Envelope { from, content }) => {
                let is_own = from == self.node.me;
                if is_live && !is_own {
                    self.node.counts.heard(kind_of(&content), word.bytes.len());
                }
                match content {
                    Content::EventsLost => ChainedWord::Lost { is_own },
                    Content::Event(event) if is_own && !self.has_said(&word.subject, &event) => {
                        // Others may write there, too.
                        self.node.counts.lost(Loss::Forged, 1);
                        ChainedWord::Nothing
                    }
                    Content::Event(event) => ChainedWord::Event { from, event },
                    _ => {
                        self.node.counts.lost(Loss::Unreadable, 1);
                        ChainedWord::Unreadable
                    }
                }
            }
            Err(reason) => {
                self.pass_over(word, reason);
                ChainedWord::Unreadable
            }
        }
    }

    fn has_said(&self, subject: &Subject, event: &EventMessage) -> bool {
        self.node.numbers.has_said(subject, EventNumber { epoch: event.epoch, number: event.number })
    }

    /// Does what was asked for with chains since it was last looked.
    pub(super) async fn do_with_chains(&mut self) {
        let (dropped, now) = (self.words.counts().dropped().0, Instant::now());
        let is_soon = |last: Instant| now.duration_since(last) < LOOKS_AGAIN_AFTER;
        if self.fetching.dropped != dropped && !self.fetching.looked.is_some_and(is_soon) {
            // Some of them may have been of streams.
            (self.fetching.dropped, self.fetching.looked) = (dropped, Some(now));
            self.look_again().await;
        }
        while let Some(deed) = self.node.chains.next_deed() {
            match deed {
                ChainDeed::Begin { subject, subscription, settles } => {
                    let reached = self.history_reached(&subject);
                    if reached.is_none() {
                        self.node.owed.forget_told(&subject);
                    }
                    let steps = self.node.chains.lock().of(&subject, subscription).map(|(of, _)| {
                        of.settles = Some(settles);
                        of.does(|chain, steps| chain.begin(reached, steps))
                    });
                    self.do_steps(&subject, steps.unwrap_or_default()).await;
                }
                ChainDeed::BeLate { subject, subscription } => {
                    let steps = self
                        .node
                        .chains
                        .lock()
                        .of(&subject, subscription)
                        .map(|(of, room)| of.does(|chain, steps| chain.be_late(room, steps)));
                    self.do_steps(&subject, steps.unwrap_or_default()).await;
                }
                ChainDeed::End { subject, reached } => self.end_chain(&subject, reached),
                ChainDeed::LookAgain => self.look_again().await,
                ChainDeed::ChangeEngine { epoch } => {
                    self.hub.set_history_epoch(epoch);
                    *self.node.engine_time.lock() = EngineTime::new(Instant::now().into_std());
                    let changed = self.node.chains.lock().each(|_| true, Chain::change_engine);
                    self.do_all_steps(changed).await;
                }
            }
        }
    }

    fn history_reached(&self, subject: &Subject) -> Option<u64> {
        let Subject::Channel { app, channel } = subject else { return None };
        self.hub.history_reached(app, channel)
    }

    /// A channel is not followed any more. What was known of it is known up to now, nearly.
    fn end_chain(&self, subject: &Subject, reached: u64) {
        let Subject::Channel { app, channel } = subject else { return };
        let (now, heard_until) = {
            let time = self.node.engine_time.lock();
            (time.now(Instant::now().into_std()), time.heard_until())
        };
        if let Some(now) = now.filter(|_| heard_until > reached) {
            self.hub.fill_history(app, channel, StreamPart { events: Vec::new(), reached: heard_until, now });
        }
    }

    async fn look_again(&mut self) {
        let looked = self.node.chains.lock().each(|_| true, |chain, _, steps| chain.look_again(steps));
        self.do_all_steps(looked).await;
    }

    /// Asks again for what could not be fetched, from time to time, and sees what has become known by itself.
    pub(super) async fn look_at_chains(&mut self) {
        let now = Instant::now();
        if self.node.is_away()
            || self.fetching.resumed.is_some_and(|last| now.duration_since(last) < ASKS_AGAIN_AFTER)
        {
            return;
        }
        self.fetching.resumed = Some(now);
        let engine_now = self.node.engine_time.lock().now(now.into_std());
        let times = self.times();
        let looked = self.node.chains.lock().each(Chain::is_idle, |chain, _, steps| {
            chain.resume(steps);
            if let Some(engine_now) = engine_now {
                chain.pass(engine_now, &times, steps);
            }
        });
        self.do_all_steps(looked).await;
    }

    /// A page comes that was asked for.
    pub(super) async fn take_fetched(&mut self, fetched: Option<FetchedPage>) {
        // Those for whom a page is too late may have joined.
        self.do_with_chains().await;
        self.fetch_wanted();
        let Some((subject, fetch, page)) = fetched else { return };
        let page = page.map(|page| self.read_page(&subject, page));
        let times = self.times();
        let is_away = self.node.is_away();
        let steps = self.node.chains.lock().awaiting(&subject, fetch).map(|(of, room)| {
            of.does(|chain, steps| match page {
                Ok(page) => chain.take_page(page, &times, room, steps),
                Err(EngineError::Refused(reason)) => {
                    self.node.counts.refused(&reason);
                    chain.fail(FetchFailure::Refused, room, steps);
                }
                Err(EngineError::Away) if is_away => chain.fail(FetchFailure::Away, room, steps),
                Err(EngineError::Away) => chain.fail(FetchFailure::Unanswered, room, steps),
            })
        });
        self.do_steps(&subject, steps.unwrap_or_default()).await;
    }

    fn read_page(&self, subject: &Subject, page: KeptPage) -> ChainPage {
        let KeptPage { words, last, now, has_more } = page;
        let read = |kept: KeptWord| {
            let (number, previous) = (kept.number, kept.previous);
            let word = Word {
                subject: subject.clone(),
                bytes: kept.bytes,
                number: Some(number),
                previous: Some(previous),
            };
            ChainWord { number, previous, said: self.read_kept(&word, false) }
        };
        ChainPage { words: words.into_iter().map(read).collect(), last, now, has_more }
    }

    async fn do_all_steps(&mut self, all: Vec<(Subject, Vec<ChainStep>)>) {
        for (subject, steps) in all {
            self.do_steps(&subject, steps).await;
        }
    }

    /// Does what a chain wants done, in its order.
    async fn do_steps(&mut self, subject: &Subject, steps: Vec<ChainStep>) {
        let is_to_be_told = !steps.is_empty();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                ChainStep::Deliver(word) => {
                    if at > 0 {
                        self.hub.until_uncongested().await;
                    }
                    self.deliver_chained(subject, word);
                }
                ChainStep::Fill { words, reached, now } => self.fill(subject, words, reached, now),
                ChainStep::Hole(reason) => self.tell_hole(subject, reason),
                ChainStep::Fetch { behind } => self.want_page(subject, behind),
                ChainStep::Settle => self.settle(subject),
            }
        }
        if is_to_be_told {
            self.node.chains.has_handed_on(subject);
        }
    }

    fn deliver_chained(&mut self, subject: &Subject, word: ChainWord) {
        let (from, event) = match word.said {
            ChainedWord::Event { from, event } => (from, event),
            ChainedWord::Lost { is_own } => return self.lose_unnumbered(subject, word.number, is_own),
            ChainedWord::Unreadable | ChainedWord::Nothing => return,
        };
        let numbered = NumberedAs { number: word.number, is_kept: true, is_remembered: event.is_remembered };
        if from == self.node.me {
            let number = EventNumber { epoch: event.epoch, number: event.number };
            self.node.owed.has_come(subject, number, &event.frame);
            return self.take_own_event(subject.clone(), event, Some(numbered));
        }
        self.note_heard(from, subject, &event);
        self.deliver_or_park(from, subject.clone(), event, Some(numbered));
    }

    /// Events will have no number that were delivered here without one: what is kept of them stands before this one. Where some may be
    /// meant that were not delivered here, they are missing.
    fn lose_unnumbered(&self, subject: &Subject, number: u64, is_own: bool) {
        let Subject::Channel { app, channel } = subject else { return };
        self.deliver_parked_of(subject);
        let mut lost = self.node.owed.lost_came(subject, is_own);
        if lost.is_missing_here {
            self.tell_hole(subject, HoleReason::Lost);
        } else if !is_own && lost.count == 0 && !lost.may_be_more {
            return;
        }
        let count = (lost.count, lost.may_be_more);
        self.hub.lose_unnumbered(app, channel, number, count, |frame: &Frame| lost.find(frame));
    }

    /// What comes without a number of the engine is told from this by the numbers of its node.
    fn note_heard(&mut self, from: NodeId, subject: &Subject, event: &EventMessage) {
        let Some(subscription) = self.node.subscription(subject) else { return };
        let number = EventNumber { epoch: event.epoch, number: event.number };
        // In the stream each is once: what it is said to be there is not asked.
        let _ = self.heard.hear(from, subject, number, subscription);
    }

    /// What is kept of a channel, before anybody is here who would be sent it.
    fn fill(&mut self, subject: &Subject, words: Vec<ChainWord>, reached: u64, now: u64) {
        let Subject::Channel { app, channel } = subject else { return };
        self.deliver_parked_of(subject);
        let times = self.times();
        let mut events = Vec::with_capacity(words.len());
        let loss = |word: &ChainWord| match word.said {
            ChainedWord::Lost { is_own } => Some((word.number, is_own)),
            _ => None,
        };
        let losses: Vec<(u64, bool)> = words.iter().filter_map(loss).collect();
        for word in words {
            let previous = word.behind(&times);
            let ChainedWord::Event { from, event } = word.said else { continue };
            let number = EventNumber { epoch: event.epoch, number: event.number };
            let is_own = from == self.node.me;
            if is_own {
                self.node.owed.has_come(subject, number, &event.frame);
            } else {
                self.note_heard(from, subject, &event);
            }
            let is_delivered =
                is_own && self.node.awaited.last_delivered(subject).is_some_and(|last| number <= last);
            let kept = KeptAs { number: word.number, is_delivered };
            events.push(StreamEvent { kept, previous, frame: event.frame, except: event.except, time: None });
        }
        self.hub.fill_history(app, channel, StreamPart { events, reached, now });
        losses.into_iter().for_each(|(number, is_own)| self.lose_unnumbered(subject, number, is_own));
    }

    fn tell_hole(&self, subject: &Subject, reason: HoleReason) {
        let Subject::Channel { app, channel } = subject else { return };
        self.deliver_parked_of(subject);
        if reason != HoleReason::Lost {
            self.node.owed.forget_told(subject);
        }
        self.node.counts.hole(reason);
        tracing::debug!(
            app = &**app,
            channel = channel.as_str(),
            ?reason,
            "events of a history may be missing"
        );
        self.hub.history_hole(app, channel);
    }

    /// What waits of a channel goes before what is done now.
    fn deliver_parked_of(&self, subject: &Subject) {
        let parked = self.node.views.lock().parked.take_of(subject);
        parked.into_iter().for_each(|parked| self.deliver_parked(parked, false));
    }

    /// An event of another node is not in the stream of its channel.
    #[cold]
    pub(super) fn take_plain(&mut self, subject: &Subject, from: NodeId, event: &EventMessage) {
        self.node.owed.hear_lost(subject, &event.frame);
        self.plain.came(subject, from, Instant::now().into_std());
    }

    /// Has streams say that there were such events.
    pub(super) fn say_of_plain_events(&mut self) {
        let followed = || self.node.chains.subjects();
        let due = self.plain.take_due(Instant::now().into_std(), followed);
        due.iter().for_each(|subject| self.say_of_plain(subject));
    }

    fn say_of_plain(&self, subject: &Subject) {
        let Subject::Channel { app, channel } = subject else { return };
        let bounds = self.hub.apps().by_id(app).and_then(|app| app.app().history(channel));
        if let Some(bounds) = bounds {
            self.node.lose(subject, &self.node.keeping(&bounds, None));
        }
    }

    /// Another node has accepted an event that the engine does not keep.
    pub(super) fn take_lost(&mut self, subject: &Subject, from: NodeId) {
        self.plain.is_said_by(subject, from);
        if self.node.claims.subscription(subject).is_some() {
            self.tell_hole(subject, HoleReason::Lost);
        }
    }

    fn settle(&self, subject: &Subject) {
        if let Some(settles) = self.node.chains.lock().settles(subject) {
            // Whoever waits may have gone.
            let _ = settles.send(());
        }
    }

    fn want_page(&mut self, subject: &Subject, behind: u64) {
        self.fetching.last += 1;
        let fetch = self.fetching.last;
        if self.node.chains.lock().begin_fetch(subject, fetch) {
            self.fetching.wanted.push_back((subject.clone(), fetch, behind));
            self.fetch_wanted();
        }
    }

    /// Fetches what is wanted, as far as there is room.
    fn fetch_wanted(&mut self) {
        while self.fetching.under_way.len() < FETCHED_AT_ONCE
            && let Some((subject, fetch, behind)) = self.fetching.wanted.pop_front()
        {
            if self.node.chains.lock().awaiting(&subject, fetch).is_none() {
                continue;
            }
            self.node.counts.pages_fetched.add_from_anywhere(1);
            let node = Arc::clone(&self.node);
            self.fetching.under_way.spawn(async move {
                let page = timeout(PAGE_WITHIN, node.adapter.kept(&subject, behind, PAGE)).await;
                let page = page.unwrap_or(Err(EngineError::Away));
                if let Ok(page) = &page {
                    node.engine_time.lock().hear(page.now, Instant::now().into_std());
                }
                (subject, fetch, page)
            });
        }
    }
}
