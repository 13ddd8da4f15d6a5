//! What an app's channels keep, as a process hands it over that is succeeded: what there is already in parts, and what is kept
//! from then on as it comes.

use std::sync::Arc;
use std::time::Instant;

use crate::channel::{Channel, ChannelVersion, History, KeptEvent, LostEvent, PartOfHistory};
use crate::hub::{HandedEvents, HandedFloor, HandedHistoryEvent, HistoryFollower, LiveEvent};
use crate::protocol::ChannelName;

use super::AppState;

/// Events of one part, and about as many bytes of them.
const PART_EVENTS: usize = 1000;
const PART_BYTES: usize = 64 * 1024;

/// How a history is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Part by part.
    InParts,
    /// That all of it is lost.
    AsLost,
}

impl AppState {
    /// From now on this one is told what the channels keep of which nothing is kept yet. Returns the others, to be told by
    /// [`AppState::tell_kept`]. Nobody is told any more if it is none.
    pub(crate) fn follow_histories(&self, follower: Option<Arc<dyn HistoryFollower>>) -> Vec<ChannelName> {
        let is_over = follower.is_none();
        self.histories.follower.set(follower);
        if is_over {
            return Vec::new();
        }
        let mut names = Vec::new();
        for mut entry in self.channels.iter_mut() {
            if let Some(history) = entry.history_mut() {
                // A process that was to succeed before may have been told of it.
                history.is_followed = false;
                names.push(entry.key().clone());
            }
        }
        names
    }

    /// Tells a part of what a channel keeps, which comes behind this version. With the last part it begins to be told what comes
    /// from then on. Returns behind which version the next part comes.
    pub(crate) fn tell_kept(
        &self,
        channel: &ChannelName,
        behind: ChannelVersion,
        told: Told,
    ) -> Option<ChannelVersion> {
        let mut entry = self.channels.get_mut(channel)?;
        let history = entry.history_mut()?;
        let now = self.clock().now();
        let part = match told {
            Told::InParts => history.part_behind(behind, PART_EVENTS, PART_BYTES),
            Told::AsLost => PartOfHistory { behind: history.newest(), events: Vec::new(), has_more: false },
        };
        let PartOfHistory { behind, events, has_more } = part;
        history.is_followed = !has_more;
        let next = events.last().map(|event| event.version).filter(|_| has_more);
        let events = events.into_iter().map(|event| handed(event, now)).collect();
        let events = HandedEvents { behind: handed_floor(behind, now), events };
        self.histories.follower.tell(&self.id, channel, events, None);
        next
    }

    /// A history has begun, under the channel's entry.
    pub(super) fn tell_begun(&self, channel: &ChannelName, history: &mut History) {
        if self.histories.follower.is_there() && !history.is_followed && history.is_empty() {
            history.is_followed = true;
            let behind = handed_floor(history.newest(), self.clock().now());
            let events = HandedEvents { behind, events: Vec::new() };
            self.histories.follower.tell(&self.id, channel, events, None);
        }
    }

    /// An event is about to be kept, behind what the channel keeps already, under its entry.
    #[cold]
    pub(super) fn tell_one_kept(&self, (channel, entry): (&ChannelName, &Channel), event: &KeptEvent) {
        let Some(history) = entry.history() else { return };
        let is_remembered = entry.remembered_version() == Some(event.version);
        let behind = handed_floor(history.newest(), event.at);
        let events = HandedEvents { behind, events: vec![handed(event.clone(), event.at)] };
        let live = LiveEvent { is_remembered, ..LiveEvent::default() };
        self.histories.follower.tell(&self.id, channel, events, Some(live));
    }
}

fn handed_floor(LostEvent { version, at }: LostEvent, now: Instant) -> HandedFloor {
    HandedFloor { number: version.number(), ago: now.saturating_duration_since(at) }
}

fn handed(
    KeptEvent { version, at, time_ms, frame, except, .. }: KeptEvent,
    now: Instant,
) -> HandedHistoryEvent {
    HandedHistoryEvent {
        number: version.number(),
        ago: now.saturating_duration_since(at),
        time_ms,
        frame,
        except,
    }
}
