//! Who came back to an app's channels last, and with what, for whoever looks.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use crate::channel::{Replay, Wanted};
use crate::protocol::{ChannelName, SocketId};
use crate::recovery::ClientName;

/// Recoveries that are remembered of an app; beyond that the oldest is forgotten.
const RECENT_RECOVERIES: usize = 200;

/// How many bits of its digest a client is shown by: enough to tell few from each other, and nothing to find a name by.
const SHOWN_BITS: u64 = 0xff_ffff;

/// The recoveries of an app that ended last.
#[derive(Debug, Default)]
pub(crate) struct RecentRecoveries {
    list: Mutex<VecDeque<Recovery>>,
    /// Names are secrets. They are told from each other by digests that nobody can make elsewhere.
    digests: RandomState,
}

/// Somebody has come back to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// When, in milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) channel: ChannelName,
    /// Its connection now.
    pub(crate) socket_id: SocketId,
    /// What its client is told from others by, as long as the app is there; none if it comes with a place, and no name.
    pub(crate) client: Option<String>,
    pub(crate) outcome: RecoveryOutcome,
    /// Events that it was sent, and the bytes of their frames.
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What has become of what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecoveryOutcome {
    /// It was sent all of it.
    Complete,
    /// Some of it is not kept any more.
    Lost,
    /// It is more than is sent at once.
    TooMuch,
    /// It could not all be sent, and the last events were sent instead.
    LastInstead,
    /// The place that it came with is one of another run, or of another engine.
    OtherRun,
    /// Nothing is known of it on this channel.
    Unknown,
    /// Its name is none that is kept.
    NameNotKept,
}

/// What a client is called, and whether it has been here before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NamedAs {
    /// It comes with this name for the first time.
    New(ClientName),
    /// It has been here with this name.
    Returning(ClientName),
    /// Its name is not kept.
    NotKept,
}

impl NamedAs {
    /// The name, if it is kept.
    pub(super) fn name(&self) -> Option<&ClientName> {
        match self {
            NamedAs::New(name) | NamedAs::Returning(name) => Some(name),
            NamedAs::NotKept => None,
        }
    }
}

impl RecoveryOutcome {
    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            RecoveryOutcome::Complete => "complete",
            RecoveryOutcome::Lost => "lost",
            RecoveryOutcome::TooMuch => "too_much",
            RecoveryOutcome::LastInstead => "last_instead",
            RecoveryOutcome::OtherRun => "other_run",
            RecoveryOutcome::Unknown => "unknown",
            RecoveryOutcome::NameNotKept => "name_not_kept",
        }
    }

    /// Why it was not sent all that it missed.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            RecoveryOutcome::Complete => None,
            RecoveryOutcome::Lost => Some("some of what it missed is not kept any more"),
            RecoveryOutcome::TooMuch => Some("what it missed is more than is sent at once"),
            RecoveryOutcome::LastInstead => {
                Some("what it missed is lost or too much, and it was sent the last events instead")
            }
            RecoveryOutcome::OtherRun => {
                Some("it came with a place of another run of the broker, or of another engine")
            }
            RecoveryOutcome::Unknown => {
                Some("nothing is known of it on this channel: it was not there before, or that is forgotten")
            }
            RecoveryOutcome::NameNotKept => Some(
                "its name is not kept: it is no name that can be, several clients come with it, or there is no room",
            ),
        }
    }

    /// What has become of it; none if nobody has come back: it has asked for the last events, or comes for the first time.
    /// `is_of_this_run`: whether a place is one that this node knows.
    pub(super) fn of(
        asked: &Wanted,
        replay: &Replay,
        named: Option<&NamedAs>,
        is_of_this_run: impl Fn(u64) -> bool,
    ) -> Option<Self> {
        let Some(position) = asked.since() else {
            return match (asked, named) {
                (Wanted::Last(_) | Wanted::Nothing, None) => None,
                (_, None | Some(NamedAs::Returning(_))) => Some(RecoveryOutcome::Unknown),
                (_, Some(NamedAs::New(_))) => None,
                (_, Some(NamedAs::NotKept)) => Some(RecoveryOutcome::NameNotKept),
            };
        };
        Some(match asked {
            _ if replay.complete => RecoveryOutcome::Complete,
            _ if !is_of_this_run(position.epoch) => RecoveryOutcome::OtherRun,
            Wanted::OrLast { .. } => RecoveryOutcome::LastInstead,
            _ if replay.is_too_large => RecoveryOutcome::TooMuch,
            _ => RecoveryOutcome::Lost,
        })
    }
}

impl RecentRecoveries {
    /// Somebody has come back.
    pub(super) fn note(&self, recovery: Recovery) {
        let mut list = self.list.lock();
        if list.len() == RECENT_RECOVERIES {
            list.pop_front();
        }
        list.push_back(recovery);
    }

    /// What a client is shown by.
    pub(super) fn digest(&self, name: &ClientName) -> String {
        format!("{:06x}", self.digests.hash_one(name) & SHOWN_BITS)
    }

    /// The latest of those that are wanted, so many at most, the latest first.
    pub(crate) fn latest(&self, most: usize, wanted: impl Fn(&Recovery) -> bool) -> Vec<Recovery> {
        self.list.lock().iter().rev().filter(|recovery| wanted(recovery)).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::HistoryPosition;
    use crate::protocol::Rewind;

    const NAME: &str = "0123456789abcdefghijkl";

    fn name() -> ClientName {
        ClientName::parse(NAME).unwrap()
    }

    #[test]
    fn what_has_become_of_what_somebody_missed() {
        let since = |epoch| Wanted::Since { position: HistoryPosition { epoch, number: 1 }, own: Vec::new() };
        let all = Replay { complete: true, ..Replay::default() };
        let too_much = Replay { is_too_large: true, ..Replay::default() };
        let some = Replay::default();
        let last = Rewind::Events(3);
        let (new, back) = (NamedAs::New(name()), NamedAs::Returning(name()));
        for (asked, replay, named, expected) in [
            (since(1), &all, Some(&back), Some(RecoveryOutcome::Complete)),
            (since(1), &all, None, Some(RecoveryOutcome::Complete)),
            (since(1), &some, Some(&back), Some(RecoveryOutcome::Lost)),
            (since(1), &too_much, Some(&back), Some(RecoveryOutcome::TooMuch)),
            (since(2), &some, None, Some(RecoveryOutcome::OtherRun)),
            (since(1).or_last(Some(last)), &some, Some(&back), Some(RecoveryOutcome::LastInstead)),
            (Wanted::Unknown, &some, Some(&back), Some(RecoveryOutcome::Unknown)),
            (Wanted::Unknown.or_last(Some(last)), &some, Some(&back), Some(RecoveryOutcome::Unknown)),
            (Wanted::Unknown, &some, None, Some(RecoveryOutcome::Unknown)),
            (Wanted::Unknown, &some, Some(&NamedAs::NotKept), Some(RecoveryOutcome::NameNotKept)),
            (Wanted::Unknown, &some, Some(&new), None),
            (Wanted::Last(last), &all, None, None),
        ] {
            let found = RecoveryOutcome::of(&asked, replay, named, |epoch| epoch == 1);
            assert_eq!(found, expected, "{asked:?} {named:?}");
        }
    }

    #[test]
    fn the_latest_come_first_the_oldest_are_forgotten_and_no_name_is_shown() {
        let recent = RecentRecoveries::default();
        let client = recent.digest(&name());
        assert_eq!((client.len(), &client), (6, &recent.digest(&name())));
        assert!(!NAME.contains(&client));
        let channel = |n: usize| ChannelName::parse(&format!("c{}", n % 2), 164).unwrap();
        for n in 0..RECENT_RECOVERIES + 10 {
            recent.note(Recovery {
                at: n as u64,
                channel: channel(n),
                socket_id: SocketId::new(1, 1),
                client: Some(client.clone()),
                outcome: RecoveryOutcome::Complete,
                events: 1,
                bytes: 1,
            });
        }
        let all = recent.latest(usize::MAX, |_| true);
        assert_eq!((all.len(), all[0].at, all[RECENT_RECOVERIES - 1].at), (RECENT_RECOVERIES, 209, 10));
        let of_one = recent.latest(3, |recovery| recovery.channel == channel(0));
        assert_eq!(of_one.iter().map(|recovery| recovery.at).collect::<Vec<_>>(), [208, 206, 204]);
    }
}
