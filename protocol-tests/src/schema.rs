//! Judging JSON by a schema: as much of JSON Schema as the documents of the broker use, and a complaint about the rest.

use serde_json::{Map, Value};

/// Finds what is wrong with `value` according to `schema`, whose references lead into `document`.
///
/// # Errors
/// With the place and the fault.
///
/// # Panics
/// If the schema uses a word that is not known here: then nothing would be judged.
pub fn judge(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    Judge { document }.at("$", schema, value)
}

/// What a reference such as `#/components/schemas/Entry` leads to.
///
/// # Panics
/// If it leads nowhere.
#[must_use]
pub fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("references lead into the document");
            document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
        None => schema,
    }
}

struct Judge<'d> {
    document: &'d Value,
}

impl Judge<'_> {
    fn at(&self, place: &str, schema: &Value, value: &Value) -> Result<(), String> {
        if schema.get("$ref").is_some() {
            return self.at(place, resolve(self.document, schema), value);
        }
        let members = schema.as_object().unwrap_or_else(|| panic!("at {place}: a schema is an object"));
        let fail = |expected: &str| Err(format!("at {place}: expected {expected}, got {value}"));
        for (word, rule) in members {
            let holds = match word.as_str() {
                "description" | "default" => true,
                "type" => is_of_type(rule, value),
                "const" => value == rule,
                "enum" => rule.as_array().expect("an enum is a list").contains(value),
                "minimum" => value.as_f64().is_none_or(|n| n >= rule.as_f64().expect("a number")),
                "exclusiveMinimum" => value.as_f64().is_none_or(|n| n > rule.as_f64().expect("a number")),
                "maximum" => value.as_f64().is_none_or(|n| n <= rule.as_f64().expect("a number")),
                "minProperties" => value.as_object().is_none_or(|o| o.len() as u64 >= rule.as_u64().unwrap()),
                "minItems" => value.as_array().is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
                "required" => rule.as_array().expect("a list").iter().all(|name| {
                    value.as_object().is_none_or(|object| object.contains_key(name.as_str().expect("a name")))
                }),
                "oneOf" => {
                    let choices = rule.as_array().expect("a list");
                    let fitting =
                        choices.iter().filter(|choice| self.at(place, choice, value).is_ok()).count();
                    fitting == 1
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.at(&format!("{place}[{index}]"), rule, item)?;
                    }
                    true
                }
                "properties" => {
                    for (name, rule) in rule.as_object().expect("an object") {
                        if let Some(member) = value.get(name) {
                            self.at(&format!("{place}.{name}"), rule, member)?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    self.additional(place, members, rule, value)?;
                    true
                }
                other => panic!("the schema at {place} uses {other}, which the harness does not know"),
            };
            if !holds {
                return fail(&format!("{word} {rule}"));
            }
        }
        Ok(())
    }

    fn additional(
        &self,
        place: &str,
        schema: &Map<String, Value>,
        rule: &Value,
        value: &Value,
    ) -> Result<(), String> {
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, member) in value.as_object().into_iter().flatten() {
            if known.is_some_and(|known| known.contains_key(name)) {
                continue;
            }
            match rule {
                Value::Bool(true) => {}
                Value::Bool(false) => return Err(format!("at {place}: {name:?} is not described")),
                rule => self.at(&format!("{place}.{name}"), rule, member)?,
            }
        }
        Ok(())
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().expect("the name of a type") {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    match rule {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_judged() {
        let document = json!({ "components": { "N": { "type": "integer", "minimum": 1 } } });
        let schema = json!({
            "type": "object",
            "properties": { "n": { "$ref": "#/components/N" }, "s": { "enum": ["a", "b"] } },
            "required": ["n"],
            "additionalProperties": false,
        });
        let judge = |value: Value| judge(&document, &schema, &value);
        assert_eq!(judge(json!({ "n": 1, "s": "a" })), Ok(()));
        for (bad, place) in [
            (json!({ "n": 0 }), "$.n"),
            (json!({ "n": 1.5 }), "$.n"),
            (json!({ "s": "a" }), "required"),
            (json!({ "n": 1, "s": "c" }), "$.s"),
            (json!({ "n": 1, "x": 1 }), "\"x\" is not described"),
            (json!([]), "type"),
        ] {
            let fault = judge(bad.clone()).unwrap_err();
            assert!(fault.contains(place), "{bad}: {fault}");
        }
    }
}
