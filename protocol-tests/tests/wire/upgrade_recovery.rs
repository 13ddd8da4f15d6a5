//! Upgrades: clients with a name and readers of server-sent events miss nothing, because what channels keep and what clients have
//! received pass to the new process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use heliostat_protocol_tests::http::{Connection, Endless};
use heliostat_protocol_tests::tab::{Tab, complete, fresh_name, incomplete};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Shared, Target, be_patient};
use serde_json::{Value, json};

const UPGRADES: usize = 2;
const TABS: usize = 8;
const READERS: usize = 4;

/// The pace of the publisher: twenty events a second.
const PACE: Duration = Duration::from_millis(50);

/// How long anything may take here: clients wait for the whole life of a process, while others take the machine's time.
const LONG: Duration = Duration::from_secs(60);

/// A broker whose channels keep their last events.
fn broker(more: &str) -> Option<Target> {
    let app = MAIN_APP.replace("client_events = true", "client_events = true\nhttp_streams = true");
    let history = "[[apps.channels]]\npattern = '*'\nhistory = { events = 5000 }\n";
    Target::shared(Shared::Main)?;
    be_patient(LONG);
    let broker = Broker::start(&format!("[server]\nworkers = 2\n{more}{app}{history}"));
    Some(Target::at(Arc::new(broker), Shared::Main.credentials()))
}

#[track_caller]
fn upgrade(target: &Target) {
    let broker = target.broker().unwrap();
    let output = broker.upgrade();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), broker.log());
}

/// What all share.
struct Load {
    target: Target,
    channel: String,
    over: AtomicBool,
    /// Subscriptions of all tabs and readers.
    returns: AtomicUsize,
    /// Events that came twice.
    twice: AtomicUsize,
    published: AtomicU64,
}

/// Publishes numbers, as a backend does that keeps its connection, and sees no error.
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a backend")]
fn publish(load: &Load) {
    let mut connection = Connection::open(&load.target);
    for number in 1_u64.. {
        if load.over.load(Ordering::Relaxed) {
            return;
        }
        let event = json!({ "name": "n", "channel": load.channel, "data": number.to_string() });
        let answer = load.target.post("/events", &event).send_on(&mut connection);
        assert_eq!(answer.status, 200, "{}", answer.text());
        load.published.store(number, Ordering::Relaxed);
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            connection = Connection::open(&load.target);
        }
        std::thread::sleep(PACE);
    }
}

/// The numbers that one client has received.
#[derive(Default)]
struct Numbers {
    last: u64,
    twice: usize,
}

impl Numbers {
    #[track_caller]
    fn take(&mut self, text: &str) {
        let number: u64 = text.parse().unwrap();
        if number <= self.last {
            self.twice += 1;
        } else {
            assert_eq!(number, self.last + 1, "an event is missing");
            self.last = number;
        }
    }
}

/// A client with a name, which comes back whenever it is told to, until the last event of all.
fn stay(load: &Load) {
    let (name, mut numbers, mut is_first) = (fresh_name(), Numbers::default(), true);
    loop {
        let mut socket = load.target.named(&name).connect();
        socket.send(&json!({ "event": "pusher:subscribe", "data": { "channel": load.channel } }));
        loop {
            match socket.receive() {
                Incoming::Message(message) if message.event == "n" => {
                    numbers.take(message.data.as_str().unwrap());
                }
                Incoming::Message(message) if message.event == "pusher:resumed" => {
                    assert_eq!(message.decoded()["complete"], json!(!is_first), "{}", message.whole);
                    is_first = false;
                    load.returns.fetch_add(1, Ordering::Relaxed);
                }
                Incoming::Message(message) if message.event == "end" => {
                    assert_eq!(numbers.last, load.published.load(Ordering::Relaxed));
                    load.twice.fetch_add(numbers.twice, Ordering::Relaxed);
                    return;
                }
                Incoming::Close(closed) => {
                    assert_eq!(closed.code, 4200, "{closed:?}");
                    break;
                }
                Incoming::Message(_) | Incoming::Ping(_) | Incoming::Pong(_) => {}
                Incoming::End => panic!("an end without a close"),
            }
        }
    }
}

/// A reader of server-sent events, which comes back with the last id that it has.
fn read(load: &Load) {
    let (mut numbers, mut last_id) = (Numbers::default(), None::<String>);
    for round in 0..=UPGRADES {
        let header = last_id.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let path = format!("/apps/{}/channels/{}/sse", load.target.credentials.app_id, load.channel);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        let mut stream = Endless::open(Connection::open(&load.target), request.as_bytes());
        assert_eq!(stream.head.status, 200, "{}", stream.head);
        load.returns.fetch_add(1, Ordering::Relaxed);
        let text = if round < UPGRADES { stream.rest() } else { stream.up_to(b"event: end") };
        let text = String::from_utf8(text).unwrap();
        for block in text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n")) {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            last_id = field("id: ").map(str::to_owned).or(last_id);
            match (field("event: "), field("data: ")) {
                (Some("n"), Some(number)) => numbers.take(number),
                (Some("pusher:resumed"), Some(told)) => {
                    let told: Value = serde_json::from_str(told).unwrap();
                    assert_eq!(told["complete"], json!(true), "{told}");
                }
                _ => {}
            }
        }
    }
    assert_eq!(numbers.last, load.published.load(Ordering::Relaxed));
    assert_eq!(numbers.twice, 0, "it says exactly what it has");
}

/// Nothing is missing, whoever is told `complete: true` is told so rightly, and few events come twice.
///
/// Proves: recovery.
#[test]
fn while_processes_take_turns_clients_with_names_and_readers_miss_nothing() {
    let Some(target) = broker("") else { return };
    let load = Arc::new(Load {
        target: target.clone(),
        channel: "moving".to_owned(),
        over: AtomicBool::new(false),
        returns: AtomicUsize::new(0),
        twice: AtomicUsize::new(0),
        published: AtomicU64::new(0),
    });
    let start = |work: fn(&Load), count: usize| -> Vec<JoinHandle<()>> {
        let thread = |_| {
            let load = Arc::clone(&load);
            std::thread::spawn(move || work(&load))
        };
        (0..count).map(thread).collect()
    };
    let clients: Vec<_> = start(stay, TABS).into_iter().chain(start(read, READERS)).collect();
    let all_are_there = |round: usize| {
        crate::eventually("the return of all", || {
            (load.returns.load(Ordering::Relaxed) >= (TABS + READERS) * (round + 1)).then_some(())
        });
    };
    all_are_there(0);
    let publisher = start(publish, 1);
    for round in 1..=UPGRADES {
        upgrade(&target);
        all_are_there(round);
    }
    load.over.store(true, Ordering::Relaxed);
    let join = |threads: Vec<JoinHandle<()>>| {
        for thread in threads {
            let log = target.broker().unwrap().log();
            thread.join().unwrap_or_else(|_| panic!("a client or the publisher saw an error:\n{log}"));
        }
    };
    join(publisher);
    target.publish("moving", "end", "");
    join(clients);
    let (twice, events) = (load.twice.load(Ordering::Relaxed), load.published.load(Ordering::Relaxed));
    eprintln!("{events} events; of {TABS} clients over {UPGRADES} upgrades {twice} came twice");
    // Those of the last 100 ms, and of a round trip: of a machine under load, somewhat more.
    assert!(twice <= TABS * UPGRADES * 40, "{twice}");
}

/// Who has gone before the upgrade comes back after it, or after the next one, and so does one whose line died without a word while its
/// connection was still there; the pages of a history go on.
///
/// Proves: recovery.
#[test]
fn who_was_away_finds_what_it_missed_at_the_new_process() {
    let Some(target) = broker("") else { return };
    let (gone, here, gone_for_long) = (fresh_name(), fresh_name(), fresh_name());
    let (mut tab, resumed) = Tab::open(&target, &gone, "news");
    assert_eq!(resumed, incomplete());
    let (mut other, _) = Tab::open(&target, &here, "news");
    let (mut absent, _) = Tab::open(&target, &gone_for_long, "news");
    target.publish("news", "e", "1");
    tab.echo_all(Some("1"));
    other.echo_all(Some("1"));
    absent.echo_all(Some("1"));
    tab.cut();
    absent.cut();
    target.publish("news", "e", "2");
    let page = |after: Option<&str>| {
        let mut request = target.get("/channels/news/history");
        if let Some(after) = after {
            request = request.query("after", after);
        }
        request.send().json()
    };
    let first = page(None);
    upgrade(&target);
    target.publish("news", "e", "3");
    // It comes while the process before may still have its connection, or has just ended it.
    let (mut other_again, resumed) = Tab::open(&target, &here, "news");
    assert_eq!(resumed, complete(&["2", "3"]));
    let (mut tab, resumed) = Tab::open(&target, &gone, "news");
    assert_eq!(resumed, complete(&["2", "3"]));
    let now = page(None);
    let data = |page: &Value| {
        let events = page["events"].as_array().unwrap().clone();
        events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (data(&first), data(&now)),
        (vec!["1".into(), "2".into()], vec!["1".into(), "2".into(), "3".into()])
    );
    assert_eq!(first["events"][0]["time_ms"], now["events"][0]["time_ms"]);
    let behind = page(first["events"][0]["position"].as_str());
    assert_eq!((data(&behind), behind["complete"].clone()), (vec!["2".into(), "3".into()], json!(true)));
    tab.echo_all(None);
    other_again.echo_all(None);
    tab.cut();
    target.publish("news", "e", "4");
    let (_tab, resumed) = Tab::open(&target, &gone, "news");
    assert_eq!(resumed, complete(&["4"]), "and it goes on here");
    upgrade(&target);
    let (_absent, resumed) = Tab::open(&target, &gone_for_long, "news");
    assert_eq!(resumed, complete(&["2", "3", "4"]), "it was away for the whole life of a process");
}

/// What a reader is told of what it missed that comes with this id, if it comes with one, and the id that it has then.
fn come(target: &Target, id: Option<&str>) -> (Option<Value>, String) {
    let header = id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let path = format!("/apps/{}/channels/news/sse", target.credentials.app_id);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
    let mut stream = Endless::open(Connection::open(target), request.as_bytes());
    let mut read = stream.up_to(if id.is_some() { b"pusher:resumed" } else { b"id: " });
    read.extend(stream.up_to(b"\n\n"));
    let read = String::from_utf8(read).unwrap();
    let told = read.split("event: pusher:resumed\ndata: ").nth(1);
    let told = told.map(|data| serde_json::from_str(data.trim_end()).unwrap());
    let id = read.lines().rev().find_map(|line| line.strip_prefix("id: "));
    (told, id.unwrap().to_owned())
}

/// A reader's place is one of the process that it was told it by. So it is good at the next one, also where that process had just
/// come, and the one before it was still there.
///
/// Proves: recovery.
#[test]
fn who_was_told_its_place_while_two_processes_were_there_goes_on_at_a_third() {
    let Some(target) = broker("") else { return };
    let (_, first) = come(&target, None);
    target.publish("news", "e", "1");
    upgrade(&target);
    // Nobody has waited for the end of the first process.
    let (_, fresh) = come(&target, None);
    let (told, back) = come(&target, Some(&first));
    assert_eq!(told, Some(json!({ "complete": true, "events": 1 })));
    upgrade(&target);
    target.publish("news", "e", "2");
    for id in [fresh, back] {
        // The event may be on its way from the process before: then it comes behind what is told.
        let (told, _) = come(&target, Some(&id));
        assert_eq!(told.map(|told| told["complete"].clone()), Some(json!(true)), "{id}");
    }
}
