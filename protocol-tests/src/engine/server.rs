//! One process of `redis-server`, on a free port, with a directory of its own and nothing saved.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{EndsWithUs, Resp, await_that, free_port};

/// How often a port is tried that somebody else has taken meanwhile.
const ATTEMPTS: usize = 5;

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    pid: u32,
    child: Mutex<Child>,
    directory: PathBuf,
    guard: Option<EndsWithUs>,
}

impl RedisServer {
    /// Starts a server with these arguments besides the usual ones, and waits until it answers.
    ///
    /// # Panics
    /// With its own words, if it does not come up.
    #[must_use]
    pub fn start(arguments: &[&str]) -> RedisServer {
        RedisServer::start_as("redis-server", |_| arguments.iter().map(|&a| a.to_owned()).collect())
    }

    /// Starts a server on this port, on which one was before.
    ///
    /// # Panics
    /// With its own words, if it does not come up.
    #[must_use]
    pub fn start_at(port: u16, arguments: &[&str]) -> RedisServer {
        let mut words = String::new();
        let arguments: Vec<_> = arguments.iter().map(|&a| a.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            match RedisServer::try_start("redis-server", port, &arguments, new_directory()) {
                Ok(server) => return server,
                Err(why) => words = why,
            }
        }
        panic!("no redis-server at {port}: {words}");
    }

    /// Starts a server whose arguments depend on its directory: a cluster's and a Sentinel's files are there.
    pub(super) fn start_as(program: &str, arguments: impl Fn(&Path) -> Vec<String>) -> RedisServer {
        let mut words = String::new();
        for _ in 0..ATTEMPTS {
            let directory = new_directory();
            let arguments = arguments(&directory);
            match RedisServer::try_start(program, free_port(), &arguments, directory) {
                Ok(server) => return server,
                Err(why) => words = why,
            }
        }
        panic!("{program} does not start: {words}");
    }

    fn try_start(
        program: &str,
        port: u16,
        arguments: &[String],
        directory: PathBuf,
    ) -> Result<RedisServer, String> {
        let log = directory.join("log");
        let file = std::fs::File::create(&log).expect("a log in a directory of our own");
        let errors = file.try_clone().expect("a second handle of the log");
        let mut command = Command::new(program);
        // A Sentinel's first argument is its file.
        let (first, rest) = match arguments.split_first() {
            Some((first, rest)) if first.ends_with(".conf") => (Some(first), rest),
            _ => (None, arguments),
        };
        command.args(first).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.arg("--dir").arg(&directory);
        if first.is_none() {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        command.args(rest).stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().map_err(|error| {
            format!("cannot start {program}: {error}; it is in the Debian packages redis-server and redis-sentinel")
        })?;
        let pid = child.id();
        let guard = Some(EndsWithUs::guard(pid));
        let server = RedisServer { port, pid, child: Mutex::new(child), directory, guard };
        let mut ended = false;
        await_that(&format!("{program} answers at {port}"), || {
            ended = server.has_ended();
            ended || server.answers()
        });
        let words = || std::fs::read_to_string(&log).unwrap_or_default();
        if ended { Err(words()) } else { Ok(server) }
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A new connection to it.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> Resp {
        Resp::connect(self.port).unwrap_or_else(|| panic!("no Redis at {}", self.port))
    }

    /// A field of `INFO`. A server whose place a Sentinel changes cuts its clients, so it is asked once more where it does.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    #[track_caller]
    pub fn info(&self, section: &str, field: &str) -> Option<String> {
        let asked = self.client().try_call(&[b"INFO", section.as_bytes()]);
        let info = asked.unwrap_or_else(|_| self.client().call(&["INFO", section])).text();
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(line.to_owned())
    }

    /// How often it was given this command: its own count.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.info("commandstats", &format!("cmdstat_{command}"));
        let calls = stats.as_deref().and_then(|stats| stats.split(',').next()?.strip_prefix("calls="));
        calls.and_then(|calls| calls.parse().ok()).unwrap_or_default()
    }

    /// The processor time it has taken, in its own words.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        let field = |name: &str| self.info("cpu", name).and_then(|text| text.parse::<f64>().ok());
        field("used_cpu_user").unwrap_or_default() + field("used_cpu_sys").unwrap_or_default()
    }

    /// Stops its process where it stands.
    pub fn pause(&self) {
        crate::broker::signal(self.pid, "-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        crate::broker::signal(self.pid, "-CONT");
    }

    /// Kills it.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Ends the connections of its clients of this type: `normal` or `pubsub`. Answers how many.
    #[must_use]
    pub fn kill_clients(&self, kind: &str) -> i64 {
        self.client().call(&["CLIENT", "KILL", "TYPE", kind]).integer()
    }

    fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    fn answers(&self) -> bool {
        let Some(mut client) = Resp::connect(self.port) else { return false };
        client.try_call(&[b"PING"]).is_ok_and(|reply| reply.text() == "PONG")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.guard = None;
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn new_directory() -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("protocol-tests-redis-{}-{n}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
    path
}
