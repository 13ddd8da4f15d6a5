//! What a cache channel remembers: its last published event, for a while.

use std::time::Instant;

use crate::protocol::Frame;

use super::ChannelVersion;

/// What a channel has of its last event.
#[derive(Clone, Debug)]
pub(super) enum LastEvent {
    Remembered(CachedEvent),
    /// It gave way to those of other channels. The engine may have it, by this number.
    GaveWay(EngineNumber),
}

impl LastEvent {
    pub(super) fn number(&self) -> Option<EngineNumber> {
        match self {
            LastEvent::Remembered(event) => event.number,
            LastEvent::GaveWay(number) => Some(*number),
        }
    }

    pub(super) fn number_mut(&mut self) -> Option<&mut EngineNumber> {
        match self {
            LastEvent::Remembered(event) => event.number.as_mut(),
            LastEvent::GaveWay(number) => Some(number),
        }
    }

    /// The event, if it is remembered.
    pub(super) fn event(&self) -> Option<&CachedEvent> {
        match self {
            LastEvent::Remembered(event) => Some(event),
            LastEvent::GaveWay(_) => None,
        }
    }
}

/// The last event of a cache channel.
#[derive(Clone, Debug)]
pub(crate) struct CachedEvent {
    /// The event as its subscribers were sent it.
    pub frame: Frame,
    /// When it is forgotten. Reading it changes nothing about that.
    pub expires: Instant,
    /// Its place in the channel's history: a subscriber that joined later is given it, and must not hear it twice.
    pub version: ChannelVersion,
    /// What the engine that remembers it for all nodes has numbered it, where there is one.
    pub number: Option<EngineNumber>,
}

/// The number that an engine has given to an event, or to one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineNumber {
    pub number: u64,
    /// The engine has become another one since. That may have the same events, or some of them, or may number from 1.
    pub is_former: bool,
    /// It is that of the event before: the engine has not told that it has this one.
    pub is_of_another: bool,
}

/// The event that the engine remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EngineEvent {
    pub(crate) number: u64,
    /// If it was put there again, where the engine lacked it: its [`CachedEvent::rank`].
    pub(crate) rank: Option<u64>,
    /// This node has accepted it, and later ones.
    pub(crate) is_overtaken: bool,
}

impl EngineNumber {
    /// Of the engine as it is.
    pub(crate) fn new(number: u64) -> Self {
        EngineNumber { number, is_former: false, is_of_another: false }
    }

    /// Whether an event of this number is this one, or one before it. What the engine remembers may be older than what was
    /// heard of the engine before; what it says live is not.
    pub(crate) fn covers(self, number: u64, is_recalled: bool) -> bool {
        let EngineNumber { number: last, is_former, .. } = self;
        if is_former && !is_recalled { number == last } else { number <= last }
    }
}

impl CachedEvent {
    /// Whether it is still to be remembered.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// Its place among the events that nodes remember and the engine lacks. The last one is put there again.
    pub(crate) fn rank(&self) -> u64 {
        let number = self.number.map_or(0, |number| number.number);
        number.saturating_mul(2).saturating_add(self.number.is_none_or(|number| number.is_of_another).into())
    }

    /// Whether the engine, which has this or nothing, lacks it and has nothing that is later.
    pub(crate) fn is_lacked(&self, engine: Option<EngineEvent>) -> bool {
        let Some(EngineEvent { number: last, rank, is_overtaken }) = engine else { return true };
        match (self.number, rank) {
            (Some(EngineNumber { is_former: false, is_of_another: false, .. }), _) => false,
            (None | Some(EngineNumber { is_of_another: true, .. }), _) if is_overtaken => true,
            (_, Some(rank)) => self.rank() > rank,
            (Some(EngineNumber { number, is_of_another: true, .. }), None) => last <= number,
            (Some(EngineNumber { number, .. }), None) => last < number,
            (None, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_lacks_is_told_from_what_it_has_or_is_past() {
        let numbered = |number, is_former, is_of_another| EngineNumber { number, is_former, is_of_another };
        let event = |number: Option<EngineNumber>| CachedEvent {
            frame: Frame::ping(),
            expires: Instant::now(),
            version: ChannelVersion::new(1),
            number,
        };
        let engine = |number, rank| Some(EngineEvent { number, rank, is_overtaken: false });
        let overtaken = Some(EngineEvent { number: 9, rank: None, is_overtaken: true });
        let (of_engine, lost) =
            (event(Some(numbered(5, false, false))), event(Some(numbered(5, true, false))));
        let (behind, first) = (event(Some(numbered(5, false, true))), event(None));
        for (event, engine, is_lacked) in [
            (&of_engine, None, true),
            (&of_engine, engine(4, None), false),
            (&of_engine, engine(6, None), false),
            (&lost, None, true),
            (&lost, engine(4, None), true),
            (&lost, engine(5, None), false),
            (&lost, engine(6, None), false),
            (&lost, engine(100, Some(8)), true),
            (&lost, engine(100, Some(10)), false),
            (&lost, engine(100, Some(11)), false),
            (&behind, None, true),
            (&behind, engine(5, None), true),
            (&behind, engine(6, None), false),
            (&behind, engine(100, Some(10)), true),
            (&behind, engine(100, Some(11)), false),
            (&behind, overtaken, true),
            (&first, None, true),
            (&first, engine(1, None), false),
            (&first, overtaken, true),
            (&first, engine(100, Some(1)), false),
        ] {
            assert_eq!(event.is_lacked(engine), is_lacked, "{event:?} {engine:?}");
        }
    }
}
