//! Webhooks as soketi describes them: a JSON array of objects, or the same as text.

use serde_json::{Map, Value as Json};

use super::super::builder::Builder;
use super::super::draft::AppDraft;
use super::super::{Error, Origin, Warning};
use crate::pipe::Pattern;
use crate::webhook::{EventTypes, WebhookEndpoint, WebhookHeader};

const EXPECTED: &str = "a JSON array of objects such as [{\"url\":\"https://example.com/hook\",\"event_types\":[\"channel_occupied\"]}]";
/// What may stand in such an object; everything else is for AWS Lambda.
const KNOWN: [&str; 4] = ["url", "event_types", "filter", "headers"];

/// Adds the endpoints that `text` describes to the app at `index`.
pub(super) fn add_json(
    text: &str,
    origin: &Origin,
    index: usize,
    draft: &mut AppDraft,
    builder: &mut Builder,
) {
    match serde_json::from_str::<Json>(text) {
        Ok(json) => add(&json, origin, index, draft, builder),
        // The text is not shown: headers may hold secrets.
        Err(_) => wrong("text that is no JSON", origin, builder),
    }
}

/// The same of a value.
pub(in crate::config) fn add(
    json: &Json,
    origin: &Origin,
    index: usize,
    draft: &mut AppDraft,
    builder: &mut Builder,
) {
    let items = match json {
        Json::Array(items) => items.as_slice(),
        Json::Null => &[],
        // A database holds the array as text.
        Json::String(text) if text.trim().is_empty() => &[],
        Json::String(text) => return add_json(text, origin, index, draft, builder),
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => return wrong(kind(json), origin, builder),
    };
    for item in items {
        let Json::Object(members) = item else {
            wrong(&format!("an array with {}", kind(item)), origin, builder);
            continue;
        };
        let Some(endpoint) = endpoint(members, origin, builder) else { continue };
        let endpoints = &mut draft.webhooks.endpoints;
        if !endpoints.contains(&endpoint) {
            let path = format!("apps[{index}].webhooks[{}]", endpoints.len());
            endpoints.push(endpoint);
            builder.origins.record(path, origin.clone());
        }
    }
}

fn endpoint(members: &Map<String, Json>, origin: &Origin, builder: &mut Builder) -> Option<WebhookEndpoint> {
    let warn = |builder: &mut Builder, advice: &'static str| {
        builder.warnings.push(Warning::NoCounterpart { name: origin.to_string(), advice });
    };
    let Some(url) = members.get("url").and_then(Json::as_str) else {
        let is_lambda = members.contains_key("lambda_function");
        if is_lambda {
            warn(
                builder,
                "a webhook to AWS Lambda is left out: give the function a URL of its own, and name that",
            )
        } else {
            wrong("an object without \"url\"", origin, builder)
        }
        return None;
    };
    if members.keys().any(|name| !KNOWN.contains(&name.as_str())) {
        warn(builder, "of a webhook, only url, event_types, filter and headers are read");
    }
    let bad = |source, builder: &mut Builder| {
        builder.errors.push(Error::Webhook { at: origin.clone(), source, nearest: None });
    };
    let mut endpoint = match WebhookEndpoint::new(url) {
        Ok(endpoint) => endpoint,
        Err(source) => {
            bad(source, builder);
            return None;
        }
    };
    if let Some(names) = members.get("event_types").and_then(Json::as_array) {
        let types = names.iter().filter_map(Json::as_str).map(EventTypes::of_name);
        if names.iter().any(|name| name.as_str().and_then(EventTypes::of_name).is_none()) {
            warn(builder, "a webhook's event_types are those of the protocol; others are left out");
        }
        endpoint.events = types.flatten().fold(EventTypes::default(), EventTypes::with);
        if endpoint.events.is_empty() {
            warn(builder, "a webhook that is told of no type of event is left out");
            return None;
        }
    }
    if let Some(filter) = members.get("filter") {
        let [begins, ends] = ["channel_name_starts_with", "channel_name_ends_with"]
            .map(|name| filter.get(name).and_then(Json::as_str).unwrap_or_default());
        if !(begins.is_empty() && ends.is_empty()) {
            match Pattern::parse(&format!("{begins}*{ends}")) {
                Ok(pattern) => endpoint.channels = Some(pattern),
                Err(bad) => {
                    builder.errors.push(Error::Rule { at: origin.clone(), source: bad.into() });
                    return None;
                }
            }
        }
    }
    for (name, value) in members.get("headers").and_then(Json::as_object).into_iter().flatten() {
        let value = match value {
            Json::String(text) => text.clone(),
            Json::Bool(_) | Json::Number(_) => value.to_string(),
            Json::Null | Json::Array(_) | Json::Object(_) => {
                warn(builder, "a webhook's headers are texts; others are left out");
                continue;
            }
        };
        match WebhookHeader::new(name, &value) {
            Ok(header) => endpoint.headers.push(header),
            Err(source) => bad(source, builder),
        }
    }
    Some(endpoint)
}

fn wrong(got: &str, origin: &Origin, builder: &mut Builder) {
    builder.errors.push(Error::Value {
        at: origin.clone(),
        key: "apps.webhooks".to_owned(),
        expected: EXPECTED.to_owned(),
        got: got.to_owned(),
    });
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}
