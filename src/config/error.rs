//! Everything that can be wrong with a configuration, each said in one sentence that names the place.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Origin;
use super::origin::file_name;
use crate::app::DuplicateApp;
use crate::pipe::BadRule;
use crate::relay::BadRelay;
use crate::webhook::BadEndpoint;

/// Why the broker does not start. Nothing was started and no port bound; the user has to change what is named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The configuration file could not be read.
    #[error("cannot read the configuration file {}, {}: {}", shown(.path), named(.named_by), reason(*.kind))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The flag or variable that asked for it.
        named_by: Origin,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// The file of apps that commands and the API change is there and could not be read.
    #[error("cannot read the apps file {}: {}", shown(.path), reason(*.kind))]
    AppsFileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        kind: io::ErrorKind,
    },
    /// The apps file would be the configuration file.
    #[error("{at}: admin.apps_file must be another file than the configuration file, got {file}")]
    OneFileForBoth {
        /// Who named it.
        at: Origin,
        /// Its name.
        file: String,
    },
    /// The apps file has something else than apps.
    #[error("{at}: expected [[apps]] and nothing else, got {key:?}, which belongs in the configuration file")]
    OnlyApps {
        /// The key.
        at: Origin,
        key: String,
    },
    /// The configuration file is not text.
    #[error("{at}: expected UTF-8 text, got other bytes")]
    FileNotUtf8 {
        /// The first offending byte.
        at: Origin,
    },
    /// The configuration file is not TOML.
    #[error("{at}: not valid TOML: {message}")]
    Syntax {
        /// The first offending character.
        at: Origin,
        /// What the parser expected.
        message: String,
    },
    /// The configuration file holds a key that means nothing.
    #[error("{at}: unknown key {key:?}{}", did_you_mean(.nearest))]
    UnknownKey {
        /// The key.
        at: Origin,
        /// Its full name.
        key: String,
        /// The known name that it resembles most.
        nearest: Option<String>,
    },
    /// A variable of ours is not text.
    #[error("{name}: expected UTF-8 text, got other bytes")]
    VariableNotUtf8 {
        /// Its name, with a replacement character where that is not text either.
        name: String,
    },
    /// A value has the wrong type, or lies out of its range.
    #[error("{at}: {key} must be {expected}, got {got}")]
    Value {
        /// The value.
        at: Origin,
        /// The key it was meant for.
        key: String,
        /// What is allowed.
        expected: String,
        /// What came. Never a secret.
        got: String,
    },
    /// An app or a rule lacks something it cannot be without.
    #[error("{at}: {what} needs {key:?}, which is missing{}", or_variable(.variable))]
    Missing {
        /// The table.
        at: Origin,
        /// An app or a pipe rule.
        what: &'static str,
        /// The key that is missing.
        key: &'static str,
        /// The variable that could give it instead.
        variable: Option<&'static str>,
    },
    /// An app has both `keys` and one of `key` and `secret`.
    #[error("{at}: an app has either \"keys\" or one \"key\" with its \"secret\", got both")]
    TwoKindsOfKeys {
        /// The list.
        at: Origin,
    },
    /// The environment gives half of a pair for an app whose file lists several.
    #[error(
        "{at}: the first app has a list of \"keys\", which only HELIOSTAT_APP_KEY and HELIOSTAT_APP_SECRET together replace"
    )]
    HalfAPair {
        /// The variable that was given.
        at: Origin,
    },
    /// A pipe rule cannot be understood, or could never work.
    #[error("{at}: {source}")]
    Rule {
        /// The rule.
        at: Origin,
        /// Why.
        source: BadRule,
    },
    /// The same rule stands twice in the file: every event would be sent twice.
    #[error("{at}: the same pipe rule is already given at {first}")]
    RepeatedRule {
        /// The second one.
        at: Origin,
        first: Origin,
    },
    /// A webhook cannot be sent there, or not so.
    #[error("{at}: {source}{}", did_you_mean(.nearest))]
    Webhook {
        /// The value at fault.
        at: Origin,
        /// Why.
        source: BadEndpoint,
        /// The known name that an unknown one resembles most.
        nearest: Option<String>,
    },
    /// The same webhook stands twice in the file: every event would be sent twice.
    #[error("{at}: the same webhook is already given at {first}")]
    RepeatedWebhook {
        /// The second one.
        at: Origin,
        first: Origin,
    },
    /// Nothing can be relayed there, or not so.
    #[error("{at}: {source}")]
    Relay {
        /// The value at fault.
        at: Origin,
        /// Why.
        source: BadRelay,
    },
    /// Two relays of one app lead to the same app of the same server: every event would be published there twice.
    #[error("{at}: a relay to the same app of the same server is already given at {first}")]
    RepeatedRelay {
        /// The second one.
        at: Origin,
        first: Origin,
    },
    /// The same pattern has settings twice: the second would never count.
    #[error("{at}: the channels {pattern:?} have settings already")]
    RepeatedPattern {
        /// The second one.
        at: Origin,
        pattern: String,
    },
    /// A channel setting that sets nothing.
    #[error("{at}: a channel setting needs delivery, history, or both")]
    NothingSet {
        /// Where it begins.
        at: Origin,
    },
    /// Of a latest-only channel only the newest events count: there is nothing to come back to.
    #[error(
        "{at}: expected no history beside delivery = \"latest\", of which subscribers miss events by design, got one"
    )]
    HistoryOfLatest {
        /// The history.
        at: Origin,
    },
    /// What has passed of a track is kept as its video channel needs it.
    #[error(
        "{at}: expected no history beside delivery = \"video\", which keeps what viewers can begin with, got one"
    )]
    HistoryOfVideo {
        /// The history.
        at: Origin,
    },
    /// A key that means nothing on other channels.
    #[error("{at}: expected {key} only beside delivery = \"video\"")]
    NotOfVideo {
        /// The key.
        at: Origin,
        key: &'static str,
    },
    /// Two apps cannot be told apart.
    #[error("{at}: {source}{}", elsewhere(.first))]
    Duplicate {
        /// The later of the two.
        at: Origin,
        /// The first, where it stands in another place than one file.
        first: Option<Origin>,
        /// What they share.
        source: DuplicateApp,
    },
    /// The configuration file is fine, but nobody could use the broker.
    #[error("{file} defines no app, so nobody could connect; add one, for example:\n\n{SNIPPET}")]
    NoApps { file: String },
    /// A file that was to be imported has no app.
    #[error(
        "{file}: expected an app with its credentials (in variables PUSHER_APP_ID, PUSHER_APP_KEY and PUSHER_APP_SECRET, or \
         those of soketi or Reverb; in soketi's file, appManager.array.apps), got none"
    )]
    NoAppToImport { file: String },
    /// The default app's secret is public knowledge, and others could reach the broker.
    #[error(
        "{host} can be reached from other machines, where the default app's secret is public knowledge: set {}, \
         or give a file with --config, or insist with --development",
        list(.missing)
    )]
    PublicSecret {
        /// The address to listen on.
        host: IpAddr,
        /// The variables that would define an app.
        missing: Vec<&'static str>,
    },
}

impl Error {
    /// It in words, without the place that it is at, and other places that it could be at: for whoever has given one value and knows where.
    pub(crate) fn without_place(&self) -> String {
        if let Error::Missing { at, what, key, .. } = self {
            return Error::Missing { at: at.clone(), what, key, variable: None }.placeless();
        }
        self.placeless()
    }

    fn placeless(&self) -> String {
        let whole = self.to_string();
        match self.place().and_then(|at| whole.strip_prefix(&format!("{at}: "))) {
            Some(rest) => rest.to_owned(),
            None => whole,
        }
    }

    /// The line of the configuration file it is about, for reporting in reading order; what is about something else
    /// comes last.
    pub(super) fn line(&self) -> usize {
        self.place().and_then(Origin::line).unwrap_or(usize::MAX)
    }

    /// Where it is.
    fn place(&self) -> Option<&Origin> {
        match self {
            Error::FileNotUtf8 { at }
            | Error::Syntax { at, .. }
            | Error::UnknownKey { at, .. }
            | Error::Value { at, .. }
            | Error::Missing { at, .. }
            | Error::TwoKindsOfKeys { at }
            | Error::HalfAPair { at }
            | Error::Rule { at, .. }
            | Error::RepeatedRule { at, .. }
            | Error::Webhook { at, .. }
            | Error::RepeatedWebhook { at, .. }
            | Error::Relay { at, .. }
            | Error::RepeatedRelay { at, .. }
            | Error::RepeatedPattern { at, .. }
            | Error::NothingSet { at }
            | Error::HistoryOfLatest { at }
            | Error::HistoryOfVideo { at }
            | Error::NotOfVideo { at, .. }
            | Error::OnlyApps { at, .. }
            | Error::OneFileForBoth { at, .. }
            | Error::Duplicate { at, .. } => Some(at),
            Error::Unreadable { .. }
            | Error::AppsFileUnreadable { .. }
            | Error::VariableNotUtf8 { .. }
            | Error::NoApps { .. }
            | Error::NoAppToImport { .. }
            | Error::PublicSecret { .. } => None,
        }
    }
}

/// Something that is allowed but probably not meant; the broker starts, and logs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Warning {
    /// The environment holds a variable of ours that means nothing.
    #[error("{name}: unknown environment variable{}", did_you_mean(.nearest))]
    UnknownVariable {
        name: String,
        /// The known name that it resembles most.
        nearest: Option<String>,
    },
    /// A variable, or an option, of another server means nothing here.
    #[error("{name}: {advice}")]
    NoCounterpart {
        /// Its name.
        name: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// Another server's names give an app's credentials by halves, and those of a third give all.
    #[error("{names}: not read, because {missing} is missing; the credentials are those of {used}")]
    HalfCredentials {
        /// What the names begin with.
        names: String,
        /// What would be needed.
        missing: String,
        /// What the names of the credentials in force begin with.
        used: String,
    },
    /// Another server's names give all of an app's credentials, and those of one before it do, too.
    #[error("{names}: not read, because the credentials are those of {used}, which come first")]
    LaterCredentials {
        /// What the names begin with.
        names: String,
        /// What the names of the credentials in force begin with.
        used: String,
    },
    /// The credentials in force are given by halves, and development mode completes them.
    #[error("{names}: {missing} is missing, and development mode's own is used in its place")]
    CompletedCredentials {
        /// What the names begin with.
        names: String,
        /// What was not given.
        missing: String,
    },
    /// The default app's secret is in use where others can reach it.
    #[error(
        "{host} can be reached from other machines, and app {app:?} uses the default secret, which is public knowledge"
    )]
    PublicSecret {
        /// The address to listen on.
        host: IpAddr,
        /// The app's id.
        app: String,
    },
    /// The apps file is gone, or empty.
    #[error(
        "the apps file {file} is not there or has no app, where it had {before} before; none of those is served any more"
    )]
    NoAppsLeft {
        /// Its name.
        file: String,
        /// How many apps it had.
        before: usize,
    },
    /// The endpoints that sign anything are on where others can reach them.
    #[error(
        "{host} can be reached from other machines, and development.auth_endpoints signs whatever they ask for"
    )]
    OpenAuthEndpoints {
        /// The address to listen on.
        host: IpAddr,
    },
}

const SNIPPET: &str = "\
[[apps]]
id = \"1001\"
key = \"choose-a-key\"
secret = \"choose-a-long-random-secret\"
client_events = true
";

/// The candidate that `name` resembles, if it resembles one.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    const ALIKE: f64 = 0.8;
    /// No name of a setting is as long. To compare takes time with the length of both.
    const MOST_BYTES: usize = 100;
    if name.len() > MOST_BYTES {
        return None;
    }
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known.to_owned())
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(known) => format!("; did you mean {known:?}?"),
        None => String::new(),
    }
}

fn or_variable(variable: &Option<&'static str>) -> String {
    match variable {
        Some(name) => format!("; {name} may give it too"),
        None => String::new(),
    }
}

/// The names as in a sentence: `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

fn elsewhere(first: &Option<Origin>) -> String {
    match first {
        Some(first) => format!("; the first is that of {first}"),
        None => String::new(),
    }
}

fn named(by: &Origin) -> String {
    match by {
        Origin::Default => "which is in the working directory".to_owned(),
        by => format!("named by {by}"),
    }
}

fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { "\"\"".to_owned() } else { file_name(path).to_string() }
}

fn reason(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::FileTooLarge => "it has more than 16 MiB".to_owned(),
        io::ErrorKind::InvalidInput => "it is no regular file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
        other => other.to_string(),
    }
}
