//! What the description of the API says of bodies: the settings of an app, from their table, and an app as it is shown.

use serde_json::{Map, Value as Json, json};

use crate::config::{APP_TABLES, app_schema};

/// The schema of this name.
pub(super) fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A pair of credentials.
pub(super) fn pair() -> Json {
    json!({
        "type": "object",
        "properties": { "key": { "type": "string" }, "secret": { "type": "string" } },
        "required": ["key", "secret"],
        "additionalProperties": false,
    })
}

/// The settings of an app: those of the table, and the lists. When they are sent, null stands for the default.
pub(super) fn settings(may_be_null: bool) -> Json {
    let mut properties = app_schema();
    properties.extend(lists());
    if may_be_null {
        properties.values_mut().for_each(or_null);
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// The lists of an app, which docs/configuration.md describes: the broker judges what is in them.
fn lists() -> Map<String, Json> {
    let of_tables = APP_TABLES.map(|(name, required)| {
        let list = json!({
            "type": "array",
            "description": format!("[[apps.{name}]] of the file"),
            "items": { "type": "object", "required": required },
        });
        (name.to_owned(), list)
    });
    let keys = json!({
        "type": "array",
        "description": "In place of key and secret",
        "minItems": 1,
        "items": reference("Pair"),
    });
    of_tables.into_iter().chain([("keys".to_owned(), keys)]).collect()
}

/// Has it be null as well, and what is in it if it is an object of settings.
fn or_null(schema: &mut Json) {
    if let Some(members) = schema.get_mut("properties").and_then(Json::as_object_mut) {
        members.values_mut().for_each(or_null);
    }
    if let Some(names) = schema.get_mut("enum").and_then(Json::as_array_mut) {
        names.push(Json::Null);
    }
    let types = schema["type"].take();
    schema["type"] = json!([types, "null"]);
}

/// An app as it is shown: every setting, the pairs as a list.
pub(super) fn shown() -> Json {
    let mut app = settings(false);
    if let Some(properties) = app["properties"].as_object_mut() {
        properties.remove("key");
        properties.remove("secret");
        let always = properties.iter().filter(|(_, schema)| schema.get("default").is_some());
        let always: Vec<_> = always.map(|(name, _)| name.as_str()).chain(["id", "keys"]).collect();
        app["required"] = json!(always);
    }
    let (mut properties, mut required) = state();
    properties.insert("app".to_owned(), app);
    required.push("app");
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// An app in the list.
pub(super) fn entry() -> Json {
    let (mut properties, mut required) = state();
    properties.insert("id".to_owned(), json!({ "type": "string" }));
    properties.insert("enabled".to_owned(), json!({ "type": "boolean" }));
    properties.insert("keys".to_owned(), json!({ "type": "array", "items": { "type": "string" } }));
    required.extend(["id", "enabled", "keys"]);
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// What is said of an app besides its settings.
fn state() -> (Map<String, Json>, Vec<&'static str>) {
    let members = [
        ("changeable", "boolean", "Whether it is of the apps file"),
        (
            "defined",
            "string",
            "Where it is defined: a file with line and column, a variable, or development mode",
        ),
        (
            "in_force",
            "boolean",
            "Whether the broker has it just so; not, where a file was edited and not yet read",
        ),
    ];
    let properties = members
        .iter()
        .map(|(name, kind, what)| ((*name).to_owned(), json!({ "type": kind, "description": what })));
    (properties.collect(), members.iter().map(|(name, ..)| *name).collect())
}
