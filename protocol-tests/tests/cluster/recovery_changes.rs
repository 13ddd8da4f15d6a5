//! Channels with a history on several nodes where something changes meanwhile: the settings of nodes, members, whether a node has
//! subscribers, and whether the engine keeps anything.

use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::tab::{Resumed, Tab, fresh_name, incomplete};
use heliostat_protocol_tests::{Message, Node, Socket, patience, unique};
use serde_json::{Value, json};

use crate::recovery::settled;
use crate::{ADDED, Trio, eventually, ids, member, publish_number, sorted, throughout};

const PLAIN: &str = "\
[[apps]]
id = \"1001\"
key = \"app-key\"
secret = \"app-secret\"
";

/// The usual app, whose channels keep their last events.
fn keeping() -> String {
    format!("{PLAIN}\n[[apps.channels]]\npattern = \"*\"\nhistory = {{ events = 1000 }}\n")
}

/// Longer than a node goes on hearing a channel that nobody is subscribed to.
const LONGER_THAN_CLAIMS_LINGER: Duration = Duration::from_secs(8);

fn publish(node: &Node, channel: &str, event: &str) {
    node.target.publish(channel, "news", event);
}

/// A node reads this configuration of its apps.
#[track_caller]
fn reload(trio: &Trio, node: &Node, apps: &str) {
    let configuration = trio.setup.clone().apps(apps).configuration(&node.name);
    let output = node.broker().reload(&configuration);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Comes back to a node: everything is sent again that was missed, in its order, and nothing but what was sent before precedes it.
/// What the node has not heard yet comes behind that.
#[track_caller]
fn comes_back(node: &Node, name: &str, channel: &str, before: &[&str], missed: &[&str]) -> Tab {
    let (mut tab, resumed) = Tab::open(&node.target, name, channel);
    assert!(resumed.complete, "{resumed:?}");
    read_missed(&mut tab, resumed, before, missed);
    tab
}

#[track_caller]
fn read_missed(tab: &mut Tab, resumed: Resumed, before: &[&str], missed: &[&str]) {
    let mut told = resumed.events;
    while told.last().and_then(Value::as_str) != missed.last().copied() {
        told.push(tab.socket.expect_on(&tab.channel, "news").data);
    }
    let told: Vec<&str> = told.iter().filter_map(Value::as_str).collect();
    let all = [before, missed].concat();
    assert!(all.ends_with(&told) && told.len() >= missed.len(), "{told:?}: {missed:?}");
}

/// Reads up to an event; returns the data of the events, in their order, and how often it was told that something is missing.
#[track_caller]
fn read_up_to(socket: &mut Socket, last: &str) -> (Vec<String>, usize) {
    let (mut events, mut gaps) = (Vec::new(), 0);
    loop {
        let message: Message = socket.message();
        if message.event == "pusher:resumed" {
            assert_eq!(message.decoded(), json!({ "complete": false, "events": 0 }), "{}", message.whole);
            gaps += 1;
            continue;
        }
        assert_eq!(message.event, "news", "{}", message.whole);
        events.push(message.data.as_str().unwrap().to_owned());
        if events.last().is_some_and(|data| data == last) {
            return (events, gaps);
        }
    }
}

/// It is not long until who comes back is vouched for again, at whatever node.
#[track_caller]
fn becomes_whole(mut tab: Tab, name: &str, nodes: &[Node]) -> Tab {
    let (channel, deadline) = (tab.channel.clone(), Instant::now() + patience());
    for round in 0_usize.. {
        let [live, missed] = ["live", "missed"].map(|what| format!("{what} {round}"));
        publish(&nodes[round % nodes.len()], &channel, &live);
        tab.echo_all(Some(&live));
        tab.cut();
        let next = &nodes[(round + 1) % nodes.len()];
        publish(next, &channel, &missed);
        let (back, resumed) = Tab::open(&next.target, name, &channel);
        tab = back;
        if resumed.complete {
            read_missed(&mut tab, resumed, &[&live], &[&missed]);
            tab.echo_all(None);
            break;
        }
        assert_eq!(resumed, incomplete());
        tab.echo_all(None);
        assert!(Instant::now() < deadline, "nobody vouches for anything");
    }
    tab
}

/// How much the engine has in the stream of a channel.
fn in_stream(trio: &Trio, channel: &str) -> i64 {
    let mut engine = trio.engine.server().client();
    let keys = engine.call(&["KEYS", &format!("{}:*{channel}:kept", trio.setup.prefix_text())]).texts();
    assert_eq!(keys.len(), 1, "{keys:?}");
    engine.call(&["XLEN", &keys[0]]).integer()
}

/// Channels get a history by a reload while they have subscribers; then one node has none of it. What that node publishes
/// everybody gets, but it is not kept, and whoever was away is told.
///
/// Proves: recovery.
#[test]
fn a_history_that_a_reload_gives_or_takes_is_whole_or_said_not_to_be() {
    let trio = Trio::own(|setup| setup.apps(PLAIN));
    let [first, second, third] = &trio.nodes;
    let (channel, name) = (unique("news-"), fresh_name());
    let mut nameless = first.target.connect();
    nameless.subscribe(&channel);
    let mut before = second.target.named(&name).connect();
    before.subscribe(&channel);
    publish(third, &channel, "0");
    assert_eq!(before.expect_on(&channel, "news").data, json!("0"), "and nothing is told of what was missed");
    assert_eq!(nameless.expect_on(&channel, "news").data, json!("0"));
    trio.nodes.iter().for_each(|node| reload(&trio, node, &keeping()));
    before.vanish();
    becomes_whole(settled(second, &name, &channel), &name, &trio.nodes).cut();
    publish(third, &channel, "moved");
    let mut tab = comes_back(first, &name, &channel, &[], &["moved"]);
    tab.echo_all(None);
    nameless.drain();

    let away = fresh_name();
    settled(third, &away, &channel).cut();
    let kept = in_stream(&trio, &channel);

    reload(&trio, second, PLAIN);
    publish(second, &channel, "plain");
    publish(third, &channel, "kept");
    let (events, _) = read_up_to(&mut tab.socket, "kept");
    assert_eq!(events, ["plain", "kept"]);
    // Whoever has heard the first one says in the stream that it is not there.
    eventually("the stream says so", || (in_stream(&trio, &channel) >= kept + 2).then_some(()));
    let (_, resumed) = Tab::open(&third.target, &away, &channel);
    // Its node has heard the first one, and may have it although no stream has.
    let has_all = resumed.complete && resumed.events == ["plain", "kept"].map(Value::from);
    assert!(has_all || resumed == incomplete(), "what it missed is not all there: {resumed:?}");
    let heard = [(); 2].map(|()| nameless.expect_on(&channel, "news").data);
    assert_eq!(heard, ["plain", "kept"].map(Value::from), "who has no name is told nothing");

    reload(&trio, second, &keeping());
    becomes_whole(tab, &name, &trio.nodes);
}

/// Who was alone on a channel at its node comes back to it: while the node still hears the channel, and when it has given it up.
///
/// Proves: recovery.
#[test]
fn who_was_alone_on_a_channel_at_its_node_comes_back_to_it_and_misses_nothing() {
    let trio = Trio::own(|setup| setup.apps(&keeping()));
    let [here, there, _] = &trio.nodes;
    let (channel, name) = (unique("news-"), fresh_name());
    let mut tab = settled(here, &name, &channel);
    publish(there, &channel, "0");
    tab.echo_all(Some("0"));
    tab.cut();
    publish(there, &channel, "1");
    let mut tab = comes_back(here, &name, &channel, &["0"], &["1"]);
    tab.echo_all(None);
    tab.cut();
    publish(there, &channel, "2");
    throughout(LONGER_THAN_CLAIMS_LINGER, || {});
    publish(there, &channel, "3");
    let mut tab = comes_back(here, &name, &channel, &["0", "1"], &["2", "3"]);
    publish(there, &channel, "4");
    assert_eq!(tab.socket.expect_on(&channel, "news").data, json!("4"));
}

/// Members come at one node, and events with them, while somebody comes back to another node that has to fetch what the channel keeps:
/// it is sent each event once, in order, and each member is in its roster or announced.
///
/// Proves: recovery.
#[test]
fn members_and_events_that_come_while_somebody_comes_back_are_all_told() {
    const EVENTS: usize = 40;
    let trio = Trio::own(|setup| setup.apps(&keeping()));
    let [here, there, _] = &trio.nodes;
    for round in 0..4 {
        let (channel, name) = (unique("presence-room-"), fresh_name());
        let _stays = member(here, &channel, "stays");
        let come = |node: &Node| {
            let mut socket = node.target.named(&name).connect();
            socket.answers_pings = false;
            let roster = socket.subscribe_presence(&channel, "ann", &Value::Null);
            (Tab { socket, channel: channel.clone() }, ids(&roster))
        };
        let (mut tab, _) = come(here);
        publish_number(here, &channel, 0);
        tab.echo_all(Some("0"));
        tab.cut();
        publish_number(here, &channel, 1);
        thread::scope(|scope| {
            let (members, publishes) = (&channel, &channel);
            let joins = scope.spawn(move || -> Vec<Socket> {
                (0..8).map(|n| member(here, members, &format!("u{n}"))).collect()
            });
            scope.spawn(move || (2..EVENTS).for_each(|n| publish_number(here, publishes, n)));
            let (mut tab, mut users) = come(there);
            let (mut seen, mut told) = (Vec::new(), 0);
            while seen.last() != Some(&(EVENTS - 1)) || users.len() < 10 || told == 0 {
                let message = tab.socket.message();
                match &*message.event {
                    "number" => seen.push(message.data.as_str().unwrap().parse::<usize>().unwrap()),
                    "pusher:resumed" => {
                        assert_eq!(message.decoded()["complete"], json!(true), "round {round}");
                        told += 1;
                    }
                    ADDED => users.push(message.decoded()["user_id"].as_str().unwrap().to_owned()),
                    _ => panic!("{}", message.whole),
                }
            }
            let from = usize::from(seen[0] != 0);
            assert_eq!(seen, (from..EVENTS).collect::<Vec<_>>(), "round {round}");
            let everybody = (0..8).map(|n| format!("u{n}")).chain(["ann".to_owned(), "stays".to_owned()]);
            assert_eq!(sorted(users), sorted(everybody), "round {round}: each once");
            drop(joins.join().unwrap());
        });
    }
}

/// An engine that does not want to keep events: the publisher is answered 200 and they reach everybody; the log says why, and clients
/// with a name are told that something is not kept. When it wants to again, what comes is kept.
///
/// Proves: recovery.
#[test]
fn events_that_the_engine_refuses_to_keep_are_heard_and_are_a_gap() {
    let trio = Trio::own(|setup| setup.apps(&keeping()));
    let [first, second, third] = &trio.nodes;
    let channel = unique("news-");
    let names = [(); 2].map(|()| fresh_name());
    let mut nameless = second.target.connect();
    nameless.subscribe(&channel);
    let mut tab = settled(first, &names[0], &channel);
    let away = settled(second, &names[1], &channel);
    publish(third, &channel, "kept");
    tab.echo_all(Some("kept"));
    away.cut();
    let mut engine = trio.engine.server().client();
    assert_eq!(engine.call(&["ACL", "SETUSER", "default", "-xadd"]).text(), "OK");
    let expected = ["refused 1", "refused 2", "refused 3"];
    expected.iter().for_each(|event| publish(third, &channel, event));
    let (events, gaps) = read_up_to(&mut tab.socket, expected[2]);
    assert_eq!(events, expected);
    if gaps == 0 {
        let told = tab.socket.expect_on(&channel, "pusher:resumed").decoded();
        assert_eq!(told["complete"], json!(false), "they are in no history");
    }
    for expected in ["kept", "refused 1", "refused 2", "refused 3"] {
        assert_eq!(nameless.expect_on(&channel, "news").data, json!(expected));
    }
    let refused = || third.metric("heliostat_cluster_lost_total", "reason=\"refused\"");
    eventually("they are counted", || (refused() >= 3.0).then_some(()));
    let is_logged = || third.broker().log().contains("came in vain reason=refused");
    eventually("the log says why", || is_logged().then_some(()));
    let (back, resumed) = Tab::open(&second.target, &names[1], &channel);
    assert_eq!(resumed, incomplete(), "what it missed is not kept");
    drop(back);
    assert!(trio.nodes.iter().all(|node| node.ready().status == 200));
    assert_eq!(engine.call(&["ACL", "SETUSER", "default", "+xadd"]).text(), "OK");
    let kept = in_stream(&trio, &channel);
    publish(second, &channel, "kept again");
    assert_eq!(read_up_to(&mut tab.socket, "kept again").0, ["kept again"]);
    assert!(in_stream(&trio, &channel) > kept, "it is in the stream");
}
