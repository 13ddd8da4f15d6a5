//! What the log does not say: nothing alarming at an ordinary start and end, and nothing beside the complaint where the
//! broker cannot start. And a standard error that takes nothing. A broker's own concern.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use heliostat_protocol_tests::broker::{binary, command};
use heliostat_protocol_tests::skipped;

const DEADLINE: Duration = Duration::from_secs(20);

/// For tests alone; of `localhost`.
const CERTIFICATE: &str = include_str!("certificate.pem");

/// A handshake that is answered.
const HANDSHAKE: &str = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A file of this test, removed with the value.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("protocol-tests-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file can be written");
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The ports in what it says when it is ready, until `count` are told.
fn ports(stdout: &mut BufReader<ChildStdout>, count: usize) -> Vec<u16> {
    let mut ports = Vec::new();
    while ports.len() < count {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).expect("it says where it listens") > 0, "only {ports:?}");
        let word = line.split_whitespace().find(|word| word.contains("://127.0.0.1:"));
        let port = word.and_then(|word| word.rsplit(':').next()?.parse().ok());
        ports.extend(port.filter(|port| !ports.contains(port)));
    }
    ports
}

/// Waits until a process has ended, which closes its standard output; kills it if it does not in time.
fn end(child: &mut Child, mut stdout: BufReader<ChildStdout>) -> Option<i32> {
    let (ended, end) = mpsc::channel();
    thread::spawn(move || {
        let _ = stdout.read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    if end.recv_timeout(DEADLINE).is_err() {
        let _ = child.kill();
    }
    child.wait().expect("its status").code()
}

fn terminate(child: &Child) {
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

/// Starts a broker, keeps connections open and opens more and more on each port, ends it, and returns its log.
fn log_of_a_life(config: &str, listeners: usize) -> String {
    let file = File::new("quiet.toml", config);
    let mut command = command();
    command.args(["--config", file.path()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the broker starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let log = thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).expect("the log is text");
        log
    });
    let ports = ports(&mut stdout, listeners);
    let is_over = AtomicBool::new(false);
    let status = thread::scope(|scope| {
        let (opened, open) = mpsc::channel();
        for port in ports.iter().copied().cycle().take(4 * ports.len()) {
            let (opened, is_over) = (opened.clone(), &is_over);
            scope.spawn(move || {
                let mut kept = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { break };
                    let _ = stream.write_all(HANDSHAKE.as_bytes());
                    if kept.len() < 20 {
                        kept.push(stream);
                    }
                    let _ = opened.send(());
                }
            });
        }
        open.iter().take(200).for_each(drop);
        terminate(&child);
        let status = end(&mut child, stdout);
        is_over.store(true, Ordering::SeqCst);
        status
    });
    let log = log.join().expect("the log is read");
    assert_eq!(status, Some(0), "{log}");
    log
}

/// An ordinary start and end are no reason for an alarm, whoever is connected and whoever just comes, on any listener.
#[test]
fn an_ordinary_life_alarms_nobody() {
    if skipped("it is about the broker's own log") {
        return;
    }
    let (certificate, key) = (File::new("certificate.pem", CERTIFICATE), File::new("key.pem", CERTIFICATE));
    let tls = format!("tls_certificate = {:?}\ntls_key = {:?}\n", certificate.path(), key.path());
    let app = "[[apps]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n";
    for (server, pipe, listeners) in [
        ("", "", 1),
        (tls.as_str(), "", 1),
        ("", "[pipe]\nown_port = true\nport = 0\n", 2),
        (tls.as_str(), "[pipe]\nown_port = true\nport = 0\n", 2),
    ] {
        // The moment that matters is short.
        for _ in 0..5 {
            let server = format!("[server]\nport = 0\nshutdown_grace_seconds = 1\n{server}");
            let log = log_of_a_life(&format!("{server}{pipe}{app}"), listeners);
            assert!(log.contains(" INFO shutting down"), "{log}");
            let alarms = log.lines().filter(|line| line.contains(" ERROR ") || line.contains(" WARN "));
            // Whoever has not answered is cut at the end of the grace period, which the log rightly tells.
            let alarms: Vec<_> =
                alarms.filter(|line| !line.contains("some connections did not end in time")).collect();
            assert!(alarms.is_empty(), "{server}{pipe}: {alarms:#?}");
        }
    }
}

/// Whatever keeps it from starting is told alone, however much is to be told.
#[test]
fn a_start_that_fails_says_nothing_else() {
    if skipped("it is about the broker's own log") {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let app = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n";
    for config in [
        format!("[server]\nport = {port}\n{app}"),
        format!("[server]\nport = 0\n[pipe]\nown_port = true\nport = {port}\n{app}"),
        format!("[server]\nport = 0\ncontrol_socket = \"/nowhere/control\"\n{app}"),
        format!("[server]\nport = 0\ntls_certificate = \"/nowhere\"\ntls_key = \"/nowhere\"\n{app}"),
        format!("[server]\nport = 0\nhost = \"192.0.2.1\"\n{app}"),
    ] {
        let file = File::new("fails.toml", &config);
        for level in ["info", "trace"] {
            let arguments = ["--config", file.path(), "--log-level", level];
            let output = command().args(arguments).output().expect("the command runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{config}{said}");
            assert!(output.stdout.is_empty(), "{config}");
            assert!(said.starts_with("heliostat: ") && said.lines().count() == 1, "{config}{level}: {said}");
        }
    }
}

/// A standard error that is closed from the start, on a disk that is full, or a pipe that is full because nobody reads it,
/// holds nothing up.
#[test]
fn a_standard_error_that_takes_nothing_holds_nothing_up() {
    if skipped("it is about the broker's own log") {
        return;
    }
    let fifo = File::new("fifo", "");
    std::fs::remove_file(fifo.path()).expect("its name is free");
    let made = Command::new("mkfifo").arg(fifo.path()).status();
    assert!(made.is_ok_and(|status| status.success()), "a pipe with a name");
    // The broker itself is the reader that does not read.
    let full = format!("3<>{0} 2>{0}", fifo.path());
    for to in ["2>&-", "2>/dev/full", "2</dev/null", &full] {
        let mut shell = Command::new("sh");
        let script = format!("exec \"$0\" --development --port 0 --log-level trace {to}");
        shell.arg("-c").arg(script).arg(binary()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("the broker starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let port = ports(&mut stdout, 1)[0];
        // Each of them makes a line of half a kilobyte, all together more than a pipe holds.
        let parameters = ["client", "version"].map(|name| format!("&{name}={}", "x".repeat(190))).concat();
        let handshake = HANDSHAKE.replace("protocol=7", &format!("protocol=7{parameters}"));
        let mut streams: Vec<_> = (0..300)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
                stream.set_read_timeout(Some(DEADLINE)).expect("a socket has time-outs");
                stream.write_all(handshake.as_bytes()).expect("the broker reads");
                stream
            })
            .collect();
        for stream in &mut streams {
            let mut answer = Vec::new();
            while !String::from_utf8_lossy(&answer).contains("connection_established") {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).expect("the broker answers");
                // A log that found its way into a socket would be here.
                assert!(read > 0, "{to}: {}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&part[..read]);
            }
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 101") && !answer.contains("heliostat"), "{to}: {answer}");
        }
        drop(streams);
        terminate(&child);
        assert_eq!(end(&mut child, stdout), Some(0), "{to}");
    }
}
