//! A value as it arrives, before anyone knows what it is for.

use toml::de::DeValue;

/// A value as somebody gave it: typed by TOML, or as the text of a variable or flag.
#[derive(Clone, Copy, Debug)]
pub(super) enum InputValue<'g> {
    Toml(&'g DeValue<'g>),
    Text(&'g str),
}

impl InputValue<'_> {
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            InputValue::Toml(DeValue::Integer(i)) => i64::from_str_radix(i.as_str(), i.radix()).ok(),
            InputValue::Toml(_) => None,
            InputValue::Text(text) => text.parse().ok(),
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            InputValue::Toml(DeValue::Float(f)) => f.as_str().parse().ok(),
            InputValue::Toml(_) => self.integer().map(|i| i as f64),
            InputValue::Text(text) => text.parse().ok(),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            InputValue::Toml(value) => value.as_bool(),
            InputValue::Text("true" | "1") => Some(true),
            InputValue::Text("false" | "0") => Some(false),
            InputValue::Text(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            InputValue::Toml(value) => value.as_str(),
            InputValue::Text(text) => Some(text),
        }
    }

    /// The strings of a list; a variable or flag has them separated by commas.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match self {
            InputValue::Toml(DeValue::Array(items)) => {
                items.iter().map(|item| item.get_ref().as_str()).collect()
            }
            InputValue::Toml(_) => None,
            InputValue::Text(text) => {
                Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
            }
        }
    }

    /// The value for an error message, cut short where it is long.
    pub(super) fn describe(&self) -> String {
        const SHOWN_CHARS: usize = 60;
        let quoted = |text: &str| match text.char_indices().nth(SHOWN_CHARS) {
            Some((cut, _)) => format!("{:?} and {} more bytes", &text[..cut], text.len() - cut),
            None => format!("{text:?}"),
        };
        match self {
            InputValue::Text(text) => quoted(text),
            InputValue::Toml(DeValue::String(text)) => format!("the string {}", quoted(text)),
            InputValue::Toml(DeValue::Integer(i)) => i.to_string(),
            InputValue::Toml(DeValue::Float(f)) => f.to_string(),
            InputValue::Toml(DeValue::Boolean(b)) => b.to_string(),
            InputValue::Toml(other) => self.type_name(other),
        }
    }

    pub(super) fn type_name(&self, value: &DeValue<'_>) -> String {
        match value {
            DeValue::Array(items) => format!("an array of {}", items.len()),
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Datetime(_) => "a date or time".to_owned(),
            DeValue::Integer(_) => "an integer".to_owned(),
            DeValue::Float(_) => "a float".to_owned(),
            DeValue::Boolean(_) => "a boolean".to_owned(),
            DeValue::String(_) => "a string".to_owned(),
        }
    }
}
