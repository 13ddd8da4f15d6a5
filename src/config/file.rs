//! The configuration file as text: where each of its characters stands, and whether it is TOML at all.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::origin::file_name;
use super::{Error, Origin};

/// The text of the configuration file, and the name it goes by in messages.
pub(super) struct File<'t> {
    name: Arc<str>,
    text: &'t str,
    /// Where each line begins. A file of many apps has many values, the place of each of which is asked for.
    lines: Vec<usize>,
}

impl<'t> File<'t> {
    /// Takes the bytes of the file at `path` for text.
    pub(super) fn new(path: &Path, bytes: &'t [u8]) -> Result<Self, Error> {
        let name = file_name(path);
        match std::str::from_utf8(bytes) {
            // Editors on Windows like to begin a file with a byte order mark.
            Ok(text) => Ok(File::of_text(name, text.strip_prefix('\u{feff}').unwrap_or(text))),
            Err(error) => {
                let sound = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                Err(Error::FileNotUtf8 { at: File::of_text(name, &sound).origin(sound.len()) })
            }
        }
    }

    fn of_text(name: Arc<str>, text: &'t str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        File { name, text, lines: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The tables it holds. One syntax error often brings forth others, so only the first is told.
    pub(super) fn parse(&self) -> Result<DeTable<'t>, Error> {
        DeTable::parse(self.text).map(Spanned::into_inner).map_err(|error| {
            let span = error.span().unwrap_or_default();
            // The parser quotes the offending line in its full message; it might hold a secret.
            let mut message = error.message().replace('\n', " ");
            if message == "duplicate key" {
                message.push_str(&self.twin_of(span.clone()));
            }
            Error::Syntax { at: self.origin(span.start), message }
        })
    }

    /// The name of a key that stands twice, and the line where it stands first.
    fn twin_of(&self, span: std::ops::Range<usize>) -> String {
        let name = self.text.get(span.clone()).unwrap_or_default();
        let line = self.text.get(..span.start).unwrap_or_default().matches('\n').count();
        let lines: Vec<_> = self.text.lines().take(line).collect();
        let is_twin = |line: &&str| {
            let rest = line.trim_start().trim_start_matches('[').trim_start().strip_prefix(name);
            rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
        };
        match lines.iter().rposition(is_twin) {
            Some(first) => format!(" {name:?}, which stands in line {}, too", first + 1),
            None => format!(" {name:?}"),
        }
    }

    /// Where a value or key stands.
    pub(super) fn at<V>(&self, value: &Spanned<V>) -> Origin {
        self.origin(value.span().start)
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line)).copied().unwrap_or_default();
        let before = self.text.get(start..offset).or_else(|| self.text.get(start..)).unwrap_or_default();
        Origin::File { name: Arc::clone(&self.name), line, column: before.chars().count() + 1 }
    }
}
