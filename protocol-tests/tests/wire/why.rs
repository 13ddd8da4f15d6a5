//! Why a signature was refused: in the answer as far as whoever was refused may know it, in the log, and from the command line.
//! The broker's own.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use heliostat_protocol_tests::broker::command;
use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::signature::{channel_auth, hmac_hex, user_auth};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Message, Pipe, Socket, Target, unique};
use serde_json::{Value, json};

use crate::admin::TOKEN;
use crate::admin_apps::Api;
use crate::console::Console;
use crate::eventually;

const APPS: &str =
    "[[apps]]\nid = \"2\"\nkey = \"other-key\"\nsecret = \"other-secret\"\nsubscription_count = true\n";

fn broker() -> Option<Target> {
    Target::own(&format!("{MAIN_APP}{APPS}"))
}

fn subscribe(socket: &mut Socket, channel: &str, auth: &str) -> (Value, Message) {
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
    let told = socket.expect_on(channel, "pusher:subscription_error").decoded();
    (told, socket.expect("pusher:error"))
}

/// The line of the log that has this.
#[track_caller]
fn logged(target: &Target, part: &str) -> String {
    eventually(part, || {
        let log = target.broker()?.log();
        log.lines().find(|line| line.contains(part)).map(str::to_owned)
    })
}

/// What may be told is told on the channel, and what tells of other connections and apps to the log alone; hosted Pusher's own
/// words stay as they are.
#[test]
fn the_cause_of_a_refused_subscription_is_told_to_whom_it_concerns() {
    let Some(target) = broker() else { return };
    let (mut before, mut socket) = (target.connect(), target.connect());
    let before_id = before.id.clone();
    let channel = unique("private-room-");
    let bare = channel.strip_prefix("private-").unwrap();
    let app = socket.app.clone();

    let auth = channel_auth(&app, &socket.id, bare, None);
    let (told, error) = subscribe(&mut socket, &channel, &auth);
    let cause = told["cause"].as_str().unwrap();
    assert!(cause.starts_with(&format!("it was signed for the channel {bare}")), "{told}");
    let message = error.data["message"].as_str().unwrap();
    assert!(message.ends_with(auth.split_once(':').unwrap().1), "{message}");
    assert!(logged(&target, "it was signed for the channel").contains("refused"));

    let stale = before.auth(&channel, None);
    let (told, _) = subscribe(&mut socket, &channel, &stale);
    assert_eq!(told["cause"], Value::Null, "{told}");
    let line = logged(&target, &format!("it was signed for the connection {before_id}"));
    assert!(line.contains(&socket.id) && !line.contains("which has ended"), "{line}");

    before.send(&json!({ "event": "pusher:ping", "data": {} }));
    before.expect("pusher:pong");
    before.close();
    let ended = eventually("a connection that has ended is told as such", || {
        let _ = subscribe(&mut socket, &channel, &stale);
        target.broker()?.log().lines().find(|line| line.contains("which has ended")).map(str::to_owned)
    });
    assert!(ended.contains(&before_id), "{ended}");

    let foreign = Credentials { secret: "other-secret".into(), ..app.clone() };
    let auth = channel_auth(&foreign, &socket.id, &channel, None);
    let (told, _) = subscribe(&mut socket, &channel, &auth);
    assert_eq!(told["cause"], Value::Null, "{told}");
    assert!(logged(&target, "secret of the app 2").contains("refused"));

    // The secret where the key should be: whoever sent it knows it, and nobody reads it in the log.
    let auth =
        channel_auth(&Credentials { key: app.secret.clone(), ..app.clone() }, &socket.id, &channel, None);
    let (told, _) = subscribe(&mut socket, &channel, &auth);
    assert_eq!(told["cause"], Value::Null, "{told}");
    let line = logged(&target, "the secret of the app 1001 stands in what came");
    assert!(line.contains("(hidden: ") && !target.broker().unwrap().log().contains("app-secret"), "{line}");

    // A signature that nothing explains is told as before.
    let guessed = channel_auth(&Credentials { secret: "guessed".into(), ..app }, &socket.id, &channel, None);
    let (told, _) = subscribe(&mut socket, &channel, &guessed);
    assert_eq!(told["cause"], Value::Null, "{told}");
    logged(&target, "no cause could be proved");
    socket.subscribe_private(&channel);
}

#[test]
fn the_cause_of_a_refused_sign_in_stands_behind_the_error() {
    let Some(target) = broker() else { return };
    let mut socket = target.connect();
    let data = r#"{"id":"a"}"#;
    let upper = user_auth(&socket.app, &socket.id, data);
    let (key, signature) = upper.split_once(':').unwrap();
    let auth = format!("{key}:{}", signature.to_uppercase());
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": data } }));
    let told = socket.expect_some_error(None);
    assert!(told.starts_with("Invalid signature: Expected HMAC SHA256 hex digest of"), "{told}");
    assert!(
        told.ends_with("(the signature has upper-case letters: expected lower-case hexadecimal digits)"),
        "{told}"
    );
    assert!(!told.contains(signature), "{told}");
}

#[test]
fn the_cause_of_a_refused_request_stands_behind_its_sentence() {
    let Some(target) = broker() else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let late = target.get("/channels").auth("auth_timestamp", &(now - 3600).to_string()).send();
    let told = late.error(401);
    assert!(
        told.starts_with("Timestamp expired: ") && told.contains("(the clock that signed is 1 h"),
        "{told}"
    );
    assert!(told.ends_with("the signature is right)"), "{told}");
    let added = target.get("/channels").unsigned_query("fbclid=x").send();
    let told = added.error(401);
    assert!(
        told.ends_with("(the parameter fbclid came and was not signed: all but auth_signature are)"),
        "{told}"
    );
    let foreign =
        target.with_credentials(Credentials { secret: "other-secret".into(), ..target.credentials.clone() });
    let told = foreign.get("/channels").send();
    assert!(
        told.error(401).starts_with("Invalid signature: ") && !told.text().contains("the app 2"),
        "{told}"
    );
    logged(&target, "secret of the app 2");
}

/// A flood of refusals is examined up to a rate, and told as before beyond it.
#[test]
fn a_flood_of_refusals_is_not_examined() {
    let Some(target) = broker() else { return };
    let mut socket = target.connect();
    let channel = unique("private-room-");
    let auth = format!("{}:{}", socket.app.key, "0".repeat(64));
    eventually("more is refused than is examined", || {
        for _ in 0..400 {
            socket
                .send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
        }
        let _ = socket.drain();
        target.broker()?.log().contains("not examined").then_some(())
    });
}

/// What a client calls itself, so that nobody else is sent what it missed.
const NAME: &str = "7f1b6ea4-8a9e-4e53-8f59-1d7a3e0b9c11";

/// Whoever pastes a secret where something else belongs has told it to the broker, which tells nobody: neither the log nor the
/// feed, though nothing else of a flood is looked at.
#[test]
fn a_secret_in_the_wrong_place_is_shown_nowhere() {
    let Some(api) = Api::start() else { return };
    let target = &api.broker;
    let secret = &target.credentials.secret;
    let mut socket = target.connect();
    let (channel, url) = (unique("private-room-"), format!("http://127.0.0.1:{}", api.admin.port));
    let guessed = format!("{}:{}", socket.app.key, "0".repeat(64));
    let signed = "auth_timestamp=1700000000&auth_version=1.0";
    let paths = [
        format!("/apps/{secret}/channels"),
        format!("/apps/1001/channels?auth_key={secret}"),
        format!("/apps/1001/channels?auth_key={secret}&{signed}&auth_signature=00"),
        format!("/apps/1001/channels?auth_key={}&{signed}&auth_signature={secret}", socket.app.key),
        format!("/pusher/app/{secret}/7/no-operation"),
        format!("/r/{NAME}/nowhere"),
        format!("/r/{NAME}/app/{}", socket.app.key),
    ];
    let stray = format!(
        "GET /apps/{secret}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    let refused = Connection::open(&api.admin).exchange(stray.as_bytes()).expect("an answer");
    assert_eq!(refused.status, 404);
    let mut tail = command();
    tail.args(["tail", "--admin", &url, "--kind", "refusals", "--kind", "api", "--lines", "130"]);
    let told = tailed(tail.env("HELIOSTAT_ADMIN_TOKEN", TOKEN), || {
        for _ in 0..50 {
            socket.send(
                &json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": guessed } }),
            );
        }
        for auth in [format!("{}:{secret}", socket.app.key), format!("\"{secret}:00\"")] {
            subscribe(&mut socket, &channel, &auth);
        }
        for path in &paths {
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let answer = Connection::open(target).exchange(request.as_bytes()).expect("an answer");
            assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        }
        Socket::upgrade(target, &format!("/app/{secret}?protocol=7"), &[]).expect_close();
        let path = format!("/app/{secret}?auth_key={}&{signed}&auth_signature=00", socket.app.key);
        Pipe::upgrade(target, &path).expect_refusal();
    });
    assert!(told.contains("because the secret of the app 1001 stands in what came"), "{told}");
    assert!(told.contains("  call  "), "{told}");
    let log = target.broker().unwrap().log();
    for refused in ["connection refused", "pipe refused", "request refused"] {
        let mut lines = log.lines().filter(|line| line.contains("(hidden: "));
        assert!(lines.any(|line| line.contains(refused)), "{refused}: {log}");
    }
    assert!(!log.contains(secret.as_str()) && !told.contains(secret.as_str()), "{told}{log}");
    assert!(log.contains("/r/…/nowhere") && !log.contains(NAME) && !told.contains(NAME), "{told}{log}");
}

/// Runs a command of the broker's with an app.
fn ask(arguments: &[&str], target: &Target) -> Command {
    let mut command = command();
    let Credentials { app_id, key, secret } = &target.credentials;
    let url = format!("http://127.0.0.1:{}", target.broker().unwrap().port());
    command
        .args(arguments)
        .env("PUSHER_APP_ID", app_id)
        .env("PUSHER_APP_KEY", key)
        .env("PUSHER_APP_SECRET", secret);
    if !["sign", "why"].contains(&arguments[0]) {
        command.arg("--url").arg(url);
    }
    command
}

#[track_caller]
fn run(command: &mut Command, code: i32) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    let (said, complained) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(code), "{said}{complained}");
    (said, complained)
}

#[test]
fn the_command_line_signs_and_explains() {
    let Some(target) = broker() else { return };
    let mut socket = target.connect();
    let channel = unique("private-room-");
    let (signed, _) = run(&mut ask(&["sign", "channel", &socket.id, &channel, "--json"], &target), 0);
    let signed: Value = serde_json::from_str(&signed).unwrap();
    let auth = signed["auth"].as_str().unwrap();
    socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth } }));
    socket.expect_on(&channel, "pusher_internal:subscription_succeeded");
    let (told, _) = run(&mut ask(&["why", "channel", &socket.id, &channel, auth], &target), 0);
    assert!(told.ends_with("the signature is right\n"), "{told}");
    let wrong = &["why", "channel", "1.2", &channel, auth, "--or-socket", &socket.id];
    let (told, _) = run(&mut ask(wrong, &target), 1);
    assert!(told.contains("what differs    the socket id\n"), "{told}");
    let right = hmac_hex(&target.credentials.secret, &format!("1.2:{channel}"));
    assert!(!told.contains(&right), "{told}");
    let (_, complaint) = run(command().args(["sign", "channel", "1.2", "private-a"]), 2);
    assert!(complaint.contains("expected an app, got none"), "{complaint}");
}

#[test]
fn the_command_line_publishes_and_says_whether_anybody_is_there() {
    let Some(target) = broker() else { return };
    let target = target.with_credentials(Credentials::new("2", "other-key", "other-secret"));
    let mut socket = target.connect();
    let (here, there) = ("my-channel", "presence-lobby");
    socket.subscribe(here);
    socket.expect_on(here, "pusher_internal:subscription_count");
    let (told, _) = run(&mut ask(&["trigger", here, "e", "{\"a\":1}"], &target), 0);
    assert_eq!(told, "sent e to my-channel: 1 connection is subscribed\n");
    assert_eq!(socket.expect_on(here, "e").data, json!("{\"a\":1}"));
    let (told, _) = run(&mut ask(&["trigger", "my-chanel", "e"], &target), 0);
    let nearest = "nobody is subscribed to my-chanel; 1 connection is subscribed to my-channel";
    assert_eq!(told, format!("sent e to my-chanel: {nearest}\n"));
    let (told, _) = run(&mut ask(&["channels", "my-chanel"], &target), 0);
    assert_eq!(told, format!("my-chanel: {nearest}\ntype           public\nsubscriptions  0\n"));
    let mut child = ask(&["trigger", here, "e", "-"], &target)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(socket.expect_on(here, "e").data, json!("from a pipe"));
    socket.subscribe_presence(there, "ann", &json!({}));
    let (told, _) = run(&mut ask(&["channels"], &target), 0);
    assert_eq!(told, "my-channel\npresence-lobby\n");
    let (told, _) = run(&mut ask(&["channels", "--prefix", "presence-"], &target), 0);
    assert_eq!(told, "presence-lobby  1 user\n");
    let (told, _) = run(&mut ask(&["channels", there, "--json"], &target), 0);
    let told: Value = serde_json::from_str(&told).unwrap();
    let of_lobby = ["occupied", "subscription_count", "user_count", "members", "members_left_out"];
    assert_eq!(
        of_lobby.map(|name| &told[name]),
        [&json!(true), &json!(1), &json!(1), &json!(["ann"]), &json!(0)],
        "{told}"
    );
    let (told, _) = run(&mut ask(&["users", there], &target), 0);
    assert_eq!(told, "ann\n");
    let (told, _) = run(&mut ask(&["users", there, "--json"], &target), 0);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), json!({ "users": [{ "id": "ann" }] }));
    // Only presence channels have members, also where nobody is subscribed.
    let (_, complaint) = run(&mut ask(&["users", "my-chanel"], &target), 1);
    assert!(complaint.contains("answered 400: "), "{complaint}");
    let (told, _) = run(&mut ask(&["users", "presence-nobody", "--json"], &target), 0);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), json!({ "users": [] }));
    let data = r#"{"id":"ann"}"#;
    let auth = user_auth(&socket.app, &socket.id, data);
    socket.send(&json!({ "event": "pusher:signin", "data": { "auth": auth, "user_data": data } }));
    socket.expect("pusher:signin_success");
    let (told, _) = run(&mut ask(&["terminate", "ann"], &target), 0);
    assert_eq!(told, "the connections of ann are ended\n");
    socket.expect_close_with(4009);
}

#[test]
fn what_the_broker_refuses_the_command_line_tells_in_one_line() {
    let Some(target) = broker() else { return };
    let wrong =
        target.with_credentials(Credentials { secret: "guessed".into(), ..target.credentials.clone() });
    let (said, complaint) = run(&mut ask(&["trigger", "a", "e"], &wrong), 1);
    assert!(said.is_empty() && complaint.lines().count() == 1, "{complaint}");
    assert!(complaint.contains(" answered 401: Invalid signature: "), "{complaint}");
    let mut nobody = command();
    nobody.args(["channels", "--app", "1:k:s", "--url", "http://127.0.0.1:1"]);
    let (_, complaint) = run(&mut nobody, 1);
    assert!(complaint.starts_with("heliostat: http://127.0.0.1:1 cannot be asked: "), "{complaint}");
    for arguments in [
        &["channels", "--app", "hush:k"][..],
        &["why", "channel", "1.2", "private-a", "k:00", "--app", "1:k:s", "--or-app", "k:hush"],
        &["connections", "--app", "1", "--token", "t", "--admin", "http://h/?token=hush"],
        &["channels", "--app", "1:k:s", "--url", "http://k:hush@h"],
        &["channels", "--app", "1:k:s", "--url", "nowhere"],
        &["channels", "a", "--app", "1:k:hush", "--watch", "1"],
        &["channels", "--app", "1", "--url", "http://h", "--admin", "http://h", "--token", "t"],
        &["connections", "--app", "1"],
        &["why", "channel", "12", "private-a", "k:00"],
    ] {
        let (said, complaint) = run(command().args(arguments), 2);
        assert!(said.is_empty() && complaint.contains("expected"), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("hush"), "{complaint}");
    }
}

/// What only heliostat tells: its connections, what its webhooks were sent, and what happens while it happens, with the causes of
/// refusals and the channel that was perhaps meant.
#[test]
fn the_command_line_asks_the_admin_listener() {
    let Some(api) = Api::start() else { return };
    let url = format!("http://127.0.0.1:{}", api.admin.port);
    let asked = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments).args(["--admin", &url, "--app", "1001"]).env("HELIOSTAT_ADMIN_TOKEN", TOKEN);
        command
    };
    let mut socket = api.broker.connect();
    let (told, _) = run(&mut asked(&["connections"]), 0);
    assert_eq!(told, format!("{}\n", socket.id));
    let (told, _) = run(&mut asked(&["connections", &socket.id]), 0);
    assert!(told.contains(&socket.id) && told.lines().any(|line| line.ends_with("  js")), "{told}");
    let mut of_environment = command();
    of_environment.args(["connections", "--admin", &url]).env("HELIOSTAT_ADMIN_TOKEN", TOKEN);
    let empty = of_environment.env("PUSHER_APP_ID", "").env("HELIOSTAT_APP_ID", "1001");
    assert_eq!(run(empty, 0).0, format!("{}\n", socket.id), "what is empty is not set");
    let mut with_secret = command();
    with_secret.args(["connections", "--admin", &url, "--app", "1001:app-key:hush"]);
    let (told, _) = run(with_secret.env("HELIOSTAT_ADMIN_TOKEN", TOKEN), 0);
    assert_eq!(told, format!("{}\n", socket.id), "the id is taken of what names an app elsewhere");
    let (told, _) = run(&mut asked(&["webhooks", "attempts"]), 0);
    assert_eq!(told, "the app has no webhooks\n");
    let (said, complaint) = run(asked(&["connections"]).env("HELIOSTAT_ADMIN_TOKEN", "another"), 1);
    assert!(said.is_empty() && complaint.contains(" answered 401: "), "{complaint}");

    let channel = unique("private-room-");
    let auth = channel_auth(&socket.app, "1.2", channel.strip_prefix("private-").unwrap(), None);
    let upper = auth.replace(&auth[auth.len() - 64..], &auth[auth.len() - 64..].to_uppercase());
    let told = tailed(&mut asked(&["tail", "--kind", "refusals", "--lines", "1"]), || {
        subscribe(&mut socket, &channel, &upper);
    });
    assert!(told.contains("refused") && told.contains(&channel) && told.contains("because "), "{told}");

    socket.subscribe("my-channel");
    let told = tailed(&mut asked(&["tail", "--kind", "events", "--lines", "1"]), || {
        let call = json!({ "name": "e", "channel": "my-chanel", "data": "x" });
        assert_eq!(api.broker.post("/events", &call).send().status, 200);
    });
    assert!(
        told.ends_with("  my-chanel  e  nobody: 1 connection is subscribed to my-channel  x\n"),
        "{told}"
    );
    let told = tailed(&mut asked(&["tail", "--json", "--kind", "events", "--lines", "1"]), || {
        let call = json!({ "name": "e", "channel": "my-channel", "data": "x" });
        assert_eq!(api.broker.post("/events", &call).send().status, 200);
    });
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["receivers"], 1, "{told}");

    let closed = api.broker.connect();
    run(&mut asked(&["connections", &closed.id, "--close"]), 0);
    let mut closed = closed;
    closed.expect_close_with(4200);
}

/// What there is of one channel: as much as the HTTP API tells, and by the admin listener all of it, with what passes meanwhile.
#[test]
fn the_command_line_shows_one_channel() {
    let kept = "[[apps.channels]]\npattern = 'presence-cache-*'\nhistory = { events = 9 }\n";
    let Some(console) = Console::start_with(kept) else { return };
    let (broker, channel) = (&console.broker, "presence-cache-news");
    let mut socket = broker.connect();
    socket.subscribe_presence(channel, "ann", &json!({}));
    broker.publish(channel, "e", "remembered");
    let (told, _) = run(&mut ask(&["channels", channel], broker), 0);
    for line in [
        &*format!("{channel}: somebody is subscribed\n"),
        "type     presence-cache\n",
        "users    1\n",
        "members  ann\n",
        "cached   remembered, for ",
        "history  1 event\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let url = format!("http://127.0.0.1:{}", console.admin.port);
    let asked = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments).args(["--admin", &url, "--app", "1001"]).env("HELIOSTAT_ADMIN_TOKEN", TOKEN);
        command
    };
    let (told, _) = run(&mut asked(&["channels"]), 0);
    assert_eq!(told, format!("{channel}  1 connection, 1 user\n"));
    let (told, _) = run(&mut asked(&["channels", channel, "--watch", "0"]), 0);
    for line in [
        &*format!("{channel}: 1 connection is subscribed\n"),
        "type           presence, cache\n",
        &*format!("subscribers    {} (ann)\n", socket.id),
        "members        ann\n",
        "cached         remembered, for ",
        "history        1 of at most 9 events, ",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let (told, _) = run(&mut asked(&["channels", "presence-cache-new", "--watch", "0"]), 0);
    let nobody = "presence-cache-new: nobody is subscribed to presence-cache-new; 1 connection is subscribed to presence-cache-news\n";
    assert!(told.starts_with(nobody) && !told.contains("rate"), "{told}");
    let told = tailed(&mut asked(&["channels", channel, "--watch", "1", "--json"]), || {
        broker.publish(channel, "e", "seen");
        broker.publish("another", "e", "not seen");
    });
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["subscriptions"], &told["subscribers"][0]["user_id"]),
        (&json!(1), &json!("ann")),
        "{told}"
    );
    let rate = &told["rate"];
    assert!(rate["events"].as_u64() > Some(0) && rate["watched_seconds"] == 1, "{told}");
}

/// What a command prints that ends when enough has happened: this is done until it has.
#[track_caller]
fn tailed(command: &mut Command, mut happens: impl FnMut()) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command runs");
    eventually("the command has seen enough", || {
        happens();
        child.try_wait().expect("a child can be waited for")
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("the command ends");
    let said = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{said}{}", String::from_utf8_lossy(&stderr));
    said
}
