use super::*;
use crate::cluster::adapter::Adapter;
use crate::cluster::envelope::{Content, Envelope};
use crate::cluster::inbox::inbox;
use crate::cluster::local::Fate;
use crate::cluster::status::Loss;

#[test]
fn an_event_of_any_node_reaches_the_subscribers_of_all_once_and_in_order() {
    const EVENTS: usize = 300;
    let engine = LocalEngine::new();
    let nodes: [TestNode; 3] = nodes(&engine);
    let clients = nodes.each_ref().map(|node| node.joined("news", None));
    thread::scope(|scope| {
        for (n, node) in nodes.iter().enumerate() {
            scope.spawn(move || {
                (0..EVENTS).for_each(|event| node.publish("news", &format!("{n} {event}"), None))
            });
        }
    });
    for client in &clients {
        until("all events", || client.events().len() == 3 * EVENTS);
        for n in 0..3 {
            let prefix = format!("{n} ");
            let of_node: Vec<_> = client
                .events()
                .iter()
                .filter_map(|text| text.strip_prefix(&prefix)?.parse::<usize>().ok())
                .collect();
            assert_eq!(of_node, (0..EVENTS).collect::<Vec<_>>(), "of node {n}");
        }
    }
    let figures = nodes[0].status().figures;
    assert_eq!((figures.missed_events, figures.repeated_events), (0, 0));
    assert_eq!(figures.lost, [0; Loss::COUNT]);
    assert_eq!(figures.said[0].messages, EVENTS as u64, "one publish for each event");
}

#[test]
fn a_publisher_that_waits_is_heard_in_order_on_all_nodes_whichever_it_asks() {
    let engine = LocalEngine::new();
    let nodes: [TestNode; 3] = nodes(&engine);
    let clients = nodes.each_ref().map(|node| node.joined("news", None));
    let texts: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    for (n, text) in texts.iter().enumerate() {
        let node = &nodes[n % 3];
        node.publish_and_wait("news", text);
        if n % 7 == 0 {
            // What is accepted behind it is delivered behind it, whoever waits.
            node.publish("news", &format!("after {text}"), None);
        }
    }
    for (n, client) in clients.iter().enumerate() {
        let all = texts.len() + texts.len().div_ceil(7);
        until("all events", || client.events().len() == all);
        let events = client.events();
        let waited: Vec<_> = events.iter().filter(|text| !text.starts_with("after")).collect();
        assert_eq!(waited, texts.iter().collect::<Vec<_>>(), "on node {n}");
        for (at, text) in events.iter().enumerate() {
            let Some(first) = text.strip_prefix("after ") else { continue };
            assert!(events[..at].iter().any(|before| before == first), "{text} came first on node {n}");
        }
    }
    for node in &nodes {
        assert_eq!(node.status().figures.lost, [0; Loss::COUNT]);
    }
}

#[test]
fn a_publisher_that_waits_is_heard_in_order_also_where_an_event_waits_for_a_member() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let room = "presence-room";
    let witness = c.joined(room, Some("witness"));
    let _others = [a.joined(room, Some("ann")), b.joined(room, Some("bob"))];
    until("all are there", || witness.roster().len() == 3);
    let mut is_lost = false;
    c.faults.fate(move |word| match Envelope::decode(&word.bytes) {
        Ok(Envelope { content: Content::Facts(_), .. }) if !std::mem::replace(&mut is_lost, true) => {
            Fate::IsLost
        }
        _ => Fate::Arrives,
    });
    let _cy = a.joined(room, Some("cy"));
    a.publish_and_wait(room, "1");
    b.publish_and_wait(room, "2");
    c.publish_and_wait(room, "3");
    a.publish_and_wait(room, "4");
    until("all events", || witness.events().len() == 4);
    assert_eq!(witness.events(), ["1", "2", "3", "4"]);
    until("the member, too", || witness.roster().len() == 4);
    assert_eq!(c.status().figures.waiting_events, 0);
}

#[test]
fn what_does_not_come_back_is_delivered_once_and_in_order_and_counted() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined("news", None), b.joined("news", None));
    a.faults.next(subject("news"), 2, Fate::IsLost);
    a.publish_and_wait("news", "1");
    a.publish_and_wait("news", "2");
    until("what was lost", || here.events() == ["1", "2"]);
    let late = |node: &TestNode| node.status().figures.lost[Loss::ReturnLate as usize];
    until("it is counted", || late(&a) >= 1);
    // Twice from the engine is once.
    a.faults.next(subject("news"), 1, Fate::ArrivesTwice);
    ["3", "4", "5"].iter().for_each(|text| a.publish_and_wait("news", text));
    until("the other node has heard all", || there.events().len() == 5);
    engine.halt();
    a.publish_and_wait("news", "6");
    until("all", || here.events() == ["1", "2", "3", "4", "5", "6"]);
    until("what crossed", || there.events() == ["1", "2", "3", "4", "5"]);
    assert!(late(&a) <= 2 && late(&b) == 0);
}

#[test]
fn what_a_channel_remembers_is_delivered_once_also_where_it_does_not_come_back() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined("cache-news", None), b.joined("cache-news", None));
    a.faults.next(subject("cache-news"), 2, Fate::IsLost);
    ["1", "2"].iter().for_each(|text| a.publish("cache-news", text, None));
    until("what was lost", || here.events() == ["1", "2"]);
    let late = |node: &TestNode| node.status().figures.lost[Loss::ReturnLate as usize];
    until("it is counted", || late(&a) == 2);
    a.faults.next(subject("cache-news"), 1, Fate::ArrivesTwice);
    ["3", "4"].iter().for_each(|text| a.publish("cache-news", text, None));
    b.publish("cache-news", "5", None);
    until("all", || there.events() == ["1", "2", "3", "4", "5"]);
    until("all here", || here.events() == there.events());
    for node in [&a, &b] {
        let new = node.joined("cache-news", None);
        until("the last one", || new.events() == ["5"]);
        assert_eq!(node.status().figures.missed_events, 0);
    }
}

#[test]
fn what_a_channel_remembers_and_comes_back_late_is_not_delivered_again() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined("cache-news", None), b.joined("cache-news", None));
    let (inbox, mut words) = inbox(100, 1 << 20);
    let stranger = engine.join(inbox);
    stranger.subscribe(&subject("cache-news"), None);
    let mut say_again = |number: u64| {
        let word = words.try_next().unwrap();
        stranger.publish_and_remember(&word.subject, word.bytes, Duration::from_secs(60), None).unwrap();
        until("it is said", || words.try_next().is_some_and(|word| word.number > Some(number)));
    };
    a.faults.next(subject("cache-news"), 1, Fate::IsLost);
    a.publish("cache-news", "1", None);
    until("it is delivered", || here.events() == ["1"]);
    say_again(0);
    // Before the link is away, and after.
    a.faults.next(subject("cache-news"), 1, Fate::IsLost);
    a.publish("cache-news", "2", None);
    a.faults.cut();
    until("it is known", || a.status().away.is_some());
    a.publish("cache-news", "3, alone", None);
    until("both", || here.events() == ["1", "2", "3, alone"]);
    a.faults.heal();
    until("it is put to the engine", || there.events() == ["1", "2", "3, alone"]);
    say_again(1);
    let new = a.joined("cache-news", None);
    until("the last one", || new.events() == ["3, alone"]);
    b.publish("cache-news", "4", None);
    until("it is here", || new.events() == ["3, alone", "4"]);
    until("and there", || there.events().len() == 4);
    assert_eq!(here.events(), ["1", "2", "3, alone", "4"]);
    assert_eq!(there.events(), ["1", "2", "3, alone", "4"]);
}

#[test]
fn what_a_node_had_to_forget_it_asks_the_engine_for_and_tells_nobody_again() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let limits = Limits { cached_channels: 1, ..app().limits };
    a.hub.set_apps(vec![(App { limits, ..app() }, None)]).unwrap();
    let here = ["cache-one", "cache-two", "cache-three"].map(|name| a.joined(name, None));
    b.publish("cache-one", "1", None);
    b.publish("cache-two", "2", None);
    until("both are heard", || here[0].events() == ["1"] && here[1].events() == ["2"]);
    for (name, text) in [("cache-one", "1"), ("cache-two", "2"), ("cache-one", "1")] {
        let new = a.joined(name, None);
        until("it is given", || new.events() == [text]);
        assert_eq!(new.heard("cache_miss"), 0);
    }
    let nothing = a.joined("cache-three", None);
    until("it is told so", || nothing.heard("cache_miss") == 1);
    // Also after an outage.
    a.faults.cut();
    until("it is known", || a.status().away.is_some());
    a.faults.heal();
    until("it is back", || a.status().away.is_none());
    b.publish("cache-one", "3", None);
    until("it is heard", || here[0].events().len() >= 2);
    b.publish("cache-two", "4", None);
    until("that, too", || here[1].events().len() >= 2);
    assert_eq!([here[0].events(), here[1].events()], [["1", "3"], ["2", "4"]]);
}

#[test]
fn what_clients_say_on_channels_that_remember_is_not_missed() {
    let engine = LocalEngine::new();
    let [a, _b]: [TestNode; 2] = nodes(&engine);
    let here = a.joined("private-cache-news", None);
    let client_event = || {
        let to = Destination::Subscribers { channel: channel("private-cache-news"), except: None };
        let source = Source::Client { socket_id: SocketId::new(1, 1), user_id: None };
        let (name, data) = ("e".into(), Data::of_text("c"));
        a.hub.accept(&a.app, &AcceptedEvent { source, to, name, data, raw: None });
    };
    a.publish("private-cache-news", "1", None);
    (0..10).for_each(|_| client_event());
    a.publish("private-cache-news", "2", None);
    until("all", || here.events().len() == 12);
    assert_eq!((here.events()[0].as_str(), here.events()[11].as_str()), ("1", "2"));
    assert_eq!(a.status().figures.missed_events, 0);
}

#[test]
fn the_connection_that_is_excluded_is_so_on_any_node() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (excluded, other) = (b.joined("news", None), b.joined("news", None));
    a.publish("news", "not for all", Some(excluded.socket));
    a.publish("news", "for all", None);
    until("both", || other.events() == ["not for all", "for all"]);
    until("one", || excluded.events() == ["for all"]);
}

#[test]
fn an_event_costs_nodes_without_subscribers_nothing() {
    let engine = LocalEngine::new();
    let [a, b, c]: [TestNode; 3] = nodes(&engine);
    let client = b.joined("news", None);
    a.publish("news", "hello", None);
    until("the event", || client.events() == ["hello"]);
    assert_eq!(engine.wanted_by(&subject("news")), 1);
    assert_eq!((c.status().figures.heard[0].messages, b.status().figures.heard[0].messages), (0, 1));
}

#[test]
fn a_subscription_lingers_and_is_given_up() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let client = b.joined("news", None);
    client.disconnect("news");
    let again = b.joined("news", None);
    assert_eq!(b.status().figures.joins_waited, 1, "the second one did not wait");
    a.publish("news", "hello", None);
    until("the event", || again.events() == ["hello"]);
    again.disconnect("news");
    until("nobody wants it", || engine.wanted_by(&subject("news")) == 0);
    assert_eq!(b.status().figures.claimed_channels, 0);
}

#[test]
fn what_comes_twice_is_heard_once_and_what_is_lost_is_counted() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let client = b.joined("news", None);
    b.faults.next(subject("news"), 3, Fate::ArrivesTwice);
    ["1", "2", "3"].iter().for_each(|text| a.publish("news", text, None));
    until("three events", || client.events() == ["1", "2", "3"]);
    b.faults.next(subject("news"), 2, Fate::IsLost);
    ["4", "5", "6"].iter().for_each(|text| a.publish("news", text, None));
    until("the last one", || client.events() == ["1", "2", "3", "6"]);
    let figures = b.status().figures;
    assert_eq!((figures.repeated_events, figures.missed_events), (3, 2));
}

#[test]
fn a_frame_for_one_connection_finds_its_node() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let client = b.client();
    let send = |to| {
        let (name, data, to) = ("e".into(), Data::of_text("for you"), Destination::Connection(to));
        let event = AcceptedEvent { source: Source::Http, to, name, data, raw: None };
        a.hub.accept(&a.app, &event)
    };
    assert!(send(client.socket));
    until("the frame", || client.events() == ["for you"]);
    let tags: Vec<_> = [&a, &b].map(|node| node.hub.bus().unwrap().socket_tag()).into();
    let foreign = (1..).map(|n| SocketId::new(n << 16 | 7, 7)).find(|id| !tags.contains(&id.tag())).unwrap();
    assert!(!send(foreign), "there is no such node");
}

#[test]
fn a_connection_is_ended_on_its_node() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (ended, stays) = (b.client(), b.client());
    assert!(a.hub.close_socket_everywhere(&a.app, ended.socket));
    until("it is told", || ended.is_to_end());
    assert!(!stays.is_to_end());
    assert!(!a.hub.close_socket_everywhere(&a.app, SocketId::new(0, 0)), "there is no such node");
}

#[test]
fn events_that_a_channel_remembers_are_numbered_by_the_engine_for_all() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let (here, there) = (a.joined("cache-news", None), b.joined("cache-news", None));
    (0..50).for_each(|n| [&a, &b][n % 2].publish("cache-news", &n.to_string(), None));
    until("all here", || here.events().len() == 50);
    until("all there", || there.events() == here.events());
    a.faults.cut();
    until("it is known", || a.status().away.is_some());
    a.publish("cache-news", "alone", None);
    until("it is delivered here", || here.events().len() == 51);
    // Also what it has, it does not hear again, nor from a copy that takes the engine's place.
    a.faults.heal();
    until("it is put to the engine", || there.events().len() == 51);
    engine.promote();
    until("they hear each other", || a.status().away.is_none() && b.status().away.is_none());
    b.publish("cache-news", "after", None);
    until("events cross", || here.events().ends_with(&["alone".to_owned(), "after".to_owned()]));
    until("both have it", || there.events().last().is_some_and(|last| last == "after"));
    assert_eq!((here.events().len(), there.events().len()), (52, 52), "nothing comes twice");
}

#[test]
fn an_event_that_the_engine_has_taken_although_it_does_not_say_so_is_delivered_once() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    for (name, delay) in [("cache-now", 0), ("cache-late", 20)] {
        let (here, there) = (a.joined(name, None), b.joined(name, None));
        if delay > 0 {
            let (faults, (told, is_delayed)) = (a.faults.clone(), std_mpsc::channel());
            thread::spawn(move || {
                block_on(async {
                    faults.delay(Duration::from_millis(delay));
                    told.send(()).unwrap();
                    std::future::pending::<()>().await;
                });
            });
            is_delayed.recv_timeout(PATIENCE).unwrap();
        }
        for text in ["1", "2", "3"] {
            a.faults.lose_answer(subject(name));
            a.publish_and_wait(name, text);
        }
        a.publish_and_wait(name, "4");
        b.publish_and_wait(name, "5");
        let all = ["1", "2", "3", "4", "5"];
        until("the last one", || [&here, &there].iter().all(|client| client.heard("\"5\"") > 0));
        assert_eq!(
            (here.events(), there.events()),
            (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec())
        );
        let later = a.joined(name, None);
        until("the one that is remembered", || later.events() == ["5"]);
        // What another node says between an event and its return is not what is remembered.
        a.faults.lose_answer(subject(name));
        thread::scope(|scope| {
            scope.spawn(|| b.publish_and_wait(name, "6 of b"));
            a.publish_and_wait(name, "6 of a");
        });
        let heard = |client: &TestClient| client.events().len() == 7;
        until("both", || [&here, &there].iter().all(|client| heard(client)));
        let last = there.events().pop().unwrap();
        let remembered = || a.joined(name, None).events();
        until("the last one is remembered", || remembered() == [last.clone()]);
    }
    assert_eq!(a.status().figures.lost[Loss::ReturnLate as usize], 0);
}

#[test]
fn what_clients_say_on_a_channel_that_remembers_is_not_missed() {
    let engine = LocalEngine::new();
    let [a, b]: [TestNode; 2] = nodes(&engine);
    let name = "private-cache-news";
    let (here, there) = (a.joined(name, None), b.joined(name, None));
    a.publish(name, "1", None);
    for n in 0..10 {
        let to = Destination::Subscribers { channel: channel(name), except: None };
        let source = Source::Client { socket_id: SocketId::new(1, 1), user_id: None };
        let (event, text) = ("e".into(), format!("said {n}"));
        let data = Data::of_text(&text);
        a.hub.accept(&a.app, &AcceptedEvent { source, to, name: event, data, raw: None });
    }
    a.publish(name, "2", None);
    until("all", || [&here, &there].iter().all(|client| client.events().len() == 12));
    assert_eq!(here.events(), there.events(), "one order");
    assert_eq!([&a, &b].map(|node| node.status().figures.missed_events), [0, 0]);
}
