//! The types that a value can have: how each is read from TOML or from text, what is allowed, and how it is written.

mod certificates;
mod choice;
mod cluster;
mod number;
mod place;
mod proxies;
mod secret;
mod text;

pub(in crate::config) use certificates::CertificateList;
pub(in crate::config) use choice::{Boolean, Choice, ShutdownCodes};
pub(in crate::config) use cluster::{EnginePassword, EngineUser, NodeName, OptionalEngine, SubjectPrefix};
pub(in crate::config) use number::{Integer, IntegerOrZero, Seconds, WholeSeconds};
pub(in crate::config) use place::{
    AllowedOrigins, BasePath, FileMode, Host, HostName, HostNames, ListenPlace, OptionalFile, PathPrefix,
    ScriptUrl,
};
pub(in crate::config) use proxies::ProxyList;
pub(in crate::config) use secret::{MASK, OptionalMasterKey, OptionalPassword, SecretText};
pub(in crate::config) use text::{APP_ID, APP_KEY, AnyText, LogLevel, MetricsPrefix};

use serde_json::{Value as Json, json};

use crate::config::input_value::InputValue;

/// One type.
pub(in crate::config) trait ValueType {
    /// What it is read into.
    type Value;

    /// The value, or `None` if it is not what is expected.
    fn read(&self, given: &InputValue<'_>) -> Option<Self::Value>;

    /// What is allowed, as the end of the sentence "it must be …".
    fn expected(&self) -> String;

    /// The JSON Schema of the value, without what is allowed in words.
    fn schema(&self) -> Json {
        json!({ "type": "string" })
    }

    /// The value in TOML.
    fn write(&self, value: &Self::Value) -> String;

    /// What came instead, for an error message.
    fn got(&self, given: &InputValue<'_>) -> String {
        given.describe()
    }
}

/// Text as a TOML string.
pub(in crate::config) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
