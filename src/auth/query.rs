//! Reads a query string, and writes its parameters in the forms in which they may have been signed.

use std::borrow::Cow;

/// A query string's parameters in order, each as sent and decoded. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    parameters: Vec<QueryParameter>,
}

/// A parameter of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
struct QueryParameter {
    name: String,
    value: String,
    /// The value as sent, where it is another.
    raw_value: Option<String>,
}

impl Query {
    /// Reads a query string. `%` escapes and `+` are decoded; bytes that are no UTF-8 become replacement
    /// characters, which no signature matches.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let parameters = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = decode(value);
            let raw_value = (decoded != value).then(|| value.to_owned());
            QueryParameter { name: lower_case(decode(name)), value: decoded, raw_value }
        });
        Query { parameters: parameters.collect() }
    }

    /// A query of these parameters, as they are.
    #[must_use]
    pub fn of_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let parameters = pairs.into_iter().map(|(name, value)| QueryParameter {
            name: lower_case(name.to_owned()),
            value: value.to_owned(),
            raw_value: None,
        });
        Query { parameters: parameters.collect() }
    }

    /// The value of a parameter; the last one where it is repeated.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|p| p.name == name).map(|p| p.value.as_str())
    }

    /// Every value of a parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |p| p.name == name).map(|p| p.value.as_str())
    }

    /// The value of a parameter, or the values of the array of that name, joined by commas.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<String> {
        let items = self.parameters.iter().filter(|p| array_name(&p.name) == Some(name));
        let items: Vec<&str> = items.map(|p| p.value.as_str()).collect();
        match self.get(name) {
            Some(value) => Some(value.to_owned()),
            None => (!items.is_empty()).then(|| items.join(",")),
        }
    }

    /// The names of the parameters that are not part of the authentication, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let authentication = |name: &str| name.starts_with("auth_") || name == "body_md5";
        self.parameters.iter().map(|p| p.name.as_str()).filter(move |name| !authentication(name))
    }

    /// The parameters as they are signed: sorted by name, joined, values not encoded. Array parameters keep
    /// their order.
    pub(super) fn to_sign(&self, form: ValueForm) -> String {
        let mut signed: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(self.parameters.len());
        for parameter in self.parameters.iter().filter(|p| p.name != "auth_signature") {
            let value = match form {
                ValueForm::Raw => parameter.raw_value.as_ref().unwrap_or(&parameter.value),
                ValueForm::Decoded | ValueForm::Joined => &parameter.value,
            };
            let name = match form {
                ValueForm::Joined => array_name(&parameter.name).unwrap_or(&parameter.name),
                ValueForm::Decoded | ValueForm::Raw => &parameter.name,
            };
            match signed.last_mut() {
                Some((last, joined))
                    if form == ValueForm::Joined && name != parameter.name && *last == name =>
                {
                    let joined = joined.to_mut();
                    joined.push(',');
                    joined.push_str(value);
                }
                _ => signed.push((name, Cow::Borrowed(value))),
            }
        }
        signed.sort_by(|a, b| a.0.cmp(b.0));
        let bytes = signed.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(bytes);
        for (name, value) in &signed {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }

    /// Whether every form signs the same text.
    pub(super) fn is_plain(&self) -> bool {
        self.parameters.iter().all(|p| p.raw_value.is_none() && array_name(&p.name).is_none())
    }
}

/// The name of the array that a parameter such as `name[]` or `name[0]` is an item of.
fn array_name(parameter: &str) -> Option<&str> {
    let (name, index) = parameter.strip_suffix(']')?.rsplit_once('[')?;
    index.bytes().all(|b| b.is_ascii_digit()).then_some(name)
}

/// The forms in which official libraries sign values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueForm {
    /// As documented.
    Decoded,
    /// As they are in the URL: some HTTP stacks encode after signing, some before.
    Raw,
    /// Array values joined by commas, as one library signs them.
    Joined,
}

fn lower_case(mut name: String) -> String {
    if !name.is_ascii() {
        return name.to_lowercase();
    }
    name.make_ascii_lowercase();
    name
}

/// Decodes `%` escapes and `+`.
#[must_use]
pub fn decode(text: &str) -> String {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return text.to_owned();
    }
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
