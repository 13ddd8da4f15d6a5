//! What is wrong with a file that was to be imported, in sentences.

use std::collections::BTreeMap;

use crate::config::Error;

/// A file cannot be read as what it seems to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadInput {
    /// Counted from 1.
    line: usize,
    /// In characters, counted from 1.
    column: usize,
    /// What was expected, and what came. Never a value: it may be a secret.
    message: String,
}

impl BadInput {
    /// At this line and column, both counted from 1.
    pub(super) fn at(line: usize, column: usize, message: impl Into<String>) -> Self {
        BadInput { line, column, message: message.into() }
    }

    /// Behind the last character of `text`, which is what is sound.
    pub(super) fn at_end_of(text: &str, message: String) -> Self {
        let line = text.matches('\n').count() + 1;
        let last = text.rsplit('\n').next().unwrap_or_default();
        BadInput { line, column: last.chars().count() + 1, message }
    }

    pub(super) fn in_file(&self, name: &str) -> ImportFailure {
        let BadInput { line, column, message } = self;
        ImportFailure(vec![format!("{name}:{line}:{column}: {message}")])
    }
}

/// Why nothing was imported: one sentence for each mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportFailure(pub(crate) Vec<String>);

impl ImportFailure {
    /// Errors that begin with the name of a variable, which stands in one of these lines.
    pub(super) fn of_variables(file: &str, lines: &BTreeMap<String, usize>, errors: &[Error]) -> Self {
        let placed = |error: &Error| {
            let text = error.to_string();
            let line = text.split_once(": ").and_then(|(name, _)| lines.get(name));
            match line {
                Some(line) => format!("{file}:{line}: {text}"),
                None => text,
            }
        };
        ImportFailure(errors.iter().map(placed).collect())
    }

    /// Errors that name the file themselves.
    pub(super) fn of_options(errors: &[Error]) -> Self {
        ImportFailure(errors.iter().map(ToString::to_string).collect())
    }
}
