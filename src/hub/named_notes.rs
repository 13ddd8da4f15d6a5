//! The names of clients where several nodes are one broker: what other nodes know of a name is asked for when its client comes, and
//! what they are to know of those that are here is handed to the bus.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tracing::debug;

use crate::channel::NodeId;
use crate::protocol::{ChannelName, SocketId};
use crate::recovery::{
    Arrived, ArrivingNote, DueNote, GivenName, NameKey, NameTimes, NoteFate, NoteNumber, NoteUrgency,
    OldNote, TakenName,
};

use super::named::{NamedCaller, NamedClient};
use super::{AddressGroup, AppIndex, AppState, Bus, BusAway, Hub, NameWord, unix_ms};

/// Notes that are written anew because their time comes, at most, of each second.
const WRITTEN_AGAIN: usize = 2000;

/// A note that the engine is to have, or none, in place of another one.
#[derive(Clone, Debug)]
pub(crate) struct NoteChange {
    /// The id of the app.
    pub(crate) app: Arc<str>,
    pub(crate) number: NoteNumber,
    pub(crate) expected: Option<Bytes>,
    /// And for how long.
    pub(crate) note: Option<(Bytes, Duration)>,
}

/// What became of it: done, or not because the engine has another one, or none.
pub(crate) type NoteAnswer = Result<Result<(), Option<Bytes>>, BusAway>;

/// What is asked of the other nodes when a client comes with its name.
pub(super) enum AskedName {
    /// It has been asked already.
    UnderWay(watch::Receiver<()>),
    /// It is asked now; whoever waits is told when the sender is dropped.
    Now(oneshot::Receiver<TakenName>, watch::Sender<()>, watch::Receiver<()>),
}

impl NamedClient {
    /// Its client is about to subscribe: asks what other nodes know of its name, where that is of use and not known yet.
    pub(super) fn ask(
        &self,
        bus: &Arc<dyn Bus>,
        (app, socket): (&AppState, SocketId),
        channel: &ChannelName,
    ) -> Option<AskedName> {
        let caller = self.caller.borrow();
        let NamedCaller { key, name: GivenName::Fit(name), .. } = caller.as_ref()? else { return None };
        app.app().history(channel)?;
        if let Some(asked) = &*self.asked.borrow() {
            return Some(AskedName::UnderWay(asked.clone()));
        }
        if bus.is_away() {
            return None;
        }
        let came = if bus.keeps_names() {
            bus.take_name(app, NoteNumber::of_name(app.id(), key, name), socket)
        } else {
            bus.ask_before(app, key, Some(name))?
        };
        let (done, asked) = watch::channel(());
        self.asked.replace(Some(asked.clone()));
        Some(AskedName::Now(came, done, asked))
    }

    /// What other nodes know of its name is known. Returns it, with what is needed to deal with it, if that is too late: it has taken
    /// its name without, or has ended.
    pub(super) fn came(&self, came: TakenName) -> Option<TakenName> {
        if self.caller.borrow().is_none() {
            return Some(came);
        }
        self.came.replace(Some(came));
        None
    }
}

impl Hub {
    /// A connection comes with a name that other nodes are told of.
    pub(super) fn arrive_noted(
        &self,
        app: &AppState,
        key: NameKey<AppIndex>,
        who: (SocketId, SocketId),
        (address, taken): (Option<AddressGroup>, Option<TakenName>),
    ) -> Arrived<AppIndex, SocketId> {
        if taken.is_none() {
            self.names.notes.late.fetch_add(1, Ordering::Relaxed);
        }
        let number = NoteNumber::of_name(app.id(), &key.key, &key.name);
        let came = ArrivingNote { app: Arc::clone(app.shared_id()), number, taken };
        self.names.table.lock().arrive_noted(key, who, address, came, &app.clock().name_times())
    }

    /// This node has taken a name for a connection that has ended meanwhile: it is kept for the client's return.
    #[cold]
    pub(super) fn keep_name_for_return(
        &self,
        app: &AppState,
        socket: SocketId,
        caller: NamedCaller,
        came: TakenName,
    ) {
        if let Some(hold) = self.take_name(app, socket, caller, Some(came)) {
            // Nobody has come with it since.
            let _ = self.leave_held(app, &hold);
        }
    }

    /// What other nodes know of a name is known when its connection has taken it without, or has ended.
    #[cold]
    pub(super) fn name_came_late(
        &self,
        app: &AppState,
        (socket, is_over): (SocketId, bool),
        caller: NamedCaller,
        came: TakenName,
    ) {
        let (TakenName::Taken { note, .. }, GivenName::Fit(name)) = (&came, &caller.name) else { return };
        let key = NameKey { app: app.index(), key: Arc::clone(&caller.key), name: name.clone() };
        let is_known = self.names.table.lock().taken_late(&key, note);
        if !is_known && is_over {
            self.keep_name_for_return(app, socket, caller, came);
        }
    }

    /// Has notes that are urgent be written.
    pub(super) fn tell_names_at_once(&self) {
        if self.bus().is_some() && self.names.notes.list.has_urgent() {
            self.names.notes.urgent.notify_one();
        }
    }

    /// Waits until some are.
    pub(crate) async fn until_names_are_urgent(&self) {
        self.names.notes.urgent.notified().await;
    }

    /// What the engine is to know of names, those that are urgent first: so many notes, and about so many bytes, at most. With
    /// `all`, also what is not urgent.
    pub(crate) fn changed_names(&self, all: bool, (most, most_bytes): (usize, usize)) -> Vec<NoteChange> {
        let list = &self.names.notes.list;
        let mut changes = Vec::new();
        while changes.len() < most
            && let Some(OldNote { app, number, bytes }) = list.next_removal()
        {
            changes.push(NoteChange { app, number, expected: Some(bytes), note: None });
        }
        if all {
            self.names.table.lock().list_old_notes(Instant::now(), WRITTEN_AGAIN);
        }
        let mut bytes = 0;
        for urgency in [NoteUrgency::Now, NoteUrgency::Soon].into_iter().take(1 + usize::from(all)) {
            while changes.len() < most && bytes < most_bytes {
                let Some(number) = list.next(urgency) else { break };
                if let Some(change) = self.name_change(number, urgency) {
                    bytes += change.note.as_ref().map_or(0, |(note, _)| note.len());
                    changes.push(change);
                }
            }
        }
        changes
    }

    fn name_change(&self, number: NoteNumber, urgency: NoteUrgency) -> Option<NoteChange> {
        let times = NameTimes { node: Instant::now(), app: Instant::now(), ms: unix_ms() };
        let mut due = self.names.table.lock().due_note(number, urgency, self.node_id(), &times)?;
        let apps = self.apps();
        let app = apps.by_id(&due.app)?;
        let place_of = |channel: &ChannelName, version| self.engine_position(app, channel, version);
        let note = due.write(place_of, &app.clock().name_times());
        let DueNote { app, expected, kept_for, .. } = due;
        Some(NoteChange { app, number, expected, note: Some((note, kept_for)) })
    }

    /// What became of one of them.
    pub(crate) fn name_noted(&self, change: NoteChange, answer: NoteAnswer) {
        let NoteChange { app, number, note: Some((bytes, _)), .. } = change else { return };
        let counts = &self.names.notes;
        match answer {
            Ok(Ok(())) => {
                counts.written.fetch_add(1, Ordering::Relaxed);
                self.names.table.lock().note_written(number, bytes, Instant::now());
            }
            Err(BusAway) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                self.names.table.lock().note_unwritten(number);
            }
            Ok(Err(found)) => {
                counts.refused.fetch_add(1, Ordering::Relaxed);
                let fate = self.names.table.lock().note_refused(number, found, self.node_id());
                match fate {
                    NoteFate::Again | NoteFate::Lost(None) => {}
                    NoteFate::TakenFrom(node, turn) => {
                        if let Some(bus) = self.bus() {
                            bus.tell_of_name(number, node, NameWord::Taken { turn });
                        }
                    }
                    NoteFate::Lost(Some(socket)) => self.end_lost_name(&app, socket),
                }
            }
        }
    }

    /// Another node has taken a name, as it says.
    pub(crate) fn name_taken_elsewhere(&self, number: NoteNumber, by: (NodeId, u64)) {
        let taken = self.names.table.lock().taken_elsewhere(number, by);
        if let Some((app, socket)) = taken {
            self.end_lost_name(&app, socket);
        }
    }

    /// A connection of another node that a name was taken over from was there.
    pub(crate) fn name_was_there_elsewhere(&self, number: NoteNumber) {
        self.names.table.lock().was_there_elsewhere(number, Instant::now());
        self.tell_names_at_once();
    }

    fn end_lost_name(&self, app: &str, socket: SocketId) {
        if let Some(app) = self.apps().by_id(app) {
            debug!(app = app.id(), socket_id = %socket, "its name was taken over on another node");
            self.end_taken_over(app, socket);
        }
    }
}
