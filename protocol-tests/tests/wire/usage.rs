//! What each app has used day by day, as the admin listener tells it: across restarts, and with files that are not what
//! they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, unique};
use serde_json::{Value, json};

use crate::admin::{admin_of, ask};
use crate::eventually;

/// How long a broker may take to end.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(unique("protocol-tests-usage-"));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("usage.json")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A broker that keeps its usage there, and its admin listener.
fn broker(file: &str) -> Option<(Target, Target)> {
    let target = Target::own(&format!(
        "[server]\nworkers = 2\n[admin]\nenabled = true\nport = 0\nusage_file = {file:?}\n{MAIN_APP}"
    ))?;
    let admin = admin_of(&target);
    Some((target, admin))
}

fn usage(admin: &Target, query: &str) -> Value {
    let answer = ask(admin, "GET", &format!("/usage{query}"), "");
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

/// The figure of the main app, of all days together: midnight may come between. Of the peak, the highest.
fn total(usage: &Value, figure: &str) -> u64 {
    let days = usage["days"].as_object().unwrap().values();
    let figures = days.map(|day| day["1001"][figure].as_u64().unwrap_or_default());
    if figure == "peak_connections" { figures.max().unwrap_or_default() } else { figures.sum() }
}

fn stop(target: Target) {
    let broker = target.broker().unwrap();
    broker.terminate();
    assert!(broker.await_exit(END_DEADLINE).success());
}

/// Clients come and go, and hear events that the backend publishes.
fn use_it(target: &Target, clients: usize, events: u64) {
    let channel = unique("room-");
    let mut sockets: Vec<_> = (0..clients).map(|_| target.connect()).collect();
    sockets.iter_mut().for_each(|socket| socket.subscribe(&channel));
    for _ in 0..events {
        target.publish(&channel, "x", "y");
        sockets.iter_mut().for_each(|socket| drop(socket.expect_on(&channel, "x")));
    }
    sockets.into_iter().for_each(|socket| socket.close());
}

/// What was used is there after a restart, and added to. The peak is the most at once, however short it was.
///
/// Proves: bad input.
#[test]
fn a_restart_keeps_what_was_used() {
    let folder = Folder::new();
    let file = folder.file();
    let mut sent = 0;
    for (restarts, clients) in [(1, 3), (2, 5), (3, 2)] {
        let Some((target, admin)) = broker(file.to_str().unwrap()) else { return };
        let before = usage(&admin, "");
        assert_eq!(before["persisted"], json!(true), "{before}");
        assert_eq!(total(&before, "messages_sent"), sent, "{before}");
        use_it(&target, clients, 10);
        let after = eventually("all is counted", || {
            let usage = usage(&admin, "?days=400&app=1001");
            (total(&usage, "api_events") == 10 * restarts).then_some(usage)
        });
        assert_eq!(total(&after, "peak_connections"), if restarts == 1 { 3 } else { 5 }, "{after}");
        // A greeting and the confirmation of a subscription for each, and the events.
        sent += 12 * clients as u64;
        assert_eq!(total(&after, "messages_sent"), sent, "{after}");
        assert!(total(&after, "bytes_sent") > 10 * sent && total(&after, "bytes_received") > 0, "{after}");
        assert!(after["memory"]["used"].is_number() && after["not_persisted_because"].is_null());
        stop(target);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o137,
            0,
            "nobody else may read or write it"
        );
    }
}

/// A file that is none, one of a later release and one that another broker has are left alone; the broker serves, says so,
/// and tells what it has in memory.
///
/// Proves: bad input.
#[test]
fn a_file_in_trouble_is_left_alone() {
    for (text, complaint) in [
        ("[[apps]]\nid = \"1\"\n", "it is no file of usage (expected an object) and is left as it is"),
        ("{\"heliostat_usage\":9,\"days\":[]}", "it is of version 9, and this broker knows version 1"),
        ("", "it is no file of usage (EOF while parsing a value"),
    ] {
        let folder = Folder::new();
        fs::write(folder.file(), text).unwrap();
        let Some((target, admin)) = broker(folder.file().to_str().unwrap()) else { return };
        assert_in_trouble(&target, &admin, complaint);
        stop(target);
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
    }
    let folder = Folder::new();
    let Some((first, _)) = broker(folder.file().to_str().unwrap()) else { return };
    let Some((second, admin)) = broker(folder.file().to_str().unwrap()) else { return };
    assert_in_trouble(&second, &admin, "another broker keeps its usage in this file");
    stop(first);
    // At its end it tries again, and there is nobody else now.
    stop(second);
    assert!(folder.file().exists());
    let Some((nowhere, admin)) = broker("/nonexistent/usage.json") else { return };
    assert_in_trouble(&nowhere, &admin, "it cannot be written: No such file or directory");
    let Some((folder, admin)) = broker(folder.0.to_str().unwrap()) else { return };
    assert_in_trouble(&folder, &admin, "there is something else than a file");
}

#[track_caller]
fn assert_in_trouble(target: &Target, admin: &Target, complaint: &str) {
    let broker = target.broker().unwrap();
    eventually("a warning", || broker.log().contains("usage is kept in memory alone").then_some(()));
    use_it(target, 2, 1);
    let usage = eventually("the event is counted", || {
        let usage = usage(admin, "");
        (total(&usage, "api_events") == 1).then_some(usage)
    });
    assert_eq!(usage["persisted"], json!(false), "{usage}");
    let reason = usage["not_persisted_because"].as_str().unwrap();
    assert!(reason.starts_with(complaint), "{reason}");
    let metrics = ask(admin, "GET", "/metrics", "");
    for metric in ["heliostat_usage_file_failures_total", "heliostat_usage_rows"] {
        let value = metrics.text().lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        assert!(value.is_some_and(|value| value != "0"), "{metric}: {metrics}");
    }
}

/// Without a file it says that it keeps nothing; and a wrong question is told what is right.
///
/// Proves: bad input.
#[test]
fn without_a_file_nothing_is_kept_and_a_wrong_question_is_explained() {
    let Some((target, admin)) = broker("") else { return };
    use_it(&target, 1, 1);
    let told = usage(&admin, "?app=1001");
    assert_eq!((&told["persisted"], &told["not_persisted_because"]), (&json!(false), &Value::Null), "{told}");
    assert_eq!(usage(&admin, "?app=nobody")["days"], json!({}));
    for days in ["0", "401", "-1", "x", ""] {
        let refused = ask(&admin, "GET", &format!("/usage?days={days}"), "");
        let expected = format!("Bad request: days must be an integer from 1 to 400, got {days:?}");
        refused.assert_error(400, &expected);
    }
}
