//! Upgrades: while the two processes live, they are one broker, for clients, publishers and webhooks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::Connection;
use heliostat_protocol_tests::sink::Sink;
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Broker, Incoming, Message, Shared, Socket, Target, patience};
use serde_json::{Value, json};

/// How many upgrades there are where nothing else is said by [`UPGRADES`]: `PROTOCOL_TESTS_UPGRADES=20` are twenty.
const FEW: usize = 2;
const UPGRADES: &str = "PROTOCOL_TESTS_UPGRADES";

const PUBLISHERS: usize = 3;
const MOVERS: usize = 12;

/// A broker with an app whose backend is told of everything.
fn broker(sink: &Sink) -> Target {
    let config = format!("[server]\nworkers = 2\n{MAIN_APP}\n[[apps.webhooks]]\nurl = \"{}\"\n", sink.url());
    Target::at(Arc::new(Broker::start(&config)), Shared::Main.credentials())
}

#[track_caller]
fn upgrade(broker: &Broker) {
    let output = broker.upgrade();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), broker.log());
}

/// What all clients and publishers share.
struct Load {
    target: Target,
    over: AtomicBool,
    /// Times that clients were connected, and the longest time that one was not.
    returns: AtomicUsize,
    longest_ms: AtomicU64,
    /// What was published and answered with 200, by each publisher.
    published: [AtomicU64; PUBLISHERS],
}

impl Load {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Publishes numbered events on a connection that is kept, and sees no error.
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a backend")]
fn publish(load: &Load, publisher: usize) {
    let mut connection = Connection::open(&load.target);
    for number in 1.. {
        if load.is_over() {
            return;
        }
        let data = format!("{publisher} {number}");
        let event = json!({ "name": "numbered", "channel": "presence-moving", "data": data });
        let answer = load.target.post("/events", &event).send_on(&mut connection);
        assert_eq!(answer.status, 200, "{}", answer.text());
        load.published[publisher].store(number, Ordering::Relaxed);
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            connection = Connection::open(&load.target);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What one connection of a member has heard.
#[derive(Default)]
struct Heard {
    roster: BTreeSet<String>,
    /// The last number of each publisher.
    last: BTreeMap<usize, u64>,
}

impl Heard {
    fn take(&mut self, message: &Message) {
        let user = || message.decoded()["user_id"].as_str().unwrap().to_owned();
        match message.event.as_str() {
            "pusher_internal:subscription_succeeded" => {
                let ids = message.decoded()["presence"]["ids"].as_array().unwrap().clone();
                self.roster = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            }
            "pusher_internal:member_added" => {
                assert!(self.roster.insert(user()), "{} is added twice", user());
            }
            "pusher_internal:member_removed" => {
                assert!(self.roster.remove(&user()), "{} is removed twice", user());
            }
            "numbered" => {
                let text = message.data.as_str().unwrap();
                let (publisher, number) = text.split_once(' ').unwrap();
                let (publisher, number) = (publisher.parse().unwrap(), number.parse().unwrap());
                if let Some(last) = self.last.insert(publisher, number) {
                    assert_eq!(
                        number,
                        last + 1,
                        "an event of publisher {publisher} is missing, or comes twice"
                    );
                }
            }
            other => panic!("{other}"),
        }
    }
}

/// A member who comes back whenever it is told to, until the last event of all.
fn move_along(load: &Load, user: usize) {
    let mut lost = None;
    loop {
        let mut socket = load.target.connect();
        socket.join("presence-moving", &json!({ "user_id": format!("user-{user}") }).to_string());
        let mut heard = Heard::default();
        loop {
            match socket.receive() {
                Incoming::Message(message) if message.event == "end" => {
                    // Whatever was accepted before it is there.
                    for (publisher, last) in heard.last {
                        assert_eq!(last, load.published[publisher].load(Ordering::Relaxed));
                    }
                    return;
                }
                Incoming::Message(message) => {
                    heard.take(&message);
                    if message.event.ends_with("subscription_succeeded") {
                        load.returns.fetch_add(1, Ordering::Relaxed);
                        let away = lost.take().map_or(0, |lost: Instant| lost.elapsed().as_millis());
                        load.longest_ms.fetch_max(away as u64, Ordering::Relaxed);
                    }
                }
                Incoming::Close(closed) => {
                    assert_eq!(closed.code, 4200, "{closed:?}");
                    break;
                }
                Incoming::Ping(_) | Incoming::Pong(_) => {}
                Incoming::End => panic!("an end without a close"),
            }
        }
        lost = Some(Instant::now());
    }
}

/// Of members who are told to come back, each publisher's events miss none between two of them, and whoever comes and goes is
/// told in turn; publishers see no error, and backends hear of none who comes back in time. The commands are answered
/// afterwards.
#[test]
fn while_processes_take_turns_nothing_is_missed_and_backends_hear_nothing() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let sink = Sink::start(&Shared::Main.credentials());
    let target = broker(&sink);
    let load = Arc::new(Load {
        target: target.clone(),
        over: AtomicBool::new(false),
        returns: AtomicUsize::new(0),
        longest_ms: AtomicU64::new(0),
        published: Default::default(),
    });
    let broker = target.broker().unwrap();
    let start = |work: fn(&Load, usize), count: usize| -> Vec<_> {
        let thread = |n| {
            let load = Arc::clone(&load);
            std::thread::spawn(move || work(&load, n))
        };
        (0..count).map(thread).collect()
    };
    let movers = start(move_along, MOVERS);
    let mut told: Vec<Value> = Vec::new();
    while told.len() < MOVERS + 1 {
        told.extend(sink.webhook().events());
    }
    let publishers = start(publish, PUBLISHERS);
    let event = json!({ "name": "kept", "channel": "cache-a", "data": "before all" });
    assert_eq!(target.post("/events", &event).send().status, 200);
    let upgrades = std::env::var(UPGRADES).map_or(FEW, |count| count.parse().unwrap());
    for round in 1..=upgrades {
        let reload = broker.command("reload").output().unwrap();
        assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
        upgrade(broker);
        let mut new = target.connect();
        new.subscribe("cache-a");
        assert_eq!(new.expect_on("cache-a", "kept").data, json!("before all"));
        crate::eventually("the return of all", || {
            (load.returns.load(Ordering::Relaxed) >= MOVERS * (round + 1)).then_some(())
        });
        crate::eventually("one list of members", || {
            let users = target.get("/channels/presence-moving/users").send().json();
            (users["users"].as_array().unwrap().len() == MOVERS).then_some(())
        });
    }
    load.over.store(true, Ordering::Relaxed);
    let join = |threads: Vec<std::thread::JoinHandle<()>>| {
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|_| panic!("a client or a publisher saw an error:\n{}", broker.log()));
        }
    };
    join(publishers);
    let end = json!({ "name": "end", "channel": "presence-moving", "data": "" });
    assert_eq!(target.post("/events", &end).send().status, 200);
    join(movers);
    println!(
        "{upgrades} upgrades, {} returns, the longest after {} ms, {} events",
        load.returns.load(Ordering::Relaxed),
        load.longest_ms.load(Ordering::Relaxed),
        load.published.iter().map(|of| of.load(Ordering::Relaxed)).sum::<u64>(),
    );
    // All members have left with the ends of their sockets: that is the next that is told, but for the cache channel.
    let next = sink
        .events_until(|event| event["name"] == "channel_vacated" && event["channel"] == "presence-moving");
    let of_members: Vec<_> = next.iter().filter(|event| event["channel"] == "presence-moving").collect();
    let names = |name: &str| of_members.iter().filter(|event| event["name"] == name).count();
    assert_eq!((names("member_added"), names("channel_occupied")), (0, 0), "{of_members:#?}");
    assert_eq!((names("member_removed"), names("channel_vacated")), (MOVERS, 1), "{of_members:#?}");
    // The last process but one may be there still, which another upgrade waits for.
    upgrade(broker);
}

/// Clients of the process before hear what the one after accepts, and are counted there, as long as they are connected; so it is the
/// other way round, and for what backends do to one connection or to a user.
#[test]
fn the_process_before_and_the_one_after_are_one_broker() {
    let Some(_) = Target::shared(Shared::Main) else { return };
    let slow = format!("[server]\nworkers = 2\ndrain_connections_per_second = 2\n{MAIN_APP}");
    let target = Target::at(Arc::new(Broker::start(&slow)), Shared::Main.credentials());
    let broker = target.broker().unwrap();
    // They are closed in turn, so most of them are there for long.
    let old: Vec<Socket> = (0..30)
        .map(|n| {
            let mut socket = target.connect();
            let _ = socket.subscribe_presence("presence-a", &format!("old-{n}"), &Value::Null);
            socket
        })
        .collect();
    let mut kept = Connection::open(&target);
    upgrade(broker);
    let mut new = target.connect();
    let roster = new.subscribe_presence("presence-a", "new", &Value::Null);
    let known = roster["presence"]["count"].as_u64().unwrap();
    assert!(known > 1, "{roster}");
    let event = |data: &str| json!({ "name": "e", "channel": "presence-a", "data": data });
    // On the connection that is kept the process before accepts it, unless it has ended.
    assert_eq!(target.post("/events", &event("before")).send_on(&mut kept).status, 200);
    assert_eq!(target.post("/events", &event("after")).send().status, 200);
    let info = target.get("/channels/presence-a").query("info", "user_count").send().json();
    assert!(info["user_count"].as_u64().unwrap() > 1, "{info}");
    let heard = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for mut socket in old {
            let heard = &heard;
            scope.spawn(move || {
                let mut events = Vec::new();
                loop {
                    match socket.receive() {
                        Incoming::Message(message) if message.event == "e" => {
                            events.push(message.data.as_str().unwrap().to_owned());
                        }
                        Incoming::Close(closed) => {
                            assert_eq!(closed.code, 4200);
                            break;
                        }
                        _ => {}
                    }
                }
                heard.lock().unwrap().push(events);
            });
        }
    });
    let heard = heard.into_inner().unwrap();
    let is_prefix = |events: &Vec<String>| {
        ["before", "after"].starts_with(&events.iter().map(|one| &**one).collect::<Vec<_>>())
    };
    assert!(heard.iter().all(is_prefix), "{heard:?}");
    assert!(heard.iter().any(|events| events.len() == 2), "{heard:?}");
    // The new one hears both, and of each old one that it leaves.
    let deadline = Instant::now() + patience();
    let (mut events, mut left) = (Vec::new(), 0);
    while events.len() < 2 || left + 1 < known {
        assert!(Instant::now() < deadline, "{events:?} {left} of {known}");
        let message = new.message();
        match message.event.as_str() {
            "e" => events.push(message.data.as_str().unwrap().to_owned()),
            "pusher_internal:member_removed" => left += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((events, left), (vec!["before".to_owned(), "after".to_owned()], known - 1));
}
