//! Starting a broker of our own: a child process on a free port, gone when the test is.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a broker may take from its start until it says that it listens.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Lines of the broker's log kept for failure messages; older ones are forgotten.
const LOG_LINES: usize = 200;

/// A running broker process. Dropping it kills the process.
#[derive(Debug)]
pub struct Broker {
    port: u16,
    /// What it said when it was ready.
    ready: String,
    /// The process that is the broker, which need not be the one that was started.
    pid: AtomicU32,
    child: Mutex<Child>,
    stdout: Mutex<Receiver<String>>,
    log: Arc<Mutex<VecDeque<String>>>,
    config: Option<PathBuf>,
}

impl Broker {
    /// Starts a broker on a free port with this configuration (TOML), and waits until it listens.
    ///
    /// # Panics
    /// With the broker's own words, if it does not come up.
    #[must_use]
    pub fn start(config: &str) -> Broker {
        Broker::start_with(Some(config), &[], &[])
    }

    /// Starts a broker with an optional configuration, more command-line arguments and more environment.
    ///
    /// # Panics
    /// With the broker's own words, if it does not come up.
    #[must_use]
    pub fn start_with(config: Option<&str>, arguments: &[&str], environment: &[(&str, &str)]) -> Broker {
        Broker::launch(command(), Stdio::null(), config, arguments, environment)
    }

    /// Starts a broker that may open so many files, and no more.
    ///
    /// # Panics
    /// With the broker's own words, if it does not come up.
    #[must_use]
    pub fn start_limited(config: &str, open_files: u32) -> Broker {
        let limited = command_after(&format!("ulimit -n {open_files}"));
        Broker::launch(limited, Stdio::null(), Some(config), &[], &[])
    }

    /// Starts a broker that cannot make a file longer than so many blocks of 512 bytes: it is told as if the disk were full.
    ///
    /// # Panics
    /// With the broker's own words, if it does not come up.
    #[must_use]
    pub fn start_with_short_files(config: &str, blocks: u32) -> Broker {
        let limited = command_after(&format!("trap '' XFSZ && ulimit -f {blocks}"));
        Broker::launch(limited, Stdio::null(), Some(config), &[], &[])
    }

    /// Starts a broker that is given a listening socket as systemd gives one, under this name; without one if it is empty.
    ///
    /// # Panics
    /// With the broker's own words, if it does not come up.
    #[must_use]
    pub fn start_activated(config: &str, socket: OwnedFd, name: &str) -> Broker {
        Broker::launch(activated(name), Stdio::from(socket), Some(config), &[], &[])
    }

    /// Starts a broker on this port, on which one was before.
    ///
    /// # Panics
    /// With the broker's own words, if it does not come up.
    #[must_use]
    pub fn start_at(config: &str, port: u16) -> Broker {
        Broker::launch_at(command(), Stdio::null(), Some(config), port, &[], &[])
    }

    fn launch(
        command: Command,
        stdin: Stdio,
        config: Option<&str>,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Broker {
        Broker::launch_at(command, stdin, config, 0, arguments, environment)
    }

    fn launch_at(
        mut command: Command,
        stdin: Stdio,
        config: Option<&str>,
        port: u16,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Broker {
        let config = config.map(write_config);
        forget_settings(&mut command);
        if let Some(path) = &config {
            command.arg("--config").arg(path).arg("--control-socket").arg(control_socket(path));
        }
        command.args(["--port", &port.to_string()]).args(arguments).envs(environment.iter().copied());
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", binary().display()));
        let stdout = lines_of(child.stdout.take().expect("stdout is piped"));
        let log = keep_log(child.stderr.take().expect("stderr is piped"));
        let pid = child.id();
        let mut broker = Broker {
            port: 0,
            ready: String::new(),
            pid: AtomicU32::new(pid),
            child: Mutex::new(child),
            stdout: Mutex::new(stdout),
            log,
            config,
        };
        (broker.port, broker.ready) = broker.await_listening();
        broker
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next line of its standard output that holds `text`.
    ///
    /// # Panics
    /// If none comes in time.
    #[must_use]
    pub fn await_line(&self, text: &str) -> String {
        let deadline = Instant::now() + START_DEADLINE;
        let stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("the broker printed no line with {text:?}; its log:\n{}", self.log()),
            }
        }
    }

    /// The line that it said when it was ready.
    #[must_use]
    pub fn ready_line(&self) -> &str {
        &self.ready
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// The last lines it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "    {line}");
            text
        })
    }

    /// Its configuration file.
    ///
    /// # Panics
    /// If it was started without.
    #[must_use]
    pub fn config(&self) -> &Path {
        self.config.as_deref().expect("the broker was started with a configuration")
    }

    /// The command of this broker's file and control socket, without arguments.
    ///
    /// # Panics
    /// If it was started without a configuration.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = command();
        let config = self.config();
        command.arg(name).arg("--config").arg(config).arg("--control-socket").arg(control_socket(config));
        command
    }

    /// Writes another configuration (TOML) into its file, which it does not read before it is told to.
    ///
    /// # Panics
    /// If it was started without.
    pub fn configure(&self, config: &str) {
        let path = self.config();
        std::fs::write(path, config).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }

    /// Writes another configuration and has the broker read it by its command; returns what that said, and its exit
    /// code.
    ///
    /// # Panics
    /// If the command cannot be run.
    #[must_use]
    pub fn reload(&self, config: &str) -> Output {
        self.configure(config);
        let mut command = command();
        command.arg("reload").arg("--control-socket").arg(control_socket(self.config()));
        command.output().expect("the broker's command runs")
    }

    /// Has it replaced by another process, by its command; returns what that said, and its exit code. If it was, that process
    /// is the broker from now on.
    ///
    /// # Panics
    /// If the command cannot be run.
    #[must_use]
    pub fn upgrade(&self) -> Output {
        let mut command = command();
        command.arg("upgrade").arg("--control-socket").arg(control_socket(self.config()));
        let output = command.output().expect("the broker's command runs");
        let said = String::from_utf8_lossy(&output.stdout);
        if let Some(pid) = said.split_whitespace().skip_while(|word| *word != "process").nth(1) {
            self.pid.store(pid.parse().expect("the id of a process"), Ordering::Relaxed);
        }
        output
    }

    /// This process is the broker from now on.
    pub fn succeeded_by(&self, process: u32) {
        self.pid.store(process, Ordering::Relaxed);
    }

    /// How the process that was started has ended, if it has. Another one may be the broker by now.
    #[must_use]
    pub fn first_process_ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("the status of the broker's process")
    }

    /// Tells it to read its configuration again by SIGHUP, which has no answer.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Asks it to stop, as a service manager does.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Stops its process where it stands.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Kills it, without a word to anybody, and waits for its end.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Sends a signal to its process.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until the process has ended.
    ///
    /// # Panics
    /// If it has not within `within`.
    #[must_use]
    pub fn await_exit(&self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        let stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        // The pipe closes when the process ends; until then lines may still come.
        loop {
            match stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the broker still runs after {within:?}; its log:\n{}", self.log())
                }
            }
        }
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.wait().expect("the broker's exit status")
    }

    /// The processor time it has taken since its start; `None` where the system does not tell.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        /// Hundredths of a second, in which Linux counts for programs.
        const TICK: Duration = Duration::from_millis(10);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // The second field is a name in parentheses, which may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().ok());
        Some(TICK * ticks.sum::<Option<u32>>()?)
    }

    /// The memory it occupies now and has occupied at most, in bytes; `None` where the system does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<Resident> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            line.trim_start_matches(':')
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
                .map(|k| k * 1024)
        };
        Some(Resident { now: field("VmRSS")?, peak: field("VmHWM")? })
    }

    /// The sockets that it has open; `None` where the system does not tell.
    #[must_use]
    pub fn open_sockets(&self) -> Option<usize> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).ok()?;
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        Some(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
    }

    fn await_listening(&self) -> (u16, String) {
        let deadline = Instant::now() + START_DEADLINE;
        let stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
        let mut said = String::new();
        loop {
            match stdout.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match listening_port(&line) {
                    Some(port) => return (port, line),
                    None => said = said + "    " + &line + "\n",
                },
                Err(end) => {
                    let why = match end {
                        RecvTimeoutError::Timeout => format!("said nothing useful for {START_DEADLINE:?}"),
                        RecvTimeoutError::Disconnected => "ended before it listened".to_owned(),
                    };
                    panic!("the broker {why}\n  stdout:\n{said}  stderr:\n{}", self.log());
                }
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let pid = self.pid();
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if pid != child.id() {
            // It may have ended.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = child.kill();
        let _ = child.wait();
        if let Some(path) = &self.config {
            let _ = std::fs::remove_file(path);
            // A broker that is killed leaves its socket behind.
            let _ = std::fs::remove_file(control_socket(path));
        }
    }
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// At this moment.
    pub now: u64,
    /// At most since its start.
    pub peak: u64,
}

/// The broker's command, begun by a shell that does this before.
#[must_use]
pub fn command_after(shell: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} && exec \"$0\" \"$@\"")).arg(binary());
    forget_settings(&mut command);
    command
}

/// The broker's command without arguments, and without variables that would configure it.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(binary());
    forget_settings(&mut command);
    command
}

/// The broker's command as a service manager runs it that passes a socket on: the one that is the command's standard input,
/// under this name, if it has one.
#[must_use]
pub fn activated(name: &str) -> Command {
    let mut shell = Command::new("sh");
    forget_settings(&mut shell);
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$; export LISTEN_PID; exec \"$0\" \"$@\"";
    shell.arg("-c").arg(script).arg(binary()).env("LISTEN_FDS", "1");
    match name {
        "" => shell.env_remove("LISTEN_FDNAMES"),
        name => shell.env("LISTEN_FDNAMES", name),
    };
    shell
}

/// Sends a signal to a process that was started here.
///
/// # Panics
/// If it cannot be sent.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|s| s.success()), "cannot send {name} to the process {pid}");
}

/// The settings of the developer's own broker must not reach this one, nor those of other servers that it reads.
fn forget_settings(command: &mut Command) {
    const PREFIXES: [&str; 5] = ["HELIOSTAT_", "SOKETI_", "REVERB_", "PUSHER_", "DEFAULT_APP_"];
    for (name, _) in std::env::vars_os() {
        let shown = name.to_string_lossy();
        if shown == "PORT" || PREFIXES.iter().any(|prefix| shown.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

/// The broker binary: `PROTOCOL_TESTS_BIN`, else the workspace's own, built once per test process.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| match std::env::var_os("PROTOCOL_TESTS_BIN") {
        Some(path) => Ok(path.into()),
        None => build(),
    });
    binary.as_ref().unwrap_or_else(|why| panic!("{why}"))
}

/// Builds the broker into the directory this test was built into, in the same profile.
fn build() -> Result<PathBuf, String> {
    let this = std::env::current_exe().expect("the path of the test binary");
    let profile =
        this.parent().and_then(Path::parent).expect("a test binary lies in <target>/<profile>/deps");
    let target = profile.parent().expect("a profile directory lies in the target directory");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "heliostat", "--bin", "heliostat"]);
    cargo.arg("--target-dir").arg(target).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(profile.join("heliostat")),
        Ok(_) => Err("the broker does not build".to_owned()),
        Err(e) => Err(format!("cannot run cargo to build the broker: {e}")),
    }
}

fn write_config(config: &str) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("protocol-tests-{}-{n}.toml", std::process::id()));
    std::fs::write(&path, config).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    path
}

/// Where the broker with this configuration file listens for commands.
fn control_socket(config: &Path) -> PathBuf {
    config.with_extension("sock")
}

/// The port in a line such as `… listening on http://127.0.0.1:41735/prefix`, or in the JSON of test mode.
fn listening_port(line: &str) -> Option<u16> {
    if let Ok(ready) = serde_json::from_str::<serde_json::Value>(line) {
        return ready["port"].as_u64()?.try_into().ok();
    }
    let (_, url) = line.split_once("listening on http")?;
    let (_, url) = url.split_once("://")?;
    let authority = url.split(['/', ' ']).next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // The pipe is read to its end even if nobody listens any more: a full pipe would stop the broker.
            let _ = sender.send(line);
        }
    });
    receiver
}

fn keep_log(stream: impl Read + Send + 'static) -> Arc<Mutex<VecDeque<String>>> {
    let log = Arc::new(Mutex::new(VecDeque::new()));
    let kept = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LOG_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    });
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_line_that_announces_it() {
        assert_eq!(listening_port("heliostat listening on http://127.0.0.1:41735"), Some(41735));
        assert_eq!(listening_port("heliostat listening on https://127.0.0.1:4711"), Some(4711));
        assert_eq!(listening_port("x listening on http://[::1]:80/prefix and more"), Some(80));
        assert_eq!(listening_port(r#"{"host":"::1","port":4711}"#), Some(4711));
        assert_eq!(listening_port("open http://127.0.0.1:6001/stream"), None);
    }
}
