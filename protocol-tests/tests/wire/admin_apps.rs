//! The API of the apps on the admin listener: what it changes, in the file and in force; what it refuses; and that its
//! description holds for every answer of these tests.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use heliostat_protocol_tests::broker::Broker;
use heliostat_protocol_tests::http::{Connection, Response};
use heliostat_protocol_tests::schema::{judge, resolve};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Shared, Target};
use serde_json::{Value, json};

use crate::admin::{TOKEN, admin_of, bearer};

/// The description, as it stands in docs.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        serde_json::from_str(include_str!("../../../docs/admin-api.openapi.json"))
            .expect("the document is JSON")
    })
}

/// A broker with the API, and a file of apps beside its configuration.
pub(crate) struct Api {
    pub(crate) broker: Target,
    pub(crate) admin: Target,
}

impl Api {
    pub(crate) fn start() -> Option<Api> {
        Api::start_with("")
    }

    /// `[admin]` holds `settings`, too.
    pub(crate) fn start_with(settings: &str) -> Option<Api> {
        let admin = format!("[admin]\nenabled = true\nport = 0\ntoken = \"{TOKEN}\"\n{settings}\n");
        let broker = Target::own(&format!("{admin}{MAIN_APP}"))?;
        let admin = admin_of(&broker);
        Some(Api { broker, admin })
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.broker.broker().unwrap().config().with_extension("apps.toml")
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// Asks with these credentials, and holds the answer to the description.
    #[track_caller]
    pub(crate) fn ask_as(&self, who: &str, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{who}{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = Connection::open(&self.admin).exchange(request.as_bytes()).expect("an answer");
        assert_described(method, path, &answer);
        answer
    }

    #[track_caller]
    fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        self.ask_as(&bearer(TOKEN), method, path, headers, body)
    }

    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Response {
        match body {
            Value::Null => self.ask_with(method, path, "", ""),
            body => self.ask_with(method, path, "Content-Type: application/json\r\n", &body.to_string()),
        }
    }

    /// The broker as clients of the app see it that this pair is of.
    fn target_of(&self, id: &str, pair: &Value) -> Target {
        let text = |name: &str| pair[name].as_str().expect("a pair of texts");
        self.broker.with_credentials(Credentials::new(id, text("key"), text("secret")))
    }
}

/// Holds an answer to the description: its path, method, status, type and body.
#[track_caller]
fn assert_described(method: &str, path: &str, answer: &Response) {
    let paths = document()["paths"].as_object().unwrap();
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    let fits = |pattern: &str| {
        let own: Vec<&str> = pattern.split('/').skip(1).collect();
        own.len() == segments.len()
            && own.iter().zip(&segments).all(|(own, got)| own.starts_with('{') || own == got)
    };
    let Some((_, described)) = paths.iter().find(|(pattern, _)| fits(pattern)) else {
        assert_eq!(answer.status, 404, "{method} {path} is not described: {answer}");
        return;
    };
    let Some(operation) = described.get(method.to_lowercase()) else {
        assert_eq!(answer.status, 405, "{method} {path} is not described: {answer}");
        return;
    };
    let status = answer.status.to_string();
    let response = operation["responses"].get(&status);
    let response = response.unwrap_or_else(|| panic!("{method} {path}: {status} is not described: {answer}"));
    for name in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(answer.header(name).is_some(), "{method} {path}: {name} is promised with {answer}");
    }
    let Some(content) = response.get("content") else {
        assert!(answer.body.is_empty(), "{method} {path}: {answer}");
        return;
    };
    let media_type = answer.header("content-type").unwrap_or_default().split(';').next().unwrap();
    let schema =
        &content.get(media_type).unwrap_or_else(|| panic!("{media_type} is not described"))["schema"];
    let value = match media_type {
        "application/json" => serde_json::from_slice(&answer.body).expect("JSON"),
        _ => json!(answer.text()),
    };
    if let Err(fault) = judge(document(), resolve(document(), schema), &value) {
        panic!("{method} {path} {status}: {fault}");
    }
}

pub(crate) fn json_of(answer: &Response, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer}");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// An app is created, shown, changed, switched off and on, and deleted, while the broker serves: it is in force when it is
/// answered, and stands in the file, which its owner alone may read. A restart finds it there.
#[test]
fn an_app_comes_and_goes_while_the_broker_serves() {
    let Some(api) = Api::start() else { return };
    let client = api.broker.connect();
    assert_eq!(json_of(&api.ask("GET", "/api/apps", &Value::Null), 200)["apps"].as_array().unwrap().len(), 1);
    let created = api.ask("POST", "/api/apps", &json!({ "limits": { "connections": 5 } }));
    let app = json_of(&created, 201);
    let id = app["app"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/apps/{id}");
    assert_eq!(created.header("location"), Some(path.as_str()));
    let pair = &app["app"]["keys"][0].clone();
    let target = api.target_of(&id, pair);
    let mut of_app = target.connect();
    of_app.subscribe("room");
    assert_eq!((&app["in_force"], &app["changeable"]), (&json!(true), &json!(true)));
    assert_eq!(app["app"]["limits"]["connections"], 5);
    assert_eq!(app["app"]["client_events"], false, "what nobody has set is shown, too");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(api.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = api.ask("GET", &path, &Value::Null);
    assert_eq!((json_of(&shown, 200), shown.header("etag")), (app, created.header("etag")));

    let changed =
        api.ask("PATCH", &path, &json!({ "client_events": true, "limits": { "connections": null } }));
    let app = json_of(&changed, 200);
    assert_eq!(
        (&app["app"]["client_events"], &app["app"]["limits"]["connections"]),
        (&json!(true), &json!(0))
    );
    assert_ne!(changed.header("etag"), created.header("etag"));
    let listed = json_of(&api.ask("GET", "/api/apps", &Value::Null), 200);
    let secret = pair["secret"].as_str().unwrap();
    assert!(!listed.to_string().contains(secret) && listed.to_string().contains(&id), "{listed}");

    assert_eq!(api.ask("PATCH", &path, &json!({ "enabled": false })).status, 200);
    let _ = of_app.expect_close_with(4003);
    assert_eq!(api.ask("PATCH", &path, &json!({ "enabled": true })).status, 200);
    let mut of_app = target.connect();
    assert_eq!(api.ask("DELETE", &path, &Value::Null).status, 204);
    let _ = of_app.expect_close_with(4001);
    let _ = api.ask("GET", &path, &Value::Null).error(404);
    assert_eq!(api.text(), "");
    drop(client);
}

/// A new pair is the first, and both are valid until the old one is revoked. Connections that it has opened stay.
///
/// Proves: 23.
#[test]
fn keys_are_rotated_and_revoked() {
    let Some(api) = Api::start() else { return };
    let app =
        json_of(&api.ask("POST", "/api/apps", &json!({ "id": "7", "key": "old", "secret": "hush" })), 201);
    let old = &app["app"]["keys"][0];
    let mut before = api.target_of("7", old).connect();
    let rotated = api.ask("POST", "/api/apps/7/keys", &Value::Null);
    let new = json_of(&rotated, 201);
    assert_eq!(
        rotated.header("location"),
        Some(format!("/api/apps/7/keys/{}", new["key"].as_str().unwrap()).as_str())
    );
    let shown = json_of(&api.ask("GET", "/api/apps/7", &Value::Null), 200);
    assert_eq!(shown["app"]["keys"], json!([new, old]));
    let named = json_of(&api.ask("POST", "/api/apps/7/keys", &json!({ "key": "named", "secret": "s" })), 201);
    assert_eq!(named, json!({ "key": "named", "secret": "s" }));
    for pair in [old, &new, &named] {
        api.target_of("7", pair).connect().subscribe("room");
    }
    assert_eq!(api.ask("DELETE", "/api/apps/7/keys/old", &Value::Null).status, 204);
    before.subscribe("room");
    let _ = api.ask("DELETE", "/api/apps/7/keys/old", &Value::Null).error(404);
    let refused = api.target_of("7", old).call("GET", "/channels").send();
    assert_eq!(refused.status, 400, "{refused}");
    assert_eq!(api.ask("DELETE", "/api/apps/7/keys/named", &Value::Null).status, 204);
    let last = format!("/api/apps/7/keys/{}", new["key"].as_str().unwrap());
    assert!(api.ask("DELETE", &last, &Value::Null).error(409).contains("the last key"));
    for (body, told) in [
        (json!({ "key": "app-key" }), "the key \"app-key\" is used twice"),
        (json!({ "kee": "x" }), "unknown member \"kee\""),
        (json!({ "secret": 5 }), "secret must be a string"),
        (json!({ "key": "a b" }), "apps.keys.key must be"),
    ] {
        let refused = api.ask("POST", "/api/apps/7/keys", &body);
        assert!([409, 422].contains(&refused.status) && refused.text().contains(told), "{body}: {refused}");
    }
    let log = api.broker.broker().unwrap().log();
    assert!(log.contains("app given a new key by the API") && log.contains("app deprived of a key"), "{log}");
    for secret in ["hush", new["secret"].as_str().unwrap()] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// Every fault of a request gets one sentence and a status of its own, and changes nothing.
///
/// Proves: bad input.
#[test]
fn faults_are_told_and_change_nothing() {
    let Some(api) = Api::start() else { return };
    let _ = json_of(&api.ask("POST", "/api/apps", &json!({ "id": "7", "key": "k7", "secret": "s7" })), 201);
    let text = api.text();
    let long = json!({ "id": "8", "allowed_origins": ["x".repeat(300_000)] });
    for (method, path, body, status, told) in [
        (
            "POST",
            "/api/apps",
            json!({ "id": "7" }),
            409,
            "there is an app with the id \"7\" already, defined by ",
        ),
        (
            "POST",
            "/api/apps",
            json!({ "id": "1001" }),
            409,
            "there is an app with the id \"1001\" already, defined by ",
        ),
        (
            "POST",
            "/api/apps",
            json!({ "id": "8", "key": "app-key" }),
            409,
            "the key \"app-key\" is used twice",
        ),
        ("POST", "/api/apps", json!({ "id": "a/b" }), 422, "apps.id must be "),
        ("POST", "/api/apps", json!({ "id": 8 }), 422, "apps.id must be "),
        ("POST", "/api/apps", json!({ "secret": true }), 422, "apps.secret must be "),
        (
            "POST",
            "/api/apps",
            json!({ "client_event": true }),
            422,
            "unknown key \"apps.client_event\"; did you mean",
        ),
        (
            "POST",
            "/api/apps",
            json!({ "limits": { "connections": 1e30 } }),
            422,
            "apps.limits.connections must be an integer",
        ),
        (
            "POST",
            "/api/apps",
            json!({ "limits": { "connections": -1 } }),
            422,
            "apps.limits.connections must be an integer",
        ),
        (
            "POST",
            "/api/apps",
            json!({ "webhooks": [{ "url": "ftp://x" }] }),
            422,
            "a webhook's url must begin with http",
        ),
        (
            "POST",
            "/api/apps",
            json!({ "pipe": [{ "from": "a", "add": { "b": [null] } }] }),
            422,
            "pipe.add.b must not hold null",
        ),
        ("POST", "/api/apps", json!([]), 422, "expected a JSON object, got another value"),
        ("POST", "/api/apps", long, 413, "The request body exceeds"),
        ("PATCH", "/api/apps/7", json!({ "id": "8" }), 422, "the id of an app cannot be changed"),
        ("PATCH", "/api/apps/7", json!({ "keys": [] }), 422, "apps.keys must be "),
        ("PATCH", "/api/apps/8", json!({}), 404, "there is no app with the id \"8\""),
        (
            "PATCH",
            "/api/apps/1001",
            json!({}),
            409,
            "the app \"1001\" is not of the apps file: it is defined by ",
        ),
        ("DELETE", "/api/apps/1001", Value::Null, 409, "the app \"1001\" is not of the apps file"),
        ("POST", "/api/apps/1001/keys", json!({}), 409, "the app \"1001\" is not of the apps file"),
        ("PUT", "/api/apps/7", json!({}), 405, "Method PUT not allowed, use GET, PATCH, DELETE, HEAD"),
        ("GET", "/api/apps/7/keys", Value::Null, 405, "Method GET not allowed, use POST"),
        ("GET", "/api/apps/7/secrets", Value::Null, 404, "Not found"),
        ("GET", "/api/apps/", Value::Null, 404, "there is no app"),
        ("GET", "/api/apps/..%2f7", Value::Null, 404, "there is no app with the id \"../7\""),
        ("GET", "/api/apps/%ff", Value::Null, 404, "there is no app"),
        ("GET", "/api/apps/%e2%80%ae7", Value::Null, 404, "there is no app"),
        ("DELETE", "/api/apps/7%00", Value::Null, 404, "there is no app"),
    ] {
        let refused = api.ask(method, path, &body);
        assert!(refused.error(status).starts_with(told), "{method} {path} {body}: {refused}");
        assert_eq!(refused.text().matches('\n').count(), 1, "{refused}");
        assert_eq!(api.text(), text, "{method} {path} {body}");
    }
    for (headers, body, status, told) in [
        ("Content-Type: application/json\r\n", "{", 422, "expected a JSON object, got none"),
        ("Content-Type: application/json\r\n", "\u{0}", 422, "expected a JSON object, got none"),
        (
            "Content-Type: text/plain\r\n",
            "{}",
            415,
            "expected a body of the type application/json, got \"text/plain\"",
        ),
        ("Content-Type: application/x-www-form-urlencoded\r\n", "id=9", 415, "expected a body of the type"),
        ("", "{}", 415, "expected a body of the type application/json, got none"),
    ] {
        let refused = api.ask_with("POST", "/api/apps", headers, body);
        assert!(refused.error(status).starts_with(told), "{headers}{body}: {refused}");
    }
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    assert_eq!(api.ask_with("POST", "/api/apps", "Content-Type: application/json\r\n", &deep).status, 422);
    assert_eq!(api.text(), text);
}

/// Who has looked at an app before somebody else has changed it does not overwrite that unseen.
///
/// Proves: bad input.
#[test]
fn a_change_may_demand_that_there_was_no_other() {
    let Some(api) = Api::start() else { return };
    let created = api.ask("POST", "/api/apps", &json!({ "id": "7" }));
    let tag = created.header("etag").unwrap().to_owned();
    let json = "Content-Type: application/json\r\n";
    let on = "{\"client_events\": true}";
    let expect = |tag: &str| format!("{json}If-Match: {tag}\r\n");
    let changed = api.ask_with("PATCH", "/api/apps/7", &expect(&tag), on);
    let later = changed.header("etag").unwrap().to_owned();
    assert_eq!(changed.status, 200);
    for (method, path) in [("PATCH", "/api/apps/7"), ("DELETE", "/api/apps/7"), ("POST", "/api/apps/7/keys")]
    {
        for stale in [tag.as_str(), &format!("W/{later}"), "", "x, y"] {
            let refused = api.ask_with(method, path, &expect(stale), "{}");
            assert!(
                refused.error(412).contains("another one than If-Match says"),
                "{method} {stale:?}: {refused}"
            );
        }
    }
    assert_eq!(api.ask_with("PATCH", "/api/apps/7", &expect("*"), "{}").status, 200);
    assert_eq!(api.ask_with("DELETE", "/api/apps/7", &expect(&format!("\"x\", {later}")), "").status, 204);
}

/// What stands in the files counts, who ever put it there: an app that was added by hand is shown before it is in force, and
/// a file that is rubbish is told and left as it is, while the broker serves what it had.
///
/// Proves: bad input.
#[test]
fn a_file_that_was_edited_under_the_broker_is_not_lost() {
    let Some(api) = Api::start() else { return };
    let by_hand = "# By hand.\n[[apps]]\nid = \"8\" # mine\nkey = \"k8\"\nsecret = \"s8\"\n";
    fs::write(api.file(), by_hand).unwrap();
    let shown = json_of(&api.ask("GET", "/api/apps/8", &Value::Null), 200);
    assert_eq!(shown["in_force"], false);
    assert!(shown["defined"].as_str().unwrap().ends_with(".apps.toml:3:6"), "{shown}");
    let _ = json_of(&api.ask("POST", "/api/apps", &json!({ "id": "9" })), 201);
    assert!(api.text().starts_with(by_hand), "{}", api.text());
    assert_eq!(json_of(&api.ask("GET", "/api/apps/8", &Value::Null), 200)["in_force"], true);
    fs::write(api.file(), "[[apps]\n").unwrap();
    for (method, path) in [("GET", "/api/apps"), ("POST", "/api/apps"), ("DELETE", "/api/apps/9")] {
        let told = api.ask(method, path, &Value::Null);
        assert!(told.error(409).contains(".apps.toml:1:8: not valid TOML"), "{told}");
    }
    assert_eq!(api.text(), "[[apps]\n");
    let pair = json!({ "key": "k8", "secret": "s8" });
    let _ = api.target_of("8", &pair).connect();
    fs::remove_file(api.file()).unwrap();
    fs::create_dir(api.file()).unwrap();
    assert!(api.ask("POST", "/api/apps", &Value::Null).error(409).contains("cannot read the apps file"));
    fs::remove_dir(api.file()).unwrap();
}

/// A file that has lost apps takes none of them out of service by a change of another; a reload does. A pipe in its place keeps
/// nobody waiting.
///
/// Proves: bad input.
#[test]
fn a_change_removes_no_app_that_it_does_not_name() {
    let Some(api) = Api::start() else { return };
    for id in ["5", "6"] {
        let _ = json_of(&api.ask("POST", "/api/apps", &json!({ "id": id, "key": id, "secret": id })), 201);
    }
    let text = api.text();
    let mut client = api.target_of("5", &json!({ "key": "5", "secret": "5" })).connect();
    let aside = api.file().with_extension("aside");
    fs::rename(api.file(), &aside).unwrap();
    let told = api.ask("POST", "/api/apps", &json!({ "id": "7" }));
    let told = told.error(409);
    assert!(told.starts_with("the files lack apps that are in force") && told.contains("5; 6"), "{told}");
    assert!(!api.file().exists());
    client.subscribe("still-here");
    fs::rename(&aside, api.file()).unwrap();
    assert_eq!(
        json_of(&api.ask("PATCH", "/api/apps/6", &json!({ "enabled": false })), 200)["in_force"],
        true
    );
    assert!(api.text().len() > text.len());
    fs::remove_file(api.file()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(api.file()).status().unwrap().success());
    assert!(api.ask("GET", "/api/apps", &Value::Null).error(409).contains("it is no regular file"));
    fs::remove_file(api.file()).unwrap();
    let reload = api.broker.broker().unwrap().command("reload").output().unwrap();
    assert!(reload.status.success(), "{reload:?}");
    let _ = client.expect_close_with(4001);
    let _ = json_of(&api.ask("POST", "/api/apps", &json!({ "id": "7" })), 201);
}

/// Where the file cannot be written, the answer says so, nothing has changed, and nothing is left lying about: in a folder
/// that is not there, in one that takes no files, and where there is no room.
///
/// Proves: bad input.
#[test]
fn a_file_that_cannot_be_written_changes_nothing() {
    for (path, told) in
        [("/nowhere/h.apps.toml", "(the folder has to be there"), ("/proc/h.apps.toml", "cannot lock ")]
    {
        let Some(api) = Api::start_with(&format!("apps_file = \"{path}\"")) else { return };
        let refused = api.ask("POST", "/api/apps", &json!({ "id": "7" }));
        assert!(
            refused.error(500).contains(told) && refused.text().contains("nothing has changed"),
            "{refused}"
        );
        let _ = api.ask("GET", "/api/apps/7", &Value::Null).error(404);
    }
    let config = format!("[admin]\nenabled = true\nport = 0\ntoken = \"{TOKEN}\"\n{MAIN_APP}");
    let broker = Target::at(Arc::new(Broker::start_with_short_files(&config, 2)), Shared::Main.credentials());
    let api = Api { admin: admin_of(&broker), broker };
    let _ = json_of(&api.ask("POST", "/api/apps", &json!({ "id": "7" })), 201);
    let before = api.text();
    let long = json!({ "client_events": true, "allowed_origins": vec!["https://example.com"; 100] });
    let refused = api.ask("PATCH", "/api/apps/7", &long);
    assert!(refused.error(507).contains("cannot write "), "{refused}");
    assert_eq!(api.text(), before);
    let shown = json_of(&api.ask("GET", "/api/apps/7", &Value::Null), 200);
    assert_eq!((&shown["in_force"], &shown["app"]["client_events"]), (&json!(true), &json!(false)));
    assert!(!api.file().with_extension("toml.new").exists());
    assert_eq!(api.ask("PATCH", "/api/apps/7", &json!({ "client_events": true })).status, 200);
}

/// A broker that reads no file has none to change, and says what to set.
///
/// Proves: bad input.
#[test]
fn without_a_file_the_answer_says_what_to_set() {
    let Some(broker) =
        Target::own_with(None, &["--development", "--admin=0"], &[("HELIOSTAT_ADMIN_TOKEN", TOKEN)])
    else {
        return;
    };
    let api = Api { admin: admin_of(&broker), broker };
    let listed = json_of(&api.ask("GET", "/api/apps", &Value::Null), 200);
    assert_eq!(
        (&listed["apps"][0]["changeable"], &listed["apps"][0]["defined"]),
        (&json!(false), &json!("development mode"))
    );
    let refused = api.ask("POST", "/api/apps", &Value::Null);
    assert!(refused.error(409).contains("set admin.apps_file (HELIOSTAT_ADMIN_APPS_FILE)"), "{refused}");
}
