//! The configuration in the console and on the command line: what a reload would change, and having it done.

use heliostat_protocol_tests::Target;
use heliostat_protocol_tests::http::Response;
use heliostat_protocol_tests::target::MAIN_APP;
use serde_json::{Value, json};

use crate::admin::{TOKEN, ask, bearer};
use crate::console::Console;

const PATH: &str = "/console/api/reload";

fn plan(console: &Console) -> Response {
    ask(&console.admin, "GET", PATH, &bearer(TOKEN))
}

fn reload(console: &Console, asked: &Value) -> Response {
    let headers = format!("{}Content-Type: application/json\r\n", bearer(TOKEN));
    console.post_to(&headers, PATH, &asked.to_string())
}

/// What the files have is shown beside what runs, in what takes effect at once and what does not before a restart, without
/// secrets; it is put in force as it was shown, or not at all. The command says the same.
///
/// Proves: pages, 26.
#[test]
fn what_a_reload_would_change_is_shown_and_done() {
    let Some(console) = Console::start() else { return };
    let broker = console.broker.broker().unwrap();
    let before = std::fs::read_to_string(broker.config()).unwrap();
    assert_eq!(plan(&console).json()["changes"], false);
    let app = "[[apps]]\nid = \"7\"\nkey = \"key-7\"\nsecret = \"secret-of-seven\"\n";
    let changed = |more: &str| {
        let changed = before.replacen("secret = \"", "secret = \"another-", 1);
        let changed = changed.replacen("client_events = true", "client_events = false", 1);
        format!("{changed}{app}{more}[connection]\nactivity_timeout_seconds = 77\n")
    };
    assert_ne!(changed(""), before);
    broker.configure(&changed(""));
    let shown = plan(&console);
    let told = shown.json();
    assert_eq!(told["needs_restart"][0]["path"], "connection.activity_timeout_seconds", "{told}");
    assert_eq!(told["at_once"], json!([]));
    assert_eq!(told["apps"]["added"][0]["id"], "7");
    let settings = told["apps"]["changed"][0]["settings"].as_array().unwrap();
    let paths: Vec<_> = settings.iter().map(|of| (of["path"].as_str().unwrap(), &of["is_secret"])).collect();
    assert_eq!(paths, [("client_events", &json!(false)), ("keys", &json!(true))]);
    let dry = broker.command("reload").arg("--dry-run").output().unwrap();
    let said = String::from_utf8(dry.stdout).unwrap();
    assert!(
        dry.status.success() && said.contains("  client_events: true -> false\n  keys: another secret\n"),
        "{said}"
    );
    assert!(said.contains("not before a restart:\n  connection.activity_timeout_seconds: "), "{said}");
    for secret in ["secret-of-seven", "another-", console.broker.credentials.secret.as_str()] {
        assert!(!shown.text().contains(secret) && !said.contains(secret), "{secret}: {said}{shown}");
    }
    // Nothing has changed so far, and what was shown is not what is there now.
    broker.configure(&changed("# a comment\nhttp_streams = false\n"));
    let stale = reload(&console, &json!({ "version": told["version"] }));
    assert!(stale.status == 409 && stale.text().contains("look again"), "{stale}");
    assert!(ask(&console.admin, "GET", "/console/api/apps/7/channels", &bearer(TOKEN)).status == 404);
    let version = plan(&console).json()["version"].clone();
    let done = reload(&console, &json!({ "version": version }));
    let told = done.json();
    let expected = "apps: added 1 (7), changed 1 (";
    assert!(done.status == 200 && told["told"].as_str().unwrap().starts_with(expected), "{done}");
    let left = plan(&console).json();
    assert_eq!([&left["apps"]["added"], &left["apps"]["changed"]], [&json!([]), &json!([])]);
    assert_eq!(
        left["needs_restart"][0]["path"], "connection.activity_timeout_seconds",
        "it still runs with the old one"
    );
    assert!(broker.log().contains("configuration reloaded"));
}

/// A file with a fault is told of in the broker's own words, which hold nothing of the file beyond them; and nothing happens.
///
/// Proves: pages, bad input.
#[test]
fn files_with_a_fault_are_told_of_and_change_nothing() {
    let Some(console) = Console::start() else { return };
    let broker = console.broker.broker().unwrap();
    for (config, expected) in [
        ("secret = \"a-secret-of-the-file\n".to_owned(), "not valid TOML"),
        (format!("{MAIN_APP}limits = {{ connections = -1 }}"), "apps.limits.connections must be"),
        (format!("{MAIN_APP}secret = \"a-secret-of-the-file\"\n"), "TOML"),
        (format!("{MAIN_APP}[admin]\ntoken = \"a secret of the file\"\n"), "admin.token must be"),
    ] {
        broker.configure(&config);
        for refused in [plan(&console), reload(&console, &json!({}))] {
            let told: Value = serde_json::from_str(refused.text()).unwrap();
            let told = told["error"].as_str().unwrap();
            assert!(refused.status == 422 && told.contains(expected), "{config}: {refused}");
            assert!(
                !told.contains("secret-of") && !told.contains("secret of") && !told.contains("heliostat: "),
                "{told}"
            );
        }
        let dry = broker.command("reload").arg("--dry-run").output().unwrap();
        assert_eq!(dry.status.code(), Some(1));
    }
    console.broker.connect().assert_silence();
}

/// It takes credentials, is for no page of another site, and is nowhere on the clients' listener; what reloads is a POST of JSON.
///
/// Proves: bad input.
#[test]
fn a_reload_is_for_those_who_run_the_broker() {
    let Some(console) = Console::start() else { return };
    for method in ["GET", "POST"] {
        assert_eq!(ask(&console.admin, method, PATH, "").status, 401);
        let foreign = format!("{}Origin: http://localhost:3000\r\n", bearer(TOKEN));
        assert_eq!(ask(&console.admin, method, PATH, &foreign).status, 403);
        assert!([404, 405].contains(&ask(&console.broker, method, PATH, &bearer(TOKEN)).status));
    }
    let form = format!("{}Content-Type: text/plain\r\n", bearer(TOKEN));
    assert_eq!(console.post_to(&form, PATH, "{}").status, 415);
    assert_eq!(reload(&console, &json!({ "version": 5 })).status, 400);
    let log = console.broker.broker().unwrap().log();
    assert!(!log.contains("configuration reloaded"), "{log}");
}

/// The pages of development mode lead to the console where it can be reached under their own name; with no token, and nowhere else.
///
/// Proves: pages, bad input.
#[test]
fn the_pages_of_development_mode_lead_to_it() {
    let Some(target) = Target::own_with(None, &["--development", "--admin=127.0.0.1:0"], &[]) else { return };
    let admin = crate::admin::admin_of(&target);
    let told = |host: &str| {
        let settings = ask(&target, "GET", "/dev/config.json", &format!("Host: {host}\r\n")).json();
        settings["console"].as_str().map(str::to_owned)
    };
    for host in ["127.0.0.1", "localhost"] {
        let link = format!("http://{host}:{}/console/", admin.port);
        assert_eq!(told(&format!("{host}:{}", target.port)), Some(link));
    }
    let followed = "Host: localhost\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";
    assert_eq!(ask(&admin, "GET", "/console/", followed).status, 401, "it asks for credentials");
    for path in ["/", "/stream", "/mirror"] {
        let answer = ask(&target, "GET", path, "Host: localhost\r\n");
        let page = answer.text();
        assert!(page.contains("id=\"console\"") && !page.contains("token"), "{path}");
    }
    let off = [("HELIOSTAT_ADMIN_ENABLED", "false")];
    let off = Target::own_with(None, &["--development"], &off).unwrap();
    let settings = ask(&off, "GET", "/dev/config.json", "Host: localhost\r\n").json();
    assert_eq!(settings["console"], Value::Null);
}
