//! The configuration as the files have it now: what a reload would change, and to have it done.

use std::pin::Pin;
use std::sync::Arc;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::ConsoleError;
use super::{Console, asked};
use crate::config::{AppDifferences, ConfigDifference, SettingDifference};

/// What a reload would do, as of one moment.
#[derive(Clone, Debug)]
pub(crate) struct ReloadPlan {
    pub(crate) difference: ConfigDifference,
    /// Another one where the files, or what runs, have changed since. It tells nothing of what they hold.
    pub(crate) version: u64,
}

/// What comes of a reload in the end.
pub(crate) type ReloadAnswer<'r, T> = Pin<Box<dyn Future<Output = Result<T, String>> + 'r>>;

/// Has the broker read its configuration again. Errors are told in lines, as the broker tells them elsewhere.
pub(crate) trait ConfigReload: Send + Sync {
    /// What it would change.
    fn plan(&self) -> ReloadAnswer<'_, ReloadPlan>;

    /// Does it; returns what it has changed.
    fn reload(&self) -> ReloadAnswer<'_, String>;
}

impl Console {
    /// From now on this reloads the broker.
    pub(crate) fn reloaded_by(&self, reload: Arc<dyn ConfigReload>) {
        // Whoever was first stays.
        let _ = self.reload.set(reload);
    }

    /// What a reload would change.
    pub(super) async fn plan_reload(&self) -> Result<Value, ConsoleError> {
        let plan = self.reloads()?.plan().await.map_err(at_fault)?;
        Ok(shown(&plan))
    }

    /// Reloads. If a version is named, then only what was shown under it.
    pub(super) async fn reload(&self, asked: &Map<String, Value>) -> Result<Value, ConsoleError> {
        let reload = self.reloads()?;
        if let Some(version) = asked::text(asked, "version")? {
            let plan = reload.plan().await.map_err(at_fault)?;
            if plan.version.to_string() != version {
                let sentence = "the files, or what runs, have changed since this was shown: look again";
                return Err(ConsoleError::Refused(StatusCode::CONFLICT, sentence.to_owned()));
            }
        }
        let told = reload.reload().await.map_err(at_fault)?;
        Ok(json!({ "told": told.strip_prefix("ok: ").unwrap_or(&told) }))
    }

    fn reloads(&self) -> Result<&Arc<dyn ConfigReload>, ConsoleError> {
        let sentence = "this broker was not started from files that could be read again";
        self.reload.get().ok_or_else(|| ConsoleError::Refused(StatusCode::NOT_FOUND, sentence.to_owned()))
    }
}

/// The complaint of the broker, without the name of the program before each line.
fn at_fault(complaint: String) -> ConsoleError {
    let lines = complaint.lines().filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(|line| line.strip_prefix("heliostat: ").unwrap_or(line)).collect();
    ConsoleError::Refused(StatusCode::UNPROCESSABLE_ENTITY, lines.join("\n"))
}

fn shown(plan: &ReloadPlan) -> Value {
    let ConfigDifference { at_once, needs_restart, apps, certificates, warnings } = &plan.difference;
    let AppDifferences { added, changed, removed, left_out } = apps;
    let settings = |settings: &[SettingDifference]| settings.iter().map(setting).collect::<Vec<_>>();
    let added = added.iter().map(|(id, toml)| json!({ "id": id, "toml": toml }));
    let changed = changed.iter().map(|(id, of)| json!({ "id": id, "settings": settings(of) }));
    json!({
        "version": plan.version.to_string(),
        "changes": !plan.difference.is_empty(),
        "at_once": settings(at_once),
        "needs_restart": settings(needs_restart),
        "certificates": certificates,
        "apps": {
            "added": added.collect::<Vec<_>>(),
            "changed": changed.collect::<Vec<_>>(),
            "removed": removed,
            "left_out": left_out,
        },
        "warnings": warnings,
    })
}

fn setting(difference: &SettingDifference) -> Value {
    let SettingDifference { path, before, after, is_secret, origin } = difference;
    json!({ "path": path, "before": before, "after": after, "is_secret": is_secret, "origin": origin })
}
