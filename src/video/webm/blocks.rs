//! Blocks of a WebM that wait until it is their turn: pictures and sound come apart, and are written in the order of their
//! times.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::TrackKind;

/// How long a block waits for one of the other kind that may have to be written before it.
const TURN_WAIT: Duration = Duration::from_millis(150);

/// A kind of which nothing has come for so long is not waited for.
const ABSENT: Duration = Duration::from_secs(1);

/// A block that waits.
#[derive(Clone, Debug)]
pub(super) struct WaitingBlock {
    /// When it is to be shown.
    pub(super) ms: u64,
    /// A picture that a decoder can begin with.
    pub(super) is_key: bool,
    pub(super) content: Box<[u8]>,
    /// When it came.
    pub(super) came: Instant,
}

/// Those of both kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockQueues {
    waiting: [VecDeque<WaitingBlock>; 2],
    bytes: usize,
    /// When something of each kind came last.
    last_came: [Option<Instant>; 2],
    /// The latest time that was handed out.
    written_ms: u64,
}

impl BlockQueues {
    pub(super) fn push(&mut self, kind: TrackKind, block: WaitingBlock) {
        self.bytes += block.content.len();
        self.last_came[kind as usize] = Some(block.came);
        self.waiting[kind as usize].push_back(block);
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The block whose turn it is, if one's is: one's always is where there is no time, because nothing more will come. Its time
    /// is none before that of the last one: what comes too late for its place is moved behind it.
    pub(super) fn next(
        &mut self,
        has_sound: bool,
        now: Option<Instant>,
    ) -> Option<(TrackKind, WaitingBlock)> {
        let [pictures, sound] = &self.waiting;
        let waits_for = |kind: TrackKind, block: &WaitingBlock| {
            let is_awaited = |now| {
                let is_there = self.last_came[kind as usize].is_some_and(|at| at + ABSENT > now);
                is_there && block.came + TURN_WAIT > now
            };
            has_sound && now.is_some_and(is_awaited)
        };
        let kind = match (pictures.front(), sound.front()) {
            (None, None) => return None,
            (Some(picture), None) if waits_for(TrackKind::Sound, picture) => return None,
            (None, Some(sound)) if waits_for(TrackKind::Pictures, sound) => return None,
            (None, Some(_)) => TrackKind::Sound,
            (Some(_), None) => TrackKind::Pictures,
            // A cluster begins with its picture, and has the sound of the same time in it.
            (Some(picture), Some(sound))
                if sound.ms < picture.ms || (sound.ms == picture.ms && !picture.is_key) =>
            {
                TrackKind::Sound
            }
            (Some(_), Some(_)) => TrackKind::Pictures,
        };
        let mut block = self.waiting[kind as usize].pop_front()?;
        self.bytes -= block.content.len();
        block.ms = block.ms.max(self.written_ms);
        self.written_ms = block.ms;
        Some((kind, block))
    }
}
