//! What was sent, what arrived, and whether every subscriber got everything once and in each publisher's order.
//!
//! Subscribers sit in groups: a group is a channel. Every group has the same number of publisher slots, and a
//! publisher's number is `group * slots + slot`, so that a mark alone says where it belongs.

use std::fmt;

/// What went wrong. Any of it makes a run fail.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// Never arrived.
    pub(crate) lost: u64,
    /// Arrived more than once.
    pub(crate) duplicated: u64,
    /// Arrived after a later message of the same publisher.
    pub(crate) reordered: u64,
    /// Arrived at somebody who is not subscribed, or came back to its sender.
    pub(crate) misdelivered: u64,
    /// Frames that are cut, fragmented, or say nothing this tool knows.
    pub(crate) malformed: u64,
    /// Requests and messages that the server refused.
    pub(crate) refused: u64,
    /// Connections that the server ended, where it had no reason to.
    pub(crate) closed: u64,
    /// The first refusal's words, or the first malformed frame's.
    pub(crate) example: Option<String>,
}

impl Faults {
    pub(crate) fn total(&self) -> u64 {
        let Faults { lost, duplicated, reordered, misdelivered, malformed, refused, closed, example: _ } =
            self;
        lost + duplicated + reordered + misdelivered + malformed + refused + closed
    }

    pub(crate) fn show_example(&mut self, words: &[u8]) {
        let shown = String::from_utf8_lossy(&words[..words.len().min(200)]);
        self.example.get_or_insert_with(|| shown.trim().to_owned());
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.lost, "lost"),
            (self.duplicated, "duplicated"),
            (self.reordered, "reordered"),
            (self.misdelivered, "misdelivered"),
            (self.malformed, "malformed"),
            (self.refused, "refused"),
            (self.closed, "closed"),
        ];
        let words: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        write!(f, "{}", words.join(", "))?;
        self.example.iter().try_for_each(|example| write!(f, " (first: {example})"))
    }
}

/// One subscription, and how far each publisher of its group has come in it.
#[derive(Debug)]
pub(crate) struct Seat {
    group: u32,
    /// The slot in which this subscriber publishes itself; its own messages must not come back.
    own_slot: Option<u32>,
    /// The sequence number due next, by slot. `None` until the first one, for subscribers that come late.
    due: Vec<Option<u32>>,
    /// Passed over so far: (slot, sequence number).
    missing: Vec<(u32, u32)>,
}

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    slots: u32,
    sent: Vec<u32>,
    received: Vec<u64>,
    delivered: u64,
    pub(crate) faults: Faults,
}

impl Ledger {
    pub(crate) fn new(groups: u32, slots: u32) -> Self {
        let publishers = (groups * slots) as usize;
        Ledger {
            slots,
            sent: vec![0; publishers],
            received: vec![0; publishers],
            delivered: 0,
            faults: Faults::default(),
        }
    }

    /// A seat for somebody who must get everything from the first message on.
    pub(crate) fn seat(&self, group: u32, own_slot: Option<u32>) -> Seat {
        Seat { group, own_slot, due: vec![Some(0); self.slots as usize], missing: Vec::new() }
    }

    /// A seat for somebody who comes while messages are on their way: nothing before the first one counts.
    pub(crate) fn late_seat(&self, group: u32, own_slot: Option<u32>) -> Seat {
        Seat { group, own_slot, due: vec![None; self.slots as usize], missing: Vec::new() }
    }

    pub(crate) fn publisher(&self, group: u32, slot: u32) -> u32 {
        group * self.slots + slot
    }

    /// The sequence number of the publisher's next message, which counts as sent from now on.
    pub(crate) fn send(&mut self, publisher: u32) -> u32 {
        let sent = &mut self.sent[publisher as usize];
        *sent += 1;
        *sent - 1
    }

    pub(crate) fn sent(&self, publisher: u32) -> u32 {
        self.sent[publisher as usize]
    }

    /// Deliveries of this publisher's messages, to anybody.
    pub(crate) fn received(&self, publisher: u32) -> u64 {
        self.received[publisher as usize]
    }

    /// All deliveries.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// A message arrived at a subscriber with these seats.
    pub(crate) fn deliver(&mut self, seats: &mut [Seat], publisher: u32, sequence: u32) {
        let (group, slot) = (publisher / self.slots, publisher % self.slots);
        let seat = seats.iter_mut().find(|seat| seat.group == group);
        let Some(seat) = seat.filter(|seat| seat.own_slot != Some(slot) && self.is_sent(publisher, sequence))
        else {
            self.faults.misdelivered += 1;
            return;
        };
        self.delivered += 1;
        self.received[publisher as usize] += 1;
        let due = &mut seat.due[slot as usize];
        let expected = due.unwrap_or(sequence);
        if sequence == expected {
            *due = Some(sequence + 1);
        } else if sequence > expected {
            seat.missing.extend((expected..sequence).map(|passed| (slot, passed)));
            *due = Some(sequence + 1);
        } else if let Some(found) = seat.missing.iter().position(|passed| *passed == (slot, sequence)) {
            seat.missing.swap_remove(found);
            self.faults.reordered += 1;
        } else {
            self.faults.duplicated += 1;
        }
    }

    fn is_sent(&self, publisher: u32, sequence: u32) -> bool {
        self.sent.get(publisher as usize).is_some_and(|sent| sequence < *sent)
    }

    /// Messages that were sent and have not arrived in this seat. A seat that was ended, or stalled, is only owed
    /// what was passed over: ask [`Ledger::passed_over`].
    pub(crate) fn owed(&self, seat: &Seat) -> u64 {
        let first = (seat.group * self.slots) as usize;
        let sent = &self.sent[first..first + self.slots as usize];
        let to_come =
            seat.due.iter().zip(sent).enumerate().filter(|(slot, _)| seat.own_slot != Some(*slot as u32));
        let to_come: u64 = to_come.map(|(_, (due, sent))| u64::from(sent - due.unwrap_or(*sent))).sum();
        to_come + self.passed_over(seat)
    }

    /// Messages that a later one of the same publisher has overtaken.
    pub(crate) fn passed_over(&self, seat: &Seat) -> u64 {
        seat.missing.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Delivers `sequences` of publisher 1 of group 1 after five were sent; says what was wrong and what is owed.
    fn verdict(sequences: &[u32]) -> (Faults, u64) {
        let mut ledger = Ledger::new(2, 3);
        let publisher = ledger.publisher(1, 1);
        for sequence in 0..5 {
            assert_eq!(ledger.send(publisher), sequence);
        }
        let mut seats = [ledger.seat(0, None), ledger.seat(1, Some(2))];
        for sequence in sequences {
            ledger.deliver(&mut seats, publisher, *sequence);
        }
        let owed = ledger.owed(&seats[1]);
        (ledger.faults, owed)
    }

    #[test]
    fn every_kind_of_wrong_is_told_apart() {
        let fine = Faults::default();
        assert_eq!(verdict(&[0, 1, 2, 3, 4]), (fine.clone(), 0));
        assert_eq!(verdict(&[0, 1, 2]), (fine.clone(), 2), "the end is missing");
        assert_eq!(verdict(&[1, 2, 3, 4]), (fine.clone(), 1), "the beginning is missing");
        assert_eq!(verdict(&[0, 1, 4]), (fine.clone(), 2), "the middle is missing");
        assert_eq!(verdict(&[0, 1, 1, 2, 3, 4]), (Faults { duplicated: 1, ..fine.clone() }, 0));
        assert_eq!(verdict(&[0, 2, 1, 3, 4]), (Faults { reordered: 1, ..fine.clone() }, 0));
        assert_eq!(verdict(&[0, 2, 1, 1, 3, 4]), (Faults { reordered: 1, duplicated: 1, ..fine.clone() }, 0));
        assert_eq!(verdict(&[0, 1, 2, 3, 4, 5]), (Faults { misdelivered: 1, ..fine }, 0), "never sent");
    }

    #[test]
    fn nobody_gets_what_is_not_theirs() {
        let mut ledger = Ledger::new(2, 2);
        for publisher in 0..4 {
            ledger.send(publisher);
        }
        let mut seats = [ledger.seat(0, Some(1))];
        ledger.deliver(&mut seats, ledger.publisher(0, 1), 0);
        ledger.deliver(&mut seats, ledger.publisher(1, 0), 0);
        ledger.deliver(&mut seats, 99, 0);
        assert_eq!(ledger.faults, Faults { misdelivered: 3, ..Faults::default() });
        assert_eq!(ledger.owed(&seats[0]), 1, "not its own");
    }

    #[test]
    fn who_comes_late_is_owed_what_follows() {
        let mut ledger = Ledger::new(1, 1);
        for sequence in 0..9 {
            assert_eq!(ledger.send(0), sequence);
        }
        let mut seats = [ledger.late_seat(0, None)];
        assert_eq!(ledger.owed(&seats[0]), 0);
        ledger.deliver(&mut seats, 0, 5);
        assert_eq!(ledger.owed(&seats[0]), 3);
        ledger.deliver(&mut seats, 0, 4);
        assert_eq!(ledger.faults.duplicated, 1, "what came before the first was not owed");
    }
}
