//! Queues events for one hook, bounded in number and bytes. Pure.

use std::collections::VecDeque;

use super::{OwnedMessage, PipeSettings, WhenFull};

/// The queue of one hook: events, each with what `C` goes with it.
#[derive(Debug)]
pub(super) struct HookQueue<C> {
    settings: PipeSettings,
    waiting: VecDeque<(OwnedMessage, C)>,
    bytes: usize,
}

impl<C> HookQueue<C> {
    pub(super) fn new(settings: PipeSettings) -> Self {
        HookQueue { settings, waiting: VecDeque::new(), bytes: 0 }
    }

    /// Adds an event; returns how many were lost for it, itself perhaps among them.
    pub(super) fn push(&mut self, message: OwnedMessage, with: C) -> u64 {
        let mut lost = 0;
        let bytes = message.bytes();
        if !self.fits(bytes) {
            match self.settings.when_full {
                WhenFull::DropNewest => return 1,
                WhenFull::DropOldest => {}
                WhenFull::KeepLatest => {
                    let same = |(waiting, _): &(OwnedMessage, C)| {
                        waiting.event == message.event && waiting.channel == message.channel
                    };
                    if let Some((older, _)) =
                        self.waiting.iter().rposition(same).and_then(|at| self.waiting.remove(at))
                    {
                        self.bytes -= older.bytes();
                        lost += 1;
                    }
                }
            }
            while !self.fits(bytes) && self.pop().is_some() {
                lost += 1;
            }
        }
        self.bytes += bytes;
        self.waiting.push_back((message, with));
        lost
    }

    /// How many wait, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }

    /// Takes the event that has waited longest.
    pub(super) fn pop(&mut self) -> Option<(OwnedMessage, C)> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.0.bytes();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(first)
    }

    fn fits(&self, bytes: usize) -> bool {
        let PipeSettings { queue_messages, queue_bytes, .. } = self.settings;
        self.waiting.is_empty()
            || (self.waiting.len() < queue_messages && self.bytes.saturating_add(bytes) <= queue_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;
    use crate::protocol::ChannelName;
    use crate::protocol::json::Data;

    fn message(channel: &str, text: &str) -> OwnedMessage {
        OwnedMessage {
            source: Source::Http,
            channel: ChannelName::parse(channel, 164).ok(),
            event: "frame".to_owned(),
            data: Data::of_text(text),
        }
    }

    fn queue(when_full: WhenFull) -> HookQueue<()> {
        HookQueue::new(PipeSettings { queue_messages: 3, when_full, ..PipeSettings::default() })
    }

    fn rest(queue: &mut HookQueue<()>) -> Vec<String> {
        std::iter::from_fn(|| queue.pop()).map(|(message, ())| message.data.text().into_owned()).collect()
    }

    #[test]
    fn each_policy_loses_what_it_says() {
        let table: [(WhenFull, &[&str]); 3] = [
            (WhenFull::DropNewest, &["a1", "b1", "a2"]),
            (WhenFull::DropOldest, &["a2", "b2", "a3"]),
            (WhenFull::KeepLatest, &["a1", "b2", "a3"]),
        ];
        for (when_full, expected) in table {
            let mut queue = queue(when_full);
            let lost: u64 = ["a1", "b1", "a2", "b2", "a3"]
                .into_iter()
                .map(|text| queue.push(message(&text[..1], text), ()))
                .sum();
            assert_eq!((rest(&mut queue), lost), (expected.iter().map(ToString::to_string).collect(), 2));
            assert_eq!(queue.bytes, 0, "{when_full:?}");
        }
    }

    #[test]
    fn bytes_are_bounded_too_but_one_event_always_fits() {
        let settings = PipeSettings { queue_bytes: 10_000, ..PipeSettings::default() };
        let mut queue = HookQueue::new(settings);
        let large = "x".repeat(20_000);
        assert_eq!(queue.push(message("a", &large), ()), 0);
        assert_eq!(queue.push(message("a", "small"), ()), 1);
        assert_eq!(rest(&mut queue), [large]);
        assert_eq!(queue.push(message("a", "small"), ()), 0);
    }

    #[test]
    fn the_latest_of_another_channel_makes_room_by_age() {
        let mut queue = queue(WhenFull::KeepLatest);
        for text in ["a1", "b1", "c1", "d1"] {
            queue.push(message(&text[..1], text), ());
        }
        assert_eq!(rest(&mut queue), ["b1", "c1", "d1"]);
    }
}
