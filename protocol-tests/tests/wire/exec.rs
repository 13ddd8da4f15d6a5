//! `heliostat exec`: a command with a broker of its own, and all the ways in which it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use heliostat_protocol_tests::{broker, skipped};

/// Runs a script by the shell under `heliostat exec` to its end, unless the suite is aimed at another server.
fn run(options: &[&str], script: &str) -> Option<Output> {
    let mut command = begin(options, script)?;
    Some(command.output().expect("the command runs"))
}

fn begin(options: &[&str], script: &str) -> Option<Command> {
    if skipped("it is about the broker's own command line") {
        return None;
    }
    let mut command = broker::command();
    command.arg("exec").args(options).args(["--", "sh", "-c", script]);
    Some(command)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// The environment has everything, for pages only what they may know; the streams are the command's own.
///
/// Proves: test mode.
#[test]
fn the_command_has_its_environment_and_our_streams() {
    let script = "env | grep PUSHER; read line; echo got $line; echo aside >&2";
    let Some(mut command) = begin(&["--env-prefix", "REACT_APP_"], script) else { return };
    // The name of the program itself, for those who start it, is no setting.
    command.env("HELIOSTAT_BIN", "heliostat");
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a line\n").unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    assert!(status.success() && stdout.ends_with("got a line\n"), "{stdout}{stderr}");
    assert_eq!(stderr, "aside\n", "nothing of the broker's own");
    for name in ["PUSHER_APP_ID", "PUSHER_APP_SECRET", "PUSHER_URL", "PUSHER_TEST_URL", "PUSHER_TEST_TOKEN"] {
        assert_eq!(stdout.matches(&format!("{name}=")).count(), 1, "{name}\n{stdout}");
    }
    for name in ["PUSHER_APP_KEY", "PUSHER_HOST", "PUSHER_PORT", "PUSHER_SCHEME", "PUSHER_APP_CLUSTER"] {
        for prefix in ["", "VITE_", "NEXT_PUBLIC_", "REACT_APP_"] {
            assert!(
                stdout.lines().any(|line| line.starts_with(&format!("{prefix}{name}="))),
                "{prefix}{name}"
            );
        }
    }
}

/// The status is the command's own; a failure tells what the broker saw, a success nothing.
///
/// Proves: test mode.
#[test]
fn the_status_is_passed_on() {
    let Some(success) = run(&[], "exit 0") else { return };
    assert_eq!((success.status.code(), text(&success.stderr).as_str()), (Some(0), ""));
    // The shell has no HTTP of its own; the path tells in the timeline that the broker was there.
    let script = "exec 3<>/dev/tcp/$PUSHER_HOST/$PUSHER_PORT; printf 'GET /apps/%s/channels HTTP/1.0\\r\\n\\r\\n' $PUSHER_APP_ID >&3; cat <&3 >/dev/null; exit 3";
    let mut command = broker::command();
    let failure = command.args(["exec", "--", "bash", "-c", script]).output().unwrap();
    let told = text(&failure.stderr);
    assert_eq!(failure.status.code(), Some(3), "{told}");
    assert!(told.contains("ended with status 3") && told.contains("REFUSED GET /apps/"), "{told}");
    assert!(told.contains("401: Missing parameter: auth_key"), "{told}");
}

/// Apps that the tests made and deleted are told all the same. Laravel's `reverb` connection finds its variables.
///
/// Proves: test mode.
#[test]
fn what_happened_in_apps_that_have_ended_is_told() {
    let script = r#"
        ask() {
            exec 3<>/dev/tcp/$PUSHER_HOST/$PUSHER_PORT
            printf '%s %s HTTP/1.0\r\nAuthorization: Bearer %s\r\nContent-Length: %s\r\n\r\n%s' \
                "$1" "/test/apps$2" "$PUSHER_TEST_TOKEN" "${#3}" "$3" >&3
            cat <&3
        }
        ask POST "" '{"id":"4711"}' >&2
        ask POST /4711/wait '{"until":{"type":"connections","count":1},"timeout_ms":1}' >&2
        ask DELETE /4711 "" >&2
        env | grep REVERB_
        exit 3"#;
    if skipped("it is about the broker's own command line") {
        return;
    }
    let output = broker::command().args(["exec", "--", "bash", "-c", script]).output().unwrap();
    let (stdout, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{told}");
    let ended = told.split("app 4711, which has ended:").nth(1).unwrap_or_else(|| panic!("{told}"));
    assert!(ended.contains("GAVE UP expected exactly 1 connection, there are 0"), "{told}");
    for name in ["REVERB_APP_ID", "REVERB_APP_SECRET"] {
        assert_eq!(stdout.matches(&format!("{name}=")).count(), 1, "{name}\n{stdout}");
    }
    for name in ["REVERB_APP_KEY", "REVERB_HOST", "REVERB_PORT", "REVERB_SCHEME"] {
        for prefix in ["", "VITE_", "NEXT_PUBLIC_"] {
            assert!(
                stdout.lines().any(|line| line.starts_with(&format!("{prefix}{name}="))),
                "{prefix}{name}"
            );
        }
    }
}

/// A command that is killed, a command that does not exist, one that cannot be executed.
///
/// Proves: test mode.
#[test]
fn every_end_of_the_command_has_its_status() {
    let Some(killed) = run(&[], "kill -9 $$") else { return };
    assert_eq!(killed.status.code(), Some(137), "{}", text(&killed.stderr));
    for (name, code, words) in [
        ("no-such-command-anywhere", 127, "there is no such command"),
        ("/no/such/command", 127, "there is no such command"),
        ("/dev/null", 126, "no executable file"),
    ] {
        let output = broker::command().args(["exec", "--", name]).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(words) && told.contains(name) && told.lines().count() == 1, "{told}");
    }
    let usage = broker::command().args(["exec", "true"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2), "the command stands behind --");
}

/// A port that is taken: the command does not run.
///
/// Proves: test mode.
#[test]
fn a_port_that_is_taken_stops_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let Some(output) = run(&["--port", &port], "echo ran") else { return };
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
    assert!(text(&output.stderr).contains("the port is in use"), "{}", text(&output.stderr));
}

/// Signals reach the command, whose own end is what counts.
///
/// Proves: test mode.
#[test]
fn signals_are_forwarded() {
    let script = "trap 'echo caught TERM; exit 7' TERM; trap 'echo caught USR1' USR1; echo ready; while :; do read line; done";
    let Some(mut command) = begin(&[], script) else { return };
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let keep_open = child.stdin.take();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut next = || {
        line.clear();
        stdout.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    assert_eq!(next(), "ready");
    signal("-USR1", child.id());
    assert_eq!(next(), "caught USR1");
    signal("-TERM", child.id());
    assert_eq!(next(), "caught TERM");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    drop(keep_open);
}

/// The broker is killed: the command is told to end, and does not hang for ever.
///
/// Proves: test mode.
#[cfg(target_os = "linux")]
#[test]
fn the_command_ends_with_its_broker() {
    let script = "trap 'echo told to end; exit 0' TERM; echo $PUSHER_PORT; while :; do read line; done";
    let Some(mut command) = begin(&[], script) else { return };
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let keep_open = child.stdin.take();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port: u16 = lines.next().unwrap().unwrap().parse().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "told to end");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    drop(keep_open);
}
