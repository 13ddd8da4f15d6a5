//! Joins that wait for a bus which confirms late, never, or in another order; and what is left of them.

use crate::channel::JoinRefused;
use crate::connection::NotJoined;
use crate::hub::bus_world::BusWorld;
use crate::protocol::ChannelName;

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, 164).unwrap()
}

#[test]
fn a_join_is_settled_when_the_engine_has_confirmed_and_is_in_no_roster_before() {
    BusWorld::run(
        |_| {},
        async |world| {
            let name = channel("presence-a");
            let (mut ann, mut bob) = (world.peer(), world.peer());
            let number = ann.join(&world, &name, Some("ann"));
            let confirm = world.claim();
            world.settle().await;
            assert!(world.app.channels.is_empty() && ann.sent.is_empty());
            assert_eq!(world.hub.totals().await.waiting_joins, 1);
            let version = world.hub.next_version();
            confirm.send(()).unwrap();
            assert_eq!(world.answers(&ann).await, [(number, Ok(()))]);
            world.until("a confirmation", || ann.has_been_sent("subscription_succeeded") == 1).await;
            bob.join(&world, &name, Some("bob"));
            assert_eq!(ann.has_been_sent("member_added"), 0);
            world.claim().send(()).unwrap();
            assert_eq!(world.answers(&bob).await.len(), 1);
            world.until("the other is announced", || ann.has_been_sent("member_added") == 1).await;
            world.until("and has the roster", || bob.has_been_sent("\\\"ann\\\"") == 1).await;
            assert!(world.hub.next_version() > version);
            assert_eq!(world.bus.claims_of(&name), 2);
            world.worker.leave(&ann.client, &name);
            world.worker.leave(&ann.client, &name);
            assert_eq!(world.bus.claims_of(&name), 1, "each is released once");
            world.disconnect(&ann, &[]);
            world.disconnect(&bob, &[&name]);
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn a_join_that_is_never_confirmed_is_settled_all_the_same() {
    BusWorld::run(
        |_| {},
        async |world| {
            let name = channel("a");
            let mut peer = world.peer();
            let number = peer.join(&world, &name, None);
            let never = world.claim();
            assert_eq!(world.answers(&peer).await, [(number, Ok(()))]);
            assert!(never.send(()).is_err(), "nobody waits for it any more");
            let another = channel("b");
            let number = peer.join(&world, &another, None);
            drop(world.claim());
            assert_eq!(world.answers(&peer).await, [(number, Ok(()))], "the bus has given it up");
            world.disconnect(&peer, &[&name, &another]);
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn a_cancelled_join_is_silent_and_the_confirmation_of_it_is_not_that_of_the_next() {
    BusWorld::run(
        |_| {},
        async |world| {
            let name = channel("presence-a");
            let mut peer = world.peer();
            peer.join(&world, &name, Some("ann"));
            let first = world.claim();
            world.worker.leave(&peer.client, &name);
            assert_eq!(world.bus.claims_of(&name), 0);
            let second_number = peer.join(&world, &name, Some("ann"));
            let second = world.claim();
            // Whether its task is over already or not.
            let _ = first.send(());
            world.settle().await;
            assert!(world.app.channels.is_empty() && world.worker.take_answers(&peer.client).is_empty());
            second.send(()).unwrap();
            assert_eq!(world.answers(&peer).await, [(second_number, Ok(()))]);
            // Confirmed in the same moment as it is cancelled.
            world.worker.leave(&peer.client, &name);
            peer.join(&world, &name, Some("ann"));
            world.claim().send(()).unwrap();
            world.worker.leave(&peer.client, &name);
            world.settle().await;
            assert!(world.app.channels.is_empty() && world.worker.take_answers(&peer.client).is_empty());
            assert_eq!(peer.has_been_sent("subscription_succeeded"), 1);
            world.disconnect(&peer, &[]);
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn confirmations_in_another_order_settle_each_its_own() {
    BusWorld::run(
        |_| {},
        async |world| {
            let names: Vec<_> = (0..10).map(|n| channel(&format!("c-{n}"))).collect();
            let mut peer = world.peer();
            let numbers: Vec<_> = names.iter().map(|name| peer.join(&world, name, None)).collect();
            let mut claims = world.bus.waiting_claims();
            for number in numbers.iter().rev() {
                claims.pop_back().unwrap().send(()).unwrap();
                assert_eq!(world.answers(&peer).await, [(*number, Ok(()))]);
            }
            world.disconnect(&peer, &names.iter().collect::<Vec<_>>());
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn nothing_is_left_of_a_connection_that_ends_while_joins_wait() {
    BusWorld::run(
        |_| {},
        async |world| {
            let (name, other) = (channel("presence-a"), channel("b"));
            let mut watcher = world.peer();
            watcher.join(&world, &name, Some("zoe"));
            world.claim().send(()).unwrap();
            world.answers(&watcher).await;
            let mut peer = world.peer();
            peer.join(&world, &name, Some("ann"));
            peer.join(&world, &other, None);
            let claims = world.bus.waiting_claims();
            // The one is confirmed when its end has begun, the other never.
            peer.client.stop_sending();
            let mut claims = claims.into_iter();
            claims.next().unwrap().send(()).unwrap();
            world.settle().await;
            world.disconnect(&peer, &[&name, &other]);
            // One whose answer nobody has taken.
            let mut third = world.peer();
            third.join(&world, &other, None);
            world.claim().send(()).unwrap();
            world.until("its answer", || third.client.take_signals().joined).await;
            world.disconnect(&third, &[&other]);
            world.settle().await;
            assert_eq!(watcher.has_been_sent("member_"), 0);
            world.disconnect(&watcher, &[&name]);
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn limits_are_looked_at_when_a_join_settles_and_what_is_refused_is_released() {
    BusWorld::run(
        |app| app.limits.presence_members_per_channel = 1,
        async |world| {
            let name = channel("presence-a");
            let (mut ann, mut bob) = (world.peer(), world.peer());
            ann.join(&world, &name, Some("ann"));
            bob.join(&world, &name, Some("bob"));
            let mut claims = world.bus.waiting_claims();
            claims.pop_back().unwrap().send(()).unwrap();
            assert_eq!(world.answers(&bob).await[0].1, Ok(()));
            claims.pop_back().unwrap().send(()).unwrap();
            let refused = NotJoined::Refused(JoinRefused::OverCapacity);
            assert_eq!(world.answers(&ann).await[0].1, Err(refused), "who asked first is settled last");
            assert_eq!(world.bus.claims_of(&name), 1);
            world.disconnect(&ann, &[]);
            world.disconnect(&bob, &[&name]);
            world.assert_nothing_is_left().await;
        },
    );
}
