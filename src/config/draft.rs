//! An app while its parts are still being gathered from the file and the environment.

use super::{AppConfig, Error, Origin, Origins, RelaySettings};
use crate::app::{App, Key, Secret};
use crate::pipe::RuleSpec;
use crate::webhook;

/// An app that may still lack its credentials. It has no `Debug`, for it holds a secret as plain text.
pub(super) struct AppDraft {
    /// Where it was begun, for what turns out to be missing.
    pub(super) at: Origin,
    pub(super) id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) secret: Option<String>,
    /// The list in the file, in place of `key` and `secret`.
    pub(super) keys: Option<Vec<Key>>,
    /// Switches and limits. Its id and keys are not used.
    pub(super) app: App,
    pub(super) pipe: Vec<RuleSpec>,
    pub(super) webhooks: webhook::WebhookConfig,
    pub(super) relays: Vec<RelaySettings>,
}

impl AppDraft {
    /// An app of which nothing is known yet.
    pub(super) fn begun_at(at: Origin) -> Self {
        let app = App::new("", "", "");
        let (pipe, webhooks) = (Vec::new(), webhook::WebhookConfig::default());
        let relays = Vec::new();
        AppDraft { at, id: None, key: None, secret: None, keys: None, app, pipe, webhooks, relays }
    }

    /// A finished app, to be changed or printed.
    pub(super) fn of(config: &AppConfig) -> Self {
        let mut draft = AppDraft::begun_at(Origin::Default);
        draft.id = Some(config.app.id.clone());
        match config.app.keys.as_slice() {
            [Key { key, secret }] => {
                draft.key = Some(key.clone());
                draft.secret = Some(secret.text().to_owned());
            }
            keys => draft.keys = Some(keys.to_vec()),
        }
        draft.app = config.app.clone();
        draft.pipe = config.pipe.clone();
        draft.webhooks = config.webhooks.clone();
        draft.relays = config.relays.clone();
        draft
    }

    /// The app at `index`, if nothing is missing. `origins` tell who gave half of a pair.
    pub(super) fn finish(self, index: usize, origins: &Origins) -> Result<AppConfig, Error> {
        let origin = |field: &str| origins.of(&format!("apps[{index}].{field}")).clone();
        let missing = |key, variable| Error::Missing {
            at: self.at.clone(),
            what: "an app",
            key,
            variable: (index == 0).then_some(variable),
        };
        let id = self.id.ok_or_else(|| missing("id", "HELIOSTAT_APP_ID"))?;
        let keys = match (self.keys, self.key, self.secret) {
            (Some(keys), None, None) => keys,
            (Some(_), Some(_), None) => return Err(Error::HalfAPair { at: origin("key") }),
            (Some(_), None, Some(_)) => return Err(Error::HalfAPair { at: origin("secret") }),
            (_, Some(key), Some(secret)) => vec![Key { key, secret: Secret::new(secret) }],
            (None, None, _) => return Err(missing("key", "HELIOSTAT_APP_KEY")),
            (None, _, None) => return Err(missing("secret", "HELIOSTAT_APP_SECRET")),
        };
        for (place, rule) in self.pipe.iter().enumerate() {
            let at = || origin(&format!("pipe[{place}]"));
            rule.check_targets(&self.app).map_err(|source| Error::Rule { at: at(), source })?;
        }
        let app = App { id, keys, ..self.app };
        Ok(AppConfig { app, pipe: self.pipe, webhooks: self.webhooks, relays: self.relays })
    }
}
