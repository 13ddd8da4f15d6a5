//! The rates of the HTTP API: how many events an app's backend may publish per second, and how often it may ask. How fast
//! this machine is decides nothing: more is asked for than any time of a test has room for. The rates are those of
//! docs/http-api.md; the real service has none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::{Value, json};

use crate::eventually;

/// More seconds than a test may take.
const MANY: usize = 200;

fn broker(limits: &str) -> Option<Target> {
    Target::own(&format!("[server]\nworkers = 2\n{MAIN_APP}limits = {{ {limits} }}\n"))
}

fn event(channel: &str) -> Value {
    json!({ "name": "x", "channel": channel, "data": "y" })
}

/// Asks until the broker says that this is too often; answers how often it did not, and the refusal.
#[track_caller]
fn until_refused(mut ask: impl FnMut() -> Response) -> (usize, Response) {
    for accepted in 0..MANY {
        let answer = ask();
        match answer.status {
            200 | 202 => {}
            429 => return (accepted, answer),
            _ => panic!("neither carried out nor too often: {answer}"),
        }
    }
    panic!("{MANY} requests, and none was too many");
}

/// The answer as the page has it.
#[track_caller]
fn assert_too_often(answer: &Response, sentence: &str) {
    answer.assert_error(429, sentence);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

/// Over the rate: 429 with `Retry-After`, after which there is room again. Nothing is published of a batch that does not fit
/// whole, and what would never fit is told so. Asking for the state of channels is another matter.
///
/// Proves: bad input.
#[test]
fn what_is_over_the_rate_is_not_published() {
    let Some(target) = broker("backend_events_per_second = 2") else { return };
    let channel = unique("room-");
    let mut socket = target.connect();
    socket.subscribe(&channel);
    let refused = "Too many events: the app may publish 2 per second; try again in 1 s";

    let (single, answer) = until_refused(|| target.events(&event(&channel)));
    assert_too_often(&answer, refused);
    let pair = [event(&channel), event(&channel)];
    let (batches, answer) = until_refused(|| target.batch_events(&pair));
    assert_too_often(&answer, refused);
    let (legacy, answer) = until_refused(|| {
        target.post_bytes(&format!("/channels/{channel}/events"), "z").query("name", "x").send()
    });
    assert_too_often(&answer, refused);

    let never = "Too many events at once (3 > 2): the app may publish 2 per second, each counted for each of its channels";
    let three = vec![event(&channel); 3];
    target.batch_events(&three).assert_error(400, never);
    let others = [channel.clone(), unique("a-"), unique("b-")];
    target.events(&json!({ "name": "x", "channels": others, "data": "y" })).assert_error(400, never);
    for _ in 0..20 {
        assert_eq!(target.get("/channels").send().status, 200, "reading has a rate of its own");
    }
    assert!(single >= 2, "a full second's worth may come at once");

    eventually("there is room again", || {
        (target.events(&json!({ "name": "last", "channel": channel, "data": "" })).status == 200)
            .then_some(())
    });
    for _ in 0..single + 2 * batches + legacy {
        assert_eq!(socket.message().event, "x");
    }
    assert_eq!(socket.message().event, "last", "exactly what was accepted was delivered");
}

/// An event counts for each of its channels, and one for a user like any other.
///
/// Proves: bad input.
#[test]
fn an_event_counts_for_each_of_its_channels() {
    let Some(target) = broker("backend_events_per_second = 10") else { return };
    let start = Instant::now();
    let channels: Vec<String> = (0..10).map(|_| unique("room-")).collect();
    let (several, _) =
        until_refused(|| target.events(&json!({ "name": "x", "channels": channels, "data": "" })));
    let (users, _) = until_refused(|| target.events(&event("#server-to-user-7")));
    let most = 10 + 10 * (start.elapsed().as_secs() as usize + 1);
    assert!(10 * several + users <= most, "{several} times ten and {users} are more than {most}");
}

/// Of a thousand at once by many connections, to all workers, no more are accepted than the time has room for, and just as
/// many arrive.
///
/// Proves: bad input.
#[test]
fn all_workers_together_have_one_rate() {
    let Some(target) = broker("backend_events_per_second = 1") else { return };
    let channel = unique("room-");
    let mut socket = target.connect();
    socket.subscribe(&channel);
    let (accepted, start) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let mut connection = Connection::open(&target);
                for _ in 0..100 {
                    let answer = target.post("/events", &event(&channel)).send_on(&mut connection);
                    match answer.status {
                        200 => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                        429 => {}
                        _ => panic!("{answer}"),
                    }
                }
            });
        }
    });
    let accepted = accepted.into_inner();
    let most = 1 + start.elapsed().as_secs() as usize;
    assert!((1..=most).contains(&accepted), "{accepted} were accepted in {:?}", start.elapsed());
    for _ in 0..accepted {
        assert_eq!(socket.message().event, "x");
    }
    socket.assert_silence();
}

/// Who cannot sign uses nothing up, nor does what could not be published anyway.
///
/// Proves: bad input.
#[test]
fn what_is_refused_for_another_reason_takes_nothing_of_the_rate() {
    let Some(target) = broker("backend_events_per_second = 1, read_requests_per_second = 1") else { return };
    for _ in 0..20 {
        let forged = target.post("/events", &event("room")).auth("auth_signature", "00").send();
        assert_eq!(forged.status, 401);
        assert_eq!(target.get("/channels").auth("auth_signature", "00").send().status, 401);
        assert_eq!(target.events(&event("not a channel")).status, 400);
        assert_eq!(target.get("/channels").query("info", "user_count").send().status, 400);
        assert_eq!(target.get("/channels/room/users").send().status, 400);
        let half = [event("room"), json!({ "name": "x", "channel": "room" })];
        assert_eq!(target.batch_events(&half).status, 400);
    }
    assert_eq!(target.events(&event("room")).status, 200);
    assert_eq!(target.get("/channels").send().status, 200);
}

/// The rate of requests for the state of channels counts all of these, and nothing else.
///
/// Proves: bad input.
#[test]
fn asking_has_a_rate_of_its_own() {
    let Some(target) = broker("read_requests_per_second = 3") else { return };
    let refused = "Too many requests: the app may ask 3 times per second; try again in 1 s";
    for path in ["/channels", "/channels/room", "/channels/presence-room/users", "/channels/room/stats"] {
        let (_, answer) = until_refused(|| target.get(path).send());
        assert_too_often(&answer, refused);
    }
    for _ in 0..20 {
        assert_eq!(target.events(&event("room")).status, 200);
        assert_eq!(target.post("/users/7/terminate_connections", &json!({})).send().status, 200);
    }
}

/// A reload changes the rate at once, both ways.
///
/// Proves: bad input.
#[test]
fn another_rate_holds_at_once() {
    let config = |limits: &str| format!("{MAIN_APP}limits = {{ {limits} }}\n");
    let Some(target) = Target::own(&config("backend_events_per_second = 1")) else { return };
    let reload = |limits: &str| {
        let reloaded = target.broker().unwrap().reload(&config(limits));
        assert!(reloaded.status.success(), "{reloaded:?}");
    };
    until_refused(|| target.events(&event("room")));
    reload("backend_events_per_second = 10");
    let ten = vec![event("room"); 10];
    assert_eq!(target.batch_events(&ten).status, 200, "a full second of the new rate");
    reload("backend_events_per_second = 0");
    for _ in 0..MANY {
        assert_eq!(target.events(&event("room")).status, 200);
    }
    reload("backend_events_per_second = 2");
    until_refused(|| target.events(&event("room")));
    let wrong = target.broker().unwrap().reload(&config("backend_events_per_second = -1"));
    let complaint = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        complaint.contains("limits.backend_events_per_second must be an integer from 0 to 1000000, got -1"),
        "{complaint}"
    );
}

/// The answer that docs/http-api.md shows is the one that comes.
///
/// Proves: bad input.
#[test]
fn the_page_shows_the_refusal_as_it_is() {
    let page = include_str!("../../../docs/http-api.md");
    let block = page.split("<!-- rate -->\n```\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let Some(target) = broker("backend_events_per_second = 10") else { return };
    let ten = vec![event("room"); 10];
    let (_, answer) = until_refused(|| target.batch_events(&ten));
    let header = |name: &str| answer.header(name).unwrap_or_default();
    let told = format!(
        "HTTP/1.1 {} Too Many Requests\nContent-Type: {}\nRetry-After: {}\n\n{}",
        answer.status,
        header("content-type"),
        header("retry-after"),
        answer.text(),
    );
    assert_eq!(told, block);
}
