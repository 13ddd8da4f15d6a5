//! Usage over days, restarts, and files that are not what they should be.

use std::fs;
use std::time::UNIX_EPOCH;

use serde_json::json;

use super::*;
use crate::app::App;
use crate::connection::ConnectionConfig;
use crate::event::Source;

/// 2026-11-29, 23:59:30.
const LATE: u64 = 1_795_996_770;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("heliostat-usage-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
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

fn hub(ids: &[&str]) -> Arc<Hub> {
    let apps = ids.iter().map(|id| (App::new(*id, format!("key-{id}"), "secret"), Vec::new())).collect();
    Hub::new(apps, ConnectionConfig::default(), 1, 0).unwrap()
}

/// An app is used: so many messages are sent.
fn used(hub: &Hub, id: &str, messages: u64) {
    hub.apps().by_id(id).unwrap().count(|cells| &cells.messages_sent, messages);
}

fn book(hub: &Arc<Hub>, path: &Path) -> UsageBook {
    UsageBook::open_at(Arc::clone(hub), Some(path.to_owned()), at(LATE))
}

/// Messages that an app was sent on a day, as the report has it.
fn sent(book: &UsageBook, day: &str, id: &str) -> Option<u64> {
    let days = serde_json::to_value(book.state.lock().ledger.last(400, None)).unwrap();
    days[day][id]["messages_sent"].as_u64()
}

/// What is told on the day of the tests.
fn told(book: &UsageBook) -> UsageReport {
    book.report_at(at(LATE + 2), 400, None)
}

#[test]
fn what_is_used_belongs_to_its_day() {
    let hub = hub(&["a"]);
    let book = UsageBook::open_at(Arc::clone(&hub), None, at(LATE));
    used(&hub, "a", 5);
    book.take_note(at(LATE + 30));
    used(&hub, "a", 3);
    book.take_note(at(LATE + 60));
    assert_eq!((sent(&book, "2026-11-29", "a"), sent(&book, "2026-11-30", "a")), (Some(5), Some(3)));
    // A clock that is set back, and then right again.
    book.take_note(at(LATE));
    used(&hub, "a", 7);
    book.take_note(at(LATE + 40));
    used(&hub, "a", 11);
    book.take_note(at(LATE + 50));
    assert_eq!((sent(&book, "2026-11-29", "a"), sent(&book, "2026-11-30", "a")), (Some(12), Some(14)));
    // One that was wrong by years costs nobody his figures.
    book.take_note(at(1 << 40));
    used(&hub, "a", 1);
    book.take_note(at(LATE));
    assert_eq!((sent(&book, "2026-11-29", "a"), sent(&book, "9999-12-31", "a")), (Some(12), Some(1)));
    book.write();
    assert!(!told(&book).is_persisted && told(&book).trouble.is_none());
}

#[test]
fn an_app_that_goes_keeps_its_days() {
    let hub = hub(&["a", "b"]);
    let book = UsageBook::open_at(Arc::clone(&hub), None, at(LATE));
    used(&hub, "a", 5);
    hub.apps().by_id("a").unwrap().count(|cells| cells.events_of(&Source::Http), 2);
    hub.set_apps(vec![(App::new("b", "key-b", "secret"), None)]).unwrap();
    used(&hub, "b", 1);
    book.take_note(at(LATE + 1));
    assert_eq!((sent(&book, "2026-11-29", "a"), sent(&book, "2026-11-29", "b")), (Some(5), Some(1)));
    let report = book.report_at(at(LATE + 2), 31, Some("a"));
    let expected = json!({ "2026-11-29": { "a": {
        "peak_connections": 0, "messages_received": 0, "messages_sent": 5, "bytes_received": 0, "bytes_sent": 0,
        "api_events": 2,
    } } });
    assert_eq!(report.days, expected);
}

#[test]
fn a_restart_adds_to_what_there_was() {
    let folder = Folder::new("restart");
    for restart in 1..=3_u64 {
        let hub = hub(&["a"]);
        let book = book(&hub, &folder.file());
        used(&hub, "a", 5);
        book.take_note(at(LATE + 1));
        book.write();
        assert!(told(&book).is_persisted);
        assert_eq!(sent(&book, "2026-11-29", "a"), Some(5 * restart));
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2, "the file and its lock");
}

#[test]
fn nothing_is_written_where_nothing_has_changed() {
    let (folder, hub) = (Folder::new("idle"), hub(&["a"]));
    let book = book(&hub, &folder.file());
    book.take_note(at(LATE + 1));
    book.write();
    assert!(!folder.file().exists());
    used(&hub, "a", 1);
    book.take_note(at(LATE + 2));
    book.write();
    fs::remove_file(folder.file()).unwrap();
    book.take_note(at(LATE + 3));
    book.write();
    assert!(!folder.file().exists());
}

/// Whatever stands there, nobody's words are lost; and once it is out of the way nothing is missing of what was used.
#[test]
fn what_is_no_file_of_usage_is_never_overwritten() {
    let table = [
        ("", "it is no file of usage (EOF while parsing"),
        ("{}", "it is no file of usage (missing field `heliostat_usage`"),
        ("[apps]\nid = 1", "it is no file of usage (expected an object"),
        ("[1,{}]", "it is no file of usage (expected an object"),
        ("{\"heliostat_usage\":1}", "it is no file of usage (missing field `days`"),
        (
            "{\"heliostat_usage\":1,\"days\":{\"2026-11-29\":{\"a\":{}}}}",
            "it is no file of usage (missing field",
        ),
        (
            "{\"heliostat_usage\":1,\"days\":{\"yesterday\":{}}}",
            "it is no file of usage (expected a day such as",
        ),
        ("{\"heliostat_usage\":1,\"days\":{},\"more\":1}", "it is no file of usage (unknown field `more`"),
        (
            "{\"heliostat_usage\":2,\"weeks\":{}}",
            "it is of version 2, and this broker knows version 1; it is left",
        ),
        ("\u{0}\u{1}\u{ff}", "it is no file of usage (expected an object"),
    ];
    for (number, (text, complaint)) in table.into_iter().enumerate() {
        let (folder, hub) = (Folder::new(&format!("rubbish-{number}")), hub(&["a"]));
        fs::write(folder.file(), text).unwrap();
        let book = book(&hub, &folder.file());
        used(&hub, "a", 5);
        for minute in 0..3 {
            book.take_note(at(LATE + minute));
            book.write();
        }
        assert_eq!(fs::read_to_string(folder.file()).unwrap(), text);
        let report = told(&book);
        let trouble = report.trouble.unwrap();
        assert!(!report.is_persisted && trouble.starts_with(complaint), "{text}: {trouble}");
        assert_eq!(book.figures(), UsageFigures { rows: 1, failures: 4 });

        let mut before = UsageLedger::default();
        before.add(&Day::of(at(LATE)), "a", &crate::hub::AppUsage { messages_sent: 7, ..Default::default() });
        fs::write(folder.file(), text_of(&before)).unwrap();
        book.write();
        assert!(told(&book).is_persisted);
        assert_eq!(sent(&book, "2026-11-29", "a"), Some(12));
        drop(book);
        assert_eq!(sent(&self::book(&hub, &folder.file()), "2026-11-29", "a"), Some(12));
    }
}

#[test]
fn what_is_no_file_at_all_is_not_opened() {
    let (folder, hub) = (Folder::new("folder"), hub(&["a"]));
    fs::create_dir(folder.file()).unwrap();
    let report = told(&book(&hub, &folder.file()));
    assert_eq!(report.trouble.as_deref(), Some("there is something else than a file"));
}

#[test]
fn of_two_brokers_one_has_the_file_and_the_other_adds_to_it_later() {
    let (folder, first_hub, second_hub) = (Folder::new("two"), hub(&["a"]), hub(&["a"]));
    let first = book(&first_hub, &folder.file());
    let second = book(&second_hub, &folder.file());
    used(&first_hub, "a", 1);
    used(&second_hub, "a", 2);
    for book in [&first, &second] {
        book.take_note(at(LATE + 1));
        book.write();
    }
    assert!(told(&first).is_persisted);
    let trouble = told(&second).trouble.unwrap();
    assert!(trouble.starts_with("another broker keeps its usage in this file"), "{trouble}");
    drop(first);
    second.write();
    assert!(told(&second).is_persisted);
    assert_eq!(sent(&second, "2026-11-29", "a"), Some(3));
}

/// As where a disk is full: what was there stays, what is new is kept in memory, and written when there is room.
#[test]
fn a_file_that_cannot_be_written_loses_nothing() {
    let (folder, hub) = (Folder::new("full"), hub(&["a"]));
    let book = book(&hub, &folder.file());
    let use_and_write = |messages| {
        used(&hub, "a", messages);
        book.take_note(at(LATE + 1));
        book.write();
        fs::read_to_string(folder.file()).unwrap()
    };
    let before = use_and_write(1);
    let in_the_way = folder.0.join("usage.json.new");
    fs::create_dir(&in_the_way).unwrap();
    for _ in 0..3 {
        assert_eq!(use_and_write(1), before);
    }
    let report = told(&book);
    assert!(!report.is_persisted && report.trouble.unwrap().starts_with("it cannot be written: "));
    assert_eq!(book.figures().failures, 3);
    fs::remove_dir(&in_the_way).unwrap();
    assert!(use_and_write(1) != before && told(&book).is_persisted);
    drop(book);
    assert_eq!(sent(&self::book(&hub, &folder.file()), "2026-11-29", "a"), Some(5));
}

#[test]
fn ten_thousand_apps_are_kept() {
    let folder = Folder::new("many");
    let ids: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    let hub = hub(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let book = book(&hub, &folder.file());
    ids.iter().for_each(|id| used(&hub, id, 1));
    book.take_note(at(LATE + 1));
    book.write();
    assert_eq!(book.figures().rows, 10_000);
    drop(book);
    let again = self::book(&hub, &folder.file());
    assert_eq!((again.figures().rows, sent(&again, "2026-11-29", "9999")), (10_000, Some(1)));
}

/// The example of docs/monitoring.md has the members that there are.
#[test]
fn the_page_shows_the_answer_as_it_is() {
    let page = include_str!("../../docs/monitoring.md");
    let block =
        page.split("<!-- usage -->\n```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let shown: Value = serde_json::from_str(block).unwrap();
    let ledger: UsageLedger = serde_json::from_value(shown["days"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&ledger).unwrap(), shown["days"]);
    let hub = hub(&["a"]);
    used(&hub, "a", 1);
    let report = told(&UsageBook::open_at(hub, None, at(LATE)));
    let members = |days: &Value| -> Vec<String> {
        let app =
            days.as_object().and_then(|days| days.values().next()?.as_object()?.values().next()?.as_object());
        app.map(|app| app.keys().cloned().collect()).unwrap()
    };
    assert_eq!(members(&report.days), members(&shown["days"]));
}
