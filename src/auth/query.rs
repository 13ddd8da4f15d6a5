//! Reads a query string, and writes its parameters in the forms in which they may have been signed.

use std::borrow::Cow;

/// A query string's parameters in order, each as sent and decoded. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// All names and values, one after the other.
    text: String,
    parameters: Vec<QueryParameter>,
}

/// Where the parts of a parameter are in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct QueryParameter {
    name: Span,
    value: Span,
    /// The value as sent; the same place where it is no other.
    raw_value: Span,
}

/// A part of the text, by its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

impl Query {
    /// Reads a query string. `%` escapes and `+` are decoded; bytes that are no UTF-8 become replacement
    /// characters, which no signature matches.
    pub fn parse(text: &str) -> Self {
        let mut query = Query { text: String::with_capacity(text.len()), parameters: Vec::new() };
        query.parameters.reserve(text.bytes().filter(|byte| *byte == b'&').count() + 1);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.push(&decoded(name), &decoded(value), value);
        }
        query
    }

    /// A query of these parameters, as they are.
    pub fn of_pairs<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut query = Query::default();
        pairs.into_iter().for_each(|(name, value)| query.push(name, value, value));
        query
    }

    fn push(&mut self, name: &str, value: &str, raw_value: &str) {
        let name = if name.is_ascii() {
            let span = self.append(name);
            self.text[span.start..].make_ascii_lowercase();
            span
        } else {
            self.append(&name.to_lowercase())
        };
        let span = self.append(value);
        let raw_value = if raw_value == value { span } else { self.append(raw_value) };
        self.parameters.push(QueryParameter { name, value: span, raw_value });
    }

    fn append(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span { start, end: self.text.len() }
    }

    fn at(&self, span: Span) -> &str {
        &self.text[span.start..span.end]
    }

    /// The value of a parameter; the last one where it is repeated.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|p| self.at(p.name) == name).map(|p| self.at(p.value))
    }

    /// Every value of a parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(move |p| self.at(p.name) == name).map(|p| self.at(p.value))
    }

    /// The value of a parameter, or the values of the array of that name, joined by commas.
    pub fn list(&self, name: &str) -> Option<String> {
        let items = self.parameters.iter().filter(|p| array_name(self.at(p.name)) == Some(name));
        let items: Vec<&str> = items.map(|p| self.at(p.value)).collect();
        match self.get(name) {
            Some(value) => Some(value.to_owned()),
            None => (!items.is_empty()).then(|| items.join(",")),
        }
    }

    /// The names of the parameters that are not part of the authentication, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.own_pairs().map(|(name, _)| name)
    }

    /// The names and values of these.
    pub fn own_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let authentication = |name: &str| name.starts_with("auth_") || name == "body_md5";
        let pairs = self.parameters.iter().map(|p| (self.at(p.name), self.at(p.value)));
        pairs.filter(move |(name, _)| !authentication(name))
    }

    /// The names and values of all but the signature, in order.
    pub(crate) fn parameters_to_sign(&self) -> impl Iterator<Item = (&str, &str)> {
        let parameters = self.parameters.iter().map(|p| (self.at(p.name), self.at(p.value)));
        parameters.filter(|(name, _)| *name != "auth_signature")
    }

    /// Adds the parameters as they are signed: sorted by name, joined, values not encoded. Array parameters keep their
    /// order.
    pub(super) fn push_signed(&self, text: &mut String, form: ValueForm) {
        let mut signed: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(self.parameters.len());
        for parameter in self.parameters.iter().filter(|p| self.at(p.name) != "auth_signature") {
            let own_name = self.at(parameter.name);
            let value = match form {
                ValueForm::Raw => self.at(parameter.raw_value),
                ValueForm::Decoded | ValueForm::Joined => self.at(parameter.value),
            };
            let name = match form {
                ValueForm::Joined => array_name(own_name).unwrap_or(own_name),
                ValueForm::Decoded | ValueForm::Raw => own_name,
            };
            match signed.last_mut() {
                Some((last, joined)) if form == ValueForm::Joined && name != own_name && *last == name => {
                    let joined = joined.to_mut();
                    joined.push(',');
                    joined.push_str(value);
                }
                _ => signed.push((name, Cow::Borrowed(value))),
            }
        }
        signed.sort_by(|a, b| a.0.cmp(b.0));
        for (number, (name, value)) in signed.iter().enumerate() {
            if number > 0 {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
    }

    /// Whether every form signs the same text.
    pub(super) fn is_plain(&self) -> bool {
        self.parameters.iter().all(|p| p.raw_value == p.value && array_name(self.at(p.name)).is_none())
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

/// Decodes `%` escapes and `+`.
pub fn decode(text: &str) -> String {
    decoded(text).into_owned()
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}
