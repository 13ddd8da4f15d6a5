//! soketi's `config.json`: options by path, where a key may be a whole path, and the list of apps.

use serde_json::{Map, Value as Json};

use super::error::BadInput;
use crate::config::OptionsImporter;

/// Where the apps stand.
const APPS: &str = "appManager.array.apps";

/// Hands everything that the text says to the importer.
pub(super) fn read(text: &str, importer: &mut OptionsImporter) -> Result<(), BadInput> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
        // Its own text may quote what stands there.
        let what = if error.is_eof() { "it ends too early" } else { "something else stands here" };
        BadInput::at(error.line(), error.column(), format!("not valid JSON: {what}"))
    })?;
    match json {
        Json::Object(options) => {
            object("", &options, importer);
            Ok(())
        }
        _ => Err(BadInput::at(1, 1, "expected an object of options such as {\"port\": 6001}")),
    }
}

fn object(above: &str, options: &Map<String, Json>, importer: &mut OptionsImporter) {
    for (key, value) in options {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match value {
            Json::Array(items) if path == APPS => apps(items.iter().enumerate(), importer),
            // "appManager.array.apps.0": { … }, and "appManager.array.apps": { "0": { … } }.
            Json::Object(_) if path.strip_prefix(APPS).is_some_and(|rest| rest.starts_with('.')) => {
                apps([(0, value)].into_iter(), importer);
            }
            Json::Object(inner) => object(&path, inner, importer),
            value => importer.option(&path, value),
        }
    }
}

fn apps<'j>(items: impl Iterator<Item = (usize, &'j Json)>, importer: &mut OptionsImporter) {
    for (number, item) in items {
        let place = format!("{APPS}[{number}]");
        let index = importer.begin_app(&place);
        match item.as_object() {
            Some(members) => {
                for (key, value) in members {
                    importer.app_option(index, key, value, &format!("{place}.{key}"));
                }
            }
            None => importer.not_an_app(&place),
        }
    }
}
