//! Why an app was not changed.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::http::StatusCode;

use crate::config::Error;

/// Why an app was not changed, or not shown. Nothing has happened then, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppsError {
    /// There is no file that could be changed.
    #[error(
        "there is no apps file: set admin.apps_file (HELIOSTAT_ADMIN_APPS_FILE) to the path of one, or have the broker read \
         a configuration file, beside which it is then"
    )]
    NoFile,
    /// The broker is part of a program that has its apps from elsewhere.
    #[error("this broker has its apps from the program that runs it, which alone changes them")]
    NotFromFiles,
    /// There is no such app.
    #[error("there is no app with the id {0:?}")]
    NoSuchApp(String),
    /// The app has no such key.
    #[error("the app has no key {0:?}")]
    NoSuchKey(String),
    /// Without it nobody could connect.
    #[error("{0:?} is the last key of the app: rotate first, or delete the app")]
    LastKey(String),
    /// Without it nobody could connect to the broker.
    #[error("{0:?} is the last app: the broker has to have one")]
    LastApp(String),
    /// The app is defined elsewhere.
    #[error(
        "the app {id:?} is not of the apps file: it is defined by {place}, and can be changed there only"
    )]
    Elsewhere { id: String, place: String },
    /// The id or a key is taken, or the like: each in a sentence.
    #[error("{}", sentences(.0))]
    Taken(Vec<String>),
    /// The settings are not what they should be: each in a sentence.
    #[error("{}", sentences(.0))]
    Settings(Vec<String>),
    /// What was sent is not what it should be.
    #[error("{}", shortened(.0))]
    Body(String),
    /// The files are at fault as they stand: each in a sentence with its place.
    #[error("the configuration as it stands is at fault, mend that first: {}", sentences(.0))]
    AtFault(Vec<String>),
    /// The apps file cannot be edited, although it can be read.
    #[error("the apps file cannot be changed: {0}")]
    NotToml(String),
    /// The file does not have what the loader has read of it.
    #[error("the apps file has been changed meanwhile: try again")]
    Gone,
    /// Somebody has changed the app since it was looked at.
    #[error("the app {0:?} is another one than If-Match says: it has been changed since; get it again")]
    Changed(String),
    /// Somebody else does not give the lock back.
    #[error("another change of the apps is not done, and holds the lock {}: try again", .0.display())]
    Locked(PathBuf),
    /// There would be too much.
    #[error("an apps file must not have more than {most} bytes")]
    TooLarge {
        /// What is allowed.
        most: u64,
    },
    /// The system refused.
    #[error("cannot {what} {}: {error}{}; nothing has changed", .path.display(), advice(.error))]
    File {
        /// What was to be done.
        what: &'static str,
        path: PathBuf,
        /// Why it was not.
        error: io::Error,
    },
    /// Apps would be gone that nobody has asked to delete.
    #[error(
        "the files lack apps that are in force, which this change would remove: {}; put them back, or reload the \
         configuration to have them removed, then try again", sentences(.0)
    )]
    WouldRemove(Vec<String>),
    /// The broker did not take it, and the file could not be put back.
    #[error(
        "{}; but the apps file has the change, and was not put back: {}; mend it by hand, and reload",
        without_promise(.refusal), without_promise(.reason)
    )]
    NotUndone {
        /// Why it was not taken.
        refusal: Box<AppsError>,
        /// Why the file is not as it was.
        reason: Box<AppsError>,
    },
    /// The broker did not say whether it took it.
    #[error("{0}; the apps file has the change; `heliostat reload` tells whether the broker takes it")]
    NoAnswer(String),
    /// The broker did not take it.
    #[error("{0}; nothing has changed")]
    NotApplied(String),
    /// The apps are a cluster's, and cannot be asked for.
    #[error(
        "the engine of the cluster, which has its apps, cannot be reached: nothing has changed; try again when it can"
    )]
    EngineAway,
    /// The same, for another reason.
    #[error("the engine of the cluster, which has its apps, refuses: {}; nothing has changed", shortened(.0))]
    EngineRefuses(String),
    /// It did not answer when it was told of the change.
    #[error(
        "the engine of the cluster did not answer, so that it is not known whether the change was made: see what the app is \
         when it can be reached again"
    )]
    Unsure,
    /// Another node has changed the app at the same time.
    #[error(
        "the app {id:?} was changed through another node at the same time, which is change {change} of the cluster's apps: \
         nothing was done; get it again"
    )]
    ChangedElsewhere {
        id: String,
        /// The number of that change.
        change: u64,
    },
    /// Other nodes were always first.
    #[error("other changes of the cluster's apps came first for {} s: nothing has changed; try again", .0.as_secs())]
    Crowded(Duration),
    /// An edited file does not come from what the apps of the cluster are.
    #[error(
        "the apps of the cluster have been changed since {} was written, so what was edited there is not taken; to have \
         them written there, remove the file and reload", .0.display()
    )]
    OldCopy(PathBuf),
    /// What the engine has cannot be taken.
    #[error("what the engine of the cluster has as its apps cannot be read: {0}; nothing has changed")]
    NotApps(NotApps),
    /// Nobody is there who could ask the engine.
    #[error(
        "this node is one of a cluster, which has the apps, and it is not running or has not joined: nothing has changed; \
         try again when it has, or through another node"
    )]
    NotJoined,
    /// It would change something else than whoever asked for it has been shown.
    #[error("the files, or what runs, have changed since this was shown: look again")]
    NotAsShown,
    /// Another process has read the configuration, or is about to.
    #[error(
        "an upgrade is under way, and the new process has the configuration as it was before: nothing has changed; try again \
         when the upgrade is done"
    )]
    Upgrading,
}

/// Why what the engine has is not the apps of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotApps {
    #[error("it is larger than an apps file may be")]
    TooLarge,
    #[error("it is of a later form, {0}: a later release has written it")]
    Later(u32),
    #[error("it is something else")]
    Rubbish,
}

/// Why a configuration was not loaded again.
#[derive(Debug)]
pub(crate) enum ReloadFailure {
    /// All that is wrong with it.
    Config(Vec<Error>),
    /// Something else was in the way.
    Apps(AppsError),
}

impl From<Vec<Error>> for ReloadFailure {
    fn from(errors: Vec<Error>) -> Self {
        ReloadFailure::Config(errors)
    }
}

impl From<AppsError> for ReloadFailure {
    fn from(error: AppsError) -> Self {
        ReloadFailure::Apps(error)
    }
}

impl AppsError {
    pub(super) fn file(what: &'static str, path: &Path, error: io::Error) -> Self {
        AppsError::File { what, path: path.to_owned(), error }
    }

    /// The status of the answer, in one place for all.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            AppsError::NoSuchApp(_) | AppsError::NoSuchKey(_) => StatusCode::NOT_FOUND,
            AppsError::Settings(_) | AppsError::Body(_) => StatusCode::UNPROCESSABLE_ENTITY,
            AppsError::Changed(_) => StatusCode::PRECONDITION_FAILED,
            AppsError::Locked(_)
            | AppsError::Gone
            | AppsError::EngineAway
            | AppsError::EngineRefuses(_)
            | AppsError::Unsure
            | AppsError::NotJoined
            | AppsError::Crowded(_)
            | AppsError::Upgrading => StatusCode::SERVICE_UNAVAILABLE,
            AppsError::NoFile
            | AppsError::NotFromFiles
            | AppsError::LastKey(_)
            | AppsError::LastApp(_)
            | AppsError::Elsewhere { .. }
            | AppsError::Taken(_)
            | AppsError::AtFault(_)
            | AppsError::NotToml(_)
            | AppsError::WouldRemove(_)
            | AppsError::ChangedElsewhere { .. }
            | AppsError::OldCopy(_)
            | AppsError::NotApps(_)
            | AppsError::NotAsShown
            | AppsError::NotApplied(_) => StatusCode::CONFLICT,
            AppsError::NotUndone { .. } | AppsError::NoAnswer(_) => StatusCode::INTERNAL_SERVER_ERROR,
            AppsError::TooLarge { .. } => StatusCode::INSUFFICIENT_STORAGE,
            AppsError::File { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    StatusCode::INSUFFICIENT_STORAGE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }
}

/// All of them, or the first of very many, each cut short where it is very long: whoever asks decides how many there are.
fn sentences(all: &[String]) -> String {
    const MOST: usize = 20;
    let mut told: Vec<_> = all.iter().take(MOST).map(|one| shortened(one)).collect();
    if all.len() > MOST {
        told.push(format!("and {} more", all.len() - MOST).into());
    }
    told.join("; ")
}

/// A refusal in words, when something has changed nevertheless.
fn without_promise(refusal: &AppsError) -> String {
    refusal.to_string().trim_end_matches("; nothing has changed").to_owned()
}

fn shortened(sentence: &str) -> Cow<'_, str> {
    const MOST_CHARS: usize = 500;
    match sentence.char_indices().nth(MOST_CHARS) {
        Some((cut, _)) => format!("{} and {} more bytes", &sentence[..cut], sentence.len() - cut).into(),
        None => sentence.into(),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotFound => {
            " (the folder has to be there, and one that the broker may write to; admin.apps_file names another)"
        }
        io::ErrorKind::ResourceBusy => {
            " (a file that is mounted by itself cannot be replaced: mount the folder that it is in)"
        }
        _ => "",
    }
}
