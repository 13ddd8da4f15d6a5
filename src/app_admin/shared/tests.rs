use std::ffi::OsString;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::app_admin::{AppChange, AppView, LookedAt, ManagedApps};
use crate::cluster::adapter::Document;
use crate::cluster::documents::tests::RuntimeThread;
use crate::cluster::local::{LocalEngine, LocalFaults};
use crate::config::{self, AppConfig, Config, Flags};

const OWN: &str = "[[apps]]\nid = \"1\"\nkey = \"k1\"\nsecret = \"s1\"\n";

/// A node without a broker: what is in force there is recorded.
struct TestNode {
    folder: PathBuf,
    apps: ManagedApps,
    faults: LocalFaults,
    broker: Recorded,
}

#[derive(Default)]
struct Recorded {
    apps: Mutex<Vec<AppConfig>>,
    /// It takes nothing.
    refuses: bool,
}

impl InForce for Recorded {
    fn put(
        &self,
        config: Config,
        changed: &str,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        let has = |id: &str| config.apps.iter().any(|app| app.app.id == id);
        let ids: Vec<_> = self.ids().into_iter().filter(|id| id != changed && !has(id)).collect();
        if ids.is_empty() { self.take(config, write) } else { Err(AppsError::WouldRemove(ids)) }
    }

    fn put_all(
        &self,
        loaded: &Loaded,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        self.take(loaded.config.clone(), write)
    }
}

impl Recorded {
    fn take(
        &self,
        config: Config,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        if self.refuses {
            return Err(AppsError::NotApplied("no".to_owned()));
        }
        write()?;
        *self.apps.lock() = config.apps;
        Ok(PutInForce::default())
    }

    fn ids(&self) -> Vec<String> {
        self.apps.lock().iter().map(|app| app.app.id.clone()).collect()
    }
}

/// The engine, and where its members' tasks are.
struct World {
    runtime: RuntimeThread,
    engine: LocalEngine,
    folder: PathBuf,
    nodes: AtomicUsize,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("heliostat-shared-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        World {
            runtime: RuntimeThread::new(),
            engine: LocalEngine::new(),
            folder,
            nodes: AtomicUsize::new(0),
        }
    }

    /// A new node with these apps of its own, and this apps file, that has taken the cluster's apps.
    fn node(&self, own: &str, file: &str) -> TestNode {
        let folder = self.folder.join(self.nodes.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("h.toml"), own).unwrap();
        if !file.is_empty() {
            fs::write(folder.join("h.apps.toml"), file).unwrap();
        }
        let node = self.start(folder);
        node.look();
        node
    }

    /// A node that has this folder, and has not looked at the engine yet.
    fn start(&self, folder: PathBuf) -> TestNode {
        let flags = Flags { config: Some(folder.join("h.toml")), ..Flags::default() };
        let none = || std::iter::empty::<(OsString, OsString)>();
        let loaded = config::load_for_change(none(), &flags, config::read_file).unwrap();
        let apps = ManagedApps::new(move |read| config::load_for_change(none(), &flags, read));
        let apps = apps.after_start(&loaded);
        let (documents, _, _, faults) = self.runtime.documents(&self.engine);
        apps.share(Arc::new(documents)).unwrap();
        let broker = Recorded { apps: Mutex::new(loaded.config.apps), refuses: false };
        TestNode { folder, apps, faults, broker }
    }

    fn restart(&self, node: TestNode) -> TestNode {
        self.start(node.folder)
    }

    fn write(&self, bytes: &[u8]) {
        let (documents, ..) = self.runtime.documents(&self.engine);
        let version = documents.read(KEY).unwrap().map_or(0, |document| document.version);
        documents.write(KEY, version, Bytes::copy_from_slice(bytes)).unwrap().unwrap();
    }

    fn document(&self) -> Option<Document> {
        let (documents, ..) = self.runtime.documents(&self.engine);
        documents.read(KEY).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl TestNode {
    /// Looks at the engine; whether all is done that there was to do.
    fn look(&self) -> bool {
        let LookedAt { is_taken, is_written } = self.apps.take_shared(&self.broker);
        is_taken && is_written
    }

    fn change(&self, id: &str, change: AppChange) -> Result<AppChanged, AppsError> {
        self.apps.change(id, &change, |_| true, &self.broker)
    }

    fn create(&self, id: &str, key: &str) -> Result<AppChanged, AppsError> {
        self.change(id, AppChange::Create(object(json!({ "id": id, "key": key, "secret": "s" }))))
    }

    fn set(&self, id: &str, settings: Json) -> Result<AppChanged, AppsError> {
        self.change(id, AppChange::Set(object(settings)))
    }

    fn ids(&self) -> Vec<String> {
        self.broker.ids()
    }

    fn path(&self) -> PathBuf {
        self.folder.join("h.apps.toml")
    }

    /// Where other apps were set aside.
    fn kept(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("h.apps.toml.{ending}"))
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }
}

fn object(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

fn app(id: &str) -> String {
    format!("[[apps]]\nid = \"{id}\"\nkey = \"k{id}\"\nsecret = \"s\"\n")
}

#[test]
fn what_one_node_does_the_others_have_and_so_do_their_files() {
    let world = World::new("all");
    let (a, b) = (world.node(OWN, ""), world.node(OWN, ""));
    assert_eq!(world.document(), None, "there is nothing to seed");
    a.create("2", "k2").unwrap();
    b.create("3", "k3").unwrap();
    assert_eq!((a.ids(), b.ids()), (vec!["1".into(), "2".into()], vec!["1".into(), "2".into(), "3".into()]));
    assert!(a.look() && b.look());
    a.set("3", json!({ "enabled": false })).unwrap();
    b.change("2", AppChange::Delete).unwrap();
    assert!(a.look() && b.look());
    for node in [&a, &b] {
        assert_eq!(node.ids(), ["1", "3"]);
        assert!(!node.broker.apps.lock()[1].app.enabled);
        assert!(node.text().starts_with("# Change 4 of the cluster's apps.") && !node.text().contains("k2"));
        let listed = node.apps.one("3").unwrap().listed;
        assert!(listed.is_changeable && listed.defined.contains("h.apps.toml:"), "{}", listed.defined);
    }
    // A third one that was down keeps its old file until it has heard of the others.
    let old = world.node(OWN, &(head_of(&a.text(), 2) + &app("2") + &app("3")));
    assert_eq!(old.ids(), ["1", "3"], "what was deleted stays so");
    assert_eq!(old.text(), a.text());
    assert!(!old.kept("before-cluster").exists(), "it was the cluster's");
}

/// The head of this copy, as of another change.
fn head_of(copy: &str, change: u64) -> String {
    let (head, _) = copy.split_once("\n\n").unwrap();
    let (_, rest) = head.split_once(" of the cluster's apps").unwrap();
    format!("# Change {change} of the cluster's apps{rest}\n\n")
}

#[test]
fn who_comes_from_another_cluster_takes_this_ones_apps_however_many_changes_it_knows() {
    let (world, other) = (World::new("foreign"), World::new("home"));
    let a = world.node(OWN, "");
    a.create("2", "k2").unwrap();
    let staging = other.node(OWN, "");
    staging.create("8", "k8").unwrap();
    let brought = head_of(&staging.text(), 900) + &app("8");
    let guest = world.node(OWN, &brought);
    assert!(guest.look() && a.look());
    assert_eq!((guest.ids(), a.ids()), (vec!["1".into(), "2".into()], guest.ids()));
    assert_eq!(guest.text(), a.text());
    assert_eq!(fs::read_to_string(guest.kept("before-cluster")).unwrap(), brought, "what it had is not lost");
    // Nor is what was kept, where it happens again.
    let back = other.start(guest.folder);
    assert!(back.look());
    assert_eq!(back.ids(), ["1", "8"]);
    assert_eq!(fs::read_to_string(back.kept("before-cluster")).unwrap(), brought);
    assert_eq!(fs::read_to_string(back.kept("before-cluster-2")).unwrap(), a.text());
    // An edit of another cluster's copy is no change of this one.
    fs::write(a.path(), &brought).unwrap();
    assert!(matches!(a.apps.reload(&a.broker), Err(ReloadFailure::Apps(AppsError::OldCopy(_)))));
}

#[test]
fn those_who_were_there_prevail_over_who_has_filled_an_emptied_engine() {
    let world = World::new("refilled");
    let a = world.node(OWN, "");
    a.create("2", "k2").unwrap();
    a.create("3", "k3").unwrap();
    a.faults.cut();
    world.engine.wipe();
    let fresh = world.node(OWN, &app("9"));
    assert_eq!(fresh.ids(), ["1", "9"]);
    a.faults.heal();
    assert!(a.look() && fresh.look() && a.look());
    assert_eq!((a.ids(), fresh.ids()), (vec!["1".into(), "2".into(), "3".into()], a.ids()));
}

#[test]
fn nodes_that_start_at_once_seed_once() {
    let world = World::new("seed");
    let (a, b) = (world.node(OWN, &app("2")), world.node(OWN, &app("3")));
    assert!(a.look());
    assert_eq!((a.ids(), b.ids()), (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()]));
    assert_eq!((a.text(), b.text()), (head_of(&a.text(), 1) + &app("2"), a.text()));
    let kept = b.folder.join("h.apps.toml.before-cluster");
    assert_eq!(fs::read_to_string(kept).unwrap(), app("3"), "what it had is not lost");
}

#[test]
fn a_key_is_one_apps_and_of_two_changes_of_one_app_one_is_refused() {
    let world = World::new("conflict");
    let (a, b) = (world.node(OWN, ""), world.node(OWN, ""));
    // Whoever comes second sees what the first has done, whenever that was.
    a.create("2", "same").unwrap();
    let told = b.create("3", "same").unwrap_err();
    assert!(told.status() == 409 && told.to_string().contains("\"same\" is used twice"), "{told}");
    let told = b.create("2", "k3").unwrap_err();
    assert!(told.status() == 409 && told.to_string().contains("an app with the id \"2\" already"), "{told}");
    // While one makes its change, the other makes its own.
    let between = |id: &'static str| {
        let is_first = Mutex::new(true);
        let a = &a;
        move || {
            if mem::replace(&mut *is_first.lock(), false) {
                a.set(id, json!({ "client_events": true })).unwrap();
            }
        }
    };
    a.create("4", "k4").unwrap();
    let set = AppChange::Set(object(json!({ "enabled": false })));
    let change_while = |other| {
        let meanwhile = between(other);
        let is_expected = |_: &AppView| {
            meanwhile();
            true
        };
        b.apps.change("2", &set, is_expected, &b.broker)
    };
    let told = change_while("2").unwrap_err();
    assert!(matches!(&told, AppsError::ChangedElsewhere { id, change: 3 } if id == "2"), "{told}");
    assert_eq!(told.status(), 409);
    change_while("4").unwrap();
    assert!(a.look() && b.look());
    for node in [&a, &b] {
        let apps = node.broker.apps.lock();
        let [two, four] = [&apps[1].app, &apps[2].app];
        assert!(!two.enabled && two.client_events && four.client_events, "none is lost");
    }
}

#[test]
fn changes_of_different_apps_do_not_hinder_each_other() {
    let world = World::new("crowd");
    let nodes = ["a", "b", "c"].map(|name| (name, world.node(OWN, &app("9"))));
    thread::scope(|scope| {
        for (name, node) in &nodes {
            scope.spawn(move || {
                for number in 0..15 {
                    node.create(&format!("{name}{number}"), &format!("key-{name}{number}")).unwrap();
                }
            });
        }
    });
    for (_, node) in &nodes {
        node.look();
        assert_eq!(node.ids().len(), 2 + 3 * 15);
    }
}

#[test]
fn while_the_engine_is_away_nothing_changes_and_all_is_served_from_the_file() {
    let world = World::new("away");
    let (a, b) = (world.node(OWN, ""), world.node(OWN, ""));
    a.create("2", "k2").unwrap();
    assert!(b.look());
    world.engine.halt();
    let text = a.text();
    let told = a.create("3", "k3").unwrap_err();
    assert!(matches!(told, AppsError::EngineAway) && told.status() == 503, "{told}");
    assert!(!a.look());
    assert_eq!((a.apps.all().unwrap().len(), a.ids().len(), a.text()), (2, 2, text));
    let (_, done) = a.apps.reload(&a.broker).unwrap();
    assert_eq!(done, PutInForce::default(), "the rest of the configuration does not wait for it");
    fs::write(a.path(), a.text() + &app("3")).unwrap();
    assert!(matches!(a.apps.reload(&a.broker), Err(ReloadFailure::Apps(AppsError::EngineAway))));
    let b = world.start(b.folder);
    b.faults.cut();
    assert_eq!((b.ids().len(), b.look()), (2, false), "a restart has the last copy");
    world.engine.go_on();
    b.faults.heal();
    assert!(b.look());
    a.apps.reload(&a.broker).unwrap();
    assert!(b.look());
    assert_eq!((a.ids(), b.ids()), (vec!["1".into(), "2".into(), "3".into()], a.ids()));
}

#[test]
fn an_engine_that_has_forgotten_is_told_by_who_knows_most() {
    let world = World::new("wiped");
    let (a, b) = (world.node(OWN, ""), world.node(OWN, ""));
    a.create("2", "k2").unwrap();
    assert!(b.look());
    b.faults.cut();
    a.create("3", "k3").unwrap();
    a.change("2", AppChange::Delete).unwrap();
    a.faults.cut();
    world.engine.wipe();
    b.faults.heal();
    assert!(b.look());
    assert_eq!(b.ids(), ["1", "2"], "nobody else is there");
    a.faults.heal();
    assert!(a.look() && b.look());
    assert_eq!((a.ids(), b.ids()), (vec!["1".into(), "3".into()], a.ids()));
    // All of them are started again, with an empty engine, the one that knows least first.
    b.faults.cut();
    a.create("4", "k4").unwrap();
    world.engine.wipe();
    let (b, a) = (world.restart(b), world.restart(a));
    assert!(b.look() && a.look() && b.look());
    assert_eq!((a.ids(), b.ids()), (vec!["1".into(), "3".into(), "4".into()], a.ids()));
}

#[test]
fn what_cannot_be_taken_changes_nothing_and_keeps_changes_back() {
    let world = World::new("rubbish");
    let a = world.node(OWN, "");
    a.create("2", "k2").unwrap();
    let clash = "heliostat-apps/1 9\n[[apps]]\nid = \"1\"\nkey = \"other\"\nsecret = \"s\"\n";
    let same_key = "heliostat-apps/1 9\n[[apps]]\nid = \"7\"\nkey = \"k1\"\nsecret = \"s\"\n";
    for (bytes, told) in [
        (&b"\xff\0rubbish"[..], "it is something else"),
        (b"heliostat-apps/2 9\n", "a later release has written it"),
        (b"heliostat-apps/1 9\n[[apps]", "h.apps.toml:3:"),
        (b"heliostat-apps/1 9\n[server]\nport = 1\n", "h.apps.toml:3:"),
        (clash.as_bytes(), "two apps have the id \"1\""),
        (same_key.as_bytes(), "\"k1\" is used twice"),
    ] {
        let text = a.text();
        world.write(bytes);
        assert!(!a.look(), "{told}");
        let refused = a.create("3", "k3").unwrap_err();
        assert!(refused.status() == 409 && refused.to_string().contains(told), "{told}: {refused}");
        assert_eq!((a.ids().len(), a.text(), world.document().unwrap().bytes), (2, text, bytes.into()));
    }
    // An app that a later release has written is not read, and kept from nobody.
    let later = format!("heliostat-apps/1 9\n{}later = 1\n{}", app("2"), app("3"));
    world.write(later.as_bytes());
    assert!(a.look());
    assert_eq!(a.ids(), ["1", "2", "3"]);
    let refused = a.set("3", json!({ "enabled": false })).unwrap_err();
    assert!(refused.to_string().contains("apps.later"), "{refused}");
    fs::write(a.path(), app("5")).unwrap();
    assert!(matches!(a.apps.reload(&a.broker), Err(ReloadFailure::Apps(AppsError::OldCopy(_)))));
    assert_eq!(world.document().unwrap().bytes, later);
}

#[test]
fn a_file_that_was_edited_changes_the_cluster_by_a_reload_unless_it_is_old() {
    let world = World::new("edited");
    let (a, b) = (world.node(OWN, ""), world.node(OWN, ""));
    a.create("2", "k2").unwrap();
    assert!(b.look());
    fs::write(a.path(), a.text() + &app("3")).unwrap();
    a.apps.reload(&a.broker).unwrap();
    assert!(b.look() && a.look());
    assert_eq!((a.ids(), b.ids(), a.text()), (vec!["1".into(), "2".into(), "3".into()], a.ids(), b.text()));
    // What was edited while another node made a change is neither taken nor lost.
    let edited = a.text() + &app("4");
    fs::write(a.path(), &edited).unwrap();
    b.create("5", "k5").unwrap();
    assert!(!a.look());
    assert_eq!((a.ids(), a.text()), (vec!["1".into(), "2".into(), "3".into(), "5".into()], edited));
    let refused = a.apps.reload(&a.broker);
    assert!(matches!(&refused, Err(ReloadFailure::Apps(AppsError::OldCopy(path))) if *path == a.path()));
    fs::remove_file(a.path()).unwrap();
    a.apps.reload(&a.broker).unwrap();
    assert_eq!(a.text(), b.text(), "it comes back");
    // What the broker does not take the cluster does not have.
    let before = world.document();
    fs::write(a.path(), a.text() + &app("6")).unwrap();
    let refusing = Recorded { refuses: true, ..Recorded::default() };
    assert!(a.apps.reload(&refusing).is_err());
    assert_eq!(world.document(), before);
    fs::write(a.path(), "[[apps]").unwrap();
    assert!(matches!(a.apps.reload(&a.broker), Err(ReloadFailure::Config(_))));
}

#[test]
fn a_copy_waits_for_who_has_the_file() {
    let world = World::new("held");
    let a = world.node(OWN, "");
    let held = LockedFile::take(&a.path(), &Reader::Maker).unwrap();
    a.create("2", "k2").unwrap();
    assert!(!a.look() && a.text().is_empty());
    assert_eq!(a.apps.all().unwrap().len(), 2, "what is in force is shown");
    drop(held);
    assert!(a.look());
    assert!(a.text().contains("k2"));
}

#[test]
fn a_copy_that_cannot_be_written_is_tried_again_without_the_engine() {
    let world = World::new("unwritable");
    let a = world.node(OWN, "");
    a.create("2", "k2").unwrap();
    assert!(a.look());
    let text = a.text();
    fs::write(a.path(), &(text.clone() + "# edited")).unwrap();
    world.node(OWN, "").create("3", "k3").unwrap();
    let looked = a.apps.take_shared(&a.broker);
    assert_eq!((looked.is_taken, looked.is_written, a.ids().len()), (true, false, 3));
    world.engine.halt();
    assert!(!a.apps.write_copy());
    fs::write(a.path(), &text).unwrap();
    assert!(a.apps.write_copy());
    assert!(a.text().contains("k3"));
}

#[test]
fn a_change_that_the_engine_has_lost_is_kept_beside_the_file() {
    let world = World::new("lost");
    let (a, b) = (world.node(OWN, ""), world.node(OWN, ""));
    a.create("2", "k2").unwrap();
    assert!(b.look());
    let before = world.document().unwrap();
    a.create("3", "k3").unwrap();
    assert!(a.look());
    let answered = a.text();
    // It is replaced by a copy that has not heard of that yet, and another node makes its change there.
    world.write(&before.bytes);
    b.create("4", "k4").unwrap();
    assert!(a.look() && b.look());
    assert_eq!((a.ids(), b.ids()), (vec!["1".into(), "2".into(), "4".into()], a.ids()));
    assert_eq!(fs::read_to_string(a.kept("before-cluster")).unwrap(), answered);
    assert!(!b.kept("before-cluster").exists() && a.text() == b.text());
}
