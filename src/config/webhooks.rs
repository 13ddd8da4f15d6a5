//! The webhooks of one app: `[[apps.webhooks]]` of the file, and the URLs of the environment.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::builder::Builder;
use super::draft::AppDraft;
use super::error::nearest;
use super::input_value::InputValue;
use super::tables::Tables;
use super::value_type::{AnyText, MASK};
use super::{Error, Origin};
use crate::webhook::{BadEndpoint, EndpointUrl, EventTypes, WebhookEndpoint, WebhookHeader};

const KNOWN: [&str; 4] = ["url", "events", "channels", "headers"];
const HEADERS_EXPECTED: &str = "a table of strings such as { authorization = \"Bearer …\" }";

/// Adds an endpoint that is told everything to the first app. One that the app has already is not added again: it would
/// be told everything twice.
pub(super) fn add(url: &str, origin: Origin, draft: &mut AppDraft, builder: &mut Builder) {
    let endpoints = &mut draft.webhooks.endpoints;
    match WebhookEndpoint::new(url) {
        Err(source) => builder.errors.push(Error::Webhook { at: origin, source, nearest: None }),
        Ok(endpoint) if endpoints.contains(&endpoint) => {}
        Ok(endpoint) => {
            builder.origins.record(format!("apps[0].webhooks[{}]", endpoints.len()), origin);
            endpoints.push(endpoint);
        }
    }
}

impl Tables<'_> {
    /// Reads the endpoints of the app at `index`.
    pub(super) fn webhooks(&mut self, index: usize, value: &Spanned<DeValue<'_>>, draft: &mut AppDraft) {
        let path = format!("apps[{index}].webhooks");
        self.each_table("apps.webhooks", value, |tables, item, table| {
            let Some(endpoint) = tables.webhook(item, table) else { return };
            let repeated = |at, first| Error::RepeatedWebhook { at, first };
            let list = (&*path, &mut draft.webhooks.endpoints);
            tables.push_once(list, item, endpoint, WebhookEndpoint::eq, repeated);
        });
    }

    fn webhook(&mut self, item: &Spanned<DeValue<'_>>, table: &DeTable<'_>) -> Option<WebhookEndpoint> {
        let errors_before = self.builder.errors.len();
        self.only(&KNOWN, table, "apps.webhooks.");
        let url = self.required("a webhook", "url", item, table);
        let url = url.and_then(|value| {
            let text = self.read_as(AnyText, "apps.webhooks.url", value)?;
            self.sound(EndpointUrl::parse(&text), value)
        });
        let events = table.get("events").map_or(Some(EventTypes::all()), |value| self.event_types(value));
        let channels = table.get("channels").and_then(|value| self.pattern("apps.webhooks.channels", value));
        let headers = table.get("headers").map(|value| self.headers(value)).unwrap_or_default();
        let (url, events) = (url?, events?);
        let sound = self.builder.errors.len() == errors_before;
        sound.then_some(WebhookEndpoint { url, events, channels, headers })
    }

    fn event_types(&mut self, value: &Spanned<DeValue<'_>>) -> Option<EventTypes> {
        let names = self.texts("apps.webhooks.events", value)?;
        let mut types = EventTypes::default();
        for name in names {
            let known = EventTypes::of_name(&name).ok_or(BadEndpoint::UnknownType(name));
            types = types.with(self.sound(known, value)?);
        }
        let some = (!types.is_empty()).then_some(types).ok_or(BadEndpoint::NoTypes);
        self.sound(some, value)
    }

    fn headers(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<WebhookHeader> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong("apps.webhooks.headers", HEADERS_EXPECTED, value);
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (name, value) in table {
            let key = format!("apps.webhooks.headers.{}", name.get_ref());
            // What came instead of a header's value is not shown: it may be a secret.
            let got = match value.get_ref().as_str() {
                Some(MASK) => "the mask that print-config writes in place of secrets".to_owned(),
                Some(text) => {
                    headers.extend(self.sound(WebhookHeader::new(name.get_ref(), text), value));
                    continue;
                }
                None => InputValue::Toml(value.get_ref()).type_name(value.get_ref()),
            };
            let (at, expected) = (self.file.at(value), "a string".to_owned());
            self.builder.errors.push(Error::Value { at, key, expected, got });
        }
        headers
    }

    /// The value, or the complaint that it is none.
    fn sound<T>(&mut self, read: Result<T, BadEndpoint>, value: &Spanned<DeValue<'_>>) -> Option<T> {
        read.map_err(|source| {
            let nearest = match &source {
                BadEndpoint::UnknownType(name) => nearest(name, EventTypes::names()),
                _ => None,
            };
            self.builder.errors.push(Error::Webhook { at: self.file.at(value), source, nearest });
        })
        .ok()
    }
}
