//! One change of one app, carried out on the text of the apps file: what somebody has written there by hand stays as it is.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

use super::AppsError;
use super::from_json::{merge, pair};
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
}

impl AppsText {
    /// Of a file that the loader has read without complaint.
    ///
    /// # Errors
    /// If it is not TOML nevertheless.
    pub(super) fn parse(text: &str) -> Result<Self, AppsError> {
        let parsed = text.parse::<DocumentMut>();
        let mut document = parsed.map_err(|error| AppsError::NotToml(error.message().to_owned()))?;
        if let Some(item) = document.remove("apps") {
            // `apps = [{ … }]` is as good.
            let tables = item.into_array_of_tables().unwrap_or_default();
            document.insert("apps", Item::ArrayOfTables(tables));
        }
        Ok(AppsText { document })
    }

    pub(super) fn into_text(self) -> String {
        self.document.to_string()
    }

    /// The text of the one app at `place`, as a file of its own.
    pub(super) fn alone(&self, place: usize) -> Option<String> {
        let mut apps = ArrayOfTables::new();
        apps.push(self.apps()?.get(place)?.clone());
        let mut document = DocumentMut::new();
        document.insert("apps", Item::ArrayOfTables(apps));
        Some(document.to_string())
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
        if !apps.is_empty() {
            table.decor_mut().set_prefix("\n");
        }
        apps.push(table);
        Ok(apps.len() - 1)
    }

    /// Gives the app at `place` these settings.
    ///
    /// # Errors
    /// If there is none, or they cannot be written.
    pub(super) fn set(&mut self, place: usize, settings: &Map<String, Json>) -> Result<(), AppsError> {
        let table = self.app(place)?;
        if settings.get("keys").is_some_and(|keys| !keys.is_null()) {
            // They take the place of the one pair.
            table.remove("key");
            table.remove("secret");
        }
        merge(table, settings)
    }

    /// Puts a pair before those that the app at `place` has.
    ///
    /// # Errors
    /// If there is no such app.
    pub(super) fn rotate(&mut self, place: usize, new: &Key) -> Result<(), AppsError> {
        let keys = keys_of(self.app(place)?)?;
        keys.insert(0, pair(&new.key, new.secret.text()));
        one_per_line(keys);
        Ok(())
    }

    /// Removes the pair of this key from those of the app at `place`.
    ///
    /// # Errors
    /// If there is no such app or key, or it is the last.
    pub(super) fn revoke(&mut self, place: usize, key: &str) -> Result<(), AppsError> {
        let keys = keys_of(self.app(place)?)?;
        let has_key = |value: &Value| value.as_inline_table()?.get("key")?.as_str().map(|own| own == key);
        let found = keys.iter().position(|value| has_key(value) == Some(true));
        let found = found.ok_or_else(|| AppsError::NoSuchKey(key.to_owned()))?;
        if keys.len() == 1 {
            return Err(AppsError::LastKey(key.to_owned()));
        }
        keys.remove(found);
        one_per_line(keys);
        Ok(())
    }

    /// Removes the app at `place`.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn delete(&mut self, place: usize) -> Result<(), AppsError> {
        let apps = self.document.get_mut("apps").and_then(Item::as_array_of_tables_mut);
        let apps = apps.filter(|apps| place < apps.len()).ok_or(AppsError::Gone)?;
        apps.remove(place);
        if apps.is_empty() {
            self.document.remove("apps");
        }
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

/// The pairs of an app as a list, whichever form they have.
fn keys_of(app: &mut Table) -> Result<&mut Array, AppsError> {
    if let Some(item) = app.remove("keys") {
        // `[[apps.keys]]` is as good.
        let value = item.into_value().map_err(|_| AppsError::Gone)?;
        app.insert("keys", Item::Value(value));
    } else {
        let text = |app: &Table, name| Some(app.get(name)?.as_str()?.to_owned());
        let both = text(app, "key").zip(text(app, "secret")).ok_or(AppsError::Gone)?;
        app.remove("key");
        app.remove("secret");
        let mut keys = Array::new();
        keys.push(Value::InlineTable(pair(&both.0, &both.1)));
        app.insert("keys", Item::Value(Value::Array(keys)));
    }
    app.get_mut("keys").and_then(Item::as_array_mut).ok_or(AppsError::Gone)
}

/// Has each item stand in a line of its own. Comments stay with what they stand at.
fn one_per_line(list: &mut Array) {
    for value in list.iter_mut() {
        let has_comment = |text: Option<&str>| text.is_some_and(|text| text.contains('#'));
        let before = value.decor().prefix().and_then(|prefix| prefix.as_str());
        if !has_comment(before) {
            value.decor_mut().set_prefix("\n    ");
        }
    }
    let trailing = list.trailing().as_str().unwrap_or_default().trim_end().to_owned();
    list.set_trailing(format!("{trailing}\n"));
    list.set_trailing_comma(true);
}

#[cfg(test)]
mod tests;
