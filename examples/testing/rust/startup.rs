//! What a broker costs a test: to start one, to give a test an app of its own, to stop. It prints figures and judges
//! nothing.
//!
//! `cargo bench --bench startup`; `-- --runs 500` for more than 100 runs of each; `--profile dev` spares the long build,
//! and its figures are those of a debug build.
#![allow(clippy::unwrap_used, reason = "a panic is how a measurement reports that there is none")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use heliostat::testing::Broker;

/// Runs of each measurement, if nothing is said.
const RUNS: usize = 100;

/// The broker's program, as it is built for the benchmark.
const PROGRAM: &str = env!("CARGO_BIN_EXE_heliostat");

fn main() {
    let runs = runs();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("{runs} runs each, in milliseconds; {build} build, {cores} cores, load average {load}\n");
    println!("{:46} {:>8} {:>8} {:>8} {:>8}", "", "min", "median", "95 %", "max");
    println!("in the test's process (goal: ready in under 20 ms)");
    print_life(runs, in_process);
    println!("as a process, heliostat serve --test (goal: ready in under 50 ms)");
    print_life(runs, as_a_process);
    println!("around a command");
    print("heliostat exec -- true, from start to end", (0..runs).map(|_| around_a_command()).collect());
    println!("an app of its own, of a broker that is there");
    let broker = Broker::new().unwrap();
    print("made and ended, in the process", (0..runs).map(|_| an_app(&broker)).collect());
    let token = broker.test_mode().token().to_owned();
    let mut control = TcpStream::connect(broker.address()).unwrap();
    control.set_nodelay(true).unwrap();
    print(
        "made, POST /test/apps on an open connection",
        (0..runs).map(|_| an_app_by_request(&mut control, &token)).collect(),
    );
}

fn runs() -> usize {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--runs" {
            let value = arguments.next().unwrap_or_default();
            return value.parse().ok().filter(|runs| *runs > 0).unwrap_or_else(|| {
                eprintln!("expected --runs to be a number from 1, got {value:?}");
                std::process::exit(2)
            });
        }
    }
    RUNS
}

/// The time until it is ready, until it has greeted a client, and that of stopping it.
fn in_process() -> [Duration; 3] {
    let began = Instant::now();
    let broker = Broker::new().unwrap();
    let ready = began.elapsed();
    let client = greeted(broker.address(), broker.app().key());
    let greeted = began.elapsed();
    let began = Instant::now();
    let leaving = std::thread::spawn(move || leave(client));
    drop(broker);
    let stopped = began.elapsed();
    leaving.join().unwrap();
    [ready, greeted, stopped]
}

/// The same of a process.
fn as_a_process() -> [Duration; 3] {
    let began = Instant::now();
    let mut child = started();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready = began.elapsed();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = format!("{}:{}", told["host"].as_str().unwrap(), told["port"]);
    let client = greeted(address.parse().unwrap(), told["key"].as_str().unwrap());
    let greeted = began.elapsed();
    let began = Instant::now();
    let leaving = std::thread::spawn(move || leave(client));
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    child.wait().unwrap();
    let stopped = began.elapsed();
    leaving.join().unwrap();
    [ready, greeted, stopped]
}

fn started() -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--test", "--log-level", "off"]).stdout(Stdio::piped()).spawn().unwrap()
}

fn around_a_command() -> Duration {
    let began = Instant::now();
    assert!(Command::new(PROGRAM).args(["exec", "--", "true"]).status().unwrap().success());
    began.elapsed()
}

fn an_app(broker: &Broker) -> Duration {
    let began = Instant::now();
    drop(broker.new_app().unwrap());
    began.elapsed()
}

fn an_app_by_request(control: &mut TcpStream, token: &str) -> Duration {
    let began = Instant::now();
    let request = format!(
        "POST /test/apps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    control.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The answer is an object whose last member is one.
    while !answer.ends_with(b"}") {
        let mut buffer = [0; 8192];
        let read = control.read(&mut buffer).unwrap();
        assert!(read > 0, "the broker ended the connection");
        answer.extend_from_slice(&buffer[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&answer));
    began.elapsed()
}

/// A client that has been greeted.
fn greeted(address: SocketAddr, key: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /app/{key}?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("connection_established") {
        let mut buffer = [0; 1024];
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "the broker ended the connection");
        heard.extend_from_slice(&buffer[..read]);
    }
    socket
}

/// Reads until the broker has said its last word, and goes.
fn leave(mut client: TcpStream) {
    let mut rest = [0; 1024];
    let _ = client.read(&mut rest);
}

/// Prints the figures of a broker from its start to its end.
fn print_life(runs: usize, run: fn() -> [Duration; 3]) {
    let lives: Vec<_> = (0..runs).map(|_| run()).collect();
    let of = |part: usize| lives.iter().map(|life| life[part]).collect();
    print("ready", of(0));
    print("ready, and a client greeted", of(1));
    print("stopped, with that client", of(2));
}

fn print(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took[place.min(took.len() - 1)].as_secs_f64() * 1e3
    };
    let [min, median, most, max] = [0.0, 0.5, 0.95, 1.0].map(at);
    println!("  {what:44} {min:8.2} {median:8.2} {most:8.2} {max:8.2}");
}
