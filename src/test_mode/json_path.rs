//! A place within a JSON value, as tests write it: `user.name`, `$.items[0].price`, `['odd.name']`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// Where to look in a JSON value. Empty, or `$`, is the value itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
    steps: Vec<PathStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathStep {
    Member(String),
    Item(usize),
}

/// The text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a JSON path such as user.name or $.items[0]['odd.name'], got {0:?}")]
pub struct BadPath(String);

impl JsonPath {
    /// The value at this place, if there is one, as it is written. Of a name that is repeated the last one counts.
    pub fn of<'v>(&self, value: &'v RawValue) -> Option<&'v RawValue> {
        self.steps.iter().try_fold(value, |value, step| match step {
            PathStep::Member(name) => {
                let members: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value.get()).ok()?;
                members.get(name.as_str()).copied()
            }
            PathStep::Item(index) => {
                let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                items.get(*index).copied()
            }
        })
    }
}

impl FromStr for JsonPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let steps = steps(text).ok_or_else(|| BadPath(text.to_owned()))?;
        Ok(JsonPath { text: text.to_owned(), steps })
    }
}

fn steps(text: &str) -> Option<Vec<PathStep>> {
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    let mut steps = Vec::new();
    // The first name may stand without its dot.
    let mut first = !text.starts_with('$');
    while !rest.is_empty() {
        if let Some(bracketed) = rest.strip_prefix("['") {
            let (name, after) = bracketed.split_once("']")?;
            steps.push(PathStep::Member(name.to_owned()));
            rest = after;
        } else if let Some(bracketed) = rest.strip_prefix('[') {
            let (index, after) = bracketed.split_once(']')?;
            let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            steps.push(PathStep::Item(index.parse().ok().filter(|_| digits)?));
            rest = after;
        } else {
            let named = match rest.strip_prefix('.') {
                Some(named) => named,
                None if first => rest,
                None => return None,
            };
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let name = &named[..end];
            if name.is_empty() || name.contains(']') {
                return None;
            }
            steps.push(PathStep::Member(name.to_owned()));
            rest = &named[end..];
        }
        first = false;
    }
    Some(steps)
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text.is_empty() { "$" } else { &self.text })
    }
}

impl<'de> Deserialize<'de> for JsonPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for JsonPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_path_leads_to_its_value() {
        let value = json!({ "user": { "name": "ann", "a.b": 1 }, "items": [{ "price": 7 }, null] });
        let text = serde_json::value::to_raw_value(&value).unwrap();
        let cases = [
            ("", Some(value.clone())),
            ("$", Some(value.clone())),
            ("user.name", Some(json!("ann"))),
            ("$.user.name", Some(json!("ann"))),
            ("user['a.b']", Some(json!(1))),
            ("['user'].name", Some(json!("ann"))),
            ("items[0].price", Some(json!(7))),
            ("$.items[1]", Some(json!(null))),
            ("items[2]", None),
            ("user.age", None),
            ("user.name.first", None),
        ];
        for (path, expected) in cases {
            let path: JsonPath = path.parse().unwrap();
            let found = path.of(&text).map(|found| serde_json::from_str::<Value>(found.get()).unwrap());
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in ["a..b", ".", "a.", "a[", "a[x]", "a[-1]", "a[]", "['a", "$a", "a]b", "a[0]b", "a[+1]"] {
            let error = bad.parse::<JsonPath>().unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{bad}");
        }
    }
}
