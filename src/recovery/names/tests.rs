use super::*;
use crate::channel::ChannelVersion;
use crate::protocol::ChannelName;
use crate::recovery::ReceivedPlace;

const BOUNDS: NameBounds = NameBounds {
    retention: Duration::from_secs(300),
    names: 6,
    per_address: 3,
    cursor_bytes: 1024 * 1024,
    cursor_bytes_per_address: 1024 * 1024,
};

/// What [`receive`] has somebody receive.
const SEVEN: ReceivedPlace = ReceivedPlace::Here(ChannelVersion::new(7));

type Hold = NameHold<u8>;

/// A table, and connections that are numbered.
struct Subject {
    table: ClientNameTable<u8, u8, u32>,
    start: Instant,
    last: u32,
}

impl Subject {
    fn new() -> Self {
        Subject { table: ClientNameTable::new(BOUNDS), start: Instant::now(), last: 0 }
    }

    fn at(&self, seconds: u64) -> (Instant, Instant) {
        let now = self.start + Duration::from_secs(seconds);
        (now, now)
    }

    fn arrive(&mut self, name: usize, address: u8, seconds: u64) -> Arrived<u8, u32> {
        let key = NameKey {
            app: 1,
            key: "k".into(),
            name: ClientName::parse(&format!("a-name-of-22-letters-{name:03}")).unwrap(),
        };
        self.last += 1;
        let now = self.at(seconds);
        self.table.arrive(key, (self.last, SocketId::new(self.last, 1)), Some(address), now)
    }

    fn hold(&mut self, name: usize, address: u8, seconds: u64) -> Hold {
        self.arrive(name, address, seconds).hold.unwrap()
    }

    fn leave(&mut self, hold: &Hold, seconds: u64) {
        let now = self.at(seconds);
        self.table.leave(hold, now);
    }

    /// Comes, receives something of a channel, and leaves.
    fn visit(&mut self, name: usize, address: u8, seconds: u64) {
        let hold = self.hold(name, address, seconds);
        receive(&hold);
        self.leave(&hold, seconds);
    }

    /// What the holder wants of the channel.
    fn wanted(&self, hold: &Hold, seconds: u64) -> Option<ReceivedPlace> {
        let (_, now) = self.at(seconds);
        hold.cursors.lock().wanted_by(hold.number, &channel(), None, now)
    }

    fn states(&self) -> (usize, usize, usize) {
        let NameCounts { held, left, shared, .. } = self.table.counts();
        (held, left, shared)
    }
}

fn channel() -> ChannelName {
    ChannelName::parse("c", 164).unwrap()
}

fn receive(hold: &Hold) {
    let mut cursors = hold.cursors.lock();
    let joined = cursors.joined(hold.number, &channel(), None, false).unwrap();
    cursors.received(&channel(), joined, ChannelVersion::new(7));
}

#[test]
fn a_name_that_keeps_something_is_there_for_who_comes_back_and_forgotten_after_its_time() {
    let mut subject = Subject::new();
    subject.visit(1, 1, 0);
    assert_eq!(subject.states(), (0, 1, 0));
    let back = subject.hold(1, 2, 299);
    assert_eq!(subject.states(), (1, 0, 0));
    assert_eq!(subject.wanted(&back, 299), Some(SEVEN));
    subject.leave(&back, 299);
    assert!(subject.table.expire(subject.at(598).0, 10));
    assert_eq!(subject.states(), (0, 1, 0));
    assert!(subject.table.expire(subject.at(599).0, 10));
    assert_eq!(subject.states(), (0, 0, 0));
    assert!(subject.table.addresses.is_empty());
    assert_eq!(subject.table.cursor_bytes().bytes(), 0);
}

#[test]
fn a_name_that_keeps_nothing_is_forgotten_with_its_connection() {
    let mut subject = Subject::new();
    for n in 0..1000 {
        let hold = subject.hold(n, 1, 0);
        subject.leave(&hold, 0);
    }
    assert_eq!(subject.states(), (0, 0, 0));
    assert!(subject.table.addresses.is_empty() && subject.table.left.is_empty());
}

#[test]
fn a_name_is_one_of_its_app_and_key_alone() {
    let mut subject = Subject::new();
    subject.visit(1, 1, 0);
    let name = ClientName::parse("a-name-of-22-letters-001").unwrap();
    for (app, key) in [(2, "k"), (1, "l")] {
        let key = NameKey { app, key: key.into(), name: name.clone() };
        let now = subject.at(1);
        let hold = subject.table.arrive(key, (99, SocketId::new(99, 1)), Some(1), now).hold.unwrap();
        assert_eq!(subject.wanted(&hold, 1), None);
    }
}

#[test]
fn whoever_comes_takes_the_name_over_and_what_the_one_before_says_then_counts_no_more() {
    let mut subject = Subject::new();
    let old = subject.hold(1, 1, 0);
    receive(&old);
    let arrived = subject.arrive(1, 1, 1);
    assert_eq!(arrived.taken_from, Some(1), "the first connection");
    let new = arrived.hold.unwrap();
    assert_eq!(subject.wanted(&new, 1), Some(SEVEN));
    subject.leave(&old, 2);
    assert_eq!(subject.states(), (1, 0, 0), "it is not the old one's any more");
    assert_eq!(subject.table.counts().taken_over, 1);
    subject.leave(&new, 3);
    assert_eq!(subject.states(), (0, 1, 0));
}

#[test]
fn a_name_that_keeps_being_taken_over_is_shared_until_nobody_has_come_with_it_for_a_minute() {
    let mut subject = Subject::new();
    let first = subject.hold(1, 1, 0);
    receive(&first);
    let mut last = first;
    for n in 1..=3 {
        let next = subject.arrive(1, 1, n);
        assert_eq!(next.taken_from, Some(n as u32));
        let expected = (n == 1).then_some(SEVEN);
        assert_eq!(subject.wanted(next.hold.as_ref().unwrap(), n), expected);
        receive(next.hold.as_ref().unwrap());
        subject.leave(&last, n);
        let (now, key) = (subject.at(n).0, Arc::clone(&last.key));
        subject.table.was_there(&key, now);
        // What this one receives says nothing of the other.
        last = next.hold.unwrap();
        assert_eq!(last.cursors.lock().joined(last.number, &channel(), None, false), None);
    }
    assert_eq!(subject.states(), (0, 0, 1));
    let other = subject.arrive(1, 1, 3);
    assert_eq!((other.hold.unwrap_err(), other.taken_from), (NotHeld::Shared, None), "both are served");
    subject.leave(&last, 4);
    assert_eq!(subject.states(), (0, 0, 1));
    assert_eq!(subject.arrive(1, 1, 62).hold.unwrap_err(), NotHeld::Shared);
    assert_eq!(subject.arrive(1, 1, 121).hold.unwrap_err(), NotHeld::Shared, "it was not quiet");
    let own_again = subject.hold(1, 1, 181);
    assert_eq!(subject.wanted(&own_again, 181), None);
    assert_eq!(subject.states(), (1, 0, 0));
    assert_eq!(subject.table.counts().not_held_shared, 3);
}

#[test]
fn takeovers_with_time_between_them_and_those_of_dead_lines_do_not_make_a_name_shared() {
    let mut subject = Subject::new();
    for n in 0..20 {
        let key = subject.hold(1, 1, n * 31).key;
        let now = subject.at(n * 31).0;
        subject.table.was_there(&key, now);
    }
    for n in 0..20 {
        assert!(subject.arrive(2, 1, n).hold.is_ok());
    }
}

#[test]
fn a_shared_name_is_forgotten_when_it_has_been_quiet() {
    let mut subject = Subject::new();
    let key = subject.hold(1, 1, 0).key;
    (1..4).for_each(|n| {
        let now = subject.at(n).0;
        subject.table.was_there(&key, now);
    });
    assert_eq!(subject.states(), (0, 0, 1));
    assert!(subject.table.expire(subject.at(62).0, 10));
    assert_eq!(subject.states(), (0, 0, 1));
    assert!(subject.table.expire(subject.at(63).0, 10));
    assert_eq!(subject.states(), (0, 0, 0));
}

#[test]
fn of_an_address_the_one_left_first_gives_way_and_where_all_are_held_the_newcomer_has_none() {
    let mut subject = Subject::new();
    (1..=4).for_each(|name| subject.visit(name, 1, name as u64));
    assert_eq!((subject.states(), subject.table.counts().crowded_out), ((0, 3, 0), 1));
    let of_first = subject.hold(1, 1, 5);
    assert_eq!(subject.wanted(&of_first, 5), None, "it was forgotten, and the second is now");
    let of_third = subject.hold(3, 1, 5);
    assert_eq!(subject.wanted(&of_third, 5), Some(SEVEN));
    let _of_fourth = subject.hold(4, 1, 5);
    assert_eq!(subject.arrive(9, 1, 6).hold.unwrap_err(), NotHeld::Full);
    assert_eq!(subject.table.counts().not_held_full, 1);
    assert!(subject.arrive(9, 2, 6).hold.is_ok(), "another address has places");
    assert!(subject.arrive(3, 2, 7).hold.is_ok(), "one that moves is not refused");
    assert!(subject.arrive(8, 1, 7).hold.is_ok(), "and leaves its place");
}

#[test]
fn of_the_node_the_one_left_first_gives_way() {
    let mut subject = Subject::new();
    (0..100).for_each(|name| subject.visit(name, (name % 50) as u8, name as u64));
    assert_eq!(subject.states(), (0, 6, 0));
    let last = subject.hold(99, 49, 100);
    assert_eq!(subject.wanted(&last, 100), Some(SEVEN));
    (200..205).for_each(|name| drop(subject.hold(name, name as u8, 100)));
    assert_eq!(subject.arrive(300, 99, 100).hold.unwrap_err(), NotHeld::Full);
}

#[test]
fn cursors_take_no_more_bytes_than_they_may() {
    let mut subject = Subject::new();
    (1..=3).for_each(|name| subject.visit(name, name as u8, 0));
    let one = subject.table.cursor_bytes().bytes() / 3;
    subject.table.set_bounds(NameBounds { cursor_bytes: 2 * one, ..BOUNDS });
    let held: Vec<Hold> = (4..=6).map(|name| subject.hold(name, name as u8, 1)).collect();
    assert!(subject.table.make_room(&held[0].key));
    assert_eq!((subject.states(), subject.table.cursor_bytes().bytes()), ((3, 2, 0), 2 * one));
    held.iter().for_each(receive);
    assert!(!subject.table.make_room(&held[0].key), "what is held is not forgotten");
    assert_eq!(subject.states(), (3, 0, 0));
}

#[test]
fn those_of_one_address_take_their_share_and_leave_the_rest_to_others() {
    let mut subject = Subject::new();
    subject.visit(1, 1, 0);
    let one = subject.table.cursor_bytes().bytes();
    subject.table.set_bounds(NameBounds { cursor_bytes_per_address: 2 * one, ..BOUNDS });
    let other = subject.hold(9, 9, 0);
    receive(&other);
    let held: Vec<Hold> = (2..=3).map(|name| subject.hold(name, 1, 1)).collect();
    held.iter().for_each(receive);
    assert!(subject.table.make_room(&held[1].key), "the one that was left gives way");
    assert_eq!(subject.states(), (3, 0, 0));
    let moved = subject.arrive(9, 1, 2).hold.unwrap();
    assert!(!subject.table.make_room(&moved.key), "where it is now, it counts");
    let moved = subject.arrive(9, 8, 3).hold.unwrap();
    assert!(subject.table.make_room(&moved.key) && subject.table.make_room(&held[0].key));
    [&moved, &held[0], &held[1]].into_iter().for_each(|hold| subject.leave(hold, 4));
    assert!(subject.table.expire(subject.at(400).0, 10));
    assert_eq!((subject.table.cursor_bytes().bytes(), subject.table.addresses.len()), (0, 0));
}

#[test]
fn a_terminated_user_finds_nothing_wherever_he_is() {
    let mut subject = Subject::new();
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    let here = subject.hold(1, 1, 0);
    subject.table.signed_in(&here, &ann);
    receive(&here);
    let away = subject.hold(2, 1, 0);
    subject.table.signed_in(&away, &bob);
    subject.table.signed_in(&away, &ann);
    receive(&away);
    subject.leave(&away, 1);
    let other = subject.hold(3, 1, 0);
    subject.table.signed_in(&other, &ann);
    subject.table.signed_in(&other, &bob);
    receive(&other);
    assert_eq!(subject.table.users.len(), 2);
    subject.table.terminated(&2, &ann, subject.start);
    assert_eq!(subject.states(), (2, 1, 0), "it is a user of another app");
    subject.table.terminated(&1, &ann, subject.start);
    assert_eq!(subject.states(), (2, 0, 0));
    let again = subject.hold(2, 1, 2);
    assert_eq!(subject.wanted(&again, 2), None);
    subject.leave(&here, 2);
    let again = subject.hold(1, 1, 3);
    assert_eq!(subject.wanted(&again, 3), None);
    let again = subject.hold(3, 1, 3);
    assert_eq!(subject.wanted(&again, 3), Some(SEVEN), "he is another");
    [again].iter().for_each(|hold| subject.leave(hold, 4));
    assert!(subject.table.expire(subject.at(400).0, 10));
    assert_eq!(subject.table.users.len(), 0);
}
