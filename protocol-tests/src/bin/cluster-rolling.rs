//! A rolling restart under load: three nodes behind HAProxy, restarted one after the other while clients listen and backends
//! publish. Nobody may be told of an error, every publish that was answered with 200 reaches whoever was subscribed, and no
//! webhook tells of a member who returned.
//!
//! `cargo run --release -p heliostat-protocol-tests --bin cluster-rolling -- [CLIENTS]`; 5000 clients unless told otherwise.
//! `PROTOCOL_TESTS_BIN` names the broker, which should be a release build. HAProxy must be there.
#![allow(clippy::unwrap_used, reason = "a panic is how the harness reports a failure")]

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::engine::EndsWithUs;
use heliostat_protocol_tests::nodes::{NODE_APPS, pause};
use heliostat_protocol_tests::{Engine, Incoming, Node, Setup, Shared, Sink, Socket, Target, patience};
use serde_json::json;

const ROOMS: usize = 50;
const PUBLISHERS: usize = 4;

/// Those who are members besides, whom webhooks would tell of.
const MEMBERS: usize = 200;

/// A node that stops closes so many connections per second.
const PACE: usize = 500;

/// An event arrives within this.
const TRAVEL: Duration = Duration::from_secs(3);

/// Returns within this are not told.
const REMOVAL_DELAY: f64 = 10.0;

/// What one connection of a client has heard: from when to when, and which numbers.
struct Stay {
    room: usize,
    joined: Instant,
    left: Instant,
    heard: HashSet<usize>,
    repeats: usize,
}

struct Publication {
    room: usize,
    number: usize,
    sent: Instant,
    answered: Instant,
}

#[derive(Default)]
struct Counts {
    subscribed: AtomicUsize,
    connects: Mutex<BTreeMap<u64, usize>>,
    refused: AtomicUsize,
}

fn main() -> ExitCode {
    let clients: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5000);
    let engine = Engine::standalone();
    let sink = Sink::start(&Shared::Main.credentials());
    let hooks = format!(
        "[apps.webhook_delivery]\nremoval_delay_seconds = {REMOVAL_DELAY:.1}\n[[apps.webhooks]]\nurl = \"{}\"\n\
         events = [\"member_added\", \"member_removed\"]\n\n[[apps]]\nid = \"1007\"",
        sink.url()
    );
    let apps = NODE_APPS.replacen("\n[[apps]]\nid = \"1007\"", &hooks, 1);
    let apps = apps.replace("client_events_per_second = 0", "presence_members_per_channel = 1000");
    let setup = Setup::on(&engine).apps(&apps).server(&format!("drain_connections_per_second = {PACE}"));
    let ports: [u16; 3] = std::array::from_fn(|_| free_port());
    let mut nodes: Vec<Node> = (0..3).map(|n| start(&setup, n, ports[n])).collect();
    let admin: Vec<u16> = nodes.iter().map(|node| node.admin.port).collect();
    let proxy = Proxy::start(&ports);
    println!(
        "{clients} clients, nodes at {ports:?} with admin listeners at {admin:?}, HAProxy at {}",
        proxy.port
    );
    let (over, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
    let target = Target::reached_at("127.0.0.1", proxy.port, Shared::Main.credentials());
    // A client that is refused fails by a panic, which is expected here, and caught.
    std::panic::set_hook(Box::new(|info| {
        if thread::current().name() == Some("main") {
            eprintln!("{info}");
        }
    }));
    let listeners: Vec<_> = (0..clients)
        .map(|n| {
            let (target, over, counts) = (target.clone(), Arc::clone(&over), Arc::clone(&counts));
            let small = thread::Builder::new().stack_size(256 * 1024);
            small.spawn(move || listen(&target, n, &over, &counts)).expect("a thread")
        })
        .collect();
    await_that("all are subscribed", || counts.subscribed.load(Ordering::SeqCst) == clients);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|n| {
            let (target, over) = (target.clone(), Arc::clone(&over));
            thread::spawn(move || publish(&target, n, &over))
        })
        .collect();
    let began = Instant::now();
    for n in 0..3 {
        println!("{:6.1} s: node {n} is told to stop", began.elapsed().as_secs_f64());
        nodes[n].broker().terminate();
        let _ = nodes[n].broker().await_exit(Duration::from_secs(120));
        nodes[n] = start(&setup, n, ports[n]);
        println!("{:6.1} s: node {n} is ready again", began.elapsed().as_secs_f64());
        await_that("all are subscribed again", || counts.subscribed.load(Ordering::SeqCst) == clients);
        println!("{:6.1} s: everybody is back", began.elapsed().as_secs_f64());
    }
    over.store(true, Ordering::SeqCst);
    let published: Vec<_> = publishers.into_iter().map(|publisher| publisher.join().unwrap()).collect();
    let stays: Vec<Stay> = listeners.into_iter().flat_map(|listener| listener.join().unwrap()).collect();
    judge(&stays, published, &sink, &counts)
}

/// A client: it connects, subscribes, listens, and when it is told to reconnect, it does. Some are members of a hall.
fn listen(target: &Target, number: usize, over: &AtomicBool, counts: &Counts) -> Vec<Stay> {
    let (room, mut stays) = (number % ROOMS, Vec::new());
    let began = Instant::now();
    while !over.load(Ordering::SeqCst) {
        let connect = || {
            let mut socket = target.connect();
            if number < MEMBERS {
                socket.subscribe_presence("presence-hall", &format!("u{number}"), &json!(null));
            }
            socket
                .send(&json!({ "event": "pusher:subscribe", "data": { "channel": format!("room-{room}") } }));
            socket
        };
        let Ok(mut socket) = std::panic::catch_unwind(connect) else {
            counts.refused.fetch_add(1, Ordering::SeqCst);
            // As clients do that are refused.
            wait(Duration::from_millis(500 + (number as u64 * 7919) % 1000));
            continue;
        };
        let second = began.elapsed().as_secs();
        *lock(&counts.connects).entry(second).or_default() += 1;
        if let Some(stay) = stay(&mut socket, room, over, counts) {
            stays.push(stay);
        }
        wait(Duration::from_millis((number as u64 * 104_729) % 200));
    }
    stays
}

fn stay(socket: &mut Socket, room: usize, over: &AtomicBool, counts: &Counts) -> Option<Stay> {
    let mut stay: Option<Stay> = None;
    loop {
        match socket.receive_within(Duration::from_secs(1)) {
            Some(Incoming::Message(message)) if message.event.ends_with("subscription_succeeded") => {
                counts.subscribed.fetch_add(1, Ordering::SeqCst);
                let now = Instant::now();
                stay = Some(Stay { room, joined: now, left: now, heard: HashSet::new(), repeats: 0 });
            }
            Some(Incoming::Message(message)) => {
                if let (Some(stay), "number") = (&mut stay, message.event.as_str()) {
                    let number = message.data.as_str().and_then(|data| data.parse().ok());
                    stay.repeats += usize::from(number.is_some_and(|number| !stay.heard.insert(number)));
                }
            }
            Some(Incoming::Close(_) | Incoming::End) => break,
            Some(_) | None if over.load(Ordering::SeqCst) => break,
            Some(_) | None => {}
        }
    }
    if let Some(stay) = &mut stay {
        stay.left = Instant::now();
        counts.subscribed.fetch_sub(1, Ordering::SeqCst);
    }
    stay
}

/// A backend that publishes through HAProxy; returns what was answered with 200, and what else it was answered.
fn publish(target: &Target, publisher: usize, over: &AtomicBool) -> (Vec<Publication>, BTreeMap<u16, usize>) {
    let (mut published, mut others) = (Vec::new(), BTreeMap::new());
    for n in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let (room, number) = (n % ROOMS, n * PUBLISHERS + publisher);
        let body = json!({ "name": "number", "channel": format!("room-{room}"), "data": number.to_string() });
        let sent = Instant::now();
        match std::panic::catch_unwind(|| target.events(&body).status) {
            Ok(200) => published.push(Publication { room, number, sent, answered: Instant::now() }),
            Ok(status) => *others.entry(status).or_default() += 1,
            Err(_) => *others.entry(0).or_default() += 1,
        }
        pause();
    }
    (published, others)
}

fn judge(
    stays: &[Stay],
    published: Vec<(Vec<Publication>, BTreeMap<u16, usize>)>,
    sink: &Sink,
    counts: &Counts,
) -> ExitCode {
    let (mut owed, mut missing, mut count) = (0, 0, 0);
    let mut of_room: BTreeMap<usize, Vec<&Stay>> = BTreeMap::new();
    for stay in stays {
        of_room.entry(stay.room).or_default().push(stay);
    }
    let mut errors = 0;
    for (published, others) in &published {
        errors += others.values().sum::<usize>();
        if !others.is_empty() {
            println!("answers other than 200, by status (0: none): {others:?}");
        }
        count += published.len();
        for publication in published {
            for stay in of_room.get(&publication.room).into_iter().flatten() {
                if stay.joined < publication.sent && publication.answered + TRAVEL < stay.left {
                    owed += 1;
                    missing += usize::from(!stay.heard.contains(&publication.number));
                }
            }
        }
    }
    let repeats: usize = stays.iter().map(|stay| stay.repeats).sum();
    let busiest = lock(&counts.connects).iter().skip(3).map(|(_, count)| *count).max().unwrap_or_default();
    let mut removed = 0;
    while let Some(webhook) = sink.webhook_within(Duration::from_millis(500)) {
        removed += webhook.events().iter().filter(|event| event["name"] == "member_removed").count();
    }
    println!("{count} publishes were answered with 200, {errors} otherwise");
    println!("{owed} deliveries were owed: {missing} are missing, {repeats} came twice");
    println!(
        "{} connections in all, {busiest} in the busiest second, {} attempts refused",
        stays.len(),
        counts.refused.load(Ordering::SeqCst)
    );
    println!("{removed} members were told by webhook to have gone");
    let well = errors == 0 && missing == 0 && repeats == 0 && removed == 0 && owed > 0;
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start(setup: &Setup, n: usize, port: u16) -> Node {
    let node = setup.clone().at_port(port).begin(&Setup::name(n));
    node.await_ready();
    node
}

/// HAProxy in front of the three, which are asked whether they are ready.
struct Proxy {
    port: u16,
    child: Child,
    file: std::path::PathBuf,
    _guard: EndsWithUs,
}

impl Proxy {
    fn start(ports: &[u16; 3]) -> Proxy {
        let port = free_port();
        let file = std::env::temp_dir().join(format!("cluster-rolling-{}.cfg", std::process::id()));
        let mut text = format!(
            "global\n  maxconn 9000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  \
             timeout tunnel 1h\n  retries 3\n  option redispatch\n  retry-on conn-failure empty-response 503\n\
             frontend clients\n  bind 127.0.0.1:{port}\n  default_backend nodes\n\
             backend nodes\n  balance leastconn\n  option httpchk GET /ready\n"
        );
        for (n, port) in ports.iter().enumerate() {
            text += &format!("  server n{n} 127.0.0.1:{port} check inter 500ms fall 1 rise 1\n");
        }
        std::fs::File::create(&file).and_then(|mut file| file.write_all(text.as_bytes())).unwrap();
        let mut command = Command::new("haproxy");
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        command
            .arg("-f")
            .arg(&file)
            .arg("-db")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("HAProxy is there");
        let guard = EndsWithUs::guard(child.id());
        let proxy = Proxy { port, child, file, _guard: guard };
        let target = Target::reached_at("127.0.0.1", port, Shared::Main.credentials());
        await_that("HAProxy leads to the nodes", || {
            std::panic::catch_unwind(|| target.get("/channels").send().status)
                .is_ok_and(|status| status == 200)
        });
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience() * 6;
    while !holds() {
        assert!(Instant::now() < deadline, "not so: {what}");
        pause();
    }
}

fn wait(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        pause();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
