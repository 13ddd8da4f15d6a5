use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};

use super::*;
use crate::config::{self, Config, Flags};

const OWN: &str = "[[apps]]\nid = \"1\"\nkey = \"k1\"\nsecret = \"s1\"\n";

/// A folder with a configuration file, and nothing that runs.
struct Files {
    folder: PathBuf,
    apps: ManagedApps,
}

impl Files {
    fn new(name: &str, own: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("heliostat-managed-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let file = folder.join("h.toml");
        fs::write(&file, own).unwrap();
        let flags = Flags { config: Some(file), ..Flags::default() };
        let none = || std::iter::empty::<(OsString, OsString)>();
        let apps = ManagedApps::new(move |read| config::load_for_change(none(), &flags, read));
        Files { folder, apps }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("h.apps.toml")
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.path()).ok()
    }

    fn change(&self, id: &str, change: AppChange, in_force: &dyn InForce) -> Result<AppChanged, AppsError> {
        self.apps.change(id, &change, |_| true, in_force)
    }

    fn create(&self, id: &str, in_force: &dyn InForce) -> Result<AppChanged, AppsError> {
        self.change(id, AppChange::Create(app(id)), in_force)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn app(id: &str) -> serde_json::Map<String, Json> {
    let json = json!({ "id": id, "key": format!("k{id}"), "secret": format!("s{id}") });
    json.as_object().unwrap().clone()
}

/// A broker that does before it writes, and after, what a test wants.
#[derive(Default)]
struct Scripted<'t> {
    before: Option<&'t dyn Fn()>,
    refuses: bool,
    applied: RefCell<Vec<Vec<String>>>,
}

impl InForce for Scripted<'_> {
    fn put(
        &self,
        config: Config,
        _changed: &str,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        self.before.inspect(|before| before());
        write()?;
        if self.refuses {
            return Err(AppsError::NotApplied("no".to_owned()));
        }
        self.applied.borrow_mut().push(config.apps.into_iter().map(|app| app.app.id).collect());
        Ok(PutInForce { told: "done".to_owned(), needs_restart: false })
    }
}

#[test]
fn what_is_edited_by_hand_meanwhile_is_kept() {
    let files = Files::new("hand", OWN);
    let edits = Cell::new(0);
    let edit = || {
        edits.set(edits.get() + 1);
        if edits.get() < 3 {
            let text = files.text().unwrap_or_default();
            let id = 10 + edits.get();
            fs::write(
                files.path(),
                format!("{text}# by hand\n[[apps]]\nid = \"{id}\"\nkey = \"k{id}\"\nsecret = \"s\"\n"),
            )
            .unwrap();
        }
    };
    let broker = Scripted { before: Some(&edit), ..Scripted::default() };
    files.create("2", &broker).unwrap();
    assert_eq!(*broker.applied.borrow(), [["1", "11", "12", "2"].map(str::to_owned)]);
    assert_eq!(files.text().unwrap().matches("# by hand").count(), 2);
    // Whoever does not stop is told so.
    let endless = || fs::write(files.path(), format!("{}#\n", files.text().unwrap())).unwrap();
    let broker = Scripted { before: Some(&endless), ..Scripted::default() };
    let text = files.text().unwrap();
    assert!(matches!(files.create("3", &broker), Err(AppsError::Gone)));
    assert_eq!(files.text().unwrap().trim_end_matches("#\n"), text.trim_end_matches("#\n"));
}

#[test]
fn what_is_not_applied_is_not_left_in_the_file() {
    let files = Files::new("refused", OWN);
    let refusing = Scripted { refuses: true, ..Scripted::default() };
    assert!(matches!(files.create("2", &refusing), Err(AppsError::NotApplied(_))));
    assert_eq!(files.text(), None, "there was no file before");
    files.create("2", &Scripted::default()).unwrap();
    let text = files.text();
    for change in [AppChange::Delete, AppChange::Rotate(draw_key())] {
        assert!(matches!(files.change("2", change, &refusing), Err(AppsError::NotApplied(_))));
        assert_eq!(files.text(), text);
    }
}

#[test]
fn what_cannot_be_put_back_is_told() {
    struct Blocking<'f>(&'f Files);
    impl InForce for Blocking<'_> {
        fn put(
            &self,
            _: Config,
            _: &str,
            write: &mut dyn FnMut() -> Result<(), AppsError>,
        ) -> Result<PutInForce, AppsError> {
            write()?;
            // Whatever is written next is in the way of this.
            fs::create_dir(self.0.folder.join("h.apps.toml.new")).unwrap();
            Err(AppsError::NotApplied("no".to_owned()))
        }
    }
    let files = Files::new("stuck", OWN);
    files.create("2", &Scripted::default()).unwrap();
    let told = files.create("3", &Blocking(&files)).unwrap_err();
    assert_eq!(told.status().as_u16(), 500);
    let told = told.to_string();
    assert!(
        told.starts_with("no; but the apps file has the change, and was not put back: cannot write "),
        "{told}"
    );
    assert!(!told.contains("nothing has changed"), "{told}");
}

#[test]
fn a_reload_warns_of_apps_that_went_with_their_file() {
    let files = Files::new("vanished", OWN);
    let warned = || {
        let (loaded, _) = files.apps.reload(&Scripted::default()).unwrap();
        loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    files.create("2", &Scripted::default()).unwrap();
    assert!(warned().is_empty());
    fs::remove_file(files.path()).unwrap();
    let told = warned();
    assert!(
        told.len() == 1 && told[0].contains("is not there or has no app, where it had 1 before"),
        "{told:?}"
    );
    assert!(warned().is_empty(), "it is told once");
    files.create("2", &Scripted::default()).unwrap();
    files.change("2", AppChange::Delete, &Scripted::default()).unwrap();
    assert!(warned().is_empty(), "it was asked for");
}

#[test]
fn a_change_loads_twice_and_finds_a_file_that_has_moved() {
    let files = Files::new("loads", "[server]\nhost = \"0.0.0.0\"\n");
    fs::write(files.path(), OWN).unwrap();
    let flags = Flags { config: Some(files.folder.join("h.toml")), ..Flags::default() };
    let loads = Arc::new(AtomicUsize::new(0));
    let load = {
        let loads = Arc::clone(&loads);
        move |read: &dyn Fn(&Path) -> io::Result<Vec<u8>>| {
            loads.fetch_add(1, Ordering::Relaxed);
            config::load_for_change(std::iter::empty::<(OsString, OsString)>(), &flags, read)
        }
    };
    let apps = ManagedApps::new(load);
    let (loaded, _) = apps.reload(&Scripted::default()).unwrap();
    let apps = apps.after_start(&loaded);
    loads.store(0, Ordering::Relaxed);
    let change = |id: &str, secret: &str| {
        let mut settings = app(id);
        settings.insert("secret".to_owned(), secret.into());
        apps.change(id, &AppChange::Create(settings), |_| true, &Scripted::default()).unwrap()
    };
    let changed = change("2", "app-secret");
    assert_eq!(loads.load(Ordering::Relaxed), 2, "as it is, and as it will be");
    assert!(
        changed.warnings.len() == 1 && changed.warnings[0].contains("app \"2\" uses the default secret"),
        "{changed:?}"
    );
    let elsewhere = files.folder.join("elsewhere.toml");
    fs::rename(files.path(), &elsewhere).unwrap();
    let named = format!("[server]\nhost = \"0.0.0.0\"\n[admin]\napps_file = {elsewhere:?}\n");
    fs::write(files.folder.join("h.toml"), named).unwrap();
    let _ = change("3", "s");
    assert!(fs::read_to_string(&elsewhere).unwrap().contains("id = \"3\"") && !files.path().exists());
}

#[test]
fn refusals_say_where_and_change_nothing() {
    let files = Files::new("refusals", OWN);
    let broker = Scripted::default();
    files.create("2", &broker).unwrap();
    let text = files.text().unwrap();
    let set = |json: Json| AppChange::Set(json.as_object().unwrap().clone());
    let place = files.folder.join("h.toml");
    let place = place.display();
    let create = |json: Json| AppChange::Create(json.as_object().unwrap().clone());
    let cases = [
        ("1", AppChange::Delete, format!("the app \"1\" is not of the apps file: it is defined by {place}:2:6, and can be changed there only")),
        ("1", create(json!({ "id": "1" })), format!("there is an app with the id \"1\" already, defined by {place}:2:6")),
        ("3", AppChange::Delete, "there is no app with the id \"3\"".to_owned()),
        ("3", create(json!({ "id": "3", "key": "k1", "secret": "s" })), format!("the key \"k1\" is used twice; keys must be unique across all apps; the first is that of {place}:3:7")),
        ("3", create(json!({ "id": "3", "key": "k3" })), "an app needs \"secret\", which is missing".to_owned()),
        ("2", set(json!({ "limits": { "connections": "many" }, "client_evnts": true })), "unknown key \"apps.client_evnts\"; did you mean \"apps.client_events\"?; apps.limits.connections must be an integer from 0 to 1000000000, got the string \"many\"".to_owned()),
        ("2", set(json!({ "limits": 5 })), "apps.limits must be a table, got 5".to_owned()),
        ("2", set(json!({ "secret": 5 })), "apps.secret must be".to_owned()),
        ("2", set(json!({ "client_evnets": null, "limits": { "conections": null } })), "unknown key \"apps.client_evnets\"; did you mean \"apps.client_events\"?; unknown key \"apps.limits.conections\"; did you mean \"apps.limits.connections\"?".to_owned()),
        ("3", AppChange::Create(with_credentials(json!({ "id": "3", "bogus": null }).as_object().unwrap().clone())), "unknown key \"apps.bogus\"".to_owned()),
        ("2", set(json!({ "channels": [{ "pattern": "a", "delivery": "latest", "bogus": null }] })), "channels.bogus must not hold null".to_owned()),
        ("2", set(json!({ "keys": ["k", "hush"] })), "apps.keys must be a list of at least one { key = \"…\", secret = \"…\" }, got a string".to_owned()),
        ("2", set(json!({ "webhooks": "https://u:hush@x/" })), "apps.webhooks must be one or more tables, each begun by [[apps.webhooks]], got a string".to_owned()),
        ("2", set(json!({ "webhooks": [{ "url": "https://u:hush@:x/?token=hush" }] })), "a webhook's url must be".to_owned()),
        ("2", set(json!({ "relay": ["hush"] })), "apps.relay must be".to_owned()),
        ("2", AppChange::Revoke("k2".to_owned()), "\"k2\" is the last key of the app: rotate first, or delete the app".to_owned()),
    ];
    for (id, change, expected) in cases {
        let refused = files.change(id, change, &broker).unwrap_err().to_string();
        assert!(refused.starts_with(&expected), "expected {expected}\ngot      {refused}");
        assert!(!refused.contains("hush"), "{refused}");
        assert_eq!(files.text().unwrap(), text);
    }
    // What is wrong with very much is told in few words.
    let many = (0..1000).map(|index| (format!("{index}{}", "x".repeat(1000)), json!(1)));
    let refused = files.change("2", AppChange::Set(many.collect()), &broker).unwrap_err().to_string();
    assert!(refused.ends_with("; and 980 more") && refused.len() < 20_000, "{refused}");
    let known = json!({ "client_events": null, "limits": { "connections": null }, "webhooks": null, "webhook_delivery": null });
    files.change("2", set(known), &broker).unwrap();
    let only = Files::new("only", "");
    assert!(only.apps.all().unwrap().is_empty() && only.apps.reload(&broker).is_err());
    fs::write(only.path(), "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n").unwrap();
    assert!(matches!(only.change("1", AppChange::Delete, &broker), Err(AppsError::LastApp(_))));
}

#[test]
fn rubbish_is_told_and_left_alone() {
    let files = Files::new("rubbish", OWN);
    for rubbish in ["[[apps]", "\u{0}", "[server]\nport = 1\n", "[[apps]]\nid = 5\n"] {
        fs::write(files.path(), rubbish).unwrap();
        let refused = files.create("2", &Scripted::default()).unwrap_err();
        assert!(refused.to_string().contains("h.apps.toml:"), "{refused}");
        assert_eq!(files.text().unwrap(), rubbish);
    }
    fs::write(files.path(), b"\xff").unwrap();
    assert!(matches!(files.create("2", &Scripted::default()), Err(AppsError::AtFault(_))));
}

#[test]
fn a_tag_is_another_after_every_change() {
    let files = Files::new("tags", OWN);
    let broker = Scripted::default();
    let mut tags = vec![files.create("2", &broker).unwrap().view.unwrap().tag()];
    let set = |json: Json| AppChange::Set(json.as_object().unwrap().clone());
    let key = draw_key();
    let new = key.key.clone();
    for change in [
        set(json!({ "enabled": false })),
        AppChange::Rotate(key),
        AppChange::Revoke(new),
        set(json!({ "client_events": true })),
    ] {
        tags.push(files.change("2", change, &broker).unwrap().view.unwrap().tag());
    }
    assert_eq!(tags[4], files.apps.one("2").unwrap().tag());
    let stale = tags[0].clone();
    tags.sort();
    tags.dedup();
    // The pair that came and went leaves the app as it was before.
    assert_eq!(tags.len(), 4, "{tags:?}");
    let changed = files.apps.change("2", &AppChange::Delete, |view| view.tag() == stale, &broker);
    assert!(matches!(changed, Err(AppsError::Changed(_))));
    let debug = format!("{:?}", files.apps.one("2").unwrap());
    assert!(!debug.contains("s2"), "{debug}");
}
