//! Apps that change while the broker serves: whom it concerns notices, and nobody else.

use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Incoming, Socket, Target, broker, unique};
use serde_json::json;

use crate::eventually;

/// An app of this id, whose key and secret follow from it, with more lines of its table.
fn app(id: &str, more: &str) -> String {
    format!("\n[[apps]]\nid = \"{id}\"\nkey = \"key-{id}\"\nsecret = \"secret-{id}\"\n{more}\n")
}

fn credentials(id: &str) -> Credentials {
    Credentials::new(id, &format!("key-{id}"), &format!("secret-{id}"))
}

/// Has the broker read this configuration, and insists that it is content.
#[track_caller]
fn reload(target: &Target, config: &str) -> String {
    let Output { status, stdout, stderr } = target.broker().unwrap().reload(config);
    let (said, complained) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.code() == Some(0) && complained.is_empty(), "{status}: {said}{complained}");
    said.into_owned()
}

/// Has the broker read this configuration, and insists that it is not content; answers its complaint.
#[track_caller]
fn reload_in_vain(target: &Target, config: &str) -> String {
    let Output { status, stdout, stderr } = target.broker().unwrap().reload(config);
    assert_eq!(status.code(), Some(1), "{}", String::from_utf8_lossy(&stdout));
    assert!(stdout.is_empty());
    String::from_utf8(stderr).expect("a complaint is text")
}

/// Expects the close of a connection that speaks this version: who does not read close codes is told before.
#[track_caller]
fn expect_end(socket: &mut Socket, protocol: u32, code: u16, reason: &str) {
    if protocol <= 5 {
        socket.expect_error(Some(code), reason);
    }
    assert_eq!(socket.expect_close_with(code), reason);
    socket.expect_end();
}

/// An app that is added is there at once, one that is switched off closes its sockets with 4003 and those that come
/// later, and one that is removed with 4001. Whoever is on another app notices nothing.
///
/// Proves: 22, 23, 24, 26, 31, 211.
#[test]
fn apps_are_added_switched_off_and_removed() {
    let Some(target) = Target::own(&format!("{MAIN_APP}{}{}", app("7", ""), app("8", ""))) else { return };
    let [seven, eight, nine] = ["7", "8", "9"].map(|id| target.with_credentials(credentials(id)));
    let channel = unique("room-");
    let mut bystander = target.connect();
    bystander.subscribe(&channel);
    let connect = |target: &Target, protocol: u32| {
        let mut socket = target.connect_as(&format!("protocol={protocol}"));
        socket.subscribe_presence("presence-room", &format!("u{protocol}"), &json!(null));
        (protocol, socket)
    };
    let (mut disabled, mut removed) =
        ([3, 5, 6, 7].map(|p| connect(&seven, p)), [5, 7].map(|p| connect(&eight, p)));
    for socket in disabled.iter_mut().chain(&mut removed) {
        socket.1.drain();
    }
    nine.upgrade("protocol=7").expect_close_with(4001);

    let said = reload(&target, &format!("{MAIN_APP}{}{}", app("7", "enabled = false"), app("9", "")));
    assert_eq!(said, "ok: apps: added 1 (9), changed 1 (7), removed 1 (8)\n");
    for (sockets, code, reason) in
        [(&mut disabled[..], 4003, "The app is disabled"), (&mut removed[..], 4001, "The app was removed")]
    {
        for (protocol, socket) in sockets {
            // The others of the channel may have gone first.
            let protocol = *protocol;
            let ended = loop {
                match socket.receive() {
                    Incoming::Message(message) if message.event == "pusher_internal:member_removed" => {}
                    Incoming::Message(message) => {
                        assert!(protocol <= 5 && message.event == "pusher:error", "{}", message.whole);
                        assert_eq!(message.data, json!({ "code": code, "message": reason }));
                    }
                    Incoming::Close(closed) => break closed,
                    other => socket.fail(&format!("expected the end, got {other:?}")),
                }
            };
            assert_eq!((ended.code, ended.reason.as_str()), (code, reason));
            socket.expect_end();
        }
    }
    expect_end(&mut seven.upgrade("protocol=5"), 5, 4003, "The app is disabled");
    expect_end(&mut eight.upgrade("protocol=7"), 7, 4001, "Could not find app by key key-8");
    assert_eq!(seven.get("/channels").send().status, 403);
    assert_eq!(eight.get("/channels").send().status, 400);
    nine.connect().subscribe("room");
    assert_eq!(nine.get("/channels").send().status, 200);

    bystander.assert_silence();
    target.publish(&channel, "still", "here");
    assert_eq!(bystander.expect_on(&channel, "still").data, json!("here"));

    // Back again, the app that was removed begins from nothing, and the one that was switched off goes on.
    reload(&target, &format!("{MAIN_APP}{}{}", app("7", ""), app("8", "")));
    for again in [&seven, &eight] {
        assert_eq!(
            again.connect().subscribe_presence("presence-room", "new", &json!(null))["presence"]["count"],
            1
        );
    }
    bystander.assert_silence();
}

/// What an app remembered is gone when it was removed, and kept when it was changed.
///
/// Proves: 140.
#[test]
fn a_changed_app_remembers_and_a_removed_one_forgets() {
    let Some(target) = Target::own(&format!("{MAIN_APP}{}", app("7", ""))) else { return };
    let seven = target.with_credentials(credentials("7"));
    seven.publish("cache-a", "price", "12");
    reload(&target, &format!("{MAIN_APP}{}", app("7", "client_events = true")));
    let mut socket = seven.connect();
    socket.subscribe("cache-a");
    assert_eq!(socket.expect_on("cache-a", "price").data, json!("12"));
    reload(&target, MAIN_APP);
    socket.expect_close_with(4001);
    reload(&target, &format!("{MAIN_APP}{}", app("7", "")));
    let mut socket = seven.connect();
    socket.subscribe("cache-a");
    socket.expect_on("cache-a", "pusher:cache_miss");
}

/// A connection that was there before sees the new switches and limits from its next message on.
///
/// Proves: 113, 120, 124, 127.
#[test]
fn an_open_connection_sees_the_new_settings() {
    let Some(target) = Target::own(&app("1001", "")) else { return };
    let target = target.with_credentials(credentials("1001"));
    let channel = unique("private-room-");
    let (mut sender, mut other) = (target.connect(), target.connect());
    for socket in [&mut sender, &mut other] {
        socket.subscribe_private(&channel);
    }
    sender.trigger(&channel, "client-x", &json!(1));
    let off = "To send client events, you must enable this feature in the Settings page of your dashboard.";
    sender.expect_error(None, off);

    let limits = "client_events = true\nlimits = { client_event_payload_bytes = 5, client_events_per_second = 2, \
                  channel_name_chars = 40, message_bytes = 8192 }";
    reload(&target, &app("1001", limits));
    sender.trigger(&channel, "client-x", &json!("12345"));
    assert_eq!(other.expect_on(&channel, "client-x").data, json!("12345"));
    sender.trigger(&channel, "client-x", &json!("123456"));
    assert!(sender.expect_some_error(Some(4301)).contains("(5 bytes)"));
    sender.trigger(&channel, "client-x", &json!(2));
    sender.trigger(&channel, "client-x", &json!(3));
    assert!(sender.expect_some_error(Some(4301)).contains("at most 2 per second"));
    let long = "x".repeat(41);
    sender.send(&json!({ "event": "pusher:subscribe", "data": { "channel": long } }));
    assert!(sender.drain().iter().any(|m| m.event == "pusher:error"), "the name is too long now");
    // Its next message may not be longer than is allowed now.
    other.expect_on(&channel, "client-x");
    other.send_text(&json!({ "event": "pusher:ping", "data": "x".repeat(20_000) }).to_string());
    other.expect_close_with(1009);

    reload(&target, &app("1001", ""));
    sender.trigger(&channel, "client-x", &json!(1));
    sender.expect_error(None, off);
}

/// Rules take effect and cease, also for connections that were there before.
///
/// Proves: pipe rules.
#[test]
fn pipe_rules_are_reloaded() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let (from, to) = (unique("from-"), unique("to-"));
    let (mut sender, mut mirror) = (target.connect(), target.connect());
    sender.subscribe(&from);
    mirror.subscribe(&to);
    let unsupported = "Unsupported event received on socket: frame";
    sender.trigger(&from, "frame", &json!("a"));
    sender.expect_error(None, unsupported);
    let rule = format!("{MAIN_APP}\n[[apps.pipe]]\nfrom = \"{from}\"\nevent = \"frame\"\nto = \"{to}\"\n");
    reload(&target, &rule);
    // Larger than what may be sent where no pipe listens.
    let picture = "p".repeat(200_000);
    sender.trigger(&from, "frame", &json!(picture));
    assert_eq!(mirror.expect_on(&to, "frame").data, json!(picture));
    reload(&target, MAIN_APP);
    sender.trigger(&from, "frame", &json!("b"));
    sender.expect_error(None, unsupported);
    target.publish(&to, "end", "");
    mirror.expect_on(&to, "end");
}

/// Connections made with a key stay when the key goes; nobody new gets in with it, and what it signed is no longer
/// worth anything.
///
/// Proves: 22, 73, 79.
#[test]
fn a_changed_key_admits_nobody_new() {
    let keys = |keys: &[&str]| {
        let keys: Vec<_> =
            keys.iter().map(|k| format!("{{ key = \"{k}\", secret = \"{k}-secret\" }}")).collect();
        format!("[[apps]]\nid = \"7\"\nkeys = [{}]\n", keys.join(", "))
    };
    let Some(target) = Target::own(&keys(&["old"])) else { return };
    let [old, new] =
        ["old", "new"].map(|k| target.with_credentials(Credentials::new("7", k, &format!("{k}-secret"))));
    let (first, second) = (unique("private-"), unique("private-"));
    let mut early = old.connect();
    early.subscribe_private(&first);
    reload(&target, &keys(&["old", "new"]));
    new.connect().subscribe_private(&first);
    old.connect().subscribe_private(&first);
    reload(&target, &keys(&["new"]));
    old.upgrade("protocol=7").expect_close_with(4001);
    assert_eq!(old.get("/channels").send().status, 400);
    new.publish(&first, "greet", "still here");
    assert_eq!(early.expect_on(&first, "greet").data, json!("still here"));
    let auth = early.auth(&second, None);
    early.send(&json!({ "event": "pusher:subscribe", "data": { "channel": second, "auth": auth } }));
    assert!(
        early.drain().iter().any(|m| m.data["message"] == "Invalid key in subscription auth data: 'old'")
    );
    early.app = new.credentials.clone();
    early.subscribe_private(&second);
}

/// A configuration with an error changes nothing, and whoever asked is told the same as at the start.
///
/// Proves: bad input.
#[test]
fn a_configuration_with_an_error_changes_nothing() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let mut socket = target.connect();
    let table = [
        ("[server\n", "not valid TOML"),
        ("[[apps]]\nid = \"7\"\nkye = \"k\"\nsecret = \"s\"\n", "did you mean \"apps.keys\"?"),
        (&format!("{MAIN_APP}{MAIN_APP}"), "\"app-key\" is used twice"),
        (&format!("{MAIN_APP}limits = {{ connections = -1 }}"), "apps.limits.connections must be"),
        ("", "defines no app"),
    ];
    for (config, expected) in table {
        let said = reload_in_vain(&target, config);
        assert!(said.contains(expected), "{said}");
        let broker = target.broker().unwrap();
        let path = broker.config().to_str().unwrap();
        let start = broker::command().args(["check-config", "--config", path]).output().unwrap();
        let at_start = String::from_utf8_lossy(&start.stderr);
        assert_eq!(said.trim_end(), at_start.trim_end(), "the same as at the start");
        // What was said is in the log, too: the words of the first line will do.
        let line = said.lines().next().unwrap();
        eventually("the log tells", || broker.log().contains(line).then_some(()));
    }
    socket.assert_silence();
    target.connect().assert_silence();
    // Without the command, the log is where it is told.
    target.broker().unwrap().configure(&format!("{MAIN_APP}clientevents = true\n"));
    target.broker().unwrap().hang_up();
    eventually("the log tells", || target.broker().unwrap().log().contains("client_events\"?").then_some(()));
}

/// SIGHUP does the same as the command.
///
/// Proves: 26.
#[test]
fn a_signal_reloads_too() {
    let Some(target) = Target::own(&format!("{MAIN_APP}{}", app("7", ""))) else { return };
    let seven = target.with_credentials(credentials("7"));
    let (mut stays, mut goes) = (target.connect(), seven.connect());
    target.broker().unwrap().configure(&format!("{MAIN_APP}{}", app("7", "enabled = false")));
    target.broker().unwrap().hang_up();
    assert_eq!(goes.expect_close_with(4003), "The app is disabled");
    stays.assert_silence();
}

/// A pipe in the place of the file, into which nobody writes, is told of and keeps nobody waiting; the broker serves on, and
/// stops when it is to.
#[test]
fn a_pipe_in_the_place_of_the_configuration_is_not_waited_for() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let broker = target.broker().unwrap();
    let path = broker.config();
    std::fs::remove_file(path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|made| made.success()));
    let Output { status, stderr, .. } = broker.command("reload").output().unwrap();
    let complaint = String::from_utf8_lossy(&stderr);
    assert!(status.code() == Some(1) && complaint.contains("it is no regular file"), "{status}: {complaint}");
    broker.hang_up();
    let mut socket = target.connect();
    socket.subscribe("room");
    target.publish("room", "greet", "");
    let _ = socket.expect_on("room", "greet");
    broker.terminate();
    socket.expect_close_with(4100);
    drop(socket);
    assert!(broker.await_exit(2 * heliostat_protocol_tests::patience()).success());
}

/// What only a restart changes is named, and does not keep the rest from taking effect.
///
/// Proves: pages.
#[test]
fn what_needs_a_restart_is_named() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let config = format!(
        "[server]\nmax_connections = 7\n[connection]\nping_after_seconds = 1\n{MAIN_APP}{}",
        app("7", "")
    );
    let named = "not before a restart: server.max_connections, connection.ping_after_seconds";
    assert_eq!(reload(&target, &config), format!("ok: apps: added 1 (7); {named}\n"));
    target.with_credentials(credentials("7")).connect().assert_silence();
    assert_eq!(reload(&target, &config), format!("ok: no app has changed; {named}\n"));
    assert_eq!(reload(&target, MAIN_APP), "ok: apps: removed 1 (7)\n");
}

/// The command says why it could do nothing: no broker there, or no way to it.
///
/// Proves: bad input.
#[test]
fn a_broker_that_cannot_be_reached_is_explained() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let run = |arguments: &[&str]| {
        let Output { status, stdout, stderr } = broker::command().args(arguments).output().unwrap();
        assert!(status.code() == Some(1) && stdout.is_empty(), "{arguments:?}: {status}");
        String::from_utf8(stderr).unwrap()
    };
    let nowhere = std::env::temp_dir().join(unique("nowhere-"));
    let said = run(&["reload", "--control-socket", nowhere.to_str().unwrap()]);
    assert!(said.contains("no broker answers at the control socket"), "{said}");
    // The file of the broker names no socket: the harness gave it by a flag.
    let config = target.broker().unwrap().config().to_str().unwrap();
    let said = run(&["reload", "--config", config]);
    assert!(said.contains("server.control_socket") && said.contains("SIGHUP"), "{said}");
    let said = run(&["reload", "--config", "/nowhere/heliostat.toml"]);
    assert!(said.contains("there is no such file"), "{said}");
}

/// Apps come and go while others are hard at work: nothing of theirs is lost or out of order.
///
/// Proves: 81, 113.
#[test]
fn reloads_disturb_nobody_at_work() {
    const RELOADS: usize = 12;
    // Nobody is too slow, however busy the machine is.
    let patient = "[connection]\noutbox_frames = 1000000\noutbox_bytes = 1000000000\n";
    let work = app("1001", "client_events = true\nlimits = { client_events_per_second = 0 }");
    let work = format!("{patient}{work}");
    let Some(target) = Target::own(&work) else { return };
    let target = target.with_credentials(credentials("1001"));
    let channel = unique("private-work-");
    let hearers = (0..4).map(|_| {
        let (mut socket, channel) = (target.connect(), channel.clone());
        socket.subscribe_private(&channel);
        thread::spawn(move || {
            let mut heard = 0_u64;
            loop {
                let message = socket.message();
                if message.event == "end" {
                    return heard;
                }
                assert_eq!(
                    (message.event.as_str(), &message.data),
                    ("client-count", &json!(heard.to_string()))
                );
                heard += 1;
            }
        })
    });
    let hearers: Vec<_> = hearers.collect();
    let done = Arc::new(AtomicBool::new(false));
    let sender = {
        let (target, channel, done) = (target.clone(), channel.clone(), Arc::clone(&done));
        thread::spawn(move || {
            let mut socket = target.connect();
            socket.subscribe_private(&channel);
            let mut sent = 0_u64;
            while !done.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    socket.trigger(&channel, "client-count", &json!(sent));
                    sent += 1;
                }
                socket.assert_silence();
            }
            sent
        })
    };
    for n in 0..RELOADS {
        let id = format!("{n}");
        reload(&target, &format!("{work}{}", app(&id, "")));
        let guest = target.with_credentials(credentials(&id));
        let (mut hears, mut leaves) = (guest.connect(), guest.connect());
        hears.subscribe("room");
        leaves.subscribe("room");
        leaves.vanish();
        guest.publish("room", "greet", &id);
        assert_eq!(hears.expect_on("room", "greet").data, json!(id));
        reload(&target, &work);
        hears.expect_close_with(4001);
    }
    done.store(true, Ordering::Relaxed);
    let sent = sender.join().expect("the sender is content");
    target.publish(&channel, "end", "");
    for hearer in hearers {
        assert_eq!(hearer.join().expect("a hearer that is content"), sent);
    }
}
