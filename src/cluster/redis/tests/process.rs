//! A real `redis-server` on a free port, with a directory of its own, for one test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A running server. Dropping it ends it.
pub(super) struct RedisProcess {
    pub(super) port: u16,
    child: Child,
    directory: PathBuf,
    arguments: Vec<String>,
}

impl RedisProcess {
    /// Starts one, with more arguments.
    pub(super) fn start(arguments: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("heliostat-redis-{:032x}", rand::random::<u128>()));
        std::fs::create_dir(&directory).unwrap();
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let child = run(port, &directory, &arguments);
        let process = RedisProcess { port, child, directory, arguments };
        process.wait();
        process
    }

    /// Ends it, and starts an empty one on its port.
    pub(super) fn replace(&mut self) {
        self.end();
        self.child = run(self.port, &self.directory, &self.arguments);
        self.wait();
    }

    /// Ends it at once.
    pub(super) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "redis-server does not listen");
            std::thread::yield_now();
        }
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn run(port: u16, directory: &PathBuf, arguments: &[String]) -> Child {
    Program::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--dir"])
        .arg(directory)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("no redis-server on the PATH: install the package redis-server")
}

/// A port that nobody listens on. A cluster's nodes have a second one, 10,000 above.
pub(super) fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}
