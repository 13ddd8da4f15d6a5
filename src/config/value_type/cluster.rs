//! What says where the engine between nodes is, who a node is there, and what it is called.

use std::sync::Arc;

use super::{InputValue, MASK, ValueType, quote};
use crate::app::Secret;
use crate::cluster::EngineUrl;

/// The URL of an engine, or none. What is wrong with it is told without the password.
#[derive(Clone)]
pub(in crate::config) struct OptionalEngine;

impl ValueType for OptionalEngine {
    type Value = Option<EngineUrl>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<EngineUrl>> {
        match given.text()?.trim() {
            "" => Some(None),
            text => EngineUrl::parse(text).ok().map(Some),
        }
    }

    fn expected(&self) -> String {
        format!("{}, or empty", EngineUrl::EXPECTED)
    }

    fn write(&self, value: &Option<EngineUrl>) -> String {
        quote(&value.as_ref().map(EngineUrl::to_text).unwrap_or_default())
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        match (given, given.text().map(|text| EngineUrl::parse(text.trim()))) {
            (_, Some(Err(bad))) => bad.to_string(),
            (InputValue::Toml(value), None) => given.type_name(value),
            (_, _) => "something else".to_owned(),
        }
    }
}

/// A password that some engine has, or none. Neither it nor what was given in its place is ever shown.
#[derive(Clone)]
pub(in crate::config) struct EnginePassword;

impl ValueType for EnginePassword {
    type Value = Option<Secret>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<Secret>> {
        match given.text()? {
            "" => Some(None),
            text => is_line(text).then(|| Some(Secret::new(text))),
        }
    }

    fn expected(&self) -> String {
        format!("at most {MOST_BYTES} bytes without control characters, or empty")
    }

    fn write(&self, value: &Option<Secret>) -> String {
        quote(value.as_ref().map(Secret::text).unwrap_or_default())
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        match (given, given.text()) {
            (_, Some(MASK)) => "the mask that print-config writes in place of secrets".to_owned(),
            (_, Some(text)) if text.len() > MOST_BYTES => format!("one of {} bytes", text.len()),
            (_, Some(_)) => "one with control characters in it".to_owned(),
            (InputValue::Toml(value), None) => given.type_name(value),
            (InputValue::Text(_), None) => "something else".to_owned(),
        }
    }
}

/// The longest name of a user, and the longest password.
const MOST_BYTES: usize = 512;

fn is_line(text: &str) -> bool {
    text != MASK && text.len() <= MOST_BYTES && !text.contains(char::is_control)
}

/// The name of a user of an engine, or none.
#[derive(Clone)]
pub(in crate::config) struct EngineUser;

impl ValueType for EngineUser {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
        given.text().filter(|text| is_line(text)).map(str::to_owned)
    }

    fn expected(&self) -> String {
        EnginePassword.expected()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// What the subjects and keys of a cluster begin with.
#[derive(Clone)]
pub(in crate::config) struct SubjectPrefix;

/// The longest prefix and the longest name of a node. Each message and each key repeats the one, many lines of the log the
/// other.
const MOST_CHARS: usize = 64;

/// Whether a text is short and has only what stands for itself in patterns, rules and lines.
fn is_plain(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    text.len() <= MOST_CHARS && text.chars().all(allowed)
}

impl ValueType for SubjectPrefix {
    type Value = Arc<str>;

    fn read(&self, given: &InputValue<'_>) -> Option<Arc<str>> {
        given.text().filter(|text| !text.is_empty() && is_plain(text)).map(Arc::from)
    }

    fn expected(&self) -> String {
        format!("a string of 1 to {MOST_CHARS} letters, digits and - _ . :")
    }

    fn write(&self, value: &Arc<str>) -> String {
        quote(value)
    }
}

/// The name of a node, or none.
#[derive(Clone)]
pub(in crate::config) struct NodeName;

impl ValueType for NodeName {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
        given.text().filter(|text| is_plain(text)).map(str::to_owned)
    }

    fn expected(&self) -> String {
        format!("at most {MOST_CHARS} letters, digits and - _ . :, or empty")
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}
