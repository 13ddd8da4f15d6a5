//! One change of one app, carried out on the text of the apps file: what somebody has written there by hand stays as it is.

use serde_json::{Map, Value as Json};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::AppsError;
use super::from_json::merge;
use super::pairs::{Pairs, list_one, pair};
use super::text::{TextForm, apart, comment_in, prefix_of, suffix_of};
use crate::app::Key;

/// What is to become of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppChange {
    /// There is to be another one, of these settings. Credentials that are missing are drawn before.
    Create(Map<String, Json>),
    /// It is to have these settings; null stands for the default.
    Set(Map<String, Json>),
    /// It is to have this pair besides, as the first.
    Rotate(Key),
    /// The pair of this key is no longer valid.
    Revoke(String),
    /// There is to be no such app.
    Delete,
}

impl AppChange {
    /// What has happened when it is done, for the log.
    pub(crate) fn done(&self) -> &'static str {
        match self {
            AppChange::Create(_) => "created",
            AppChange::Set(_) => "changed",
            AppChange::Rotate(_) => "given a new key",
            AppChange::Revoke(_) => "deprived of a key",
            AppChange::Delete => "deleted",
        }
    }
}

/// The text of the apps file while it is changed.
pub(super) struct AppsText {
    document: DocumentMut,
    form: TextForm,
}

impl AppsText {
    /// Of a file that the loader has read without complaint.
    ///
    /// # Errors
    /// If it is not TOML nevertheless.
    pub(super) fn parse(text: &str) -> Result<Self, AppsError> {
        let (form, text) = TextForm::of(text);
        let parsed = text.parse::<DocumentMut>();
        let document = parsed.map_err(|error| AppsError::NotToml(error.message().to_owned()))?;
        let mut file = AppsText { document, form };
        if file.document.get("apps").is_some_and(Item::is_value) {
            file.in_tables();
        }
        Ok(file)
    }

    /// Has `apps = [{ … }]`, which is as good, be tables.
    fn in_tables(&mut self) {
        let Some((name, item)) = self.document.remove_entry("apps") else { return };
        let beside = item.as_value().map(|value| suffix_of(value.decor())).unwrap_or_default();
        let above = prefix_of(name.leaf_decor());
        let mut comments = comment_in(&above).to_owned();
        if !comment_in(&beside).is_empty() {
            comments.push_str(beside.trim());
            comments.push('\n');
        }
        let mut tables = item.into_array_of_tables().unwrap_or_default();
        match tables.get_mut(0) {
            Some(first) => first.decor_mut().set_prefix(comments),
            None => {
                let trailing = self.document.trailing().as_str().unwrap_or_default();
                self.document.set_trailing(comments + trailing);
            }
        }
        self.document.insert("apps", Item::ArrayOfTables(tables));
    }

    pub(super) fn into_text(self) -> String {
        self.form.write(&self.document.to_string())
    }

    /// The text of the one app at `place`, as a file of its own.
    pub(super) fn alone(&self, place: usize) -> Option<String> {
        Some(Self::of_tables([self.apps()?.get(place)?.clone()]))
    }

    /// The text of a file of these apps.
    pub(super) fn of_tables(tables: impl IntoIterator<Item = Table>) -> String {
        let mut apps = ArrayOfTables::new();
        tables.into_iter().for_each(|table| apps.push(table));
        let mut document = DocumentMut::new();
        document.insert("apps", Item::ArrayOfTables(apps));
        document.to_string()
    }

    /// Appends an app of these settings, and says where it is.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn create(&mut self, settings: &Map<String, Json>) -> Result<usize, AppsError> {
        let mut table = Table::new();
        // As people write them: what tells an app from others comes first.
        for name in ["id", "key", "secret", "keys"] {
            let first = settings.get(name).map(|value| (name.to_owned(), value.clone()));
            merge(&mut table, &first.into_iter().collect())?;
        }
        merge(&mut table, settings)?;
        let apps = self.document.entry("apps").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        let Some(apps) = apps.as_array_of_tables_mut() else { return Err(AppsError::Gone) };
        let is_first = apps.is_empty();
        if !is_first {
            table.decor_mut().set_prefix("\n");
        }
        apps.push(table);
        let place = apps.len() - 1;
        if is_first {
            // Comments of a file without apps stay at its head.
            let head = self.document.trailing().as_str().unwrap_or_default().to_owned();
            self.document.set_trailing("");
            self.app(place)?.decor_mut().set_prefix(head);
        }
        Ok(place)
    }

    /// Gives the app at `place` these settings.
    ///
    /// # Errors
    /// If there is none, or they cannot be written.
    pub(super) fn set(&mut self, place: usize, settings: &Map<String, Json>) -> Result<(), AppsError> {
        let table = self.app(place)?;
        if settings.get("keys").is_some_and(|keys| !keys.is_null()) {
            // They take the place of the one pair.
            list_one(table)?;
        }
        merge(table, settings)
    }

    /// Puts a pair before those that the app at `place` has.
    ///
    /// # Errors
    /// If there is no such app.
    pub(super) fn rotate(&mut self, place: usize, new: &Key) -> Result<(), AppsError> {
        Pairs::of(self.app(place)?)?.put_first(pair(&new.key, new.secret.text()));
        Ok(())
    }

    /// Removes the pair of this key from those of the app at `place`.
    ///
    /// # Errors
    /// If there is no such app or key, or it is the last.
    pub(super) fn revoke(&mut self, place: usize, key: &str) -> Result<(), AppsError> {
        Pairs::of(self.app(place)?)?.remove(key)
    }

    /// Removes the app at `place`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn delete(&mut self, place: usize) -> Result<(), AppsError> {
        let apps = self.document.get_mut("apps").and_then(Item::as_array_of_tables_mut);
        let apps = apps.filter(|apps| place < apps.len()).ok_or(AppsError::Gone)?;
        let above = prefix_of(apps.remove(place).decor());
        let head = apart(&above);
        if let Some(next) = apps.get_mut(place) {
            let own = prefix_of(next.decor());
            let own = if head.is_empty() { own.as_str() } else { own.trim_start_matches('\n') };
            next.decor_mut().set_prefix(format!("{head}{own}"));
            return Ok(());
        }
        if apps.is_empty() {
            self.document.remove("apps");
        }
        let trailing = self.document.trailing().as_str().unwrap_or_default();
        self.document.set_trailing(format!("{head}{trailing}"));
        Ok(())
    }

    fn apps(&self) -> Option<&ArrayOfTables> {
        self.document.get("apps")?.as_array_of_tables()
    }

    fn app(&mut self, place: usize) -> Result<&mut Table, AppsError> {
        let apps = self.document.get_mut("apps").and_then(Item::as_array_of_tables_mut);
        apps.and_then(|apps| apps.get_mut(place)).ok_or(AppsError::Gone)
    }
}

#[cfg(test)]
mod tests;
