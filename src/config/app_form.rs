//! What an app may say, as programs give it: the schema of its settings, and the value of one that is given as text.

use serde_json::{Map, Value as Json, json};

use super::Origin;
use super::draft::AppDraft;
use super::input_value::InputValue;
use super::settings::app_settings;

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

/// The value of an app's setting that is given as text: as a variable has it, or as TOML where it is a list of several.
///
/// # Errors
/// If the value does not fit, in words.
pub(crate) fn setting_from_text(path: &str, text: &str) -> Result<Json, String> {
    let settings = app_settings();
    let Some(setting) = settings.iter().find(|setting| setting.path == path) else {
        // Whether there is such a setting is told when the app is judged as a whole.
        return Ok(in_json(text).unwrap_or_else(|| text.into()));
    };
    let mut draft = AppDraft::begun_at(Origin::Default);
    let assigned = setting.assign(&mut draft, &InputValue::Text(text), path, &Origin::Default);
    assigned.map_err(|error| error.without_place())?;
    in_json(&setting.write(&draft)).ok_or_else(|| format!("{path} cannot be written"))
}

#[cfg(test)]
mod tests {
    use heliostat_protocol_tests::schema::judge;

    use super::*;

    #[test]
    fn text_becomes_what_the_setting_takes() {
        for (path, text, expected) in [
            ("client_events", "1", json!(true)),
            ("limits.connections", "5", json!(5)),
            ("secret", "5", json!("5")),
            ("cache_ttl_seconds", "0.5", json!(0.5)),
            ("allowed_origins", "localhost:*, a.example", json!(["localhost:*", "a.example"])),
            ("allowed_origins", "", json!([])),
            (
                "channels",
                "[{ pattern = \"a\", delivery = \"latest\" }]",
                json!([{ "pattern": "a", "delivery": "latest" }]),
            ),
            ("nothing", "x y", json!("x y")),
        ] {
            assert_eq!(setting_from_text(path, text), Ok(expected), "{path}={text}");
        }
        let told = setting_from_text("limits.connections", "many").unwrap_err();
        assert_eq!(told, "limits.connections must be an integer from 0 to 1000000000, got \"many\"");
        assert!(!setting_from_text("secret", "\u{1}hush").unwrap_err().contains("hush"));
    }

    #[test]
    fn the_schema_has_every_setting_with_its_default() {
        let schema = app_schema();
        for setting in app_settings() {
            let pointer = format!("/{}", setting.path.replace('.', "/properties/"));
            let found = Json::Object(schema.clone()).pointer(&pointer).cloned();
            let found = found.unwrap_or_else(|| panic!("{} is not described", setting.path));
            assert_eq!(found["description"], setting.expected.as_str());
            // A type that does not say what it is in JSON counts as text.
            if let Some(default) = found.get("default") {
                assert_eq!(judge(&found, &found, default), Ok(()), "{}", setting.path);
            }
            let credential = ["id", "key", "secret"].contains(&setting.path);
            assert_eq!(found.get("default").is_none(), credential, "{}", setting.path);
        }
    }
}
