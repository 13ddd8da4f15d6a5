//! The harness of the black-box suite: what a test needs to talk to a broker through its wire, and nothing else.
//!
//! It does not depend on the broker's crate. A test gets a [`Target`], which is either a broker that the harness
//! started itself ([`Broker`]) or, when `PUSHER_HOST` is set, any server in the world, of which it knows a host,
//! a port and the credentials of one app. On it a test opens [`Socket`]s, says things, and awaits each answer
//! under a deadline; a failure prints everything that went over the connection.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PUSHER_HOST` | aim at this server instead of a broker of our own (plain `ws://` and `http://`) | unset |
//! | `PUSHER_PORT` | its port | 80 |
//! | `PUSHER_APP_ID`, `PUSHER_APP_KEY`, `PUSHER_APP_SECRET` | one app of it, with client events enabled | required |
//! | `PROTOCOL_TESTS_BIN` | the broker binary to start | built with cargo |
//! | `PROTOCOL_TESTS_RECORDS` | the directory to note in which client has used which feature | unset: nothing is noted |
//! | `PROTOCOL_TESTS_DEADLINE_SECONDS` | patience for one expected thing, in seconds | 5 |
//!
//! Everything blocks: a test is one thread that reads like the conversation it holds.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports its failure")]

pub mod broker;
pub mod compatibility;
pub mod engine;
pub mod forwarder;
pub mod frame;
pub mod http;
pub mod line;
pub mod message;
pub mod nodes;
pub mod pace;
pub mod pipe;
pub mod schema;
pub mod signature;
pub mod sink;
pub mod skip;
pub mod socket;
pub mod standstill;
pub mod tab;
pub mod target;
pub mod test_mode;
pub mod tls;
pub mod track;
pub mod transport;
pub mod webm;
pub mod wire;

pub use broker::Broker;
pub use engine::Engine;
pub use forwarder::Forwarder;
pub use line::{Line, LineTerms};
pub use message::{Closed, Incoming, Message};
pub use nodes::{Node, Setup};
pub use pace::{StallMeter, keep_pace};
pub use pipe::Pipe;
pub use sink::Sink;
pub use skip::skipped;
pub use socket::Socket;
pub use target::{Credentials, Shared, Target};
pub use test_mode::{TestApp, TestMode};
pub use transport::Transport;
pub use wire::Wire;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What several nodes may take, in milliseconds: it is more than one node may.
static LEAST_PATIENCE: AtomicU64 = AtomicU64::new(0);

/// From now on, waits for at least so long, in the whole process.
pub fn be_patient(least: Duration) {
    let milliseconds = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
    LEAST_PATIENCE.fetch_max(milliseconds, Ordering::Relaxed);
}

/// How long the harness waits for one expected thing before the test fails.
#[must_use]
pub fn patience() -> Duration {
    static PATIENCE: OnceLock<Duration> = OnceLock::new();
    let least = Duration::from_millis(LEAST_PATIENCE.load(Ordering::Relaxed));
    let usual = *PATIENCE.get_or_init(|| match std::env::var("PROTOCOL_TESTS_DEADLINE_SECONDS") {
        Ok(text) => {
            Duration::from_secs_f64(text.parse().expect("PROTOCOL_TESTS_DEADLINE_SECONDS is not a number"))
        }
        Err(_) => Duration::from_secs(5),
    });
    usual.max(least)
}

/// A name that begins with `prefix` and that no other test, also of another run, uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static RUN: OnceLock<u64> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or_default()
    });
    format!("{prefix}{run:x}-{:x}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// A camera's picture as a data URL, of this many bytes.
#[must_use]
pub fn picture(n: usize, bytes: usize) -> String {
    let head = format!("data:image/webp;base64,{n:08}");
    let letters = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v";
    head.chars().chain(letters.chars().cycle()).take(bytes).collect()
}
