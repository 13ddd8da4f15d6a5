//! A client that has named itself and comes back is sent what it missed, and told whether that is all.

use std::time::Instant;

pub(crate) use heliostat_protocol_tests::tab::{Tab, complete, fresh_name, incomplete};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::transport::Transport;
use heliostat_protocol_tests::{Incoming, Target, unique};
use serde_json::{Value, json};

/// A broker that keeps the last events of all its channels, and more settings.
pub(crate) fn keeping(more: &str) -> Option<Target> {
    let history = "[[apps.channels]]\npattern = \"off-*\"\ndelivery = \"every\"\n\n\
                   [[apps.channels]]\npattern = \"short-*\"\nhistory = { events = 3 }\n\n\
                   [[apps.channels]]\npattern = \"*\"\nhistory = { events = 100 }\n";
    Target::own(&format!("{more}\n{MAIN_APP}\n{history}"))
}

fn publish(target: &Target, channel: &str, events: &[&str]) {
    events.iter().for_each(|event| target.publish(channel, "news", event));
}

/// Every kind of channel but those that take it otherwise, and each transport that carries pings.
///
/// Proves: recovery.
#[test]
fn who_comes_back_is_sent_what_it_missed_in_order_and_before_anything_live() {
    let Some(target) = keeping("") else { return };
    for transport in [Transport::WebSocket, Transport::SockJsWebSocket, Transport::SockJsRawWebSocket] {
        let target = target.over(transport);
        for kind in ["news-", "private-news-", "private-encrypted-news-"] {
            let (channel, name) = (unique(kind), fresh_name());
            let (mut tab, resumed) = Tab::open(&target, &name, &channel);
            assert_eq!(resumed, incomplete(), "it was not here before");
            publish(&target, &channel, &["1", "2"]);
            tab.echo_all(Some("2"));
            tab.cut();
            publish(&target, &channel, &["3", "4", "5"]);
            let (mut tab, resumed) = Tab::open(&target, &name, &channel);
            assert_eq!(resumed, complete(&["3", "4", "5"]), "{transport:?} {channel}");
            publish(&target, &channel, &["6"]);
            tab.socket.expect_on(&channel, "news");
            tab.echo_all(None);
            tab.cut();
            let (_tab, resumed) = Tab::open(&target, &name, &channel);
            assert_eq!(resumed, complete(&[]), "it has everything");
        }
    }
}

/// What was written and not echoed is sent again, as often as it takes.
///
/// Proves: recovery.
#[test]
fn what_was_not_echoed_is_sent_again_and_what_was_is_not() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let (mut tab, _) = Tab::open(&target, &name, &channel);
    publish(&target, &channel, &["1"]);
    tab.echo_all(Some("1"));
    publish(&target, &channel, &["2"]);
    tab.read_to_ping_behind(Some("2"));
    tab.cut();
    for _ in 0..2 {
        let (mut tab, resumed) = Tab::open(&target, &name, &channel);
        assert_eq!(resumed, complete(&["2"]), "what it was sent again it has not echoed either");
        tab.read_to_ping_behind(None);
        tab.cut();
    }
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["2"]));
    tab.echo_all(None);
    tab.cut();
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&[]));
}

/// Until a client has echoed that it was told of a gap, it may not know.
///
/// Proves: recovery.
#[test]
fn a_gap_is_told_until_the_client_has_said_that_it_knows() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, incomplete());
    tab.read_to_ping_behind(None);
    tab.cut();
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, incomplete(), "it may not have heard of it");
    tab.echo_all(None);
    tab.cut();
    publish(&target, &channel, &["1"]);
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["1"]));
}

/// A history that does not reach back gives nothing, never a part of it.
///
/// Proves: recovery.
#[test]
fn who_missed_more_than_is_kept_is_sent_nothing_and_told_so() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("short-"), fresh_name());
    let (mut tab, _) = Tab::open(&target, &name, &channel);
    publish(&target, &channel, &["1"]);
    tab.echo_all(Some("1"));
    tab.cut();
    publish(&target, &channel, &["2", "3", "4"]);
    let (tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["2", "3", "4"]), "three are kept, and it missed three");
    tab.cut();
    publish(&target, &channel, &["5"]);
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, incomplete(), "2 was not echoed, and is gone");
    tab.echo_all(None);
    tab.cut();
    publish(&target, &channel, &["6"]);
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["6"]), "and from there on it is complete again");
}

/// Neither its client events, nor what was published with its socket id, whichever of its connections that was.
///
/// Proves: recovery.
#[test]
fn nothing_is_sent_to_whom_it_came_from() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("private-news-"), fresh_name());
    let (mut tab, _) = Tab::open(&target, &name, &channel);
    tab.echo_all(None);
    let (mut other, _) = Tab::open(&target, &fresh_name(), &channel);
    tab.socket.trigger(&channel, "client-own", &json!("mine"));
    assert_eq!(other.socket.expect_on(&channel, "client-own").data, json!("mine"));
    other.socket.trigger(&channel, "client-other", &json!("theirs"));
    tab.socket.expect_on(&channel, "client-other");
    let by_http = json!({
        "name": "news", "channel": channel, "data": "mine", "socket_id": tab.socket.id,
    });
    target.events(&by_http).assert_empty_object();
    publish(&target, &channel, &["1"]);
    other.read_to_ping_behind(Some("1"));
    tab.cut();
    target.events(&by_http).assert_empty_object();
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["theirs", "1"]));
    tab.socket.trigger(&channel, "client-own", &json!("mine"));
    while other.socket.message().event != "client-own" {}
    tab.cut();
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["theirs", "1"]), "of two connections before");
}

/// Pongs that say nothing are no error: empty, of numbers that were never sent, old, and of other shapes.
///
/// Proves: recovery.
#[test]
fn pongs_that_nobody_asked_for_say_nothing() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let (mut tab, _) = Tab::open(&target, &name, &channel);
    let first = tab.read_to_ping_behind(None);
    assert!(first.is_ascii() && first.len() <= 16, "{first:?}");
    tab.pong(&first);
    publish(&target, &channel, &["1"]);
    let second = tab.read_to_ping_behind(Some("1"));
    assert_ne!(first, second);
    for forged in
        [&b""[..], b"r", b"rzzzzzz", b"r0", b"R2", b"\xff\xfe", b"something else altogether", &first]
    {
        tab.pong(forged);
    }
    tab.cut();
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["1"]));
    // What one connection was sent says nothing of another.
    tab.pong(&second);
    tab.cut();
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["1"]));
}

/// One pong answers for all pings before it, as those of some libraries do.
///
/// Proves: recovery.
#[test]
fn one_pong_answers_for_all_before_it_and_pings_are_few() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("news-"), fresh_name());
    let (mut tab, _) = Tab::open(&target, &name, &channel);
    tab.echo_all(None);
    let (began, mut pings) = (Instant::now(), Vec::new());
    for round in 0..5 {
        let events: Vec<String> = (0..10).map(|n| format!("{round}-{n}")).collect();
        events.iter().for_each(|event| target.publish(&channel, "news", event));
        pings.push(tab.read_to_ping_behind(events.last().map(String::as_str)));
    }
    let most = 2 + began.elapsed().as_millis() / 100;
    let number =
        |payload: &[u8]| i64::from_str_radix(std::str::from_utf8(&payload[1..]).unwrap(), 36).unwrap();
    let sent = number(pings.last().unwrap()) - number(&pings[0]) + 1;
    assert!(i128::from(sent) <= most as i128, "{sent} pings, and at most {most} in this time");
    tab.pong(pings.last().unwrap());
    tab.cut();
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&[]));
}

/// On a cache channel what was missed takes the place of what is remembered; where that is not complete, it does not.
///
/// Proves: recovery.
#[test]
fn on_a_cache_channel_what_was_missed_takes_the_place_of_what_is_remembered() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("cache-"), fresh_name());
    publish(&target, &channel, &["0"]);
    let mut socket = target.named(&name).connect();
    socket.answers_pings = false;
    socket.subscribe(&channel);
    assert_eq!(socket.expect_on(&channel, "news").data, json!("0"), "remembered");
    assert_eq!(socket.expect_on(&channel, "pusher:resumed").decoded()["complete"], json!(false));
    let mut tab = Tab { socket, channel: channel.clone() };
    tab.echo_all(None);
    tab.cut();
    publish(&target, &channel, &["1", "2"]);
    let (mut tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&["1", "2"]));
    tab.echo_all(None);
    tab.cut();
    let (_tab, resumed) = Tab::open(&target, &name, &channel);
    assert_eq!(resumed, complete(&[]), "it has what is remembered");
}

/// Members are told by the roster, and are not part of what was missed. Another member gets nothing of it.
///
/// Proves: recovery.
#[test]
fn on_a_presence_channel_the_roster_tells_of_members_and_another_member_gets_nothing() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("presence-news-"), fresh_name());
    let join = |user: &str| {
        let mut socket = target.named(&name).connect();
        socket.answers_pings = false;
        socket.join(&channel, &json!({ "user_id": user }).to_string());
        Tab { socket, channel: channel.clone() }.told()
    };
    let (mut tab, _) = join("ann");
    tab.echo_all(None);
    tab.cut();
    let mut other = target.connect();
    other.subscribe_presence(&channel, "bob", &Value::Null);
    publish(&target, &channel, &["1"]);
    let (tab, resumed) = join("ann");
    assert_eq!(resumed, complete(&["1"]));
    tab.cut();
    let (mut tab, resumed) = join("eve");
    assert_eq!(resumed, incomplete());
    tab.echo_all(None);
    tab.cut();
    let (_tab, resumed) = join("eve");
    assert_eq!(resumed, complete(&[]));
}

/// A connection without a name is told nothing, nor is one on a channel that keeps nothing; those are as ever.
///
/// Proves: recovery.
#[test]
fn nobody_else_is_told_anything_and_where_nothing_is_kept_nothing_changes() {
    let Some(target) = keeping("") else { return };
    let channel = unique("news-");
    let mut unnamed = target.connect();
    unnamed.subscribe(&channel);
    publish(&target, &channel, &["1"]);
    unnamed.expect_on(&channel, "news");
    unnamed.assert_silence();
    let named = target.named(&fresh_name());
    let (off, mut socket) = (unique("off-"), named.connect());
    socket.subscribe(&off);
    publish(&target, &off, &["1"]);
    socket.expect_on(&off, "news");
    socket.send_text(r#"{"event":"pusher:ping","data":{}}"#);
    // A ping would be behind the event.
    assert!(matches!(socket.receive(), Incoming::Message(message) if message.event == "pusher:pong"));
    let target = Target::main();
    let name = fresh_name();
    let (mut first, mut second) = (target.named(&name).connect(), target.named(&name).connect());
    let channel = unique("news-");
    for socket in [&mut first, &mut second] {
        socket.subscribe(&channel);
        socket.assert_silence();
    }
}

/// Where pongs are empty, or nothing answers what a stream asks, nobody knows what arrived: it is sent again.
///
/// Proves: recovery.
#[test]
fn without_echoes_and_answers_everything_of_late_is_sent_again() {
    let Some(target) = keeping("") else { return };
    for transport in [Transport::WebSocket, Transport::XhrStreaming, Transport::SockJsStreaming] {
        let target = target.over(transport);
        let (channel, name) = (unique("news-"), fresh_name());
        let (tab, resumed) = Tab::open(&target, &name, &channel);
        assert_eq!(resumed, incomplete(), "{transport:?}");
        tab.cut();
        let (_tab, resumed) = Tab::open(&target, &name, &channel);
        assert_eq!(resumed, incomplete(), "{transport:?}: whether it has heard of it, nobody knows");
    }
}
