//! Presence across nodes: rosters, announcements, users with several connections, and counts.

use std::collections::BTreeSet;
use std::thread;

use heliostat_protocol_tests::{Message, Node, Shared, Socket, unique};
use serde_json::{Value, json};

use crate::{
    ADDED, REMOVED, all_list, assert_quiet, eventually, ids, member, on_shared_nodes, settle, sorted,
    users_told,
};

/// Who joins gets everybody of every node, and everybody of every node hears of it, once.
///
/// Proves: N5.
#[test]
pub(crate) fn a_roster_holds_the_members_of_all_nodes() {
    on_shared_nodes(|trio| {
        let channel = unique("presence-room-");
        let mut sockets: Vec<Socket> = Vec::new();
        for n in 0..6 {
            let mut socket = trio.nodes[n % 3].target.connect();
            let roster = socket.subscribe_presence(&channel, &format!("u{n}"), &json!({ "n": n }));
            let wanted = sorted((0..=n).map(|n| format!("u{n}")));
            // Somebody of another node who was told of the success a moment ago is in the roster, or announced after it.
            let told = ids(&roster);
            let missing: Vec<String> = wanted.iter().filter(|id| !told.contains(id)).cloned().collect();
            assert_eq!(users_told(&mut socket, ADDED, missing.len()), missing);
            for other in &mut sockets {
                assert_eq!(users_told(other, ADDED, 1), [format!("u{n}")]);
            }
            sockets.push(socket);
        }
        assert_quiet(&trio.nodes, &channel, &mut sockets);
        all_list(&trio.nodes, &channel, &sorted((0..6).map(|n| format!("u{n}"))));
        let mut late = trio.nodes[0].target.connect();
        let roster = late.subscribe_presence(&channel, "late", &Value::Null);
        for n in 0..6 {
            assert_eq!(roster["presence"]["hash"][format!("u{n}")], json!({ "n": n }));
        }
    });
}

/// A user on two nodes is one user: counted once, not announced again, and gone with the last connection.
///
/// Proves: N5.
#[test]
fn a_user_on_two_nodes_is_one_user() {
    on_shared_nodes(|trio| {
        let channel = unique("presence-room-");
        let mut watchers: Vec<Socket> =
            trio.nodes.iter().map(|node| member(node, &channel, &format!("w-{}", node.name))).collect();
        all_list(&trio.nodes, &channel, &sorted(["w-a", "w-b", "w-c"]));
        let _ = settle(&trio.nodes, &channel, &mut watchers);
        let phone = member(&trio.nodes[0], &channel, "bob");
        for watcher in &mut watchers {
            assert_eq!(users_told(watcher, ADDED, 1), ["bob"]);
        }
        let mut laptop = member(&trio.nodes[1], &channel, "bob");
        assert_quiet(&trio.nodes, &channel, &mut watchers);
        for node in &trio.nodes {
            crate::eventually_is("the count", json!(4), || {
                node.channel(&channel, "user_count")["user_count"].clone()
            });
        }
        phone.close();
        assert_quiet(&trio.nodes, &channel, &mut watchers);
        laptop.unsubscribe(&channel);
        for watcher in &mut watchers {
            assert_eq!(users_told(watcher, REMOVED, 1), ["bob"]);
        }
        assert_quiet(&trio.nodes, &channel, &mut watchers);
    });
}

/// What is shown of a user who says different things on two nodes is the same on all of them; when that connection goes,
/// what the other says is shown everywhere.
///
/// Proves: N5.
#[test]
fn all_nodes_show_the_same_information_of_a_user() {
    on_shared_nodes(|trio| {
        let channel = unique("presence-room-");
        let mut first = trio.nodes[0].target.connect();
        first.subscribe_presence(&channel, "bob", &json!({ "at": 0 }));
        let mut second = trio.nodes[1].target.connect();
        second.subscribe_presence(&channel, "bob", &json!({ "at": 1 }));
        let shown = |n: usize| {
            let mut socket = trio.nodes[n].target.connect();
            let roster = socket.subscribe_presence(&channel, &unique("late-"), &Value::Null);
            roster["presence"]["hash"]["bob"]["at"].as_u64()
        };
        let agreed = eventually("all show the same", || {
            let all = [shown(0), shown(1), shown(2)];
            (all[0].is_some() && all.iter().all(|one| *one == all[0])).then_some(all[0])
        });
        let (mut gone, other) = if agreed == Some(0) { (first, second) } else { (second, first) };
        gone.unsubscribe(&channel);
        let _ = gone.drain();
        eventually("all show the other", || {
            let all = [shown(0), shown(1), shown(2)];
            all.iter().all(|one| one.is_some() && *one != agreed).then_some(())
        });
        drop(other);
    });
}

/// Protocols 1 and 2 tell of connections: on another node as well, each by its socket id.
///
/// Proves: N5.
#[test]
fn old_protocols_hear_of_connections_on_other_nodes() {
    on_shared_nodes(|trio| {
        for protocol in ["protocol=1", "protocol=2"] {
            let channel = unique("presence-room-");
            let mut old = trio.nodes[2].target.connect_as(protocol);
            old.join(&channel, r#"{"user_id":"watcher"}"#);
            loop {
                if old.message().event.ends_with("subscription_succeeded") {
                    break;
                }
            }
            let phone = member(&trio.nodes[0], &channel, "bob");
            let added = old.message();
            assert!(added.event.ends_with("member_added"), "{}", added.whole);
            let laptop = member(&trio.nodes[1], &channel, "bob");
            let again = old.message();
            assert!(again.event.ends_with("member_added"), "{}", again.whole);
            phone.close();
            let removed = old.message();
            assert!(removed.event.ends_with("member_removed"), "{}", removed.whole);
            laptop.close();
            let removed = old.message();
            assert!(removed.event.ends_with("member_removed"), "{}", removed.whole);
            assert_quiet(&trio.nodes, &channel, [&mut old]);
        }
    });
}

/// What an observer knows by its roster and what it is told: each user comes and goes in turn.
struct Observer {
    socket: Socket,
    there: BTreeSet<String>,
}

impl Observer {
    fn join(node: &Node, channel: &str, user: &str) -> Observer {
        let mut socket = node.target.connect();
        let roster = socket.subscribe_presence(channel, user, &Value::Null);
        Observer { socket, there: ids(&roster).into_iter().collect() }
    }

    fn take(&mut self, heard: &[Message]) {
        for message in heard {
            let user = message.decoded()["user_id"].as_str().unwrap_or_default().to_owned();
            match message.event.as_str() {
                ADDED => assert!(self.there.insert(user), "told twice: {}", message.whole),
                REMOVED => assert!(self.there.remove(&user), "was not there: {}", message.whole),
                _ => panic!("{}", message.whole),
            }
        }
    }
}

/// Users come and go on all nodes at once, some with connections on several: for every observer, whenever it came, the
/// announcements of a user alternate, and end in the truth.
///
/// Proves: N5.
#[test]
fn announcements_alternate_and_end_in_the_truth() {
    on_shared_nodes(|trio| {
        let channel = unique("presence-room-");
        let mut observers: Vec<Observer> =
            (0..3).map(|n| Observer::join(&trio.nodes[n], &channel, &format!("o{n}"))).collect();
        let mut kept: Vec<Socket> = Vec::new();
        thread::scope(|scope| {
            let churns: Vec<_> = (0..6)
                .map(|worker| {
                    let (trio, channel) = (&trio, &channel);
                    scope.spawn(move || {
                        let mut last = None;
                        for round in 0..15 {
                            let node = &trio.nodes[(worker + round) % 3];
                            let user = format!("u{}", (worker * 7 + round * 3) % 8);
                            let socket = member(node, channel, &user);
                            if let Some(before) = last.replace(socket) {
                                Socket::close(before);
                            }
                        }
                        last
                    })
                })
                .collect();
            for n in 3..9 {
                observers.push(Observer::join(&trio.nodes[n % 3], &channel, &format!("o{n}")));
            }
            kept.extend(churns.into_iter().filter_map(|churn| churn.join().expect("it comes and goes")));
        });
        let truth = eventually("all agree", || {
            let lists: Vec<_> = trio.nodes.iter().map(|node| node.users(&channel)).collect();
            (lists[0] == lists[1] && lists[1] == lists[2]).then(|| lists[0].clone())
        });
        let wanted: BTreeSet<String> =
            (0..6).map(|worker| format!("u{}", (worker * 7 + 14 * 3) % 8)).collect();
        let users: BTreeSet<String> = truth.iter().filter(|user| user.starts_with('u')).cloned().collect();
        assert_eq!(users, wanted);
        for (n, observer) in observers.iter_mut().enumerate() {
            let heard = settle(&trio.nodes, &channel, [&mut observer.socket]);
            observer.take(&heard[0]);
            assert_eq!(observer.there.iter().cloned().collect::<Vec<_>>(), truth, "observer {n}");
        }
    });
}

/// The count of subscriptions is that of all nodes; every change is told on every node, and ends in the truth.
///
/// Proves: N5.
#[test]
pub(crate) fn subscriptions_are_counted_across_nodes() {
    on_shared_nodes(|trio| {
        const COUNT: &str = "pusher_internal:subscription_count";
        let channel = unique("room-");
        let targets: Vec<_> = trio.nodes.iter().map(|node| node.as_app(Shared::Counting)).collect();
        let await_count = |socket: &mut Socket, wanted: u64| {
            loop {
                let counted = socket.expect_on(&channel, COUNT).decoded()["subscription_count"].as_u64();
                if counted == Some(wanted) {
                    return;
                }
            }
        };
        let mut sockets: Vec<Socket> = Vec::new();
        for n in 0..6u64 {
            let mut socket = targets[n as usize % 3].connect();
            socket.subscribe(&channel);
            sockets.push(socket);
            for socket in &mut sockets {
                await_count(socket, n + 1);
            }
        }
        sockets.pop().unwrap().close();
        sockets.pop().unwrap().vanish();
        for socket in &mut sockets {
            await_count(socket, 4);
        }
        for target in &targets {
            let asked = || {
                target.get(&format!("/channels/{channel}")).query("info", "subscription_count").send().json()
            };
            crate::eventually_is("the count", json!(4), || asked()["subscription_count"].clone());
        }
    });
}
