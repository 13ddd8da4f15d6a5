//! Trouble of all kinds for three nodes over real Redis, judged by the record of every frame and every answer.
//!
//! `cargo run -p heliostat-protocol-tests --bin chaos -- [--seconds 60] [--seed N] [--engine standalone|sentinel|cluster]`;
//! `PROTOCOL_TESTS_BIN` names the broker. The seed decides which trouble comes when, and is printed; what it meets is up to
//! the machine. The exit status is 1 if anything that must hold did not.
#![allow(clippy::unwrap_used, reason = "a panic is how the harness reports a failure")]

mod agreement;
mod client;
mod judge;
mod named;
mod nemesis;
mod publisher;
mod record;
mod stage;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use heliostat_protocol_tests::{Engine, Shared, Sink, standstill};

use nemesis::Nemesis;
use stage::{Chance, Stage};

/// Connections that stay for as long as their node does, and those that come and go.
const STAYING: usize = 9;
const PASSING: usize = 6;

/// Clients with a name, on channels with a history.
const NAMED: usize = 6;

/// Backends that publish.
const PUBLISHERS: usize = 3;

struct Arguments {
    seconds: u64,
    seed: u64,
    engine: String,
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: chaos [--seconds N] [--seed N] [--engine standalone|sentinel|cluster]");
        return ExitCode::from(2);
    };
    println!("chaos: seed {}, engine {}, {} s", arguments.seed, arguments.engine, arguments.seconds);
    // A client whose node has just been killed fails by a panic, which is expected here, and caught.
    std::panic::set_hook(Box::new(|info| {
        if thread::current().name() == Some("main") {
            eprintln!("{info}");
        }
    }));
    let faults = run(&arguments);
    for fault in faults.iter().take(50) {
        println!("FAULT {fault}");
    }
    println!("{} faults; seed {}", faults.len(), arguments.seed);
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(arguments: &Arguments) -> Vec<String> {
    standstill::watch();
    let engine = Engine::named(&arguments.engine).expect("it was looked at");
    let sink = Sink::start(&Shared::Main.credentials());
    let stage = Arc::new(Stage::open(&engine, &sink));
    let mut chance = Chance::new(arguments.seed);
    let clients: Vec<_> = (0..STAYING + PASSING)
        .map(|n| {
            let (stage, chance) = (Arc::clone(&stage), Chance::new(chance.next()));
            thread::spawn(move || client::live(&stage, n, n < STAYING, chance))
        })
        .collect();
    let named: Vec<_> = (0..NAMED)
        .map(|n| {
            let (stage, chance) = (Arc::clone(&stage), Chance::new(chance.next()));
            thread::spawn(move || named::follow(&stage, n, chance))
        })
        .collect();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|n| {
            let (stage, chance) = (Arc::clone(&stage), Chance::new(chance.next()));
            thread::spawn(move || publisher::publish(&stage, n, chance))
        })
        .collect();
    let mut nemesis = Nemesis::new(&stage, &engine, chance);
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    nemesis.settle("the beginning");
    while Instant::now() < end {
        nemesis.strike();
    }
    let mut faults = nemesis.finish();
    stage.over.store(true, Ordering::SeqCst);
    let sessions: Vec<_> =
        clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect();
    let published: Vec<_> =
        publishers.into_iter().flat_map(|publisher| publisher.join().expect("a publisher ends")).collect();
    named::end(&stage, || named.iter().all(thread::JoinHandle::is_finished));
    let diaries: Vec<_> = named.into_iter().map(|client| client.join().expect("a client ends")).collect();
    drop(nemesis);
    faults.extend(stage.memory_faults());
    faults.extend(judge::judge(&stage, &sessions, &published, &sink));
    faults.extend(named::judge(&stage, &diaries, &published));
    faults
}

fn arguments() -> Option<Arguments> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut arguments =
        Arguments { seconds: 60, seed: u64::from(since.subsec_nanos()), engine: "standalone".to_owned() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (word, words.next()?),
        };
        match name.as_str() {
            "--seconds" => arguments.seconds = value.parse().ok()?,
            "--seed" => arguments.seed = value.parse().ok()?,
            "--engine" if ["standalone", "sentinel", "cluster"].contains(&value.as_str()) => {
                arguments.engine = value;
            }
            _ => return None,
        }
    }
    Some(arguments)
}
