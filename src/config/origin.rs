//! Where a value came from: what error messages point at and `print-config` shows.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The place a value was given at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody gave it.
    Default,
    /// Nobody gave it, and development mode has its own default.
    Development,
    /// The configuration file.
    File {
        /// The path as the user wrote it.
        name: Arc<str>,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
    },
    /// An environment variable, by name.
    Variable(String),
    /// A command-line flag, with its dashes.
    Flag(&'static str),
    /// An option of a file that is imported.
    Option {
        /// The file's name.
        file: Arc<str>,
        /// Where it stands: `appManager.array.apps[0].key`.
        place: Arc<str>,
    },
}

impl Origin {
    /// The line within the file, if it came from there.
    pub(super) fn line(&self) -> Option<usize> {
        match self {
            Origin::File { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// The name of the file, if it came from one.
    pub(super) fn file(&self) -> Option<&str> {
        match self {
            Origin::File { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The words of the comment behind a value in `print-config`.
    pub(super) fn comment(&self) -> String {
        match self {
            Origin::Default => "default".to_owned(),
            Origin::Development => "development mode".to_owned(),
            Origin::File { name, line, .. } => format!("{name}:{line}"),
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::Flag(name) => format!("flag {name}"),
            Origin::Option { .. } => self.to_string(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("the defaults"),
            Origin::Development => f.write_str("development mode"),
            Origin::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
            Origin::Option { file, place } => write!(f, "{file}: {place}"),
        }
    }
}

/// The origin of every value that was not left at its default, by path: `server.port`, `apps[0].limits.connections`,
/// `apps[0].pipe[1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(HashMap<String, Origin>);

impl Origins {
    /// Where the value at `path` came from.
    pub(crate) fn of(&self, path: &str) -> &Origin {
        self.0.get(path).unwrap_or(&Origin::Default)
    }

    pub(super) fn record(&mut self, path: String, origin: Origin) {
        self.0.insert(path, origin);
    }
}

/// A path as it is shown: what could end a line or move a terminal's cursor is escaped.
pub(super) fn file_name(path: &Path) -> Arc<str> {
    shown(&path.display().to_string())
}

/// The same of any text.
pub(super) fn shown(text: &str) -> Arc<str> {
    if text.contains(char::is_control) { text.escape_debug().collect::<String>().into() } else { text.into() }
}
