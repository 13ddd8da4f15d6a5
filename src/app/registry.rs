//! Finding an app by its id, by one of its keys, or by one of its secrets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::App;

/// Bytes of a text that is taken for a secret at most, so that it costs little to ask of any text whether it is one.
const MOST_SECRET_BYTES: usize = 4096;

/// The apps of one broker. Ids and keys are each unique across it.
#[derive(Clone, Debug, Default)]
pub struct AppRegistry {
    by_id: HashMap<String, Arc<App>>,
    by_key: HashMap<String, Arc<App>>,
    /// By the digest of a secret, so that none is compared with what a stranger says.
    by_secret: HashMap<[u8; 32], Arc<App>>,
    first: Option<Arc<App>>,
}

/// Two apps claim the same id or key; the requests for it could not be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DuplicateApp {
    /// The id is taken.
    #[error("two apps have the id {0:?}; ids must be unique")]
    Id(String),
    /// The key is taken, by another app or by another pair of the same app.
    #[error("the key {0:?} is used twice; keys must be unique across all apps")]
    Key(String),
}

impl DuplicateApp {
    /// Each id and each key that is taken twice, in the order of the apps.
    pub fn all<'a>(apps: impl IntoIterator<Item = &'a App>) -> Vec<DuplicateApp> {
        let (mut ids, mut keys, mut found) = (HashSet::new(), HashSet::new(), Vec::new());
        let mut tell = |duplicate| {
            if !found.contains(&duplicate) {
                found.push(duplicate);
            }
        };
        for app in apps {
            if !ids.insert(&app.id) {
                tell(DuplicateApp::Id(app.id.clone()));
            }
            for key in app.keys.iter().filter(|key| !keys.insert(&key.key)) {
                tell(DuplicateApp::Key(key.key.clone()));
            }
        }
        found
    }
}

impl AppRegistry {
    /// Indexes `apps`.
    ///
    /// # Errors
    /// If an id or a key occurs twice.
    pub fn new(apps: impl IntoIterator<Item = App>) -> Result<Self, DuplicateApp> {
        let mut registry = AppRegistry::default();
        for app in apps {
            let app = Arc::new(app);
            registry.first.get_or_insert_with(|| Arc::clone(&app));
            for key in &app.keys {
                if registry.by_key.insert(key.key.clone(), Arc::clone(&app)).is_some() {
                    return Err(DuplicateApp::Key(key.key.clone()));
                }
                let digest = digest_of(key.secret.text());
                registry.by_secret.entry(digest).or_insert_with(|| Arc::clone(&app));
            }
            if registry.by_id.insert(app.id.clone(), Arc::clone(&app)).is_some() {
                return Err(DuplicateApp::Id(app.id.clone()));
            }
        }
        Ok(registry)
    }

    /// The app that HTTP requests name by this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<App>> {
        self.by_id.get(id)
    }

    /// The app one of whose keys this is.
    pub fn by_key(&self, key: &str) -> Option<&Arc<App>> {
        self.by_key.get(key)
    }

    /// An app of which this text is a secret, whatever space stands around it. It costs the same however many apps there
    /// are, and takes a time that tells nothing of any secret.
    pub fn by_secret(&self, text: &str) -> Option<&Arc<App>> {
        let may_be_one = !text.is_empty() && text.len() <= MOST_SECRET_BYTES;
        may_be_one.then(|| self.by_secret.get(&digest_of(text))).flatten()
    }

    /// The app that was named first.
    pub fn first(&self) -> Option<&Arc<App>> {
        self.first.as_ref()
    }

    /// All apps, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<App>> {
        self.by_id.values()
    }
}

fn digest_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.trim()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_known_for_a_secret_and_for_whose() {
        let mut app = App::new("1", "k", "hush");
        app.keys.extend(App::new("", "new", "quiet\n").keys);
        let registry = AppRegistry::new([app, App::new("2", "other", "s")]).unwrap();
        let of = |text: &str| registry.by_secret(text).map(|app| app.id.as_str());
        assert_eq!(
            (of("hush"), of(" hush\n"), of("quiet"), of("s")),
            (Some("1"), Some("1"), Some("1"), Some("2"))
        );
        for other in ["", " ", "Hush", "hus", "hush2", "k", "1"] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(of(&format!("hush{}", " ".repeat(MOST_SECRET_BYTES))), None);
    }

    #[test]
    fn an_app_is_found_by_its_id_and_by_any_of_its_keys() {
        let mut app = App::new("1", "old", "s1");
        app.keys.extend(App::new("", "new", "s2").keys);
        let registry = AppRegistry::new([app, App::new("2", "other", "s3")]).unwrap();
        assert_eq!(registry.by_key("new").unwrap().id, "1");
        assert_eq!(registry.by_key("old").unwrap().id, "1");
        assert_eq!(registry.by_id("2").unwrap().keys[0].key, "other");
        assert!(registry.by_key("1").is_none());
        assert_eq!(registry.first().unwrap().id, "1");
    }

    #[test]
    fn a_shared_id_or_key_is_refused_by_name() {
        let again = [App::new("1", "a", "s"), App::new("1", "b", "s")];
        assert_eq!(AppRegistry::new(again).unwrap_err(), DuplicateApp::Id("1".into()));
        let again = [App::new("1", "a", "s"), App::new("2", "a", "s")];
        assert_eq!(AppRegistry::new(again).unwrap_err(), DuplicateApp::Key("a".into()));
    }
}
