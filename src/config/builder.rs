//! What the sources of configuration write to: the values so far, their origins, and what was wrong.

use super::draft::AppDraft;
use super::error::nearest;
use super::input_value::InputValue;
use super::settings::{Setting, app_settings, node_settings};
use super::{AppConfig, Config, Error, Origin, Origins, Warning};
use crate::app::DuplicateApp;

/// What an app has lists of, each begun by `[[apps.…]]`, and what each of one list has to say.
pub(crate) const APP_TABLES: [(&str, &[&str]); 4] = [
    ("channels", &["pattern"]),
    ("pipe", &["from", "event"]),
    ("relay", &["url", "app_id", "key", "secret"]),
    ("webhooks", &["url"]),
];

/// A configuration under construction. Later assignments beat earlier ones.
pub(super) struct Builder {
    pub(super) config: Config,
    pub(super) origins: Origins,
    pub(super) errors: Vec<Error>,
    pub(super) warnings: Vec<Warning>,
    /// Variables that look like settings and were made for services.
    pub(super) skipped: Vec<String>,
    /// Variables of other servers that count, in the order in which they were read.
    pub(super) read: Vec<String>,
    /// Variables, and flags, that would concern an app, and do not, because the apps are those of a file.
    pub(super) unused: Vec<String>,
    node_settings: Vec<Setting<Config>>,
    app_settings: Vec<Setting<AppDraft>>,
}

impl Builder {
    /// Begins with the defaults, and no app.
    pub(super) fn new() -> Self {
        Builder {
            config: Config::default(),
            origins: Origins::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            skipped: Vec::new(),
            read: Vec::new(),
            unused: Vec::new(),
            node_settings: node_settings(),
            app_settings: app_settings(),
        }
    }

    /// Remembers that a variable of another server counts.
    pub(super) fn read_foreign(&mut self, name: &str) {
        if !self.read.iter().any(|known| known == name) {
            self.read.push(name.to_owned());
        }
    }

    /// Sets `server.port` or the like. False if there is no such setting.
    pub(super) fn set_node(&mut self, path: &str, given: &InputValue<'_>, origin: Origin) -> bool {
        let Some(setting) = self.node_settings.iter().find(|s| s.path == path) else {
            return false;
        };
        match setting.assign(&mut self.config, given, path, &origin) {
            Ok(()) => self.origins.record(path.to_owned(), origin),
            Err(error) => self.errors.push(error),
        }
        true
    }

    /// Sets `limits.connections` or the like of the app at `index`. False if there is no such setting.
    pub(super) fn set_app(
        &mut self,
        (index, draft): (usize, &mut AppDraft),
        path: &str,
        given: &InputValue<'_>,
        origin: Origin,
    ) -> bool {
        let Some(setting) = self.app_settings.iter().find(|s| s.path == path) else {
            return false;
        };
        match setting.assign(draft, given, &format!("apps.{path}"), &origin) {
            Ok(()) => self.origins.record(format!("apps[{index}].{path}"), origin),
            Err(error) => self.errors.push(error),
        }
        true
    }

    /// The settings of one app.
    pub(super) fn app_settings(&self) -> impl Iterator<Item = &Setting<AppDraft>> {
        self.app_settings.iter()
    }

    /// Goes on only where nothing is wrong so far.
    ///
    /// # Errors
    /// Everything that is, in the order of the file.
    pub(super) fn stop_on_errors(&mut self) -> Result<(), Vec<Error>> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let mut errors = std::mem::take(&mut self.errors);
        errors.sort_by_key(Error::line);
        Err(errors)
    }

    /// Makes apps of the drafts, if each is complete and all can be told apart.
    pub(super) fn finish_apps(&mut self, drafts: Vec<AppDraft>) {
        for (index, draft) in drafts.into_iter().enumerate() {
            match draft.finish(index, &self.origins) {
                Ok(app) => self.config.apps.push(app),
                Err(error) => self.errors.push(error),
            }
        }
        for source in DuplicateApp::all(self.config.apps.iter().map(|app| &app.app)) {
            let (at, first) = self.origins_of_duplicate(&source);
            self.errors.push(Error::Duplicate { at, first, source });
        }
    }

    /// Where the later of the two stands, and the first where that is in no other line of the same file.
    fn origins_of_duplicate(&self, duplicate: &DuplicateApp) -> (Origin, Option<Origin>) {
        let has = |app: &AppConfig| match duplicate {
            DuplicateApp::Id(id) => app.app.id == *id,
            DuplicateApp::Key(key) => app.app.secret_of(key).is_some(),
        };
        let fields: &[&str] = match duplicate {
            DuplicateApp::Id(_) => &["id"],
            DuplicateApp::Key(_) => &["key", "keys"],
        };
        let origin = |index: Option<usize>| {
            let index = index.unwrap_or_default();
            let mut origins = fields.iter().map(|field| self.origins.of(&format!("apps[{index}].{field}")));
            origins.find(|origin| **origin != Origin::Default).cloned().unwrap_or(Origin::Default)
        };
        let apps = &self.config.apps;
        let (at, first) = (origin(apps.iter().rposition(has)), origin(apps.iter().position(has)));
        let is_elsewhere = at.file() != first.file();
        (at, Some(first).filter(|_| is_elsewhere))
    }

    /// Each node setting's path with its environment variable.
    pub(super) fn node_variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.node_settings.iter().map(|s| (s.path, s.variable("HELIOSTAT_")))
    }

    /// Each app setting's path with its environment variable.
    pub(super) fn app_variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.app_settings.iter().map(|s| (s.path, s.variable("HELIOSTAT_APP_")))
    }

    /// The known key that an unknown `name` in the table `prefix` was probably meant to be: one like it in the same
    /// table, or the same name in another table.
    pub(super) fn nearest_key(&self, prefix: &str, name: &str) -> Option<String> {
        let node = self.node_settings.iter().map(|s| s.path.to_owned());
        let app = self.app_settings.iter().map(|s| format!("apps.{}", s.path));
        if let Some(known) = known_elsewhere(prefix, name) {
            return Some(known.to_owned());
        }
        let known: Vec<String> = node
            .chain(app)
            .chain(["server.listeners", "apps.keys"].map(str::to_owned))
            .chain(APP_TABLES.map(|(name, _)| format!("apps.{name}")))
            .collect();
        let siblings = known.iter().filter_map(|path| path.strip_prefix(prefix)?.split('.').next());
        let sibling = nearest(name, siblings).map(|sibling| format!("{prefix}{sibling}"));
        let table = prefix.split('.').next().unwrap_or_default();
        let mut named_so: Vec<_> =
            known.iter().filter(|path| path.rsplit('.').next() == Some(name)).collect();
        // One of an app is not meant to be the node's.
        named_so.sort_by_key(|path| path.split('.').next() != Some(table));
        sibling.or_else(|| named_so.first().map(|path| (*path).clone()))
    }
}

/// What an app's setting is called here that other servers have under another name, in any of their spellings.
fn known_elsewhere(prefix: &str, name: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 7] = [
        ("maxconnections", "apps.limits.connections"),
        ("enableclientmessages", "apps.client_events"),
        ("clientmessagesenabled", "apps.client_events"),
        ("maxclienteventspersecond", "apps.limits.client_events_per_second"),
        ("maxbackendeventspersecond", "apps.limits.backend_events_per_second"),
        ("maxreadrequestspersecond", "apps.limits.read_requests_per_second"),
        ("maxpresencemembersperchannel", "apps.limits.presence_members_per_channel"),
    ];
    let plain: String = name.chars().filter(|c| !"_-".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
    let found = NAMES.iter().find(|(known, _)| *known == plain);
    found.filter(|_| prefix.starts_with("apps.")).map(|(_, ours)| *ours)
}
