//! Values that are never shown.

use super::{InputValue, ValueType, quote};
use crate::app::Secret;
use crate::auth::EncryptionMasterKey;

/// An app's secret. Neither it nor what was given in its place is ever shown.
#[derive(Clone)]
pub(in crate::config) struct SecretText;

/// What stands for a secret in printed configuration; it is not accepted as one.
pub(in crate::config) const MASK: &str = "…";

impl ValueType for SecretText {
    type Value = Option<String>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<String>> {
        let text = given.text()?;
        let sound =
            !text.is_empty() && text != MASK && text.trim() == text && !text.contains(char::is_control);
        sound.then(|| Some(text.to_owned()))
    }

    fn expected(&self) -> String {
        "a non-empty string without white space around it".to_owned()
    }

    fn write(&self, value: &Option<String>) -> String {
        quote(value.as_deref().unwrap_or_default())
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        match (given, given.text()) {
            (_, Some("")) => "an empty string".to_owned(),
            (_, Some(MASK)) => "the mask that print-config writes in place of secrets".to_owned(),
            (_, Some(text)) if text.trim() != text => "one with white space around it".to_owned(),
            (_, Some(_)) => "one with control characters in it".to_owned(),
            (InputValue::Toml(value), None) => given.type_name(value),
            (InputValue::Text(_), None) => "something else".to_owned(),
        }
    }
}

/// The master key of encrypted channels, or none. Neither it nor what was given in its place is ever shown.
#[derive(Clone)]
pub(in crate::config) struct OptionalMasterKey;

impl ValueType for OptionalMasterKey {
    type Value = Option<EncryptionMasterKey>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<EncryptionMasterKey>> {
        match given.text()? {
            "" => Some(None),
            text => EncryptionMasterKey::from_base64(text).map(Some),
        }
    }

    fn expected(&self) -> String {
        format!("{} bytes in Base64, or empty", EncryptionMasterKey::BYTES)
    }

    fn write(&self, value: &Option<EncryptionMasterKey>) -> String {
        quote(&value.as_ref().map(EncryptionMasterKey::to_base64).unwrap_or_default())
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        match (given, given.text()) {
            (_, Some(MASK)) => "the mask that print-config writes in place of secrets".to_owned(),
            (_, Some(text)) => format!("a string of {} characters that is not", text.chars().count()),
            (InputValue::Toml(value), None) => given.type_name(value),
            (InputValue::Text(_), None) => "something else".to_owned(),
        }
    }
}

/// What somebody has to show, in a header: a password or a token, or none. Neither it nor what was given in its place is ever
/// shown.
#[derive(Clone)]
pub(in crate::config) struct OptionalPassword;

impl OptionalPassword {
    /// The shortest that takes long to guess.
    const LEAST_CHARS: usize = 8;
}

impl ValueType for OptionalPassword {
    type Value = Option<Secret>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<Secret>> {
        let text = given.text()?;
        let sound = text.len() >= Self::LEAST_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
        match text {
            "" => Some(None),
            text => sound.then(|| Some(Secret::new(text))),
        }
    }

    fn expected(&self) -> String {
        format!("at least {} printable ASCII characters without spaces, or empty", Self::LEAST_CHARS)
    }

    fn write(&self, value: &Option<Secret>) -> String {
        quote(value.as_ref().map(Secret::text).unwrap_or_default())
    }

    fn got(&self, given: &InputValue<'_>) -> String {
        OptionalMasterKey.got(given)
    }
}
