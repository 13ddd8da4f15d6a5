//! What channels keep of their last events, as `GET …/channels/{channel}/history` pages through it.

use std::process::Output;

use heliostat_protocol_tests::http::Response;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::{Value, json};

/// All channels but some keep their last events.
const LOGS: &str = "[[apps.channels]]\npattern = 'news*'\ndelivery = 'every'\n\
                    [[apps.channels]]\npattern = '*'\nhistory = { events = 5, seconds = 300 }\n";

fn config(channels: &str) -> String {
    format!("[server]\nworkers = 2\n{MAIN_APP}subscription_count = true\n{channels}")
}

fn broker() -> Option<Target> {
    Target::own(&config(LOGS))
}

/// A page, as these parameters ask for it.
fn page(target: &Target, channel: &str, parameters: &[(&str, &str)]) -> Response {
    let call = target.get(&format!("/channels/{channel}/history"));
    parameters.iter().fold(call, |call, (name, value)| call.query(name, value)).send()
}

fn events(page: &Value) -> &Vec<Value> {
    page["events"].as_array().expect("a list of events")
}

/// The data of the events of a page, each a number.
fn numbers(page: &Value) -> Vec<u64> {
    events(page).iter().map(|event| event["data"].as_str().unwrap().parse().unwrap()).collect()
}

fn publish(target: &Target, channel: &str, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|number| target.publish(channel, "numbered", &number.to_string()));
}

/// Events over HTTP and those of clients are there, in their order, as subscribers were sent them; what the broker says of
/// members and counts is not. Nobody needs to be subscribed.
///
/// Proves: recovery.
#[test]
fn a_channel_keeps_the_events_of_backends_and_clients_and_nothing_else() {
    let Some(target) = broker() else { return };
    let channel = unique("presence-log-");
    target.publish(&channel, "first", "nobody is here");
    let mut ann = target.connect();
    let _ = ann.subscribe_presence(&channel, "ann", &json!(null));
    let mut bob = target.connect();
    let _ = bob.subscribe_presence(&channel, "bob", &json!(null));
    ann.trigger(&channel, "client-wave", &json!({ "to": "bob" }));
    let waved = bob.expect_on(&channel, "client-wave");
    target.publish(&channel, "last", "é\"");
    let shown = page(&target, &channel, &[]).json();
    assert_eq!(shown["complete"], true);
    assert_eq!(shown["has_more"], false);
    let [first, wave, last] = events(&shown).as_slice() else { panic!("{shown}") };
    assert_eq!((&first["name"], &first["data"]), (&json!("first"), &json!("nobody is here")));
    assert_eq!((&wave["name"], &wave["user_id"]), (&json!("client-wave"), &json!("ann")));
    assert_eq!(wave["data"], waved.data, "as its subscribers were sent it");
    assert_eq!((&last["data"], &last["channel"]), (&json!("é\""), &json!(channel)));
    assert!(first.get("user_id").is_none() && last.get("user_id").is_none());
    let times: Vec<u64> = events(&shown).iter().map(|event| event["time_ms"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] > 1_600_000_000_000, "milliseconds since 1970: {times:?}");
}

/// A page ends after as many events as were asked for, and the next begins behind the last of them.
///
/// Proves: recovery.
#[test]
fn pages_follow_each_other_until_there_is_no_more() {
    let Some(target) = broker() else { return };
    let channel = unique("log-");
    publish(&target, &channel, 1..=5);
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let mut parameters = vec![("limit", "2")];
        parameters.extend(after.as_deref().map(|after| ("after", after)));
        let shown = page(&target, &channel, &parameters).json();
        assert_eq!(shown["complete"], true, "{shown}");
        seen.extend(numbers(&shown));
        assert_eq!(shown["has_more"], seen.len() < 5, "{shown}");
        let Some(last) = events(&shown).last().filter(|_| seen.len() < 5) else { break };
        after = Some(last["position"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

/// Beyond the bound the newest stay, and whoever asks for what came behind an event that is gone, or one of another run of the
/// broker, is told that something is missing.
///
/// Proves: recovery.
#[test]
fn the_newest_events_stay_and_what_is_missing_is_told() {
    let Some(target) = broker() else { return };
    let channel = unique("log-");
    publish(&target, &channel, 1..=5);
    let whole = page(&target, &channel, &[]).json();
    let position = |number: usize| events(&whole)[number]["position"].as_str().unwrap();
    publish(&target, &channel, 6..=8);
    let rest = page(&target, &channel, &[]).json();
    assert_eq!((numbers(&rest), &rest["complete"]), (vec![4, 5, 6, 7, 8], &json!(false)));
    for (after, expected, complete) in [
        (position(1), vec![4, 5, 6, 7, 8], false),
        (position(2), vec![4, 5, 6, 7, 8], true),
        (position(4), vec![6, 7, 8], true),
    ] {
        let shown = page(&target, &channel, &[("after", after)]).json();
        assert_eq!((numbers(&shown), &shown["complete"]), (expected, &json!(complete)), "{after}");
    }
    let (_, number) = position(4).split_once('-').unwrap();
    let of_another_run = page(&target, &channel, &[("after", &format!("1-{number}"))]).json();
    assert_eq!((numbers(&of_another_run), &of_another_run["complete"]), (vec![4, 5, 6, 7, 8], &json!(false)));
}

/// What is asked for in another way than it can be is told what was expected, and a channel without a history that it has none.
///
/// Proves: bad input.
#[test]
fn what_cannot_be_answered_is_refused_with_what_was_expected() {
    let Some(target) = broker() else { return };
    let limit = "Expected limit parameter to be an integer from 1 to 1000";
    for bad in ["0", "1001", "-1", "ten", ""] {
        page(&target, "log", &[("limit", bad)]).assert_error(400, limit);
    }
    let after = "Expected after parameter to be the position of an event, as a page of the history has it";
    for bad in ["", "7", "1-2-3", "x-1", "1-", "+1-1", "123456789abcdef01-1"] {
        page(&target, "log", &[("after", bad)]).assert_error(400, after);
    }
    page(&target, "log", &[("before", "1-1")])
        .assert_error(400, "The following query string parameters are extraneous: before");
    let none = "The history can only be retrieved of channels that keep one (history in [[apps.channels]])";
    page(&target, "news", &[]).assert_error(400, none);
    page(&target, "a%20log", &[]).assert_error_beginning(400, "Invalid channel name: ");
    target
        .post("/channels/log/history", &json!({}))
        .send()
        .assert_error(405, "Method POST not allowed, use GET");
    let mut unsigned = heliostat_protocol_tests::http::Connection::open(&target);
    unsigned.send(b"GET /apps/1001/channels/log/history HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(unsigned.answer().status, 401);
    let fresh = page(&target, "log-of-nothing", &[]).json();
    assert_eq!(fresh, json!({ "events": [], "complete": true, "has_more": false }));
}

/// On channels without a history the wire is what it was; on those with one, too, for whoever asks for nothing.
///
/// Proves: recovery.
#[test]
fn who_asks_for_nothing_is_told_nothing_of_a_history() {
    let Some(target) = broker() else { return };
    for channel in [unique("news-"), unique("log-"), unique("cache-log-")] {
        publish(&target, &channel, 1..=3);
        let mut client = target.connect();
        client.subscribe(&channel);
        if channel.starts_with("cache-") {
            assert_eq!(
                client.expect_on(&channel, "numbered").data,
                "3",
                "what it remembers, and nothing else"
            );
        }
        client.expect_on(&channel, "pusher_internal:subscription_count");
        publish(&target, &channel, 4..=4);
        assert_eq!(client.expect_on(&channel, "numbered").data, "4");
        client.assert_silence();
    }
}

/// Settings of a history take effect on a reload: what is over the new bounds goes, and a history that is switched off is
/// forgotten, also where it is switched on again.
///
/// Proves: recovery.
#[test]
fn a_reload_changes_the_bounds_of_channels_that_live() {
    let Some(target) = broker() else { return };
    let reload = |channels: &str| {
        let Output { status, stderr, .. } = target.broker().unwrap().reload(&config(channels));
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    };
    let channel = unique("log-");
    publish(&target, &channel, 1..=5);
    let position = page(&target, &channel, &[]).json()["events"][4]["position"].as_str().unwrap().to_owned();
    reload(&LOGS.replace("events = 5", "events = 2"));
    assert_eq!(numbers(&page(&target, &channel, &[]).json()), [4, 5]);
    assert_eq!(page(&target, &channel, &[("after", &position)]).json()["complete"], true);
    reload("");
    page(&target, &channel, &[]).error(400);
    publish(&target, &channel, 6..=6);
    reload(LOGS);
    publish(&target, &channel, 7..=7);
    let shown = page(&target, &channel, &[("after", &position)]).json();
    assert_eq!((numbers(&shown), &shown["complete"]), (vec![7], &json!(false)), "6 is missing");
}

/// A page costs what any other question costs, and one that is refused nothing.
///
/// Proves: recovery.
#[test]
fn pages_count_against_the_rate_of_questions() {
    let limits = format!("{LOGS}[apps.limits]\nread_requests_per_second = 1\n");
    let Some(target) = Target::own(&config(&limits)) else { return };
    page(&target, "news", &[]).error(400);
    let too_many =
        (0..200).find_map(|_| Some(page(&target, "log", &[])).filter(|answer| answer.status == 429));
    let sentence = "Too many requests: the app may ask 1 times per second; try again in 1 s";
    too_many.expect("it is too often at last").assert_error(429, sentence);
}

/// A binary message is there as clients get it that do not take those.
///
/// Proves: recovery.
#[test]
fn a_binary_message_is_there_as_text() {
    let Some(target) = Target::own(&format!("{MAIN_APP}{LOGS}")) else { return };
    let channel = unique("private-log-");
    let mut reader = target.connect();
    reader.subscribe_private(&channel);
    crate::binary::send_a_picture(&target, &channel, "client-frame");
    let heard = reader.expect_on(&channel, "client-frame");
    let shown = page(&target, &channel, &[]).json();
    assert_eq!(events(&shown)[0]["data"], heard.data);
    assert!(heard.data.as_str().unwrap().contains("data:image/jpeg;base64,"));
}

/// Of what an app, or the node, keeps too much the oldest events go, whosever they are; and what is too old goes by itself.
///
/// Proves: recovery.
#[test]
fn the_bounds_of_all_channels_together_and_of_time_are_kept() {
    let history = "[[apps.channels]]\npattern = 'brief'\nhistory = { seconds = 0.2 }\n\
                   [[apps.channels]]\npattern = '*'\nhistory = {}\n";
    for (node, app) in
        [("", "[apps.limits]\nhistory_bytes = 20000\n"), ("[recovery]\nhistory_bytes = 20000\n", "")]
    {
        let Some(target) = Target::own(&format!("{node}{MAIN_APP}{history}{app}")) else { return };
        let padded = |number: u64| format!("{number:01000}");
        target.publish("quiet", "numbered", &padded(0));
        (1..=30).for_each(|number| target.publish("busy", "numbered", &padded(number)));
        let quiet = page(&target, "quiet", &[]).json();
        assert_eq!((numbers(&quiet), &quiet["complete"]), (vec![], &json!(false)), "it was the oldest");
        let busy = numbers(&page(&target, "busy", &[]).json());
        assert!((10..=20).contains(&busy.len()) && busy.is_sorted(), "{busy:?}");
        assert_eq!(busy.last(), Some(&30), "the newest stay");
        target.publish("brief", "numbered", "31");
        crate::eventually("it is too old", || {
            numbers(&page(&target, "brief", &[]).json()).is_empty().then_some(())
        });
        assert_eq!(page(&target, "brief", &[]).json()["complete"], false);
    }
}
