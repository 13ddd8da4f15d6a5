//! `apps`: shows and changes the apps of the apps file as the API does, from the command line. A running broker is found by
//! its control socket, told which file it is to be, and asked to take the change.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use super::arguments::AppsAction;
use crate::app::Key;
use crate::app_admin::{
    AppChange, AppChanged, AppView, AppsError, InForce, ListedApp, ManagedApps, PutInForce, Reader, draw_key,
    with_credentials,
};
use crate::config::{self, CONFIG_VARIABLE, Config, Flags, setting_from_text};
use crate::server;
use crate::server::control::{self, AskError};

/// What is to be done, and how it is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppsOrder {
    pub(super) wanted: AppsWanted,
    /// In JSON.
    pub(super) json: bool,
}

/// What is wanted of the apps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AppsWanted {
    /// All of them.
    List,
    /// The one with this id.
    Show(String),
    /// This done to the one with this id.
    Change(String, AppChange),
}

impl AppsWanted {
    /// What the arguments ask for.
    ///
    /// # Errors
    /// If a setting is not `key=value`, or its value does not fit: a line.
    pub(super) fn new(action: AppsAction) -> Result<Self, String> {
        let enabled = |id, enabled: bool| {
            let settings = Map::from_iter([("enabled".to_owned(), enabled.into())]);
            AppsWanted::Change(id, AppChange::Set(settings))
        };
        Ok(match action {
            AppsAction::List => AppsWanted::List,
            AppsAction::Show { id } => AppsWanted::Show(id),
            AppsAction::Create { settings } => {
                let settings = with_credentials(settings_of(&settings, &[])?);
                let id = settings.get("id").and_then(Json::as_str).unwrap_or_default().to_owned();
                AppsWanted::Change(id, AppChange::Create(settings))
            }
            AppsAction::Set { id, settings, unset } => {
                let settings = settings_of(&settings, &unset)?;
                if settings.contains_key("id") {
                    return Err("the id of an app cannot be changed\n".to_owned());
                }
                AppsWanted::Change(id, AppChange::Set(settings))
            }
            AppsAction::Rotate { id } => AppsWanted::Change(id, AppChange::Rotate(draw_key())),
            AppsAction::Revoke { id, key } => AppsWanted::Change(id, AppChange::Revoke(key)),
            AppsAction::Enable { id } => enabled(id, true),
            AppsAction::Disable { id } => enabled(id, false),
            AppsAction::Delete { id } => AppsWanted::Change(id, AppChange::Delete),
        })
    }
}

/// The settings as the API takes them: `limits.connections` is a member of `limits`.
fn settings_of(given: &[String], unset: &[String]) -> Result<Map<String, Json>, String> {
    let mut settings = Map::new();
    let mut given_paths = BTreeSet::new();
    let mut put = |path: &str, value: Json| {
        let table = path.split_once('.').map(|(table, _)| table);
        let below = format!("{path}.");
        let given_before =
            |given: &&String| *given == path || Some(given.as_str()) == table || given.starts_with(&below);
        if let Some(other) = given_paths.iter().find(given_before) {
            return Err(if other == path {
                format!("{path} is given twice\n")
            } else {
                format!("{other} and {path} cannot both be given: one is part of the other\n")
            });
        }
        given_paths.insert(path.to_owned());
        match path.split_once('.') {
            None => {
                settings.insert(path.to_owned(), value);
            }
            Some((table, name)) => {
                let table = settings.entry(table).or_insert_with(|| json!({}));
                // Whoever gave something else for it was refused above.
                table.as_object_mut().into_iter().for_each(|table| {
                    table.insert(name.to_owned(), value.clone());
                });
            }
        }
        Ok(())
    };
    for setting in given {
        let pair = setting.split_once('=');
        let (path, text) = pair.ok_or_else(|| format!("expected KEY=VALUE, got {setting:?}\n"))?;
        put(path, setting_from_text(path, text).map_err(|told| format!("{told}\n"))?)?;
    }
    unset.iter().try_for_each(|path| put(path, Json::Null))?;
    Ok(settings)
}

/// Does it; returns what to print.
///
/// # Errors
/// Why nothing has changed: whole lines.
pub(super) fn run_apps(flags: Flags, order: &AppsOrder) -> Result<String, String> {
    let flags = flags.or_default_file();
    let broker = FoundBroker::find(&flags)?;
    let file = broker.as_ref().map(|broker| broker.file.clone().into_os_string());
    let socket = broker.as_ref().map(|broker| broker.socket.clone());
    let named = flags.config.clone().or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
    let own_file = named.or_else(|| flags.default_file.clone());
    let reader = Reader::Like(socket.or_else(|| own_file.filter(|file| file.exists())));
    let apps = ManagedApps::new(move |read| {
        let named = file.iter().map(|file| (OsString::from("HELIOSTAT_ADMIN_APPS_FILE"), file.clone()));
        config::load_for_change(std::env::vars_os().chain(named), &flags, read)
    });
    let apps = apps.for_reader(reader);
    let complain = |error: AppsError| match error {
        AppsError::AtFault(lines) => lines.iter().map(|line| format!("heliostat: {line}\n")).collect(),
        error => format!("heliostat: {error}\n"),
    };
    match &order.wanted {
        AppsWanted::List => Ok(list(&apps.all().map_err(complain)?, order.json)),
        AppsWanted::Show(id) => Ok(show(&apps.one(id).map_err(complain)?, order.json)),
        AppsWanted::Change(id, change) => {
            let taker = ChangeTaker { broker: broker.as_ref() };
            let changed = apps.change(id, change, |_| true, &taker).map_err(complain)?;
            Ok(tell(id, change, &changed, order.json))
        }
    }
}

/// A running broker.
struct FoundBroker {
    socket: PathBuf,
    /// The apps file that it reads.
    file: PathBuf,
}

impl FoundBroker {
    /// The broker at the control socket that is named or configured; none where nobody is there.
    fn find(flags: &Flags) -> Result<Option<Self>, String> {
        let Some(socket) = super::control_socket(flags, &config::read_file)? else { return Ok(None) };
        match control::ask(&socket, control::APPS_FILE) {
            Ok(Ok(file)) => Ok(Some(FoundBroker { socket, file: file.into() })),
            Ok(Err(complaint)) => Err(format!("{complaint}\n")),
            Err(AskError::Unreachable { error, .. }) if is_nobody(&error) => Ok(None),
            Err(error) => Err(format!("heliostat: {error}\n")),
        }
    }
}

/// Whether there is no broker, in contrast to one that may not be spoken to.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Has a broker take a change, if there is one.
struct ChangeTaker<'b> {
    broker: Option<&'b FoundBroker>,
}

impl InForce for ChangeTaker<'_> {
    fn put(
        &self,
        config: Config,
        _changed: &str,
        write: &mut dyn FnMut() -> Result<(), AppsError>,
    ) -> Result<PutInForce, AppsError> {
        let told = |told| PutInForce { told, needs_restart: false };
        let Some(broker) = self.broker else {
            server::check_apps(&config).map_err(|error| AppsError::NotApplied(error.to_string()))?;
            write()?;
            return Ok(told("it takes effect when the broker starts or reloads".to_owned()));
        };
        write()?;
        match control::ask(&broker.socket, control::RELOAD) {
            Ok(Ok(done)) => Ok(told(done.trim_start_matches("ok: ").to_owned())),
            Ok(Err(complaint)) => {
                let complaint: Vec<_> =
                    complaint.lines().map(|line| line.trim_start_matches("heliostat: ")).collect();
                Err(AppsError::NotApplied(format!("the broker does not take it: {}", complaint.join("; "))))
            }
            Err(error @ AskError::Unreachable { .. }) => {
                Ok(told(format!("{error}; it takes effect when the broker starts or reloads")))
            }
            Err(error) => Err(AppsError::NoAnswer(error.to_string())),
        }
    }

    fn may_have_other_apps(&self) -> bool {
        self.broker.is_some()
    }
}

fn list(apps: &[ListedApp], in_json: bool) -> String {
    if in_json {
        let apps: Vec<_> = apps.iter().map(|app| app.to_json(None)).collect();
        return format!("{:#}\n", json!({ "apps": apps }));
    }
    let width = apps.iter().map(|app| app.id().len()).max().unwrap_or_default();
    apps.iter().fold(String::new(), |mut text, app| {
        let state = if app.configured.app.enabled { "enabled " } else { "disabled" };
        let keys: Vec<_> = app.configured.app.keys.iter().map(|pair| pair.key.as_str()).collect();
        let _ = writeln!(text, "{:width$}  {state}  {}  ({})", app.id(), keys.join(" "), app.defined);
        text
    })
}

fn show(app: &AppView, in_json: bool) -> String {
    if in_json { format!("{:#}\n", app.whole(None)) } else { app.toml.clone() }
}

fn tell(id: &str, change: &AppChange, changed: &AppChanged, in_json: bool) -> String {
    let AppChanged { view, told, warnings, .. } = changed;
    let app = view.as_ref();
    let drawn = |pair: &Key| json!({ "key": pair.key, "secret": pair.secret.text() });
    if in_json {
        let mut answer = match change {
            AppChange::Rotate(pair) => drawn(pair),
            _ => app.map_or_else(|| json!({}), |app| app.whole(None)),
        };
        answer["told"] = told.as_str().into();
        if !warnings.is_empty() {
            answer["warnings"] = warnings.as_slice().into();
        }
        return format!("{answer:#}\n");
    }
    let pair = match (change, app) {
        (AppChange::Rotate(pair), _) => Some(pair),
        (AppChange::Create(_), Some(app)) => app.listed.configured.app.keys.first(),
        _ => None,
    };
    let pair = pair.map(|pair| format!("key = {}\nsecret = {}\n", pair.key, pair.secret.text()));
    let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    format!("app {id} {}: {told}\n{}{warnings}", change.done(), pair.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_told() {
        for (given, unset, told) in [
            (
                vec!["limits=5", "limits.connections=3"],
                vec![],
                "limits and limits.connections cannot both be given",
            ),
            (
                vec!["limits.connections=3", "limits=5"],
                vec![],
                "limits.connections and limits cannot both be given",
            ),
            (vec!["enabled=true", "enabled.x=3"], vec![], "enabled and enabled.x cannot both be given"),
            (
                vec!["limits.connections=3"],
                vec!["limits"],
                "limits.connections and limits cannot both be given",
            ),
            (vec!["enabled=true"], vec!["enabled"], "enabled is given twice"),
            (vec!["enabled=true", "enabled=false"], vec![], "enabled is given twice"),
        ] {
            let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let refused = settings_of(&texts(&given), &texts(&unset)).unwrap_err();
            assert!(refused.starts_with(told), "{given:?}: {refused}");
        }
        let both = ["limits.connections=3".to_owned(), "limits.channels=4".to_owned(), "a.b.c=x".to_owned()];
        let settings = settings_of(&both, &["enabled".to_owned()]).unwrap();
        let expected =
            json!({ "limits": { "connections": 3, "channels": 4 }, "a": { "b.c": "x" }, "enabled": null });
        assert_eq!(Json::Object(settings), expected);
    }
}
