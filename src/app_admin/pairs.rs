//! The pairs of an app in the text of the apps file, whichever form they have there: they come and go, and what stands around
//! them stays.

use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Key, Table, TableLike, Value};

use super::AppsError;
use super::text::{comment_in, prefix_of, suffix_of};

/// The pairs of an app.
pub(super) enum Pairs<'t> {
    /// `keys = [{ … }]`.
    List(&'t mut Array),
    /// `[[apps.keys]]`.
    Tables(&'t mut ArrayOfTables),
}

impl<'t> Pairs<'t> {
    /// Those of the app, as a list where it has one pair under `key` and `secret`.
    ///
    /// # Errors
    /// If it has none.
    pub(super) fn of(app: &'t mut Table) -> Result<Self, AppsError> {
        list_one(app)?;
        match app.get_mut("keys") {
            Some(Item::ArrayOfTables(tables)) => Ok(Pairs::Tables(tables)),
            Some(Item::Value(Value::Array(list))) => Ok(Pairs::List(list)),
            _ => Err(AppsError::Gone),
        }
    }

    /// Puts one before the others.
    pub(super) fn put_first(&mut self, new: InlineTable) {
        match self {
            Pairs::Tables(tables) => tables.insert(0, new.into_table()),
            Pairs::List(list) => {
                // What stands beside the bracket is not the first pair's.
                let (beside, above) =
                    list.get(0).map(|first| own_line_of(&prefix_of(first.decor()))).unwrap_or_default();
                if let Some(first) = list.get_mut(0) {
                    first.decor_mut().set_prefix(above);
                }
                list.insert(0, new);
                if let Some(first) = list.get_mut(0) {
                    first.decor_mut().set_prefix(beside);
                }
                one_per_line(list);
            }
        }
    }

    /// Removes the one with this key, and what stands beside it.
    ///
    /// # Errors
    /// If there is none, or it is the last.
    pub(super) fn remove(&mut self, key: &str) -> Result<(), AppsError> {
        let has_key = |pair: &dyn TableLike| pair.get("key").and_then(Item::as_str) == Some(key);
        let (count, found) = match self {
            Pairs::List(list) => {
                let mut pairs =
                    list.iter().map(|pair| pair.as_inline_table().is_some_and(|pair| has_key(pair)));
                (list.len(), pairs.position(|is_it| is_it))
            }
            Pairs::Tables(tables) => (tables.len(), tables.iter().position(|pair| has_key(pair))),
        };
        let found = found.ok_or_else(|| AppsError::NoSuchKey(key.to_owned()))?;
        if count == 1 {
            return Err(AppsError::LastKey(key.to_owned()));
        }
        match self {
            Pairs::Tables(tables) => drop(tables.remove(found)),
            Pairs::List(list) => {
                let removed = list.remove(found);
                let (beside, _) = own_line_of(&prefix_of(removed.decor()));
                match list.get_mut(found) {
                    Some(next) => {
                        let (_, above) = own_line_of(&prefix_of(next.decor()));
                        next.decor_mut().set_prefix(beside + &above);
                    }
                    None => {
                        let (_, below) = own_line_of(list.trailing().as_str().unwrap_or_default());
                        list.set_trailing(beside + &below);
                    }
                }
                one_per_line(list);
            }
        }
        Ok(())
    }
}

/// Has an app with `key` and `secret` have a list of that one pair, where the first of the two stands. Comments go above it.
///
/// # Errors
/// If it has one of the two alone.
pub(super) fn list_one(app: &mut Table) -> Result<(), AppsError> {
    let text = |name| app.get(name).and_then(Item::as_str).map(str::to_owned);
    let (key, secret) = match (text("key"), text("secret")) {
        (None, None) => return Ok(()),
        (Some(key), Some(secret)) => (key, secret),
        _ => return Err(AppsError::Gone),
    };
    let mut comments = String::new();
    let names: Vec<_> = app.iter().map(|(name, _)| name.to_owned()).collect();
    let entries: Vec<_> = names.iter().filter_map(|name| app.remove_entry(name)).collect();
    for (name, item) in entries.iter().filter(|(name, _)| is_of_one(name)) {
        let is_first = comments.is_empty();
        let above = prefix_of(name.leaf_decor());
        comments.push_str(if is_first { &above } else { comment_in(&above) });
        let beside = item.as_value().map(|value| suffix_of(value.decor())).unwrap_or_default();
        if !comment_in(&beside).is_empty() {
            comments.push_str(beside.trim());
            comments.push('\n');
        }
    }
    let mut list = Array::new();
    list.push(pair(&key, &secret));
    let mut list = Some(list);
    for (name, item) in entries {
        if !is_of_one(&name) {
            app.insert_formatted(&name, item);
        } else if let Some(list) = list.take() {
            let mut name = Key::new("keys");
            name.leaf_decor_mut().set_prefix(comments.as_str());
            app.insert_formatted(&name, Item::Value(Value::Array(list)));
        }
    }
    Ok(())
}

fn is_of_one(name: &Key) -> bool {
    matches!(name.get(), "key" | "secret")
}

/// A pair of credentials, as an item of `keys`.
pub(super) fn pair(key: &str, secret: &str) -> InlineTable {
    InlineTable::from_iter([("key", key), ("secret", secret)])
}

/// What stands in the line of what is before, and the rest.
fn own_line_of(text: &str) -> (String, String) {
    let (beside, rest) =
        text.split_at(text.find('\n').unwrap_or(if text.contains('#') { text.len() } else { 0 }));
    (beside.to_owned(), rest.to_owned())
}

/// Has each item stand in a line of its own. Comments stay with what they stand at.
fn one_per_line(list: &mut Array) {
    for value in list.iter_mut() {
        let before = prefix_of(value.decor());
        let lines = before.rfind('\n').map_or(before.as_str(), |end| &before[..end]);
        value.decor_mut().set_prefix(format!("{}\n    ", lines.trim_end()));
    }
    let trailing = list.trailing().as_str().unwrap_or_default().trim_end().to_owned();
    list.set_trailing(format!("{trailing}\n"));
    list.set_trailing_comma(true);
}
