//! What is said to very many connections of a worker at once, to some of them in each turn: whoever hears it has something
//! to do about it, and others should not wait for all of them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::vec;

use crate::protocol::CloseCode;

use super::Client;

/// Connections that are told per turn. Each of them may write, or end, in a turn of its own: some milliseconds' worth.
const TOLD_PER_TURN: usize = 128;

/// Those that are told while others queue for a turn: whoever comes of his own accord would queue among them. They are
/// never none, because whoever floods may always queue.
const TOLD_WHILE_OTHERS_QUEUE: usize = 16;

/// What they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SharedSignal {
    /// To end.
    Close(CloseCode, &'static str),
    /// To end, if it is a stream over HTTP.
    CloseStream(CloseCode, &'static str),
    /// To look whether it goes on, if it is a stream over HTTP.
    LookAtStream,
    /// A time has come that they wait for.
    Timer,
}

/// The rounds that are under way, the first of which is gone on with. Connections are known by a name: whoever has gone
/// meanwhile is not told.
#[derive(Debug)]
pub(super) struct Rounds<N> {
    queue: RefCell<VecDeque<(SharedSignal, vec::IntoIter<N>)>>,
}

impl<N> Default for Rounds<N> {
    fn default() -> Self {
        Rounds { queue: RefCell::default() }
    }
}

impl<N> Rounds<N> {
    /// Begins a round.
    pub(super) fn begin(&self, signal: SharedSignal, names: Vec<N>) {
        if !names.is_empty() {
            self.queue.borrow_mut().push_back((signal, names.into_iter()));
        }
    }

    /// Goes on, as far as one turn allows. Returns whether that was all.
    pub(super) fn go_on(&self, others_queue: bool, mut tell: impl FnMut(&N, SharedSignal)) -> bool {
        let mut queue = self.queue.borrow_mut();
        let mut room = if others_queue { TOLD_WHILE_OTHERS_QUEUE } else { TOLD_PER_TURN };
        while let Some((signal, names)) = queue.front_mut() {
            for name in names.by_ref().take(room) {
                room -= 1;
                tell(&name, *signal);
            }
            if names.len() > 0 {
                return false;
            }
            queue.pop_front();
        }
        true
    }
}

impl SharedSignal {
    /// Tells a connection.
    pub(super) fn tell(self, client: &Client) {
        match self {
            SharedSignal::Close(code, reason) => client.signal_close(code.into(), reason.into()),
            SharedSignal::CloseStream(code, reason) if client.is_stream() => {
                client.signal_close(code.into(), reason.into())
            }
            SharedSignal::LookAtStream if client.is_stream() => client.wake(),
            SharedSignal::CloseStream(..) | SharedSignal::LookAtStream => {}
            SharedSignal::Timer => client.signal_timer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_told_in_order_and_in_turns() {
        let rounds = Rounds::default();
        let close = SharedSignal::Close(CloseCode::UnknownApp, "gone");
        let count = TOLD_PER_TURN + TOLD_PER_TURN / 2;
        rounds.begin(SharedSignal::Timer, (0..count).collect());
        rounds.begin(close, (0..count).collect());
        rounds.begin(close, Vec::new());
        let mut told = Vec::new();
        let mut turns = 1;
        loop {
            let before = told.len();
            let all = rounds.go_on(false, |name, signal| told.push((signal, *name)));
            assert!(told.len() - before <= TOLD_PER_TURN);
            if all {
                break;
            }
            turns += 1;
        }
        let expected =
            [SharedSignal::Timer, close].into_iter().flat_map(|signal| (0..count).map(move |n| (signal, n)));
        assert!(told.into_iter().eq(expected));
        assert_eq!(turns, 3);
    }
}
