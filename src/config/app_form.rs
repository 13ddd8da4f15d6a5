//! One app by itself, as programs give it: what is wrong with it, in the words of the file, and what it may say.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::Origin;
use super::builder::Builder;
use super::draft::AppDraft;
use super::file::File;
use super::settings::app_settings;
use super::tables::Tables;

/// Everything that is wrong with the apps of a file of this text, without places: its lines are nobody's.
pub(crate) fn app_complaints(text: &str) -> Vec<String> {
    let mut builder = Builder::new();
    let read = |builder: &mut Builder| {
        let file = File::new(Path::new(""), text.as_bytes())?;
        let document = file.parse()?;
        Ok(Tables { file: &file, builder }.read_apps(0, &document))
    };
    let drafts = read(&mut builder).unwrap_or_else(|error| {
        builder.errors.push(error);
        Vec::new()
    });
    if builder.errors.is_empty() {
        builder.finish_apps(drafts);
    }
    builder.errors.iter().map(super::Error::without_place).collect()
}

/// The JSON Schema of the settings of an app that take a single value, with the names of the file: what is in a table of
/// its own is an object.
pub(crate) fn app_schema() -> Map<String, Json> {
    let mut properties = Map::new();
    let defaults = AppDraft::begun_at(Origin::Default);
    for setting in app_settings() {
        let mut schema = setting.schema.clone();
        schema["description"] = setting.expected.as_str().into();
        let is_required = ["id", "key", "secret"].contains(&setting.path);
        if let Some(default) = in_json(&setting.write(&defaults)).filter(|_| !is_required) {
            schema["default"] = default;
        }
        match setting.path.split_once('.') {
            None => properties.insert(setting.path.to_owned(), schema),
            Some((table, name)) => {
                let table = properties.entry(table).or_insert_with(
                    || json!({ "type": "object", "additionalProperties": false, "properties": {} }),
                );
                table["properties"][name] = schema;
                None
            }
        };
    }
    properties
}

/// A value of TOML as JSON has it.
fn in_json(value: &str) -> Option<Json> {
    let mut table: Map<String, Json> = toml::from_str(&format!("value = {value}")).ok()?;
    table.remove("value")
}
