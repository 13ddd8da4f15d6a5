//! `heliostat apps`: what the API does, from the command line; and all who change apps at once.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use heliostat_protocol_tests::broker::{command, command_after};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Credentials, Target};
use serde_json::{Value, json};

use crate::admin_apps::Api;

/// What a command says that does what it is told.
#[track_caller]
fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    let (said, complained) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && complained.is_empty(), "{status}: {said}{complained}");
    said
}

/// The complaint of one that does not.
#[track_caller]
fn refused(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the command runs");
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    let complained = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{complained}");
    complained
}

#[track_caller]
fn json_of(command: &mut Command) -> Value {
    serde_json::from_str(&done(command)).expect("JSON")
}

fn credentials(id: &str, pair: &Value) -> Credentials {
    Credentials::new(id, pair["key"].as_str().unwrap(), pair["secret"].as_str().unwrap())
}

/// Each of its commands, with the broker that it is for: what it has changed is in force when it ends.
#[test]
fn apps_are_changed_from_the_command_line() {
    let Some(target) = Target::own(MAIN_APP) else { return };
    let broker = target.broker().unwrap();
    let apps = |arguments: &[&str]| {
        let mut command = broker.command("apps");
        command.args(arguments);
        command
    };
    let file = broker.config().with_extension("apps.toml");
    let created =
        json_of(&mut apps(&["create", "id=chat", "client_events=1", "limits.connections=5", "--json"]));
    assert_eq!(
        (&created["app"]["client_events"], &created["app"]["limits"]["connections"]),
        (&json!(true), &json!(5))
    );
    assert!(created["told"].as_str().unwrap().contains("added 1 (chat)"), "{created}");
    let old = &created["app"]["keys"][0];
    let mut client = target.with_credentials(credentials("chat", old)).connect();
    client.subscribe("room");
    let rotated = json_of(&mut apps(&["--json", "rotate", "chat"]));
    let _ = target.with_credentials(credentials("chat", &rotated)).connect();
    let said = done(&mut apps(&["revoke", "chat", old["key"].as_str().unwrap()]));
    assert!(said.starts_with("app chat deprived of a key: apps: changed 1 (chat)"), "{said}");
    let said = done(&mut apps(&[
        "set",
        "chat",
        "allowed_origins=localhost",
        "channels=[{ pattern = \"a\", delivery = \"latest\" }]",
    ]));
    assert!(said.contains("app chat changed"), "{said}");
    let shown = done(&mut apps(&["show", "chat"]));
    assert!(
        shown.contains("allowed_origins = [\"localhost\"]")
            && shown.contains(rotated["secret"].as_str().unwrap()),
        "{shown}"
    );
    let _ = done(&mut apps(&["set", "chat", "--unset", "allowed_origins", "--unset", "channels"]));
    assert!(!fs::read_to_string(&file).unwrap().contains("allowed_origins"));
    let listed = done(&mut apps(&["list"]));
    assert!(
        listed.lines().count() == 2
            && listed.contains("chat  enabled")
            && !listed.contains(rotated["secret"].as_str().unwrap()),
        "{listed}"
    );
    assert!(done(&mut apps(&["disable", "chat"])).contains("changed 1 (chat)"));
    let _ = client.expect_close_with(4003);
    assert!(done(&mut apps(&["enable", "chat"])).contains("changed 1 (chat)"));
    let told = done(&mut apps(&["create", "id=second"]));
    assert!(told.contains("key = ") && told.contains("secret = "), "{told}");
    for id in ["chat", "second"] {
        assert!(done(&mut apps(&["delete", id])).contains("removed 1"));
    }
    assert_eq!(json_of(&mut apps(&["list", "--json"]))["apps"].as_array().unwrap().len(), 1);
    for (arguments, code, told) in [
        (vec!["show", "chat"], 1, "heliostat: there is no app with the id \"chat\""),
        (vec!["delete", "1001"], 1, "heliostat: the app \"1001\" is not of the apps file: it is defined by "),
        (vec!["create", "id=1001"], 1, "heliostat: there is an app with the id \"1001\" already"),
        (vec!["create", "client_event=1"], 1, "heliostat: unknown key \"apps.client_event\"; did you mean"),
        (vec!["create", "limits.connections=many"], 2, "error: limits.connections must be an integer"),
        (vec!["create", "client_events"], 2, "error: expected KEY=VALUE, got \"client_events\""),
        (vec!["set", "1001", "id=5"], 2, "error: the id of an app cannot be changed"),
    ] {
        let complaint = refused(&mut apps(&arguments), code);
        assert!(complaint.starts_with(told), "{arguments:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

/// Without a broker the file is changed for its next start; the first app of all may be made so.
#[test]
fn without_a_broker_a_change_is_for_the_next_start() {
    let Some(_) = Target::own(MAIN_APP) else { return };
    let folder = std::env::temp_dir().join(format!("heliostat-apps-command-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let config = folder.join("h.toml");
    fs::write(&config, "[server]\ncontrol_socket = \"nobody\"\n").unwrap();
    let apps = |arguments: &[&str]| {
        let mut command = command();
        command.current_dir(&folder).args(["apps", "--config", "h.toml"]).args(arguments);
        command
    };
    assert_eq!(done(&mut apps(&["list"])), "");
    let said = done(&mut apps(&["create", "id=1", "key=k", "secret=s"]));
    assert!(said.starts_with("app 1 created: it takes effect when the broker starts or reloads"), "{said}");
    assert!(done(&mut apps(&["list"])).starts_with("1  enabled   k  (h.apps.toml:2:6)"));
    let file = folder.join("h.apps.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(refused(&mut apps(&["delete", "1"]), 1).contains("is the last app"));
    // No room: what was there is there.
    let mut full = command_after("trap '' XFSZ && ulimit -f 1");
    full.current_dir(&folder).args(["apps", "--config", "h.toml", "set", "1"]);
    full.arg(format!("allowed_origins={}", vec!["https://example.com"; 100].join(",")));
    assert!(refused(&mut full, 1).contains("cannot write "));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    fs::write(&file, "[[apps]\n").unwrap();
    assert!(refused(&mut apps(&["create"]), 1).contains("h.apps.toml:1:8: not valid TOML"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "[[apps]\n");
    let mut same = apps(&["list"]);
    same.env("HELIOSTAT_ADMIN_APPS_FILE", "./h.toml");
    assert!(refused(&mut same, 1).contains("HELIOSTAT_ADMIN_APPS_FILE"));
    let mut none = command();
    none.current_dir("/").args(["apps", "create"]).env("HELIOSTAT_DEVELOPMENT", "1");
    assert!(refused(&mut none, 1).contains("set admin.apps_file"));
    fs::remove_dir_all(folder).unwrap();
}

/// What the running broker does not take is not left in the file: here an id that its environment has, which the command does
/// not know.
#[test]
fn a_change_that_the_broker_refuses_is_undone() {
    let environment =
        [("HELIOSTAT_APP_ID", "7"), ("HELIOSTAT_APP_KEY", "k7"), ("HELIOSTAT_APP_SECRET", "s7")];
    let Some(target) = Target::own_with(Some("[server]\n"), &[], &environment) else { return };
    let broker = target.broker().unwrap();
    let file = broker.config().with_extension("apps.toml");
    for before in [None, Some("id=8")] {
        if let Some(setting) = before {
            let said = done(broker.command("apps").args(["create", setting]));
            assert!(said.contains("added 1 (8)"), "{said}");
        }
        let text = fs::read_to_string(&file).ok();
        let complaint = refused(broker.command("apps").args(["create", "id=7"]), 1);
        assert!(
            complaint.contains("the broker does not take it") && complaint.contains("nothing has changed"),
            "{complaint}"
        );
        assert_eq!(fs::read_to_string(&file).ok(), text);
    }
    // It has that other app, so this one is not the last.
    assert!(done(broker.command("apps").args(["delete", "8"])).contains("removed 1 (8)"));
}

/// How many apps each of those makes who change the file at once.
const EACH: usize = 6;

/// The API by two clients, the command, and an editor that holds the lock change the file at once, while the broker reloads
/// again and again. Nobody's change is lost, and in the end all are in force.
#[test]
fn nobody_loses_anothers_changes() {
    let Some(api) = Api::start() else { return };
    let broker = api.broker.broker().unwrap();
    let file = api.file();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let by_api = |name: &'static str| {
            let api = &api;
            move || {
                for n in 0..EACH {
                    let id = format!("{name}-{n}");
                    assert_eq!(ask_until_free(api, "POST", "/api/apps", &json!({ "id": id })), 201);
                    let path = format!("/api/apps/{id}");
                    assert_eq!(ask_until_free(api, "PATCH", &path, &json!({ "client_events": true })), 200);
                    let passing = format!("{name}-passing-{n}");
                    assert_eq!(ask_until_free(api, "POST", "/api/apps", &json!({ "id": passing })), 201);
                    let path = format!("/api/apps/{passing}");
                    assert_eq!(ask_until_free(api, "DELETE", &path, &Value::Null), 204);
                }
            }
        };
        let workers = [
            scope.spawn(by_api("one")),
            scope.spawn(by_api("other")),
            scope.spawn(|| {
                for n in 0..EACH {
                    let said = loop {
                        let output =
                            broker.command("apps").args(["create", &format!("id=command-{n}")]).output();
                        let Output { status, stdout, stderr } = output.expect("the command runs");
                        let complained = String::from_utf8_lossy(&stderr);
                        if status.success() {
                            break String::from_utf8(stdout).unwrap();
                        }
                        assert!(complained.ends_with("try again\n"), "{complained}");
                    };
                    assert!(said.contains("created"), "{said}");
                }
            }),
            scope.spawn(|| (0..EACH).for_each(|n| edit_by_hand(&file, n))),
        ];
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                broker.hang_up();
                let said = broker.command("reload").output().expect("the command runs");
                assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            }
        });
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        is_done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    let text = api.text();
    assert_eq!(text.matches("# by hand").count(), EACH, "{text}");
    assert_eq!(text.matches("client_events = true").count(), 2 * EACH, "{text}");
    assert!(broker.command("reload").status().expect("the command runs").success());
    let listed: Value = serde_json::from_slice(&api.ask("GET", "/api/apps", &Value::Null).body).unwrap();
    let listed = listed["apps"].as_array().unwrap();
    assert_eq!(listed.len(), 4 * EACH + 1, "{text}");
    assert!(listed.iter().all(|app| app["in_force"] == true), "{listed:?}");
}

/// The status of the answer in the end: that the others did not let it have the lock in time is none.
fn ask_until_free(api: &Api, method: &str, path: &str, body: &Value) -> u16 {
    loop {
        let answer = api.ask(method, path, body);
        if answer.status != 503 {
            return answer.status;
        }
    }
}

/// What an editor does that holds the lock: it reads the file, and puts another in its place, so that nobody reads half of it.
fn edit_by_hand(file: &Path, n: usize) {
    let lock = file.with_extension("toml.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(lock).expect("a lock");
    lock.lock().expect("the lock");
    let text = fs::read_to_string(file).unwrap_or_default();
    let app = format!("\n# by hand\n[[apps]]\nid = \"hand-{n}\"\nkey = \"k-{n}\"\nsecret = \"s\"\n");
    let saved = file.with_extension("toml~");
    fs::write(&saved, text + &app).and_then(|()| fs::rename(&saved, file)).expect("the file is written");
}
