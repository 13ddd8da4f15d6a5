//! Values of which there are a few.

use serde_json::{Value as Json, json};

use super::{InputValue, ValueType, quote};
use crate::config::ShutdownCode;

/// A switch.
#[derive(Clone)]
pub(in crate::config) struct Boolean;

impl ValueType for Boolean {
    type Value = bool;

    fn read(&self, given: &InputValue<'_>) -> Option<bool> {
        given.boolean()
    }

    fn expected(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// One of a few names.
#[derive(Clone)]
pub(in crate::config) struct Choice<V: 'static>(pub(in crate::config) &'static [(&'static str, V)]);

impl<V: Copy + PartialEq> ValueType for Choice<V> {
    type Value = V;

    fn read(&self, given: &InputValue<'_>) -> Option<V> {
        let name = given.text()?;
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn expected(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(name, _)| format!("{name:?}")).collect();
        names.join(" or ")
    }

    fn schema(&self) -> Json {
        let names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
        json!({ "type": "string", "enum": names })
    }

    fn write(&self, value: &V) -> String {
        let name = self.0.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name);
        quote(name)
    }
}

/// The code that connections are closed with on shutdown.
#[derive(Clone)]
pub(in crate::config) struct ShutdownCodes;

impl ValueType for ShutdownCodes {
    type Value = ShutdownCode;

    fn read(&self, given: &InputValue<'_>) -> Option<ShutdownCode> {
        match (given.text(), given.integer()) {
            (Some("auto"), _) => Some(ShutdownCode::Auto),
            (_, Some(4100)) => Some(ShutdownCode::Soon),
            (_, Some(4200)) => Some(ShutdownCode::AtOnce),
            _ => None,
        }
    }

    fn expected(&self) -> String {
        "\"auto\", 4100 or 4200".to_owned()
    }

    fn write(&self, value: &ShutdownCode) -> String {
        match value {
            ShutdownCode::Auto => quote("auto"),
            ShutdownCode::Soon => "4100".to_owned(),
            ShutdownCode::AtOnce => "4200".to_owned(),
        }
    }
}
