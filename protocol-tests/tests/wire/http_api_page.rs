//! docs/http-api.md: its examples are run as they stand, and its figures of a signature come out.

use std::process::Command;

use heliostat_protocol_tests::http::{Connection, Endless, Response};
use heliostat_protocol_tests::{Socket, Target, signature};
use md5::{Digest, Md5};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/http-api.md");

/// A request of the page and the answer that it promises, both as they stand there.
struct Example {
    request: &'static str,
    answer: &'static str,
}

/// The text of the first fenced block after a place of the page.
fn block_after(place: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(place).unwrap_or_else(|| panic!("the page has no {place}"));
    rest.split("```").nth(1).and_then(|block| block.split_once('\n')).expect("a block").1
}

/// All of them, in the page's order.
fn examples(page: &'static str) -> Vec<Example> {
    let blocks: Vec<&str> =
        page.split("```http\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len().is_multiple_of(2), "every request has an answer");
    blocks.chunks(2).map(|pair| Example { request: pair[0], answer: pair[1] }).collect()
}

/// The first line, the headers and the body of a message as the page has it.
fn parts(message: &str) -> (&str, Vec<(&str, &str)>, &str) {
    let (head, body) = message.split_once("\n\n").unwrap_or((message.trim_end(), ""));
    let mut lines = head.lines();
    let first = lines.next().expect("a first line");
    (first, lines.map(|line| line.split_once(": ").expect("a header")).collect(), body)
}

/// A broker and clients as the page describes them before its first example.
fn scene() -> Option<(Target, Vec<Socket>)> {
    let config = block_after("with this configuration:");
    let target = Target::own(config)?;
    let mut clients: Vec<Socket> = (0..5).map(|_| target.connect()).collect();
    clients[..2].iter_mut().for_each(|client| client.subscribe("my-channel"));
    for (client, user) in clients[2..].iter_mut().zip(["7", "7", "8"]) {
        let _ = client.subscribe_presence("presence-room", user, &Value::Null);
    }
    Some((target, clients))
}

/// The bytes of the page's request. It is signed if it is one to an app, and shows no signature of its own.
fn bytes_of(target: &Target, example: &Example) -> Vec<u8> {
    let (first, headers, body) = parts(example.request);
    let (method, url) = first.split_once(' ').expect("a method and a path");
    let body = body.trim_end();
    let call = match url.strip_prefix("/apps/1001") {
        Some(path) if !path.contains("auth_") => {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let call = target.call(method, path).body(body);
            pairs.fold(call, |call, (name, value)| call.raw_query(&format!("{name}={value}"), name, value))
        }
        _ => {
            let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            return format!("{method} {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n{body}")
                .into();
        }
    };
    headers.into_iter().fold(call, |call, (name, value)| call.header(name, value)).bytes()
}

/// Asserts that an answer is the one of the page: the status, the headers that it shows, and the body, in which `…`
/// stands for anything.
#[track_caller]
fn assert_promised(example: &Example, status: u16, header: impl Fn(&str) -> Option<String>, body: &str) {
    let (first, headers, promised) = parts(example.answer);
    let request = example.request;
    assert_eq!(first.split(' ').nth(1), Some(status.to_string().as_str()), "{request}\n{body}");
    for (name, value) in headers {
        assert_eq!(header(name).as_deref(), Some(value), "{name} after {request}");
    }
    let (promised, body) = (promised.trim_end_matches('\n'), body.trim_end_matches('\n'));
    let same = match (json_of(promised), json_of(body)) {
        (Some(promised), Some(answered)) => is_same(&promised, &answered),
        _ => is_like(promised, body),
    };
    assert!(same, "after {request}\nexpected {promised}\ngot      {body}");
}

/// The JSON of a body; `…` stands for any number and becomes null.
fn json_of(body: &str) -> Option<Value> {
    if body.starts_with('{') { serde_json::from_str(&body.replace('…', "null")).ok() } else { None }
}

/// Whether an answer is the promised one: null is anything, and a list has no order.
fn is_same(promised: &Value, answered: &Value) -> bool {
    match (promised, answered) {
        (Value::Null, _) => true,
        (Value::Object(promised), Value::Object(answered)) => {
            let same =
                |(name, value): (&String, &Value)| answered.get(name).is_some_and(|a| is_same(value, a));
            promised.len() == answered.len() && promised.iter().all(same)
        }
        (Value::Array(promised), Value::Array(answered)) => {
            let found = |one: &Value| answered.iter().any(|other| is_same(one, other));
            promised.len() == answered.len() && promised.iter().all(found)
        }
        _ => promised == answered,
    }
}

/// Whether a text is the promised one, in which one `…` at most stands for anything.
fn is_like(promised: &str, answered: &str) -> bool {
    match promised.split_once('…') {
        None => promised == answered,
        Some((before, after)) => answered.strip_prefix(before).is_some_and(|rest| rest.ends_with(after)),
    }
}

/// Every example of the page is answered as the page says, in the page's order; and every endpoint has one.
///
/// Proves: 178, 192.
#[test]
fn the_examples_of_the_page_are_answered_as_it_says() {
    let Some((target, _clients)) = scene() else { return };
    let all = examples(PAGE);
    for example in &all {
        let request = bytes_of(&target, example);
        if example.answer.contains("text/event-stream") {
            assert_streamed(&target, example, &request);
            continue;
        }
        let mut connection = Connection::open(&target);
        connection.send(&request);
        let answer = connection.answer();
        assert_promised(example, answer.status, |name| owned(&answer, name), answer.text());
    }
    let sections = PAGE.split("\n## `").skip(1).map(|section| section.split_once('`').expect("a heading"));
    for (heading, section) in sections {
        let (method, path) = heading.split_once(' ').expect("a method and a path");
        let beginning = format!("{method} {}", path.replace("{app_id}", "1001").split('{').next().unwrap());
        let found = section.split("\n## ").next().unwrap().contains(&format!("```http\n{beginning}"));
        assert!(found, "there is no example of {heading}");
    }
}

fn owned(answer: &Response, name: &str) -> Option<String> {
    answer.header(name).map(str::to_owned)
}

/// Asserts that a stream begins as the page says, where the event of its first example comes.
#[track_caller]
fn assert_streamed(target: &Target, example: &Example, request: &[u8]) {
    let (_, _, promised) = parts(example.answer);
    let mut stream = Endless::open(Connection::open(target), request);
    target.publish("my-channel", "other-event", "not asked for");
    target.publish("my-channel", "my-event", &json!({ "hello": "world" }).to_string());
    let body = String::from_utf8(stream.take(promised.len())).unwrap();
    assert_promised(example, stream.head.status, |name| owned(&stream.head, name), &body);
}

/// The figures of the page's example of a signature are those that its own rules give.
///
/// Proves: 171, 172.
#[test]
fn the_signature_of_the_page_comes_out() {
    let body = block_after("<!-- signing: body -->").trim_end();
    let text = block_after("<!-- signing: string -->").trim_end();
    let request = block_after("<!-- signing: request -->").trim_end();
    let md5 = hex::encode(Md5::digest(body));
    assert!(PAGE.contains(&format!("has the MD5 `{md5}`")), "{md5}");
    assert!(text.ends_with(&format!("&body_md5={md5}")), "{md5}");
    let (_, rest) = PAGE.split_once("and the secret `").expect("a secret");
    let signature = signature::hmac_hex(rest.split('`').next().unwrap(), text);
    let [method, path, query] = text.split('\n').collect::<Vec<_>>()[..] else { panic!("three lines") };
    assert_eq!(request, format!("{method} {path}?{query}&auth_signature={signature}"));
}

/// The page's script for a shell publishes, with nothing but the address filled in.
///
/// Proves: 171.
#[test]
fn the_script_of_the_page_publishes() {
    let Some((target, mut clients)) = scene() else { return };
    let script = block_after("<!-- signing: script -->");
    let address = format!("{}:{}", target.host, target.port);
    assert!(script.contains("127.0.0.1:6001"));
    let script = script.replace("127.0.0.1:6001", &address).replace("curl ", "curl -sS --noproxy '*' ");
    let ran = Command::new("sh").args(["-euc", &script]).output().expect("a shell");
    let answered = String::from_utf8_lossy(&ran.stdout);
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(answered, "{}", "(openssl and curl are needed) {complaint}");
    let event = loop {
        // The other subscriber changed the count.
        let message = clients[0].message();
        if message.event != "pusher_internal:subscription_count" {
            break message;
        }
    };
    assert_eq!((event.event.as_str(), &event.data), ("my-event", &json!("{\"hello\":\"world\"}")));
}

/// The page's limits are the ones that there are: each default is met, and one more is refused as the page says.
///
/// Proves: 181, 185.
#[test]
fn the_limits_of_the_page_hold() {
    let Some((target, _clients)) = scene() else { return };
    let row = |setting: &str| -> (usize, u16) {
        let line = PAGE.lines().find(|line| line.contains(&format!("| `{setting}` |"))).expect("a row");
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[3].parse().expect("a default"), cells[4][..3].parse().expect("a status"))
    };
    let event =
        |name: &str, channels: Value, data: &str| json!({ "name": name, "channels": channels, "data": data });
    let batch =
        |events: usize| json!({ "batch": vec![json!({ "name": "n", "channel": "c", "data": "d" }); events] });
    let channels = |count: usize| (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>();
    type Request = (&'static str, Value);
    let of = |setting: &str, size: usize| -> Request {
        match setting {
            "limits.event_payload_bytes" => ("/events", event("n", json!(["c"]), &"d".repeat(size))),
            "limits.event_name_chars" => ("/events", event(&"n".repeat(size), json!(["c"]), "d")),
            "limits.channels_per_event" => ("/events", event("n", json!(channels(size)), "d")),
            "limits.channel_name_chars" => ("/events", event("n", json!(["c".repeat(size)]), "d")),
            "limits.events_per_batch" => ("/batch_events", batch(size)),
            other => panic!("{other}"),
        }
    };
    for setting in [
        "limits.event_payload_bytes",
        "limits.event_name_chars",
        "limits.channels_per_event",
        "limits.channel_name_chars",
        "limits.events_per_batch",
    ] {
        let (limit, status) = row(setting);
        let (path, body) = of(setting, limit);
        assert_eq!(target.post(path, &body).send().status, 200, "{setting}");
        let (path, body) = of(setting, limit + 1);
        assert_eq!(target.post(path, &body).send().status, status, "{setting}");
    }
    let (limit, status) = row("server.http_body_bytes");
    let padded = |bytes: usize| {
        let body = event("n", json!(["c"]), "d").to_string();
        body.clone() + &" ".repeat(bytes - body.len())
    };
    assert_eq!(target.post_bytes("/events", padded(limit)).send().status, 200);
    assert_eq!(target.post_bytes("/events", padded(limit + 1)).send().status, status);
}
