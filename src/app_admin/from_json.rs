//! JSON as TOML: the settings of an app as programs send them, into the table of a file.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Table, TableLike, Value};

use super::AppsError;
use super::text::{comment_in, prefix_of};
use crate::config::{APP_TABLES, app_name_complaint};

/// What is a table of its own in the file, and is changed member by member.
const TABLES: [&str; 2] = ["limits", "webhook_delivery"];

/// Puts the settings into the table of an app: null removes one, what is not named stays (RFC 7396).
///
/// # Errors
/// If TOML has no words for one.
pub(super) fn merge(app: &mut Table, settings: &Map<String, Json>) -> Result<(), AppsError> {
    for (name, value) in settings {
        match value {
            Json::Object(members) if TABLES.contains(&name.as_str()) => {
                let inner = app.entry(name).or_insert_with(|| Item::Table(Table::new()));
                match inner.as_table_like_mut() {
                    Some(inner) => merge_members(inner, name, members)?,
                    None => return Err(AppsError::Gone),
                }
                // Comments above `[apps.limits]` may be about what follows as well.
                let is_commented = |table: &Table| prefix_of(table.decor()).contains('#');
                let stays = inner.as_table().is_some_and(is_commented);
                if inner.as_table_like().is_some_and(TableLike::is_empty) && !stays {
                    app.remove(name);
                }
            }
            Json::Array(items) if is_list_of_tables(name) && are_objects(items) => {
                let mut tables = ArrayOfTables::new();
                let above = comment_above(app, name);
                for item in items.iter().filter_map(Json::as_object) {
                    let mut table = Table::new();
                    for (member, value) in item {
                        // Of what is in a list nothing stays that null could take away.
                        let value = as_toml(&format!("{name}.{member}"), value)?;
                        table.insert(member, Item::Value(value));
                    }
                    tables.push(table);
                }
                if let Some(first) = tables.get_mut(0).filter(|_| !above.is_empty()) {
                    first.decor_mut().set_prefix(above);
                }
                app.insert(name, Item::ArrayOfTables(tables));
            }
            value => put(app, name, name, value)?,
        }
    }
    Ok(())
}

/// What is wrong with the names of settings that are null, which leave nothing behind to be judged.
pub(super) fn complaints_of_nulls(settings: &Map<String, Json>) -> Vec<String> {
    let inner = settings.iter().filter(|(name, _)| TABLES.contains(&name.as_str()));
    let inner = inner.filter_map(|(table, value)| Some((table, value.as_object()?)));
    let inner = inner.flat_map(|(table, members)| {
        members.iter().map(move |(name, value)| (format!("{table}.{name}"), value))
    });
    let all = settings.iter().map(|(name, value)| (name.clone(), value)).chain(inner);
    all.filter(|(_, value)| value.is_null()).filter_map(|(path, _)| app_name_complaint(&path)).collect()
}

/// The comment above the list of this name, whichever form it has.
fn comment_above(app: &Table, name: &str) -> String {
    let above = match app.get(name) {
        Some(Item::ArrayOfTables(tables)) => tables.get(0).map(|first| prefix_of(first.decor())),
        _ => app.key(name).map(|key| prefix_of(key.leaf_decor())),
    };
    comment_in(&above.unwrap_or_default()).to_owned()
}

/// Whether the setting of this name is a list of tables of their own in the file.
fn is_list_of_tables(name: &str) -> bool {
    APP_TABLES.iter().any(|(known, _)| *known == name)
}

/// Whether they can be tables of their own.
fn are_objects(items: &[Json]) -> bool {
    !items.is_empty() && items.iter().all(Json::is_object)
}

fn merge_members(
    table: &mut dyn TableLike,
    place: &str,
    members: &Map<String, Json>,
) -> Result<(), AppsError> {
    members.iter().try_for_each(|(name, value)| put(table, name, &format!("{place}.{name}"), value))
}

/// Puts one value, or removes it. What stands beside it in its line stays.
fn put(table: &mut dyn TableLike, name: &str, place: &str, value: &Json) -> Result<(), AppsError> {
    if value.is_null() {
        table.remove(name);
        return Ok(());
    }
    let mut new = as_toml(place, value)?;
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(name, Item::Value(new));
        }
    }
    Ok(())
}

fn as_toml(place: &str, value: &Json) -> Result<Value, AppsError> {
    Ok(match value {
        Json::Null => return Err(AppsError::Body(format!("{place} must not hold null"))),
        Json::Bool(switch) => (*switch).into(),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64().unwrap_or(f64::INFINITY).into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => {
            let items = items.iter().map(|item| as_toml(place, item));
            Value::Array(items.collect::<Result<Array, _>>()?)
        }
        Json::Object(members) => {
            let mut table = InlineTable::new();
            for (name, value) in members {
                table.insert(name, as_toml(&format!("{place}.{name}"), value)?);
            }
            Value::InlineTable(table)
        }
    })
}
