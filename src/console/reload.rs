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

/// Why nothing was reloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReloadRefusal {
    /// It would change something else than was shown.
    #[error("the files, or what runs, have changed since this was shown: look again")]
    NotAsShown,
    /// The files are at fault, or something is in the way: in lines, as the broker tells them elsewhere.
    #[error("{0}")]
    AtFault(String),
}

impl From<String> for ReloadRefusal {
    fn from(complaint: String) -> Self {
        ReloadRefusal::AtFault(complaint)
    }
}

/// What comes of a reload in the end.
pub(crate) type ReloadAnswer<'r, T> = Pin<Box<dyn Future<Output = Result<T, ReloadRefusal>> + 'r>>;

/// Has the broker read its configuration again.
pub(crate) trait ConfigReload: Send + Sync {
    /// What it would change.
    fn plan(&self) -> ReloadAnswer<'_, ReloadPlan>;

    /// Does it; returns what it has changed. If a version is given, then only what was shown under that: what is compared with it is
    /// what is put in force, in one turn.
    fn reload(&self, shown: Option<u64>) -> ReloadAnswer<'_, String>;
}

impl Console {
    /// From now on this reloads the broker.
    pub(crate) fn reloaded_by(&self, reload: Arc<dyn ConfigReload>) {
        // Whoever was first stays.
        let _ = self.reload.set(reload);
    }

    /// What a reload would change.
    pub(super) async fn plan_reload(&self) -> Result<Value, ConsoleError> {
        let plan = self.reloads()?.plan().await.map_err(refused)?;
        Ok(shown(&plan))
    }

    /// Reloads. If a version is named, then only what was shown under it.
    pub(super) async fn reload(&self, asked: &Map<String, Value>) -> Result<Value, ConsoleError> {
        reload_as_asked(&**self.reloads()?, asked).await
    }

    fn reloads(&self) -> Result<&Arc<dyn ConfigReload>, ConsoleError> {
        let sentence = "this broker was not started from files that could be read again";
        self.reload.get().ok_or_else(|| ConsoleError::Refused(StatusCode::NOT_FOUND, sentence.to_owned()))
    }
}

async fn reload_as_asked(
    reload: &dyn ConfigReload,
    asked: &Map<String, Value>,
) -> Result<Value, ConsoleError> {
    let version = asked::text(asked, "version")?.map(str::parse).transpose();
    // What is no number was never shown.
    let version = version.map_err(|_| refused(ReloadRefusal::NotAsShown))?;
    let told = reload.reload(version).await.map_err(refused)?;
    Ok(json!({ "told": told.strip_prefix("ok: ").unwrap_or(&told) }))
}

/// The complaint of the broker, without the name of the program before each line.
fn refused(refusal: ReloadRefusal) -> ConsoleError {
    let complaint = match refusal {
        ReloadRefusal::NotAsShown => {
            return ConsoleError::Refused(StatusCode::CONFLICT, refusal.to_string());
        }
        ReloadRefusal::AtFault(complaint) => complaint,
    };
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

#[cfg(test)]
mod tests {
    use std::future::ready;

    use parking_lot::Mutex;

    use super::*;

    /// Is edited after each look at it, and keeps what it was asked for.
    #[derive(Default)]
    struct EditedReload {
        version: Mutex<u64>,
        asked: Mutex<Vec<Option<u64>>>,
    }

    impl ConfigReload for EditedReload {
        fn plan(&self) -> ReloadAnswer<'_, ReloadPlan> {
            let version = *self.version.lock();
            *self.version.lock() += 1;
            Box::pin(ready(Ok(ReloadPlan { difference: ConfigDifference::default(), version })))
        }

        fn reload(&self, shown: Option<u64>) -> ReloadAnswer<'_, String> {
            self.asked.lock().push(shown);
            let is_as_shown = shown.is_none_or(|shown| shown == *self.version.lock());
            Box::pin(ready(if is_as_shown {
                Ok("ok: done".to_owned())
            } else {
                Err(ReloadRefusal::NotAsShown)
            }))
        }
    }

    #[tokio::test]
    async fn what_is_put_in_force_is_compared_in_one_call() {
        let reload = EditedReload::default();
        let version = reload.plan().await.unwrap().version;
        let ask = |asked: Value| {
            let reload = &reload;
            async move { reload_as_asked(reload, asked.as_object().unwrap()).await }
        };
        let stale = ask(json!({ "version": version.to_string() })).await.unwrap_err();
        assert_eq!(stale.status(), StatusCode::CONFLICT);
        // If the console looked once more before that, it would be another one.
        assert_eq!(ask(json!({ "version": (version + 1).to_string() })).await, Ok(json!({ "told": "done" })));
        assert_eq!(ask(json!({})).await, Ok(json!({ "told": "done" })));
        assert_eq!(ask(json!({ "version": "x" })).await.unwrap_err().status(), StatusCode::CONFLICT);
        assert_eq!(*reload.asked.lock(), [Some(version), Some(version + 1), None]);
    }
}
