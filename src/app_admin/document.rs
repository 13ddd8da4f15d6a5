//! The apps of a cluster as one document of its engine, and as the file that is this node's copy of it. The text of both is
//! that of an apps file; one document for all of them, so that what has to be unique is, whoever changes what at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use toml_edit::{DocumentMut, Item, Table};

use super::change::AppsText;
use super::error::NotApps;
use super::file::MOST_BYTES;
use crate::config::app_complaints;

/// The key of the document.
pub(super) const KEY: &str = "apps";

/// What the document begins with: whose it is, and the version of its form.
const MARK: &str = "heliostat-apps/";
const FORM: u32 = 1;

/// What the file begins with, around the number of the change and the cluster.
const HEAD: &str = "# Change ";
const REST_OF_HEAD: &str = " of the cluster's apps. Edits take effect in the whole cluster by a reload.";
const OF_CLUSTER: &str = " Cluster: ";

/// The apps of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct AppsDocument {
    /// Whose they are. None: of no cluster yet.
    pub(super) cluster: Option<ClusterMark>,
    /// How often they were changed. Unlike the engine's own number it goes on where the engine is replaced by an empty one: of
    /// two nodes of one cluster the one that knows a later change is right. 0: of no cluster yet, or not all of it is known here.
    pub(super) change: u64,
    /// The text, as of an apps file.
    pub(super) text: String,
}

/// What tells the apps of one cluster from those of another, whatever engine they are in: a random number that is drawn with
/// their first change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClusterMark(u128);

impl ClusterMark {
    fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(ClusterMark)
    }
}

impl fmt::Display for ClusterMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl AppsDocument {
    /// What the engine has.
    ///
    /// # Errors
    /// If it is not that: it may be anything.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NotApps> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(NotApps::TooLarge);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NotApps::Rubbish)?;
        let (head, text) =
            whole.strip_prefix(MARK).and_then(|rest| rest.split_once('\n')).ok_or(NotApps::Rubbish)?;
        let mut words = head.split(' ');
        match words.next().and_then(|form| form.parse().ok()).ok_or(NotApps::Rubbish)? {
            FORM => {}
            later if later > FORM => return Err(NotApps::Later(later)),
            _ => return Err(NotApps::Rubbish),
        }
        let change = words.next().and_then(|change| change.parse().ok()).ok_or(NotApps::Rubbish)?;
        let cluster = words.next().and_then(ClusterMark::parse);
        Ok(AppsDocument { cluster, change, text: text.to_owned() })
    }

    /// For the engine.
    pub(super) fn encode(&self) -> Vec<u8> {
        let cluster = self.cluster.map_or_else(String::new, |cluster| format!(" {cluster}"));
        format!("{MARK}{FORM} {}{cluster}\n{}", self.change, self.text).into_bytes()
    }

    /// What a file has: that of a cluster, or one that could become a cluster's.
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        let whole = String::from_utf8_lossy(bytes);
        let whole = whole.strip_prefix('\u{feff}').unwrap_or(&whole).replace("\r\n", "\n");
        let read = || {
            let (head, text) = whole.strip_prefix(HEAD)?.split_once("\n\n")?;
            let (change, cluster) = head.split_once(REST_OF_HEAD)?;
            let cluster = cluster.strip_prefix(OF_CLUSTER).and_then(ClusterMark::parse);
            Some(AppsDocument { cluster, change: change.parse().ok()?, text: text.to_owned() })
        };
        read().unwrap_or_else(|| AppsDocument { cluster: None, change: 0, text: whole.clone() })
    }

    /// Whether there is an app in it, or what it is cannot be told.
    pub(super) fn has_apps(&self) -> bool {
        let document = self.text.parse::<DocumentMut>();
        document.map_or(true, |document| document.contains_key("apps"))
    }

    /// For the file.
    pub(super) fn to_file(&self) -> String {
        let cluster = self.cluster.map_or_else(String::new, |cluster| format!("{OF_CLUSTER}{cluster}"));
        format!("{HEAD}{}{REST_OF_HEAD}{cluster}\n\n{}", self.change, self.text)
    }

    /// Whether this and the other are the same change of one cluster, and yet not the same: one of the two is lost.
    pub(super) fn is_at_odds_with(&self, other: &Self) -> bool {
        let is_one = self.cluster == other.cluster && self.change == other.change;
        is_one && self.change > 0 && self.text != other.text
    }

    /// The ids of the apps that this and the other do not have alike.
    pub(super) fn differing_from(&self, other: &Self) -> Vec<String> {
        let apps = |document: &Self| -> BTreeMap<String, String> {
            let document = document.text.parse::<DocumentMut>().unwrap_or_default();
            let apps = document.get("apps").and_then(Item::as_array_of_tables).into_iter().flatten();
            apps.filter_map(|app| Some((id_of(app)?.to_owned(), app.to_string()))).collect()
        };
        let (these, those) = (apps(self), apps(other));
        let ids: BTreeSet<&String> = these.keys().chain(those.keys()).collect();
        ids.into_iter().filter(|id| these.get(*id) != those.get(*id)).cloned().collect()
    }

    /// The same as a cluster's: as that of a new one, if it is none's.
    pub(super) fn of_cluster(&self) -> Self {
        let cluster = self.cluster.or_else(|| Some(ClusterMark(rand::random())));
        AppsDocument { cluster, change: self.change.max(1), text: self.text.clone() }
    }

    /// The same with this text, after one change more.
    pub(super) fn changed(&self, text: String) -> Self {
        AppsDocument { change: self.change.saturating_add(1), text, ..self.of_cluster() }
    }

    /// The same as far as this release can read it: of an app that it cannot read it has what `before` has of it, or nothing.
    /// And what is wrong with each of those. Where the text is no list of apps it stays as it is, to be judged as a whole.
    pub(super) fn readable(&self, before: &str) -> (Self, Vec<String>) {
        let Ok(document) = self.text.parse::<DocumentMut>() else { return (self.clone(), Vec::new()) };
        let Some(apps) = document.get("apps").and_then(Item::as_array_of_tables) else {
            return (self.clone(), Vec::new());
        };
        let complaints: Vec<_> = apps.iter().map(complaints_of).collect();
        if complaints.iter().all(Vec::is_empty) {
            return (self.clone(), Vec::new());
        }
        let earlier = before.parse::<DocumentMut>().unwrap_or_default();
        let earlier = earlier.get("apps").and_then(Item::as_array_of_tables);
        let earlier: HashMap<_, _> =
            earlier.into_iter().flatten().filter_map(|app| Some((id_of(app)?, app))).collect();
        let mut told = Vec::new();
        let mut kept = Vec::new();
        for (app, complaints) in apps.iter().zip(complaints) {
            if complaints.is_empty() {
                kept.push(app.clone());
                continue;
            }
            let id = id_of(app).unwrap_or_default();
            told.push(format!("app {id:?}: {}", complaints.join("; ")));
            kept.extend(
                earlier.get(id).filter(|app| complaints_of(app).is_empty()).map(|app| (*app).clone()),
            );
        }
        (AppsDocument { cluster: self.cluster, change: 0, text: AppsText::of_tables(kept) }, told)
    }
}

fn complaints_of(app: &Table) -> Vec<String> {
    app_complaints(&AppsText::of_tables([app.clone()]))
}

fn id_of(app: &Table) -> Option<&str> {
    app.get("id")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"s\"\n";

    #[test]
    fn a_document_comes_back_from_the_engine_and_from_the_file() {
        let marked = AppsDocument { cluster: None, change: 7, text: APP.to_owned() }.of_cluster();
        assert_eq!(AppsDocument::decode(&marked.encode()), Ok(marked.clone()));
        assert_eq!(AppsDocument::of_file(marked.to_file().as_bytes()), marked);
        assert_eq!(marked.changed(String::new()).cluster, marked.cluster);
        let document = AppsDocument { cluster: None, ..marked.clone() };
        assert_ne!(document.of_cluster().cluster, marked.cluster, "of another cluster");
        assert_eq!(AppsDocument::decode(&document.encode()), Ok(document.clone()));
        assert_eq!(AppsDocument::of_file(document.to_file().as_bytes()), document);
        let of_windows = format!("\u{feff}{}", document.to_file().replace('\n', "\r\n"));
        assert_eq!(AppsDocument::of_file(of_windows.as_bytes()), document);
        assert_eq!(
            AppsDocument::of_file(APP.as_bytes()),
            AppsDocument { change: 0, ..document.clone() },
            "a file that was of no cluster"
        );
        let last = AppsDocument { change: u64::MAX, ..document };
        assert_eq!(last.changed(String::new()).change, u64::MAX);
    }

    #[test]
    fn two_documents_of_one_change_are_at_odds_and_their_apps_are_compared() {
        let of = |change, text: String| AppsDocument { cluster: Some(ClusterMark(1)), change, text };
        let app = |id: &str, key: &str| format!("[[apps]]\nid = \"{id}\"\nkey = \"{key}\"\nsecret = \"s\"\n");
        let ours = of(7, app("1", "k1") + &app("2", "k2") + &app("3", "k3"));
        let theirs = of(7, app("1", "k1") + &app("2", "other") + &app("4", "k4"));
        assert_eq!(ours.differing_from(&theirs), ["2", "3", "4"]);
        assert!(ours.is_at_odds_with(&theirs) && !ours.is_at_odds_with(&ours));
        assert!(!ours.is_at_odds_with(&of(8, theirs.text.clone())));
        let foreign = AppsDocument { cluster: None, ..theirs };
        assert!(
            !ours.is_at_odds_with(&foreign) && !of(0, String::new()).is_at_odds_with(&of(0, app("1", "k")))
        );
    }

    #[test]
    fn what_is_something_else_is_told_apart() {
        let rubbish: [&[u8]; 9] = [
            b"",
            b"\xff\xfe",
            b"{}",
            b"heliostat-apps/",
            b"heliostat-apps/1 7",
            b"heliostat-apps/1\n",
            b"heliostat-apps/0 7\n",
            b"heliostat-apps/1 -7\n",
            b"heliostat-apps/one 7\n",
        ];
        for bytes in rubbish {
            assert_eq!(AppsDocument::decode(bytes), Err(NotApps::Rubbish), "{bytes:?}");
        }
        assert_eq!(AppsDocument::decode(b"heliostat-apps/2 anything\n\n"), Err(NotApps::Later(2)));
        let large = vec![b' '; usize::try_from(MOST_BYTES).unwrap() + 1];
        assert_eq!(AppsDocument::decode(&large), Err(NotApps::TooLarge));
        // What a later release adds behind the number is its own affair.
        assert_eq!(AppsDocument::decode(b"heliostat-apps/1 7 more\n").unwrap().change, 7);
    }

    #[test]
    fn of_an_app_that_this_release_cannot_read_what_was_known_stays() {
        let later = |id: &str| {
            format!("[[apps]]\nid = \"{id}\"\nkey = \"k{id}\"\nsecret = \"s\"\nfrom_the_future = 1\n")
        };
        let sound = "[[apps]]\nid = \"3\"\nkey = \"k3\"\nsecret = \"s\"\n";
        let document = AppsDocument { cluster: None, change: 7, text: later("1") + &later("2") + sound };
        let (readable, told) = document.readable(APP);
        let apps = readable.text.parse::<DocumentMut>().unwrap();
        let apps = apps["apps"].as_array_of_tables().unwrap();
        assert_eq!(apps.iter().filter_map(id_of).collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!((readable.change, told.len()), (0, 2), "{told:?}");
        assert!(told[0].contains("app \"1\"") && told[0].contains("from_the_future"), "{told:?}");
        let whole = AppsDocument { cluster: None, change: 7, text: APP.to_owned() + sound };
        assert_eq!(whole.readable(""), (whole.clone(), Vec::new()));
        let no_list = AppsDocument { cluster: None, change: 7, text: "[[apps]".to_owned() };
        assert_eq!(no_list.readable(APP), (no_list.clone(), Vec::new()));
    }
}
