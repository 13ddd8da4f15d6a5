use super::super::envelope::FactListBuilder;
use super::*;
use crate::channel::{ChannelVersion, Member};
use crate::protocol::ChannelName;

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text, 164).unwrap()
}

fn version(number: u64) -> ChannelVersion {
    ChannelVersion::new(number)
}

fn subscribers(channel: &str, count: u32, number: u64) -> Fact {
    Fact::Subscribers { channel: name(channel), count, version: version(number) }
}

fn member(user: &str) -> Member {
    Member { user_id: user.into(), user_info: Some(r#"{"n":1}"#.into()) }
}

fn joined(user: &str, number: u64) -> Fact {
    Fact::Joined { channel: name("presence-a"), version: version(number), member: member(user) }
}

fn left(joined: u64, number: u64) -> Fact {
    let channel = name("presence-a");
    Fact::Left { channel, joined: version(joined), version: version(number) }
}

fn batch(first: u64, facts: &[Fact]) -> FactBatch {
    let mut builder = FactListBuilder::default();
    facts.iter().for_each(|fact| builder.push(&"1".into(), fact));
    FactBatch { first, facts: builder.take() }
}

fn last_part(request: u64, number: u64, facts: &[Fact]) -> SnapshotPart {
    SnapshotPart { request, number, part: 0, is_last: true, facts: batch(0, facts).facts }
}

/// What a call has told, in short.
fn told(call: impl FnOnce(&mut dyn FnMut(ReplicaChange))) -> Vec<String> {
    let mut told = Vec::new();
    call(&mut |ReplicaChange { app, change }| {
        assert_eq!(&*app, "1");
        told.push(match change {
            Change::Subscribers { channel, count, .. } => format!("{channel} {count}"),
            Change::Joined { version, member, .. } => format!("+{}@{}", member.user_id, version.number()),
            Change::Left { joined, user_id, .. } => format!("-{user_id}@{}", joined.number()),
            Change::SignedIn { user_id } => format!("in {user_id}"),
            Change::SignedOut { user_id } => format!("out {user_id}"),
            Change::Connections { count } => format!("connections {count}"),
            Change::Backends { demand } => format!("backends {}", demand.wishes().len()),
            Change::CacheMissed { channel, .. } => format!("missed {channel}"),
        });
    });
    told
}

fn in_step() -> Replica {
    let mut replica = Replica::new(ReplicaBounds::default(), 0);
    replica.heard_of(0);
    assert!(replica.is_in_step());
    replica
}

#[test]
fn what_is_said_is_told_once_and_taken_back_at_the_end() {
    let mut replica = in_step();
    let facts = [
        subscribers("news", 2, 1),
        joined("ann", 2),
        joined("bob", 3),
        joined("ann", 4),
        Fact::SignedIn { user_id: "ann".into() },
        Fact::Connections { count: 5 },
        Fact::CacheMissed { channel: name("cache-a"), version: version(5) },
        left(2, 6),
        // None of these changes anything.
        left(2, 6),
        joined("bob", 3),
        subscribers("news", 2, 7),
        Fact::SignedIn { user_id: "ann".into() },
        Fact::SignedOut { user_id: "bob".into() },
        Fact::Connections { count: 5 },
    ];
    let changes = told(|each| replica.apply(batch(1, &facts), each));
    let expected =
        ["news 2", "+ann@2", "+bob@3", "+ann@4", "in ann", "connections 5", "missed cache-a", "-ann@2"];
    assert_eq!(changes, expected);
    assert_eq!(told(|each| replica.apply(batch(1, &facts), each)), [""; 0], "a repetition");
    assert_eq!(told(|each| replica.apply(batch(14, &[facts[13].clone(), left(4, 8)]), each)), ["-ann@4"]);
    assert!(replica.is_in_step() && replica.number() == 15);
    let mut all = told(|each| replica.tell("1", each));
    all.sort_unstable();
    assert_eq!(all, ["+bob@3", "connections 5", "in ann", "news 2"]);
    let mut gone = told(|each| replica.remove(each));
    gone.sort_unstable();
    assert_eq!(gone, ["-bob@3", "connections 0", "news 0", "out ann"]);
}

#[test]
fn an_app_that_begins_anew_has_nothing_of_what_was_before() {
    let mut replica = in_step();
    let others = batch(5, &[subscribers("news", 1, 5), joined("ann", 6)]);
    let facts = [subscribers("news", 4, 1), joined("ann", 2), Fact::SignedIn { user_id: "ann".into() }];
    replica.apply(batch(1, &facts), &mut |_| {});
    let mut ended = told(|each| replica.apply(batch(4, &[Fact::Renewed]), each));
    ended.sort_unstable();
    assert_eq!(ended, ["-ann@2", "news 0", "out ann"]);
    assert_eq!(replica.size(), ReplicaSize::default());
    assert_eq!(told(|each| replica.apply(others, each)), ["news 1", "+ann@6"]);
    let again = batch(7, &[Fact::Renewed, Fact::Renewed, left(6, 7)]);
    assert_eq!(told(|each| replica.apply(again, each)).len(), 2, "once");
    assert_eq!((replica.size(), replica.number()), (ReplicaSize::default(), 9));
}

#[test]
fn a_gap_is_closed_by_a_snapshot_and_what_came_meanwhile() {
    let mut own = Replica::of_this_node();
    let say = |own: &mut Replica, fact: Fact| own.say(&"1".into(), fact);
    let mut replica = in_step();
    replica.apply(batch(1, &[joined("ann", 1), subscribers("news", 1, 2)]), &mut |_| {});
    for fact in [
        joined("ann", 1),
        subscribers("news", 1, 2),
        left(1, 3),
        joined("ann", 4),
        joined("bob", 5),
        subscribers("news", 0, 6),
    ] {
        say(&mut own, fact);
    }
    replica.heard_of(6);
    assert!(!replica.is_in_step() && replica.wants_snapshot() && replica.number() == 2);
    replica.ask(1);
    assert!(!replica.wants_snapshot());
    let early = own.snapshot(1);
    say(&mut own, joined("cy", 7));
    assert_eq!(told(|each| replica.apply(batch(7, &[joined("cy", 7)]), each)), [""; 0], "it waits");
    let parts: Vec<SnapshotPart> = early.answer(1).collect();
    assert_eq!(parts.len(), 2);
    // Of another request, again, and one that comes too early: it is asked for again.
    assert_eq!(told(|each| replica.part(&early.answer(2).next().unwrap(), each)), [""; 0]);
    assert!(!replica.wants_snapshot());
    replica.part(&parts[1], &mut |change| panic!("{change:?}"));
    assert!(replica.wants_snapshot());
    replica.ask(3);
    let mut changes = Vec::new();
    for part in early.answer(3) {
        changes.extend(told(|each| replica.part(&part, each)));
    }
    changes.sort_unstable();
    assert_eq!(changes, ["+ann@4", "+bob@5", "+cy@7", "-ann@1", "news 0"]);
    assert!(replica.is_in_step() && replica.number() == 7);
    assert_eq!(replica.size(), own.size());
    let ReplicaCounts { gaps, snapshots, .. } = replica.counts();
    assert_eq!((gaps, snapshots), (1, 1));
}

#[test]
fn what_others_have_said_in_its_name_is_set_right_by_its_next_snapshot() {
    let mut own = Replica::of_this_node();
    own.say(&"1".into(), joined("ann", 1));
    let mut replica = in_step();
    replica.apply(batch(1, &[joined("ann", 1)]), &mut |_| {});
    replica.heard_of(1);
    // Of a batch the number was changed: it is taken for the next one.
    replica.apply(batch(2, &[joined("eve", 9)]), &mut |_| {});
    replica.heard_of(1);
    assert!(replica.is_in_step(), "more may have been said than its heartbeat knew of");
    replica.heard_of(1);
    assert!(replica.wants_snapshot());
    own.say(&"1".into(), left(1, 2));
    assert_eq!(told(|each| replica.apply(batch(2, &[left(1, 2)]), each)), [""; 0], "it waits");
    replica.ask(1);
    let mut changes = Vec::new();
    for part in own.snapshot(1 << 16).answer(1) {
        changes.extend(told(|each| replica.part(&part, each)));
    }
    changes.sort_unstable();
    assert_eq!(changes, ["-ann@1", "-eve@9"]);
    replica.heard_of(2);
    replica.heard_of(2);
    assert!(replica.is_in_step() && replica.number() == 2);
}

#[test]
fn an_answer_that_comes_after_it_was_asked_for_again_is_taken() {
    let mut own = Replica::of_this_node();
    own.say(&"1".into(), joined("ann", 1));
    own.say(&"1".into(), joined("bob", 2));
    let snapshot = own.snapshot(1);
    assert_eq!(snapshot.parts(), 2);
    let asked_twice = || {
        let mut replica = in_step();
        replica.heard_of(2);
        replica.ask(3);
        replica.ask(4);
        replica
    };
    let whole = |replica: &mut Replica, request| {
        let mut changes = Vec::new();
        snapshot.answer(request).for_each(|part| changes.extend(told(|each| replica.part(&part, each))));
        changes
    };
    let mut replica = asked_twice();
    assert_eq!(whole(&mut replica, 2), [""; 0], "nobody has asked for it since");
    assert_eq!(whole(&mut replica, 3), ["+ann@1", "+bob@2"]);
    assert_eq!((whole(&mut replica, 4).len(), replica.counts().snapshots), (0, 1));
    // The end of the first one is lost.
    let mut replica = asked_twice();
    replica.part(&snapshot.part(0, 3), &mut |change| panic!("{change:?}"));
    replica.part(&snapshot.part(1, 4), &mut |change| panic!("{change:?}"));
    assert!(replica.wants_snapshot(), "the beginning of the last one is");
    replica.ask(5);
    replica.part(&snapshot.part(0, 4), &mut |change| panic!("{change:?}"));
    assert_eq!(whole(&mut replica, 5), ["+ann@1", "+bob@2"]);
}

#[test]
fn who_has_another_connection_by_then_joins_before_the_old_one_leaves() {
    let mut replica = in_step();
    replica.apply(batch(1, &[joined("ann", 1)]), &mut |_| {});
    replica.heard_of(3);
    replica.ask(1);
    let part = last_part(1, 3, &[joined("ann", 3)]);
    assert_eq!(told(|each| replica.part(&part, each)), ["+ann@3", "-ann@1"]);
}

#[test]
fn a_snapshot_that_is_older_than_what_is_known_is_of_no_use() {
    let mut replica = in_step();
    replica.apply(batch(1, &[joined("ann", 1), joined("bob", 2)]), &mut |_| {});
    replica.heard_of(3);
    replica.ask(1);
    replica.part(&last_part(1, 1, &[]), &mut |change| panic!("{change:?}"));
    assert!(replica.wants_snapshot());
}

#[test]
fn whoever_claims_too_much_is_refused_the_rest() {
    let app = Arc::from("1");
    let claims = |bounds: ReplicaBounds, facts: &mut dyn Iterator<Item = Fact>| {
        let mut replica = Replica::new(bounds, 0);
        replica.heard_of(0);
        let mut builder = FactListBuilder::default();
        facts.for_each(|fact| builder.push(&app, &fact));
        let mut changes = 0;
        replica.apply(FactBatch { first: 1, facts: builder.take() }, &mut |_| changes += 1);
        let size = replica.size();
        assert_eq!(changes, size.channels - usize::from(size.members > 0) + size.members + size.users);
        let refused = replica.counts().refused;
        let mut removed = 0;
        replica.remove(&mut |_| removed += 1);
        assert_eq!(removed, changes);
        (size, refused)
    };
    let few = ReplicaBounds { entries: 100, bytes: usize::MAX };
    let (size, refused) = claims(few, &mut (0..1000).map(|n| subscribers(&format!("room-{n}"), 1, n)));
    assert_eq!((size.apps + size.channels, refused), (100, 901));
    let (size, refused) = claims(few, &mut (0..1000).map(|n| joined("ann", n)));
    assert_eq!((size.apps + size.channels + size.members, refused), (100, 902));
    let users = |n: u64| Fact::SignedIn { user_id: n.to_string().into() };
    let (size, refused) = claims(few, &mut (0..1000).map(users));
    assert_eq!((size.apps + size.users, refused), (100, 901));
    let small = ReplicaBounds { entries: usize::MAX, bytes: 10_000 };
    let (size, refused) = claims(small, &mut (0..1000).map(|n| joined("ann", n)));
    assert!(size.bytes <= 10_000 && refused > 800, "{size:?} {refused}");
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let mut replica = in_step();
    let elsewhere = Fact::Joined { channel: name("news"), version: version(1), member: member("ann") };
    let facts = [elsewhere, subscribers("presence-a", 0, 1)];
    assert_eq!(told(|each| replica.apply(batch(1, &facts), each)), [""; 0]);
    let mut full = Replica::new(ReplicaBounds { entries: 2, bytes: usize::MAX }, 0);
    full.heard_of(0);
    assert_eq!(told(|each| full.apply(batch(1, &[joined("ann", 1)]), each)), [""; 0]);
    for replica in [replica, full] {
        assert_eq!(replica.size(), ReplicaSize::default());
        assert!(replica.counts().refused > 0 && replica.is_in_step());
    }
}

#[test]
fn a_presence_channel_has_members_and_other_subscribers() {
    let mut replica = in_step();
    let stream = |count, number| subscribers("presence-a", count, number);
    let facts = [stream(1, 1), joined("ann", 2), stream(2, 3), left(2, 4), stream(0, 5)];
    let changes = told(|each| replica.apply(batch(1, &facts), each));
    assert_eq!(changes, ["presence-a 1", "+ann@2", "presence-a 2", "-ann@2", "presence-a 0"]);
    assert_eq!(replica.size(), ReplicaSize::default());
    let mut own = Replica::of_this_node();
    [joined("bob", 6), stream(3, 7)].into_iter().for_each(|fact| {
        own.say(&"1".into(), fact);
    });
    let mut replica = in_step();
    replica.apply(batch(1, &[stream(1, 1), joined("ann", 2)]), &mut |_| {});
    replica.heard_of(9);
    replica.ask(1);
    let mut parts = own.snapshot(1 << 16).answer(1).collect::<Vec<_>>();
    let changes = told(|each| parts.drain(..).for_each(|part| replica.part(&part, each)));
    assert_eq!(changes, ["presence-a 3", "+bob@6", "-ann@2"]);
    let gone = told(|each| replica.remove(each));
    assert_eq!(gone, ["-bob@6", "presence-a 0"], "the others leave last");
}

#[test]
fn what_waits_for_a_snapshot_is_bounded() {
    let mut replica = Replica::new(ReplicaBounds::default(), 0);
    for number in 0..Behind::MOST_HELD as u64 + 5 {
        replica.apply(batch(number + 1, &[joined("ann", number)]), &mut |change| panic!("{change:?}"));
    }
    assert_eq!(replica.counts().not_held, 5);
    let info = format!("{{\"a\":\"{}\"}}", "x".repeat(1024 * 1024));
    let large = Member { user_id: "ann".into(), user_info: Some(info.as_str().into()) };
    let mut replica = Replica::new(ReplicaBounds::default(), 0);
    for number in 1..20 {
        let channel = name("presence-a");
        let fact = Fact::Joined { channel, version: version(number), member: large.clone() };
        replica.apply(batch(number, &[fact]), &mut |change| panic!("{change:?}"));
    }
    assert!(replica.held_bytes() <= Behind::MOST_HELD_BYTES && replica.counts().not_held > 10);
}

#[test]
fn numbers_at_the_end_of_all_numbers_do_no_harm() {
    let mut replica = in_step();
    replica.apply(batch(u64::MAX, &[joined("ann", 1), joined("bob", 2)]), &mut |_| {});
    replica.ask(1);
    replica.part(&last_part(1, u64::MAX, &[]), &mut |_| {});
    replica.heard_of(u64::MAX);
    replica.apply(batch(u64::MAX, &[joined("ann", 1)]), &mut |_| {});
    replica.apply(batch(0, &[joined("ann", 1)]), &mut |_| {});
    assert!(replica.is_in_step());
}

/// Somebody else has said it in the node's name, or a bit of its number was turned.
///
/// Proves: N18.
#[test]
fn facts_far_ahead_that_a_node_has_not_said_are_forgotten_with_the_next_snapshot() {
    let mut replica = in_step();
    replica.apply(batch(1, &[joined("ann", 1)]), &mut |_| {});
    replica.apply(batch(1 << 40, &[joined("eve", 9)]), &mut |change| panic!("{change:?}"));
    replica.ask(1);
    replica.apply(batch(2, &[joined("bob", 2)]), &mut |change| panic!("{change:?}"));
    let part = last_part(1, 1, &[joined("ann", 1)]);
    assert_eq!(told(|each| replica.part(&part, each)), ["+bob@2"]);
    replica.heard_of(2);
    assert!(replica.is_in_step());
}

/// Whoever tells of the end and the return of a node gives each the same number, and none twice.
#[test]
fn death_and_return_have_numbers_of_their_own() {
    let numbers = |life: u64| {
        let mut numbers = Vec::new();
        let mut each = |ReplicaChange { change, .. }: ReplicaChange| match change {
            Change::Joined { told, .. } => numbers.push(told.number()),
            Change::Left { version, .. } | Change::Subscribers { version, .. } => {
                numbers.push(version.number());
            }
            other => panic!("{other:?}"),
        };
        let mut replica = Replica::new(ReplicaBounds::default(), life);
        replica.ask(1);
        replica.part(&last_part(1, 9, &[joined("ann", 1), subscribers("news", 1, 2)]), &mut each);
        replica.apply(batch(10, &[joined("bob", 3)]), &mut each);
        replica.remove(&mut each);
        numbers.sort_unstable();
        numbers
    };
    let (first, second) = (numbers(0), numbers(17));
    assert_eq!(first[..3], [1, 2, 3]);
    assert_eq!(second[0], 3, "what happens from then on has the number that it was given");
    assert!(first.iter().filter(|number| **number != 3).all(|number| !second.contains(number)));
    assert_eq!(second, numbers(17));
}

#[test]
fn a_miss_that_is_told_while_a_snapshot_is_on_its_way_is_not_lost() {
    let mut replica = in_step();
    let missed = |n| Fact::CacheMissed { channel: name("cache-a"), version: version(n) };
    replica.apply(batch(1, &[missed(1)]), &mut |_| {});
    replica.apply(batch(3, &[joined("ann", 3), missed(4)]), &mut |change| panic!("{change:?}"));
    replica.apply(batch(1, &[missed(1)]), &mut |change| panic!("{change:?}"));
    replica.ask(1);
    let changes = told(|each| replica.part(&last_part(1, 4, &[joined("ann", 3)]), each));
    assert_eq!(changes, ["+ann@3", "missed cache-a"], "once, and not what was known before");
}
