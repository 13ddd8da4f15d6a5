//! soketi's `config.json`: options by path, where a key may be a whole path, and the list of apps.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::error::BadInput;
use crate::config::OptionsImporter;

/// Where the apps stand.
const APPS: &str = "appManager.array.apps";

/// The apps by their numbers, each with what was said of it: at once, or member by member.
#[derive(Default)]
struct NumberedApps(BTreeMap<u32, Map<String, Json>>);

/// Hands everything that the text says to the importer.
pub(super) fn read(text: &str, importer: &mut OptionsImporter) -> Result<(), BadInput> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
        // Its own text may quote what stands there.
        let what = if error.is_eof() { "it ends too early" } else { "something else stands here" };
        BadInput::at(error.line(), error.column(), format!("not valid JSON: {what}"))
    })?;
    match json {
        Json::Object(options) => {
            let mut apps = NumberedApps::default();
            object("", &options, &mut apps, importer);
            apps.hand_over(importer);
            Ok(())
        }
        _ => Err(BadInput::at(1, 1, "expected an object of options such as {\"port\": 6001}")),
    }
}

fn object(above: &str, options: &Map<String, Json>, apps: &mut NumberedApps, importer: &mut OptionsImporter) {
    for (key, value) in options {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match (value, path.strip_prefix(APPS)) {
            (Json::Array(items), Some("")) => {
                for (number, item) in (0..).zip(items) {
                    apps.app(number, item, importer);
                }
            }
            // "appManager.array.apps.0": { … }, "appManager.array.apps": { "0": { … } }, "appManager.array.apps.0.id": "…".
            (value, Some(below)) if below.starts_with('.') => apps.below(&below[1..], &path, value, importer),
            (Json::Object(inner), _) => object(&path, inner, apps, importer),
            (value, _) => importer.option(&path, value),
        }
    }
}

impl NumberedApps {
    /// Takes a whole app.
    fn app(&mut self, number: u32, item: &Json, importer: &mut OptionsImporter) {
        match item {
            Json::Object(members) => self.0.entry(number).or_default().extend(members.clone()),
            _ => importer.not_an_app(&format!("{APPS}[{number}]")),
        }
    }

    /// Takes what stands below the list: at `0` an app, at `0.id` a member of one, at `0.webhooks.0.url` one of its
    /// webhooks.
    fn below(&mut self, place: &str, path: &str, value: &Json, importer: &mut OptionsImporter) {
        let (number, member) = place.split_once('.').map_or((place, None), |(n, member)| (n, Some(member)));
        let Ok(number) = number.parse() else { return importer.option(path, value) };
        let Some(member) = member else { return self.app(number, value, importer) };
        let app = self.0.entry(number).or_default();
        match member.split_once('.') {
            Some((list, item)) => {
                let items = app.entry(list).or_insert_with(|| Json::Object(Map::new()));
                set(items, item, value);
            }
            None => {
                app.insert(member.to_owned(), value.clone());
            }
        }
    }

    fn hand_over(self, importer: &mut OptionsImporter) {
        for (number, members) in self.0 {
            let place = format!("{APPS}[{number}]");
            let index = importer.begin_app(&place);
            for (key, value) in members {
                importer.app_option(index, &key, &listed(value), &format!("{place}.{key}"));
            }
        }
    }
}

/// Sets what a path such as `0.url` or `0.headers.X-Header` leads to, of a webhook; what stands behind the third dot is
/// one name.
fn set(items: &mut Json, path: &str, value: &Json) {
    let mut at = items;
    let mut names = path.splitn(3, '.').peekable();
    while let Some(name) = names.next() {
        // "webhooks" may have been given at once before.
        let slot = match at {
            Json::Array(list) => name.parse().ok().and_then(|number: usize| list.get_mut(number)),
            Json::Object(members) => Some(members.entry(name).or_insert(Json::Null)),
            _ => None,
        };
        let Some(slot) = slot else { return };
        if names.peek().is_none() {
            *slot = value.clone();
            return;
        }
        if slot.is_null() {
            *slot = Json::Object(Map::new());
        }
        at = slot;
    }
}

/// An object whose members are numbered, as the array that it stands for.
fn listed(value: Json) -> Json {
    match value {
        Json::Object(members) if !members.is_empty() => {
            let numbers: Option<BTreeMap<u32, &Json>> =
                members.iter().map(|(name, value)| Some((name.parse().ok()?, value))).collect();
            match numbers {
                Some(items) => Json::Array(items.into_values().cloned().collect()),
                None => Json::Object(members),
            }
        }
        value => value,
    }
}
