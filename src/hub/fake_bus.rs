//! A bus that leads nowhere: it does as a test says, and keeps what it is given.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::channel::{Fact, NodeId};
use crate::event::BackendDemand;
use crate::protocol::{ChannelName, Frame, SocketId, SocketTag};
use crate::recovery::{NoteNumber, TakenName};
use crate::video::{FilmingClaim, KeyframesWanted};

use super::{
    AppState, Bus, BusAway, Carriage, Claim, ClaimedBefore, IdDigest, NameWord, Outgoing, OutgoingNotice,
    Recalled, StreamPart, Taken,
};

/// What it does, and what it was given.
#[derive(Default)]
pub(crate) struct FakeBus(Mutex<FakeState>);

#[derive(Default)]
struct FakeState {
    /// Claims wait, until the test confirms them.
    has_claims_wait: bool,
    /// Remembered events return.
    has_events_return: bool,
    is_away: bool,
    /// Another node decides.
    is_bystander: bool,
    /// This node.
    me: Option<NodeId>,
    /// There is no other node.
    is_alone: bool,
    /// This node has decided for so long, and the others have; if not for ever.
    decided_for: Option<Duration>,
    others_decided_for: Option<Duration>,
    /// Nodes that have gone, and when the last one did.
    departures: u64,
    gone: Option<Instant>,
    /// Another node tells what this one has held back.
    has_handed_over: bool,
    claims: BTreeMap<ChannelName, i64>,
    waiting: VecDeque<oneshot::Sender<()>>,
    carried: Vec<HandedEvent>,
    taken: Vec<Taken>,
    to_sockets: Vec<SocketId>,
    closed: Vec<SocketId>,
    terminated: Vec<String>,
    remembered: Option<(Frame, Duration)>,
    missed: Vec<ChannelName>,
    wanted: Vec<(Option<NodeId>, KeyframesWanted)>,
    filming: Vec<(Option<NodeId>, FilmingClaim)>,
    publishes: BTreeMap<(String, IdDigest), Bytes>,
    told: Vec<Fact>,
    demand: BackendDemand,
    notices: Vec<HandedNotice>,
    /// Nothing is awaited any more.
    is_rid_of_awaited: bool,
    /// What the engine has of each channel, where these do not come here.
    stream: Option<StreamPart>,
    /// The most events that are read at once, if not as many as are asked for.
    at_once: Option<usize>,
    /// Names are known to all nodes.
    has_names: bool,
    asked_names: Vec<AskedOfName>,
    name_words: Vec<(NodeId, NameWord)>,
}

/// A name that was asked for, and how to answer.
pub(crate) type AskedOfName = (NoteNumber, oneshot::Sender<TakenName>);

/// What it was given for backends elsewhere: as `Debug` prints it, with the groups.
pub(crate) type HandedNotice = (String, Vec<(NodeId, Arc<str>)>);

/// An event that it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandedEvent {
    pub(crate) channel: ChannelName,
    pub(crate) frame: Frame,
    pub(crate) latest: Option<String>,
    pub(crate) except: Option<SocketId>,
    pub(crate) remembered_for: Option<Duration>,
}

impl FakeBus {
    /// From now on claims wait.
    pub(crate) fn have_claims_wait(&self) {
        self.0.lock().has_claims_wait = true;
    }

    /// From now on events that a channel remembers return.
    pub(crate) fn have_events_return(&self) {
        self.0.lock().has_events_return = true;
    }

    /// From now on this node decides, or another one does.
    pub(crate) fn decide(&self, decides: bool) {
        self.0.lock().is_bystander = !decides;
    }

    /// This node has decided for so long.
    pub(crate) fn come(&self, decided_for: Duration) {
        self.0.lock().decided_for = Some(decided_for);
    }

    /// The others have decided for so long.
    pub(crate) fn others_come(&self, decided_for: Duration) {
        self.0.lock().others_decided_for = Some(decided_for);
    }

    /// The node that decides has died now; this one decides from now on, or again another one.
    pub(crate) fn decider_dies(&self, decides: bool, now: Instant) {
        let mut state = self.0.lock();
        state.departures += 1;
        state.gone = Some(now);
        state.is_bystander = !decides;
    }

    /// From now on there is no other node.
    pub(crate) fn be_alone(&self) {
        self.0.lock().is_alone = true;
    }

    /// From now on another node tells what this one has held back.
    pub(crate) fn hand_over(&self) {
        self.0.lock().has_handed_over = true;
    }

    /// From now on names are known to all nodes.
    pub(crate) fn keep_names(&self) {
        self.0.lock().has_names = true;
    }

    /// The names that were asked for since this was last asked.
    pub(crate) fn take_asked_names(&self) -> Vec<AskedOfName> {
        std::mem::take(&mut self.0.lock().asked_names)
    }

    /// What other nodes were told of names.
    pub(crate) fn name_words(&self) -> Vec<(NodeId, NameWord)> {
        self.0.lock().name_words.clone()
    }

    /// Whether it was told to deliver what is awaited.
    pub(crate) fn is_rid_of_awaited(&self) -> bool {
        self.0.lock().is_rid_of_awaited
    }

    /// From now on it is known to be away.
    pub(crate) fn go_away(&self) {
        self.0.lock().is_away = true;
    }

    /// The claims that wait, the first one first: to be confirmed, or dropped.
    pub(crate) fn waiting_claims(&self) -> VecDeque<oneshot::Sender<()>> {
        std::mem::take(&mut self.0.lock().waiting)
    }

    /// How many claims of a channel have not been released.
    pub(crate) fn claims_of(&self, channel: &ChannelName) -> i64 {
        self.0.lock().claims.get(channel).copied().unwrap_or_default()
    }

    /// How many claims there are that have not been released.
    pub(crate) fn claims(&self) -> i64 {
        let state = self.0.lock();
        assert!(state.claims.values().all(|claims| *claims >= 0), "released too often: {:?}", state.claims);
        state.claims.values().sum()
    }

    /// What it was told since this was last asked.
    pub(crate) fn take_told(&self) -> Vec<Fact> {
        std::mem::take(&mut self.0.lock().told)
    }

    /// The events that it was given.
    pub(crate) fn carried(&self) -> Vec<HandedEvent> {
        self.0.lock().carried.clone()
    }

    /// What waits to be told that the engine has taken something.
    pub(crate) fn take_taken(&self) -> Vec<Taken> {
        std::mem::take(&mut self.0.lock().taken)
    }

    /// What backends of this node want, as it was told last.
    pub(crate) fn demand(&self) -> BackendDemand {
        self.0.lock().demand.clone()
    }

    /// What it was given for backends elsewhere since this was last asked.
    pub(crate) fn take_notices(&self) -> Vec<HandedNotice> {
        std::mem::take(&mut self.0.lock().notices)
    }

    /// The connections that it was given frames for.
    pub(crate) fn sockets(&self) -> Vec<SocketId> {
        self.0.lock().to_sockets.clone()
    }

    /// The connections that others were to end.
    pub(crate) fn closed(&self) -> Vec<SocketId> {
        self.0.lock().closed.clone()
    }

    /// From now on channels' events do not come here, and this is what the engine has of each.
    /// However many events are asked for, so many are read at once.
    pub(crate) fn reads_at_once(&self, events: usize) {
        self.0.lock().at_once = Some(events);
    }

    pub(crate) fn stream(&self, part: StreamPart) {
        self.0.lock().stream = Some(part);
    }

    /// From now on this is what the engine remembers.
    pub(crate) fn remember(&self, frame: Frame, expires_in: Duration) {
        self.0.lock().remembered = Some((frame, expires_in));
    }

    /// The channels of which it was told that something was missed.
    pub(crate) fn missed(&self) -> Vec<ChannelName> {
        self.0.lock().missed.clone()
    }

    /// The users whose connections others were to end.
    pub(crate) fn terminated(&self) -> Vec<String> {
        self.0.lock().terminated.clone()
    }
}

impl FakeBus {
    /// It is away from now on, as far as this node is concerned.
    pub(crate) fn leave(&self, me: NodeId) {
        let mut state = self.0.lock();
        (state.me, state.is_away) = (Some(me), true);
    }
}

impl FakeState {
    fn ask(&mut self, taken: Taken) {
        if self.is_away {
            // Whoever asked may have gone.
            let _ = taken.send(Err(BusAway));
        } else {
            self.taken.push(taken);
        }
    }
}

impl Bus for FakeBus {
    fn carry(&self, event: &Outgoing<'_>, taken: Option<Taken>) -> Carriage {
        let mut state = self.0.lock();
        state.carried.push(HandedEvent {
            channel: event.channel.clone(),
            frame: event.message.plain().clone(),
            latest: event.latest.map(str::to_owned),
            except: event.except,
            remembered_for: event.remembered_for,
        });
        taken.into_iter().for_each(|taken| state.ask(taken));
        if state.has_events_return && event.remembered_for.is_some() {
            Carriage::Returns
        } else {
            Carriage::Onward
        }
    }

    fn tell(&self, _: &AppState, fact: Fact) {
        self.0.lock().told.push(fact);
    }

    fn claim(&self, _: &Arc<AppState>, channel: &ChannelName) -> Claim {
        let mut state = self.0.lock();
        *state.claims.entry(channel.clone()).or_default() += 1;
        if !state.has_claims_wait {
            return Claim::Settled;
        }
        let (confirm, confirmed) = oneshot::channel();
        state.waiting.push_back(confirm);
        Claim::Waiting(confirmed)
    }

    fn release(&self, _: &Arc<AppState>, channel: &ChannelName) {
        *self.0.lock().claims.entry(channel.clone()).or_default() -= 1;
    }

    fn socket_tag(&self) -> SocketTag {
        SocketTag::of_random(4711)
    }

    fn recall(&self, _: &Arc<AppState>, _: &ChannelName) -> oneshot::Receiver<Recalled> {
        let (tell, told) = oneshot::channel();
        let state = self.0.lock();
        let recalled = if state.is_away { Err(BusAway) } else { Ok(state.remembered.clone()) };
        // It is waited for.
        let _ = tell.send(recalled);
        told
    }

    fn follows(&self, _: &AppState, _: &ChannelName) -> bool {
        let state = self.0.lock();
        !state.is_away && state.stream.is_none()
    }

    fn read_history(
        &self,
        _: &Arc<AppState>,
        _: &ChannelName,
        behind: u64,
        (most, _): (usize, usize),
    ) -> oneshot::Receiver<Result<(StreamPart, bool), BusAway>> {
        let (tell, told) = oneshot::channel();
        let state = self.0.lock();
        let part = state.stream.clone().filter(|_| !state.is_away).ok_or(BusAway).map(|mut part| {
            part.events.retain(|event| event.kept.number > behind);
            let most = state.at_once.map_or(most, |at_once| most.min(at_once));
            let has_more = part.events.len() > most;
            part.events.truncate(most);
            if has_more {
                part.reached = part.events.last().map_or(behind, |last| last.kept.number);
            }
            (part, has_more)
        });
        // It is waited for.
        let _ = tell.send(part);
        told
    }

    fn miss(&self, _: &Arc<AppState>, channel: &ChannelName) -> Result<(), BusAway> {
        let mut state = self.0.lock();
        state.missed.push(channel.clone());
        if state.is_away { Err(BusAway) } else { Ok(()) }
    }

    fn claim_publish(&self, app: &AppState, id: IdDigest, claim: Bytes) -> oneshot::Receiver<ClaimedBefore> {
        let (tell, told) = oneshot::channel();
        let mut state = self.0.lock();
        let key = (app.id().to_owned(), id);
        let before = state.publishes.get(&key).cloned();
        let before = if state.is_away { Err(BusAway) } else { Ok(before) };
        if before == Ok(None) {
            state.publishes.insert(key, claim);
        }
        // It is waited for.
        let _ = tell.send(before);
        told
    }

    fn settle_publish(&self, app: &AppState, id: IdDigest, claim: Bytes, published: Option<Bytes>) {
        let mut state = self.0.lock();
        let key = (app.id().to_owned(), id);
        if state.publishes.get(&key) == Some(&claim) {
            state.publishes.remove(&key);
            state.publishes.extend(published.map(|published| (key, published)));
        }
    }

    fn decides(&self, _: &str, _: &ChannelName, by: NodeId, ago: Duration) -> bool {
        let state = self.0.lock();
        let was_there = state.decided_for.is_none_or(|since| ago < since);
        !state.is_bystander && was_there || state.is_away && state.me == Some(by)
    }

    fn departures(&self) -> u64 {
        self.0.lock().departures
    }

    fn inherits(&self, _: &str, _: &ChannelName, _: Duration, then: Instant) -> bool {
        let state = self.0.lock();
        !state.is_bystander && state.gone.is_some_and(|gone| gone >= then)
    }

    fn has_peers(&self, ago: Duration) -> bool {
        let state = self.0.lock();
        !state.is_alone && state.others_decided_for.is_none_or(|since| ago < since)
    }

    fn keeps_names(&self) -> bool {
        self.0.lock().has_names
    }

    fn take_name(&self, _: &AppState, number: NoteNumber, _: SocketId) -> oneshot::Receiver<TakenName> {
        let (tell, told) = oneshot::channel();
        self.0.lock().asked_names.push((number, tell));
        told
    }

    fn tell_of_name(&self, _: NoteNumber, node: NodeId, word: NameWord) {
        self.0.lock().name_words.push((node, word));
    }

    fn want_key_frames(&self, _: &AppState, of: Option<NodeId>, wanted: &KeyframesWanted) {
        self.0.lock().wanted.push((of, wanted.clone()));
    }

    fn claim_filming(&self, _: &AppState, to: Option<NodeId>, claim: &FilmingClaim) {
        self.0.lock().filming.push((to, claim.clone()));
    }

    fn listen(&self, _: &AppState, demand: BackendDemand) {
        self.0.lock().demand = demand;
    }

    fn carry_notice(&self, notice: &OutgoingNotice<'_>) {
        let name = format!("{:?}", notice.notice);
        self.0.lock().notices.push((name, notice.groups.to_vec()));
    }

    fn is_away(&self) -> bool {
        self.0.lock().is_away
    }

    fn deliver_awaited(&self) {
        self.0.lock().is_rid_of_awaited = true;
    }

    fn has_handed_over(&self) -> bool {
        self.0.lock().has_handed_over
    }

    fn carry_to_socket(&self, _: &AppState, socket: SocketId, _: &Frame) -> bool {
        let mut state = self.0.lock();
        state.to_sockets.push(socket);
        !state.is_away
    }

    fn carry_close(&self, _: &AppState, socket: SocketId) -> bool {
        let mut state = self.0.lock();
        state.closed.push(socket);
        !state.is_away
    }

    fn carry_termination(&self, _: &AppState, user_id: &str, taken: Taken) -> Result<(), BusAway> {
        let mut state = self.0.lock();
        if state.is_away {
            return Err(BusAway);
        }
        state.terminated.push(user_id.to_owned());
        state.ask(taken);
        Ok(())
    }
}
