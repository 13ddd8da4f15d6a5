//! What goes to other nodes and what comes from them, with a bus that leads nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::app::{App, ChannelSettings, Delivery, HistoryBounds};
use crate::channel::{Fact, HistoryStart};
use crate::event::{AcceptedEvent, Destination, Source};
use crate::hub::bus_world::BusWorld;
use crate::hub::{BusAway, Listener, Notice, Receipts};
use crate::protocol::json::Data;
use crate::protocol::pattern::Pattern;
use crate::protocol::{SocketTag, server_message};

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name, 164).unwrap()
}

fn event<'a>(source: Source, to: Destination, name: &'a str) -> AcceptedEvent<'a> {
    AcceptedEvent { source, to, name: name.into(), data: Data::of_text("x"), raw: None }
}

fn to(channel: &ChannelName, except: Option<SocketId>) -> Destination {
    Destination::Subscribers { channel: channel.clone(), except }
}

/// What another node says of an event of this name.
fn arrived<'a>(channel: &'a ChannelName, name: &str, number: Option<u64>) -> ArrivedEvent<'a> {
    let frame = server_message::channel_event(name, &Data::of_text("x"), channel, None);
    let remembered = channel.channel_type().is_cache().then_some(RememberedAs {
        number,
        is_recalled: false,
        expires_in: Duration::from_secs(60),
    });
    ArrivedEvent { channel, frame, latest: None, except: None, remembered, kept: None }
}

/// Counts the events that it is told of.
#[derive(Default)]
struct EventCounter {
    events: AtomicUsize,
    misses: AtomicUsize,
}

impl Listener for EventCounter {
    fn listens(&self, _: Option<&str>, _: &str) -> bool {
        false
    }

    fn notice(&self, _: &Arc<Hub>, _: &Arc<AppState>, notice: &Notice<'_>) {
        match notice {
            Notice::Event(_) => self.events.fetch_add(1, Ordering::Relaxed),
            Notice::CacheMiss(..) => self.misses.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

#[test]
fn every_event_is_carried_in_order_and_those_that_come_from_elsewhere_are_not() {
    let listener = Arc::<EventCounter>::default();
    BusWorld::with_listeners(
        vec![listener.clone()],
        |_| {},
        async |world| {
            let (name, empty) = (channel("a"), channel("b"));
            let (mut first, mut second) = (world.peer(), world.peer());
            first.join(&world, &name, None);
            second.join(&world, &name, None);
            let except = Some(first.client.socket_id());
            let client = Source::Client { socket_id: first.client.socket_id(), user_id: None };
            for (source, to, name) in [
                (Source::Http, to(&name, None), "one"),
                (client, to(&name, except), "two"),
                (Source::Pipe, to(&empty, None), "three"),
                (Source::Http, Destination::Listeners { channel: None }, "none"),
            ] {
                world.hub.accept(&world.app, &event(source, to, name));
            }
            let carried = world.bus.carried();
            let names = ["one", "two", "three"];
            assert_eq!(carried.len(), names.len(), "{carried:?}");
            for (carried, name) in carried.iter().zip(names) {
                assert!(String::from_utf8_lossy(carried.frame.json()).contains(name), "{carried:?}");
                assert_eq!((&carried.latest, carried.remembered_for), (&None, None));
            }
            assert_eq!(carried[1].except, except);
            assert_eq!(listener.events.load(Ordering::Relaxed), 3, "no pipe hears a pipe");
            let mut away = arrived(&name, "four", None);
            away.except = except;
            world.hub.deliver_from_elsewhere("1", &away);
            world.hub.deliver_from_elsewhere("1", &arrived(&empty, "five", None));
            world.hub.deliver_from_elsewhere("nobody", &away);
            world.until("the last one", || second.has_been_sent("four") == 1).await;
            assert_eq!(["one", "two", "four", "five"].map(|name| first.has_been_sent(name)), [1, 0, 0, 0]);
            assert_eq!(["one", "two", "four", "five"].map(|name| second.has_been_sent(name)), [1, 1, 1, 0]);
            assert_eq!(world.bus.carried().len(), names.len());
            assert_eq!(
                listener.events.load(Ordering::Relaxed),
                3,
                "a rule acts where the event was accepted"
            );
            world.disconnect(&first, &[&name]);
            world.disconnect(&second, &[&name]);
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn of_a_latest_only_channel_the_name_of_the_event_travels() {
    let latest_only = |app: &mut App| {
        app.channels = vec![ChannelSettings {
            pattern: Pattern::parse("mirror*").unwrap(),
            delivery: Delivery::Latest,
            history: None,
            video: None,
        }];
    };
    BusWorld::with_listeners(Vec::new(), latest_only, async |world| {
        let name = channel("mirror");
        let mut peer = world.peer();
        peer.join(&world, &name, None);
        world.hub.accept(&world.app, &event(Source::Http, to(&name, None), "frame"));
        assert_eq!(world.bus.carried()[0].latest.as_deref(), Some("frame"));
        // The transport takes no more.
        world.until("the first", || peer.has_been_sent("frame") == 1).await;
        peer.sent.block();
        let mut last = arrived(&name, "frame", None);
        last.latest = Some("frame");
        world.hub.deliver_from_elsewhere("1", &last);
        world.until("it is blocked", || peer.client.is_blocked()).await;
        (0..3).for_each(|_| world.hub.deliver_from_elsewhere("1", &last));
        world.until("they are read", || world.hub.mailbox(0).is_empty()).await;
        assert_eq!(peer.client.owed().1, 2, "the one that may have been begun, and the newest");
        world.disconnect(&peer, &[&name]);
        world.assert_nothing_is_left().await;
    });
}

#[test]
fn a_remembered_event_that_returns_is_delivered_once_by_its_number() {
    BusWorld::with_listeners(
        Vec::new(),
        |_| {},
        async |world| {
            let name = channel("cache-a");
            let channel = name.clone();
            let (mut before, mut after) = (world.peer(), world.peer());
            before.join(&world, &name, None);
            world.bus.have_events_return();
            world.hub.accept(&world.app, &event(Source::Http, to(&name, None), "one"));
            assert_eq!(world.bus.carried()[0].remembered_for, Some(world.app.app().cache_ttl));
            world.settle().await;
            assert_eq!(before.has_been_sent("one"), 0, "it has no number yet");
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "one", Some(7)));
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "one", Some(7)));
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "older", Some(6)));
            // While what was posted has not been delivered.
            after.join(&world, &name, None);
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "one", Some(7)));
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "two", Some(8)));
            let both_have = |name| before.has_been_sent(name) == 1 && after.has_been_sent(name) == 1;
            world.until("both events", || both_have("one") && both_have("two")).await;
            world.settle().await;
            assert!(both_have("one") && both_have("two"));
            assert_eq!([&before, &after].map(|peer| peer.has_been_sent("older")), [0, 0]);
            // What the engine could not number is newer than all that it has; and another engine begins from 1.
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "three", None));
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "four", Some(9)));
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "again", Some(1)));
            let recall = |name: &str, number| {
                let mut event = arrived(&channel, name, Some(number));
                event.remembered.as_mut().unwrap().is_recalled = true;
                world.hub.deliver_from_elsewhere("1", &event);
            };
            // It is a copy of the former one, and may lack its last words.
            world.hub.engine_changed();
            recall("four", 9);
            recall("again", 8);
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "five", Some(1)));
            // After an outage in which this node was alone, it is behind, or has the last event although it did not say so.
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "six", None));
            recall("again", 1);
            recall("six", 2);
            recall("again", 2);
            recall("seven", 3);
            let all = ["three", "four", "five", "six", "seven"];
            world.until("all of them", || all.into_iter().all(both_have)).await;
            world.settle().await;
            assert!(all.into_iter().all(both_have));
            assert_eq!(before.has_been_sent("again"), 0);
            assert_eq!(world.app.cached(&name).map(|(data, _)| data).as_deref(), Some("x"));
            world.disconnect(&before, &[&name]);
            world.disconnect(&after, &[&name]);
            world.app.forget_cache();
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn a_miss_is_announced_by_whoever_is_first_in_the_cluster() {
    let listener = Arc::<EventCounter>::default();
    BusWorld::with_listeners(
        vec![listener.clone()],
        |_| {},
        async |world| {
            let (name, misses) = (channel("cache-a"), || listener.misses.load(Ordering::Relaxed));
            let mut peers = [world.peer(), world.peer(), world.peer(), world.peer()];
            peers[0].join(&world, &name, None);
            peers[1].join(&world, &name, None);
            world.until("both are told", || peers[1].has_been_sent("cache_miss") == 1).await;
            assert_eq!(
                (world.bus.missed(), misses()),
                (vec![name.clone()], 0),
                "this node knows of the first"
            );
            world.hub.announce_cache_miss("1", &name);
            assert_eq!(misses(), 1);
            assert!(matches!(world.bus.take_told()[..], [.., Fact::CacheMissed { .. }]), "and the others");
            world.hub.recalled_nothing("1", &name);
            peers[2].join(&world, &name, None);
            assert_eq!(
                (world.bus.missed().len(), misses()),
                (2, 1),
                "the engine knows whether it is the first"
            );
            world.hub.recalled_nothing("1", &name);
            world.bus.go_away();
            peers[3].join(&world, &name, None);
            assert_eq!((world.bus.missed().len(), misses()), (3, 2), "told at once");
            let of_misses = |fact: &Fact| matches!(fact, Fact::CacheMissed { .. });
            assert_eq!(world.bus.take_told().into_iter().filter(of_misses).count(), 1);
            peers.iter().for_each(|peer| world.disconnect(peer, &[&name]));
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn what_a_channel_remembers_is_read_off_the_engine_and_if_it_is_away_from_here() {
    BusWorld::with_listeners(
        Vec::new(),
        |_| {},
        async |world| {
            let name = channel("cache-a");
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "e", Some(1)));
            assert_eq!(world.hub.recall(&world.app, &name).await, None, "the engine says so");
            let frame = server_message::channel_event("e", &Data::of_text("newer"), &name, None);
            world.bus.remember(frame, Duration::from_secs(5));
            let newer = Some(("newer".to_owned(), Duration::from_secs(5)));
            assert_eq!(world.hub.recall(&world.app, &name).await, newer);
            world.bus.go_away();
            let here = world.hub.recall(&world.app, &name).await;
            assert_eq!(here.map(|(data, _)| data).as_deref(), Some("x"));
        },
    );
}

#[test]
fn connections_have_the_tag_of_their_node_and_frames_for_others_go_to_theirs() {
    BusWorld::with_listeners(
        Vec::new(),
        |_| {},
        async |world| {
            let peer = world.peer();
            let here = peer.client.socket_id();
            assert_eq!(here.tag(), SocketTag::of_random(4711));
            let elsewhere = SocketId::tagged(SocketTag::of_random(12), 1, 1);
            for (socket, is_away) in [(here, false), (elsewhere, false), (elsewhere, true)] {
                if is_away {
                    world.bus.go_away();
                }
                let sent = world
                    .hub
                    .accept(&world.app, &event(Source::Pipe, Destination::Connection(socket), "message"));
                assert_eq!(sent, !is_away, "{socket}");
            }
            assert_eq!(world.bus.sockets(), [elsewhere, elsewhere]);
            assert!(!world.hub.close_socket_everywhere(&world.app, elsewhere), "the bus is away");
            world.hub.close_socket_from_elsewhere("1", elsewhere);
            assert_eq!(world.bus.closed(), [elsewhere], "nor is that carried on");
            let frame = || server_message::connection_event("relayed", &Data::of_text("x"));
            assert!(world.hub.send_to_socket_from_elsewhere("1", here, frame()));
            assert!(!world.hub.send_to_socket_from_elsewhere("1", elsewhere, frame()), "nor carried on");
            world.until("both", || peer.has_been_sent("message") + peer.has_been_sent("relayed") == 2).await;
            world.disconnect(&peer, &[]);
            world.assert_nothing_is_left().await;
        },
    );
}

#[test]
fn a_user_is_terminated_everywhere_or_it_is_said_that_this_is_not_known() {
    BusWorld::with_listeners(
        Vec::new(),
        |_| {},
        async |world| {
            let (ann, bob) = (world.peer(), world.peer());
            for (peer, user) in [(&ann, "ann"), (&bob, "bob")] {
                let answer = server_message::pong();
                world.worker.sign_in(&peer.client, &user.into(), &[], answer, false).unwrap();
            }
            let answer = async {
                world.until("it is carried", || !world.bus.terminated().is_empty()).await;
                world.bus.take_taken().into_iter().for_each(|taken| taken.send(Ok(())).unwrap());
            };
            let (terminated, ()) =
                tokio::join!(world.hub.terminate_user_everywhere(&world.app, "ann"), answer);
            assert_eq!((terminated, world.bus.terminated()), (Ok(()), vec!["ann".to_owned()]));
            world.until("she is told", || ann.client.take_signals().asked.is_some()).await;
            assert!(bob.client.take_signals().asked.is_none());
            // Nobody answers.
            assert_eq!(world.hub.terminate_user_everywhere(&world.app, "ann").await, Err(BusAway));
            world.bus.go_away();
            assert_eq!(world.hub.terminate_user_everywhere(&world.app, "bob").await, Err(BusAway));
            world.until("he is told", || bob.client.take_signals().asked.is_some()).await;
            world.hub.terminate_from_elsewhere("1", "ann");
            world.until("she is told again", || ann.client.take_signals().asked.is_some()).await;
            assert_eq!(world.bus.terminated().len(), 2, "what comes from elsewhere goes no further");
        },
    );
}

#[test]
fn a_publisher_waits_until_the_engine_has_taken_all_and_not_for_ever() {
    BusWorld::with_listeners(
        Vec::new(),
        |_| {},
        async |world| {
            let publish = |receipts: &mut Receipts| {
                world.hub.accept_for_receipt(
                    &world.app,
                    &event(Source::Http, to(&channel("a"), None), "e"),
                    receipts,
                );
            };
            let mut receipts = Receipts::default();
            publish(&mut receipts);
            publish(&mut receipts);
            let waiting = actix_web::rt::spawn(receipts.all());
            let mut taken = world.bus.take_taken().into_iter();
            taken.next().unwrap().send(Ok(())).unwrap();
            world.settle().await;
            assert!(!waiting.is_finished(), "one is missing");
            taken.next().unwrap().send(Ok(())).unwrap();
            waiting.await.unwrap();
            let mut receipts = Receipts::default();
            publish(&mut receipts);
            receipts.all().await;
            assert_eq!(world.bus.take_taken().len(), 1, "in vain, for a second");
            world.bus.go_away();
            let mut receipts = Receipts::default();
            publish(&mut receipts);
            receipts.all().await;
            assert!(world.bus.take_taken().is_empty());
            world.hub.accept(&world.app, &event(Source::Http, to(&channel("a"), None), "e"));
            assert!(Receipts::default().is_empty());
        },
    );
}

#[test]
fn who_delivers_from_elsewhere_waits_while_a_worker_is_far_behind() {
    let apps = vec![(App::new("1", "k", "s"), Vec::new())];
    let hub = Hub::new(apps, crate::connection::ConnectionConfig::default(), 1, 0).unwrap();
    while !hub.is_congested() {
        hub.mailbox(0).post(WorkerCommand::Relieved);
    }
    let waiter = {
        let hub = Arc::clone(&hub);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(hub.until_uncongested());
            assert!(!hub.is_congested());
        })
    };
    actix_web::rt::System::new().block_on(async {
        crate::hub::Worker::of_this_thread(&hub).unwrap().uncongested().await;
    });
    waiter.join().unwrap();
}

/// While one process succeeds another there is a bus between them: what comes by it is kept like what is accepted here.
#[test]
fn what_comes_by_the_bus_is_kept_as_well_as_what_is_accepted_here() {
    BusWorld::with_listeners(Vec::new(), keeps, async |world| {
        world.bus.have_events_return();
        for name in [channel("a"), channel("cache-a")] {
            let mut peer = world.peer();
            peer.join(&world, &name, None);
            world.hub.accept(&world.app, &event(Source::Http, to(&name, None), "one"));
            // An engine sends back what a channel remembers.
            if name.channel_type().is_cache() {
                world.hub.deliver_from_elsewhere("1", &arrived(&name, "one", Some(1)));
            }
            world.hub.deliver_from_elsewhere("1", &arrived(&name, "two", Some(2)));
            world.until("both", || peer.has_been_sent("two") == 1).await;
            let page =
                world.hub.page_here(&world.app, &name, HistoryStart::Oldest, (10, usize::MAX)).unwrap();
            let texts: Vec<_> = page.events.iter().map(|(_, event)| event.frame.json().to_vec()).collect();
            let has = |text: &Vec<u8>, event: &str| String::from_utf8_lossy(text).contains(event);
            assert_eq!(texts.len(), 2, "{name}: {texts:?}");
            assert!(has(&texts[0], "\"one\"") && has(&texts[1], "\"two\""), "{name}: {texts:?}");
            assert_eq!(peer.has_been_sent("one"), 1, "{name}");
            world.disconnect(&peer, &[&name]);
            assert_eq!(world.bus.claims_of(&name), 0, "between two processes all events come to both anyway");
        }
    });
}

fn keeps(app: &mut App) {
    let pattern = Pattern::parse("*").unwrap();
    let history = Some(HistoryBounds::default());
    app.channels = vec![ChannelSettings { pattern, delivery: Delivery::Every, history, video: None }];
}

/// What the process before has remembered was not published just now.
#[test]
fn what_is_recalled_is_remembered_and_kept_only_where_somebody_may_have_missed_it() {
    BusWorld::with_listeners(Vec::new(), keeps, async |world| {
        let recall = |name: &ChannelName, number| {
            let mut event = arrived(name, "one", Some(number));
            event.remembered.as_mut().unwrap().is_recalled = true;
            world.hub.deliver_from_elsewhere("1", &event);
        };
        let kept = |name| {
            let page = world.hub.page_here(&world.app, name, HistoryStart::Oldest, (10, usize::MAX));
            page.unwrap().events.len()
        };
        let (vacant, occupied) = (channel("cache-vacant"), channel("cache-occupied"));
        recall(&vacant, 1);
        let mut late = world.peer();
        late.join(&world, &vacant, None);
        world.until("what is remembered", || late.has_been_sent("one") == 1).await;
        assert_eq!(kept(&vacant), 0);
        let mut early = world.peer();
        early.join(&world, &occupied, None);
        recall(&occupied, 1);
        world.until("the same", || early.has_been_sent("one") == 1).await;
        assert_eq!(kept(&occupied), 1);
    });
}
