//! An app as it is shown: every setting with its value, where it is defined, and the tag of what it is now.

use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::config::{AppConfig, Loaded};

/// An app as a list of apps shows it.
#[derive(Clone, PartialEq)]
pub(crate) struct ListedApp {
    /// Where it is defined.
    pub(crate) defined: String,
    /// Whether it is of the apps file.
    pub(crate) is_changeable: bool,
    /// The same as the broker has it.
    pub(crate) configured: AppConfig,
}

/// An app as the files have it.
#[derive(Clone, PartialEq)]
pub(crate) struct AppView {
    /// What a list would show of it.
    pub(crate) listed: ListedApp,
    /// Its settings, all of them, and its keys with their secrets.
    pub(crate) settings: Map<String, Json>,
    /// The same as the file could have it.
    pub(crate) toml: String,
}

impl ListedApp {
    /// The app at `index`; none if there is none.
    pub(super) fn new(loaded: &Loaded, index: usize) -> Option<Self> {
        let configured = loaded.config.apps.get(index)?.clone();
        let defined = loaded.origins.of(&format!("apps[{index}].id")).to_string();
        Some(ListedApp { defined, is_changeable: index >= loaded.own_apps, configured })
    }

    pub(crate) fn id(&self) -> &str {
        &self.configured.app.id
    }

    /// As JSON, without secrets.
    pub(crate) fn to_json(&self, in_force: Option<bool>) -> Json {
        let keys: Vec<_> = self.configured.app.keys.iter().map(|pair| pair.key.as_str()).collect();
        let app = json!({ "id": self.id(), "enabled": self.configured.app.enabled, "keys": keys });
        self.with_state(app, in_force)
    }

    fn with_state(&self, mut app: Json, in_force: Option<bool>) -> Json {
        app["changeable"] = self.is_changeable.into();
        app["defined"] = self.defined.as_str().into();
        if let Some(in_force) = in_force {
            app["in_force"] = in_force.into();
        }
        app
    }
}

impl AppView {
    /// The app at `index`; none if there is none.
    pub(super) fn new(loaded: &Loaded, index: usize) -> Option<Self> {
        let listed = ListedApp::new(loaded, index)?;
        let toml = loaded.app_to_toml(index)?;
        let mut file: Map<String, Json> = toml::from_str(&toml).ok()?;
        let Json::Object(mut settings) = file.get_mut("apps")?.get_mut(0)?.take() else { return None };
        // One pair has the form of several, so that whoever reads them has one form to read.
        settings.remove("key");
        settings.remove("secret");
        let pairs = listed.configured.app.keys.iter();
        let pairs = pairs.map(|pair| json!({ "key": pair.key, "secret": pair.secret.text() }));
        settings.insert("keys".to_owned(), pairs.collect());
        Some(AppView { listed, settings, toml })
    }

    /// What stands in for the app in `ETag` and `If-Match`: another one after every change.
    pub(crate) fn tag(&self) -> String {
        // Nothing of it can fail: all members have names.
        let digest = Sha256::digest(serde_json::to_vec(&self.settings).unwrap_or_default());
        format!("\"{}\"", hex::encode(&digest[..16]))
    }

    /// By itself, with its secrets.
    pub(crate) fn whole(&self, in_force: Option<bool>) -> Json {
        self.listed.with_state(json!({ "app": self.settings }), in_force)
    }
}

/// Without what it holds of secrets.
impl std::fmt::Debug for AppView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppView")
            .field("id", &self.listed.id())
            .field("defined", &self.listed.defined)
            .finish_non_exhaustive()
    }
}
