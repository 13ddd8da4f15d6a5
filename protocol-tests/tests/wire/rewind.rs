//! Subscriptions that ask for the last events of a channel with a history.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Socket, Target, unique};
use serde_json::{Value, json};

use crate::channel_names::expect_failure;
use crate::recovery::{Tab, fresh_name, keeping};
use crate::subscribe::subscribe;

/// Channels that keep nothing.
const NEWS: &str = "[[apps.channels]]\npattern = 'news-*'\ndelivery = 'every'\n";

/// The usual app, whose other channels keep three events.
fn broker() -> Option<Target> {
    Target::own(&format!("{MAIN_APP}{NEWS}[[apps.channels]]\npattern = '*'\nhistory = {{ events = 3 }}\n"))
}

/// Subscribes with a rewind, and returns what was sent before `pusher:resumed`, and what that says.
#[track_caller]
fn rewound(socket: &mut Socket, channel: &str, rewind: &Value) -> (Vec<String>, Value) {
    let auth = socket.auth(channel, None);
    subscribe(socket, json!({ "channel": channel, "auth": auth, "rewind": rewind }));
    let mut events = Vec::new();
    loop {
        let message = socket.message();
        assert_eq!(message.channel.as_deref(), Some(channel), "{}", message.whole);
        match message.event.as_str() {
            "pusher_internal:subscription_succeeded" => assert!(events.is_empty(), "{events:?}"),
            "pusher:resumed" => return (events, message.decoded()),
            event => events.push(format!("{event} {}", message.data.as_str().unwrap())),
        }
    }
}

#[track_caller]
fn publish(target: &Target, channel: &str, texts: &[&str]) {
    texts.iter().for_each(|text| target.publish(channel, "e", text));
}

/// Whoever asks for the last events is sent them behind the confirmation, in order, is told whether there were so many, and
/// then hears what comes. Whoever asks for nothing is told nothing.
///
/// Proves: recovery.
#[test]
fn the_last_events_come_before_what_is_live() {
    let Some(target) = broker() else { return };
    for prefix in ["kept-", "private-kept-", "private-encrypted-kept-"] {
        let channel = unique(prefix);
        let mut early = target.connect();
        let nothing = (vec![], json!({ "complete": false, "events": 0 }));
        assert_eq!(rewound(&mut early, &channel, &json!({ "events": 1 })), nothing);
        publish(&target, &channel, &["1", "2", "3", "4"]);
        for (rewind, expected, complete) in [
            (json!({ "events": 1 }), &["e 4"][..], true),
            (json!({ "events": 3 }), &["e 2", "e 3", "e 4"], true),
            (json!({ "events": 4 }), &["e 2", "e 3", "e 4"], false),
            (json!({ "seconds": 3600 }), &["e 2", "e 3", "e 4"], false),
        ] {
            let mut socket = target.connect();
            let (events, resumed) = rewound(&mut socket, &channel, &rewind);
            assert_eq!(events, expected, "{rewind}");
            assert_eq!(resumed, json!({ "complete": complete, "events": expected.len() }), "{rewind}");
        }
        let mut late = target.connect();
        assert_eq!(rewound(&mut late, &channel, &json!({ "events": 1 })).0, ["e 4"]);
        publish(&target, &channel, &["5"]);
        assert_eq!(late.expect_on(&channel, "e").data, json!("5"));
        let mut plain = target.connect();
        let auth = plain.auth(&channel, None);
        subscribe(&mut plain, json!({ "channel": channel, "auth": auth, "rewind": null }));
        plain.expect_on(&channel, "pusher_internal:subscription_succeeded");
        plain.assert_silence();
    }
}

/// Whoever leaves a channel and comes back to it may ask again, but is sent no more in a minute than at once.
///
/// Proves: recovery, bad input.
#[test]
fn who_asks_again_and_again_is_sent_so_much_in_a_minute() {
    let Some(target) = keeping("[recovery]\nreplay_bytes = 5000\n") else { return };
    let channel = unique("kept-");
    publish(&target, &channel, &["x".repeat(2000).as_str()]);
    let mut socket = target.connect();
    for (events, complete) in [(1, true), (1, true), (0, false)] {
        let (sent, resumed) = rewound(&mut socket, &channel, &json!({ "events": 1 }));
        assert_eq!((sent.len(), resumed), (events, json!({ "complete": complete, "events": events })));
        socket.send(&json!({ "event": "pusher:unsubscribe", "data": { "channel": channel } }));
    }
    let (sent, _) = rewound(&mut target.connect(), &channel, &json!({ "events": 1 }));
    assert_eq!(sent.len(), 1, "another connection");
}

/// Where nothing is kept there is nothing to be sent, and that is told.
///
/// Proves: recovery.
#[test]
fn a_channel_without_a_history_says_that_it_has_none() {
    let Some(target) = broker() else { return };
    let channel = unique("news-");
    publish(&target, &channel, &["1"]);
    let mut socket = target.connect();
    let rewound = rewound(&mut socket, &channel, &json!({ "events": 1 }));
    assert_eq!(rewound, (vec![], json!({ "complete": false, "events": 0 })));
    publish(&target, &channel, &["2"]);
    assert_eq!(socket.expect_on(&channel, "e").data, json!("2"));
}

/// What is remembered and what is sent again are not sent twice.
///
/// Proves: recovery.
#[test]
fn a_cache_channel_sends_what_it_remembers_once() {
    let Some(target) = broker() else { return };
    let channel = unique("private-cache-kept-");
    let (mut early, mut sender) = (target.connect(), target.connect());
    let (events, resumed) = rewound(&mut early, &channel, &json!({ "events": 1 }));
    assert_eq!(
        (events, resumed),
        (vec!["pusher:cache_miss {}".to_owned()], json!({ "complete": false, "events": 0 }))
    );
    sender.subscribe_private(&channel);
    publish(&target, &channel, &["1", "2"]);
    let mut socket = target.connect();
    assert_eq!(
        rewound(&mut socket, &channel, &json!({ "events": 1 })).0,
        ["e 2"],
        "it is the one that is remembered"
    );
    let mut socket = target.connect();
    assert_eq!(rewound(&mut socket, &channel, &json!({ "events": 3 })).0, ["e 1", "e 2"]);
    sender.trigger(&channel, "client-e", &json!("3"));
    for event in ["e", "e", "client-e"] {
        early.expect_on(&channel, event);
    }
    let mut socket = target.connect();
    let (events, resumed) = rewound(&mut socket, &channel, &json!({ "events": 1 }));
    assert_eq!(events, ["e 2", "client-e 3"], "what is remembered is older than what was asked for");
    assert_eq!(resumed, json!({ "complete": true, "events": 1 }));
}

/// A rewind that is none is told what it should be; there is no subscription then.
///
/// Proves: recovery, bad input.
#[test]
fn a_rewind_that_is_none_is_no_subscription() {
    let Some(target) = broker() else { return };
    let mut socket = target.connect();
    for channel in [unique("kept-"), unique("news-")] {
        for rewind in [
            json!(20),
            json!("20"),
            json!(true),
            json!([20]),
            json!({}),
            json!({ "events": 0 }),
            json!({ "events": -1 }),
            json!({ "events": 1.5 }),
            json!({ "events": "20" }),
            json!({ "seconds": 4_294_967_296_u64 }),
            json!({ "events": 1, "seconds": 1 }),
            json!({ "hours": 1 }),
        ] {
            subscribe(&mut socket, json!({ "channel": channel, "rewind": rewind }));
            let message = format!(
                "Expected parameter data.rewind to be {{\"events\":n}} or {{\"seconds\":n}} with a whole number from 1 to \
                 4294967295, got {rewind}"
            );
            expect_failure(&mut socket, &channel, &message);
        }
        publish(&target, &channel, &["unheard"]);
        socket.assert_silence();
        subscribe(&mut socket, json!({ "channel": channel, "rewind": { "events": 1 } }));
        socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
        let heard = socket.drain().iter().filter(|message| message.event == "e").count();
        assert_eq!(heard, usize::from(channel.starts_with("kept-")));
    }
}

/// What a client has sent itself is sent to it again only by another connection.
///
/// Proves: recovery.
#[test]
fn a_client_is_not_sent_its_own_event() {
    let Some(target) = broker() else { return };
    let channel = unique("private-kept-");
    let (mut sender, mut hearer) = (target.connect(), target.connect());
    sender.subscribe_private(&channel);
    hearer.subscribe_private(&channel);
    sender.trigger(&channel, "client-e", &json!("mine"));
    hearer.expect_on(&channel, "client-e");
    sender.unsubscribe(&channel);
    assert_eq!(rewound(&mut sender, &channel, &json!({ "events": 2 })).0, Vec::<String>::new());
    hearer.unsubscribe(&channel);
    assert_eq!(rewound(&mut hearer, &channel, &json!({ "events": 2 })).0, ["client-e mine"]);
}

/// A subscriber may be sent far more at once of what it missed than may wait for it otherwise, and is not taken for a slow
/// reader; but no more than that has room, and then nothing.
///
/// Proves: recovery.
#[test]
fn what_was_missed_does_not_count_as_what_a_slow_reader_left() {
    const EVENTS: usize = 200;
    let history = "[[apps.channels]]\npattern = '*'\nhistory = { events = 1000 }\n";
    let start = |replay_bytes: usize| {
        let node = format!(
            "[connection]\noutbox_bytes = 8192\noutbox_frames = 16\n[recovery]\nreplay_bytes = {replay_bytes}\n"
        );
        Target::own(&format!("{node}{MAIN_APP}{history}"))
    };
    for replay_bytes in [EVENTS * 4000, EVENTS * 500] {
        let Some(target) = start(replay_bytes) else { return };
        let channel = unique("kept-");
        let text = "x".repeat(1000);
        publish(&target, &channel, &[text.as_str(); EVENTS]);
        let mut socket = target.connect();
        let (events, resumed) = rewound(&mut socket, &channel, &json!({ "events": EVENTS }));
        let has_room = replay_bytes > EVENTS * 1000;
        let sent = if has_room { EVENTS } else { 0 };
        assert_eq!((events.len(), resumed), (sent, json!({ "complete": has_room, "events": sent })));
        publish(&target, &channel, &["live"]);
        assert_eq!(socket.expect_on(&channel, "e").data, "live", "it goes on");
        // A second one fits, because the first one has been written.
        socket.unsubscribe(&channel);
        let (events, _) = rewound(&mut socket, &channel, &json!({ "events": EVENTS }));
        assert_eq!(events.len(), sent);
    }
}

/// A client with a name is sent what it missed and no more. Where that is not known, or lost, it is sent the last events that it
/// asked for, and they are not taken for all.
///
/// Proves: recovery.
#[test]
fn a_client_with_a_name_asks_for_the_last_events_where_it_has_no_place() {
    let Some(target) = keeping("") else { return };
    let (channel, name) = (unique("short-"), fresh_name());
    let open = || {
        let mut socket = target.named(&name).connect();
        socket.answers_pings = false;
        subscribe(&mut socket, json!({ "channel": channel, "rewind": { "events": 2 } }));
        let (mut tab, resumed) = Tab { socket, channel: channel.clone() }.told();
        tab.echo_all(None);
        tab.cut();
        (resumed.complete, resumed.events)
    };
    publish(&target, &channel, &["1", "2", "3"]);
    assert_eq!(open(), (false, vec![json!("2"), json!("3")]), "it was not here before");
    publish(&target, &channel, &["4"]);
    assert_eq!(open(), (true, vec![json!("4")]), "this is what it missed");
    publish(&target, &channel, &["5", "6", "7", "8"]);
    assert_eq!(open(), (false, vec![json!("7"), json!("8")]), "5 is lost, and that is told");
    assert_eq!(open(), (true, vec![]));
}
