//! The console on the admin listener: who may have it, what it shows of what there is, and what an operator may do by it.

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Incoming, Target};
use serde_json::{Value, json};

use crate::admin::{TOKEN, admin_of, ask, bearer};

/// A broker with an admin listener, and that listener as a target.
pub(crate) struct Console {
    pub(crate) broker: Target,
    pub(crate) admin: Target,
}

impl Console {
    pub(crate) fn start() -> Option<Console> {
        Console::start_with("")
    }

    /// One whose app has more settings.
    pub(crate) fn start_with(of_app: &str) -> Option<Console> {
        let admin = format!("[admin]\nenabled = true\nport = 0\ntoken = \"{TOKEN}\"\n");
        let broker = Target::own(&format!("{admin}{MAIN_APP}{of_app}"))?;
        let admin = admin_of(&broker);
        Some(Console { broker, admin })
    }

    /// The path of something of the app.
    fn of_app(&self, path: &str) -> String {
        format!("/console/api/apps/{}{path}", self.broker.credentials.app_id)
    }

    /// What it shows of the app.
    #[track_caller]
    pub(crate) fn show(&self, path: &str) -> Value {
        let answer = ask(&self.admin, "GET", &self.of_app(path), &bearer(TOKEN));
        assert_eq!(answer.status, 200, "{path}: {answer}");
        answer.json()
    }

    /// It is not shown.
    #[track_caller]
    pub(crate) fn refuse(&self, path: &str, status: u16) {
        let answer = ask(&self.admin, "GET", &self.of_app(path), &bearer(TOKEN));
        assert_eq!(answer.status, status, "{path}: {answer}");
    }

    fn post_as(&self, headers: &str, path: &str, body: &str) -> Response {
        self.post_to(headers, &self.of_app(path), body)
    }

    pub(crate) fn post_to(&self, headers: &str, path: &str, body: &str) -> Response {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        Connection::open(&self.admin).exchange(request.as_bytes()).expect("an answer")
    }

    fn post(&self, path: &str, body: &Value) -> Response {
        let headers = format!("{}Content-Type: application/json\r\n", bearer(TOKEN));
        self.post_as(&headers, path, &body.to_string())
    }

    #[track_caller]
    fn act(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 200, "{path}: {answer}");
        answer.json()
    }
}

/// Everything of it takes credentials, and answers no page of another site, and is nowhere else: not on the clients'
/// listener, nor where the admin listener is off.
///
/// Proves: bad input.
#[test]
fn it_is_on_the_admin_listener_alone_and_behind_its_credentials() {
    let Some(console) = Console::start() else { return };
    let app = console.broker.credentials.app_id.clone();
    let paths = [
        "/console".to_owned(),
        "/console/".to_owned(),
        "/console/index.html".to_owned(),
        "/console/live".to_owned(),
        "/console/api/status".to_owned(),
        "/console/api/overview".to_owned(),
        "/console/api/apps-admin/apps".to_owned(),
        format!("/console/api/apps/{app}/channels"),
        format!("/console/api/apps/{app}/send"),
    ];
    let off = Target::own(MAIN_APP).unwrap();
    for path in &paths {
        for method in ["GET", "POST"] {
            let refused = ask(&console.admin, method, path, "");
            assert_eq!(refused.status, 401, "{path}: {refused}");
            assert_eq!(ask(&console.admin, method, path, &bearer("another")).status, 401, "{path}");
            for foreign in
                ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "Origin: null\r\n"]
            {
                let refused = ask(&console.admin, method, path, &format!("{}{foreign}", bearer(TOKEN)));
                assert_eq!(refused.status, 403, "{path} {foreign}: {refused}");
            }
            for broker in [&console.broker, &off] {
                let answer = ask(broker, method, path, &bearer(TOKEN));
                assert!([404, 405].contains(&answer.status), "{path}: {answer}");
                assert!(answer.text().contains("no endpoint") || answer.status == 405, "{path}: {answer}");
            }
        }
        let refused = ask(&console.admin, "GET", path, &format!("Host: evil.example\r\n{}", bearer(TOKEN)));
        assert_eq!(refused.status, 403, "{path}: {refused}");
    }
    let log = off.broker().unwrap().log();
    assert!(!log.contains("admin listener"), "{log}");
}

/// A page is one that nothing else can be brought into and that no other page can show; its browser asks for credentials, of
/// which the token is enough, and is given a cookie that stands in for them on the console alone.
///
/// Proves: pages.
#[test]
fn a_browser_is_let_in_once() {
    let Some(console) = Console::start() else { return };
    let refused = ask(&console.admin, "GET", "/console/", "");
    assert!(refused.header("www-authenticate").is_some_and(|asks| asks.starts_with("Basic ")), "{refused}");
    // admin:a-token-of-the-test
    let basic = "Authorization: Basic YWRtaW46YS10b2tlbi1vZi10aGUtdGVzdA==\r\n";
    let moved = ask(&console.admin, "GET", "/console", basic);
    assert_eq!((moved.status, moved.header("location")), (308, Some("/console/")), "{moved}");
    let page = ask(&console.admin, "GET", "/console/", basic);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{page}");
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cross-origin-resource-policy"), Some("same-origin"));
    let set = page.header("set-cookie").unwrap().to_owned();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/console;"),
        "{set}"
    );
    assert!(!set.contains(TOKEN), "{set}");
    let cookie = format!("Cookie: {}\r\n", set.split(';').next().unwrap());
    let status = ask(&console.admin, "GET", "/console/api/status", &cookie);
    assert_eq!((status.status, status.header("set-cookie")), (200, None), "{status}");
    assert_eq!(status.json()["apps"][0]["id"], console.broker.credentials.app_id.as_str());
    assert_eq!(ask(&console.admin, "GET", "/api/apps", &cookie).status, 401, "the cookie is the console's");
    let tag = page.header("etag").unwrap();
    let known = ask(&console.admin, "GET", "/console/", &format!("{cookie}If-None-Match: {tag}\r\n"));
    assert_eq!(known.status, 304, "{known}");
    assert_eq!(ask(&console.admin, "GET", "/console/nothing.js", &cookie).status, 404);
    let cross = format!("{cookie}Sec-Fetch-Site: same-site\r\n");
    assert_eq!(ask(&console.admin, "GET", "/console/", &cross).status, 403, "another port of this machine");
}

/// What changes something is not taken as a form, nor without a body that says what it is.
///
/// Proves: bad input.
#[test]
fn no_form_of_another_page_does_anything() {
    let Some(console) = Console::start() else { return };
    let mut client = console.broker.connect();
    client.subscribe("room");
    let send = r#"{"channels":["room"],"name":"e","data":"x"}"#;
    for content_type in
        ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"]
    {
        let refused = console.post_as(&format!("{}{content_type}", bearer(TOKEN)), "/send", send);
        assert_eq!(refused.status, 415, "{content_type}: {refused}");
    }
    for body in ["", "[]", "null", "{", &"x".repeat(300_000)] {
        let headers = format!("{}Content-Type: application/json\r\n", bearer(TOKEN));
        let refused = console.post_as(&headers, "/send", body);
        assert!([400, 413].contains(&refused.status), "{refused}");
    }
    assert_eq!(ask(&console.admin, "GET", &console.of_app("/send"), &bearer(TOKEN)).status, 404);
    assert_eq!(console.act("/send", &serde_json::from_str(send).unwrap())["receivers"], 1);
    assert_eq!(client.expect_on("room", "e").data, "x");
}

/// Who guesses is slowed: a thousand wrong tokens from one address are not a thousand that are looked at.
///
/// Proves: bad input.
#[test]
fn guessing_is_slowed() {
    let Some(console) = Console::start() else { return };
    let statuses: Vec<u16> = (0..150)
        .map(|n| ask(&console.admin, "GET", "/console/", &bearer(&format!("guess-{n}"))).status)
        .collect();
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert!(looked_at <= 100 && statuses.ends_with(&[429]), "{looked_at}: {statuses:?}");
}

/// Channels are listed a page at a time, in order, by what they are called and what they are; and each shows what there is
/// of it, its subscribers and these their connections.
///
/// Proves: pages.
#[test]
fn from_a_channel_to_the_connection_of_a_subscriber() {
    let Some(console) = Console::start() else { return };
    let mut clients: Vec<_> = (0..3).map(|_| console.broker.connect()).collect();
    for n in 0..7 {
        clients[0].subscribe(&format!("room-{n}"));
    }
    clients[1].subscribe_private("private-den");
    for (n, client) in clients.iter_mut().enumerate() {
        client.subscribe_presence("presence-hall", &format!("user-{n}"), &json!({ "n": n }));
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = console.show(&format!("/channels?prefix=room-&limit=3&after={after}"));
        assert_eq!((&page["total"], &page["scope"]), (&json!(7), &json!("cluster")), "{page}");
        names.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, (0..7).map(|n| format!("room-{n}")).collect::<Vec<_>>());
    let found = console.show("/channels?type=private,presence&pattern=*-den");
    assert_eq!(
        found["items"],
        json!([{
            "name": "private-den", "type": "private", "cache": false,
            "subscriptions": 1, "users": null, "subscriptions_here": 1
        }])
    );
    let hall = console.show("/channels/presence-hall");
    assert_eq!(
        (&hall["subscriptions"], &hall["users"], &hall["occupied"]),
        (&json!(3), &json!(3), &json!(true))
    );
    assert_eq!(hall["members"][0], json!({ "user_id": "user-0", "user_info": "{\"n\":0}" }));
    assert_eq!(console.show("/channels/nobody")["occupied"], false);
    let subscribers = console.show("/channels/presence-hall/subscribers?limit=2");
    assert_eq!((subscribers["items"].as_array().unwrap().len(), &subscribers["total"]), (2, &json!(3)));
    let second = clients[1].id.clone();
    let shown = console.show(&format!("/connections/{second}"));
    assert_eq!(
        [&shown["client"], &shown["client_version"], &shown["protocol"], &shown["transport"]],
        [&json!("js"), &json!("8.4.0"), &json!(7), &json!("websocket")],
        "{shown}"
    );
    assert_eq!(shown["subscriptions"], json!([{ "channel": "presence-hall" }, { "channel": "private-den" }]));
    assert_eq!((&shown["outbox"]["bytes"], &shown["outbox"]["blocked"]), (&json!(0), &json!(false)));
    assert!(shown["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{shown}");
    assert_eq!((&shown["proxy"], &shown["tls"]), (&Value::Null, &json!(false)), "{shown}");
    assert_eq!(console.show("/connections?limit=2")["total"], 3);
    for bad in
        ["/channels?limit=0", "/channels?type=x", "/connections/x", "/connections?after=x", "/channels/a%20b"]
    {
        let refused = ask(&console.admin, "GET", &console.of_app(bad), &bearer(TOKEN));
        assert_eq!(refused.status, 400, "{bad}: {refused}");
        let told: Value = serde_json::from_str(refused.text()).unwrap();
        assert!(told["error"].is_string(), "{told}");
    }
    let nobody = ask(&console.admin, "GET", &console.of_app("/connections/1.1"), &bearer(TOKEN));
    assert_eq!(nobody.status, 404, "{nobody}");
    let closed =
        console.act(&format!("/connections/{second}/close"), &json!({ "code": 4299, "reason": "enough" }));
    assert_eq!(closed, json!({ "closed": true }));
    // It has heard of the members that came after it.
    let closed = loop {
        match clients[1].receive() {
            Incoming::Close(closed) => break closed,
            Incoming::End => panic!("an end without a close"),
            _ => {}
        }
    };
    assert_eq!((closed.code, &*closed.reason), (4299, "enough"));
    assert_eq!(console.post(&format!("/connections/{second}/close"), &json!({ "code": 1000 })).status, 400);
}

/// What an operator sends arrives, and it is told how many connections it was for; where nobody is there, who might be meant.
///
/// Proves: pages.
#[test]
fn what_is_sent_is_told_how_many_it_was_for() {
    let Some(console) = Console::start() else { return };
    let (mut one, mut other) = (console.broker.connect(), console.broker.connect());
    one.subscribe("my-channel");
    other.subscribe("my-channel");
    let html = "<img src=x onerror=alert(1)>";
    let sent = json!({ "channels": ["my-channel", "my-chanel"], "name": "e", "data": { "html": html } });
    let answer = console.act("/send", &sent);
    assert_eq!(
        (&answer["receivers"], &answer["channels"]["my-channel"]["receivers"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        answer["warnings"],
        json!(["nobody is subscribed to my-chanel; 2 connections are subscribed to my-channel"])
    );
    for client in [&mut one, &mut other] {
        let event = client.expect_on("my-channel", "e");
        assert_eq!(event.data.as_str().unwrap(), json!({ "html": html }).to_string());
    }
    let but_one = json!({ "channels": ["my-channel"], "name": "e", "data": "x", "except": one.id });
    assert_eq!(console.act("/send", &but_one)["receivers"], 1);
    let _ = other.expect_on("my-channel", "e");
    let to_one = json!({ "socket_id": one.id, "name": "direct", "data": "y" });
    assert_eq!(console.act("/send", &to_one)["receivers"], 1);
    assert_eq!(one.expect("direct").data, "y", "and nothing before it");
    let batch = json!({ "batch": [
        { "channel": "my-channel", "name": "a", "data": "1" },
        { "channel": "my-channel", "name": "b", "data": "2" },
    ] });
    assert_eq!(console.act("/send", &batch)["receivers"], 4);
    let _ = (one.expect("a"), one.expect("b"));
    for bad in [
        json!({ "channels": ["a b"], "name": "e", "data": "x" }),
        json!({ "channels": ["a"], "data": "x" }),
        json!({ "channels": [], "name": "e", "data": "x" }),
        json!({ "channels": ["a"], "name": "e", "data": "x".repeat(200_000) }),
        json!({ "socket_id": "nobody", "name": "e", "data": "x" }),
        json!({ "chanels": ["a"], "name": "e", "data": "x" }),
        json!({ "batch": {} }),
        json!({ "batch": [] }),
        json!({ "batch": vec![json!({ "channel": "a", "name": "e", "data": "x" }); 11] }),
        json!({}),
    ] {
        let refused = console.post("/send", &bad);
        assert!([400, 413].contains(&refused.status), "{bad}: {refused}");
    }
    assert_eq!(console.post("/send", &json!({ "socket_id": "1.1", "name": "e", "data": "x" })).status, 404);
}

/// The overview has a sample at once, and what is in it is named.
///
/// Proves: pages.
#[test]
fn an_hour_of_figures_begins() {
    let Some(console) = Console::start() else { return };
    let _client = console.broker.connect();
    let overview = crate::eventually("a sample", || {
        let overview = ask(&console.admin, "GET", "/console/api/overview", &bearer(TOKEN)).json();
        (!overview["samples"].as_array().unwrap().is_empty()).then_some(overview)
    });
    let columns = overview["columns"].as_array().unwrap();
    assert_eq!(overview["samples"][0].as_array().unwrap().len(), columns.len());
    assert_eq!(
        (&columns[0], &columns[1], &overview["scope"]),
        (&json!("at"), &json!("connections"), &json!("cluster"))
    );
    let nobody = ask(&console.admin, "GET", "/console/api/overview?app=nobody", &bearer(TOKEN));
    assert_eq!(nobody.status, 404);
}
