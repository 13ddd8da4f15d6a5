//! Requests of the HTTP API: queries, signatures, and events in bodies and queries.

use heliostat::app::{App, AppRegistry, Secret};
use heliostat::tools::auth::request::{self, Query, SignedRequest};
use heliostat::tools::auth::sign;
use heliostat::tools::fuzzing::http;
use serde_json::Value;

use crate::two_texts;

/// The time of all requests, in seconds since 1970.
const NOW: u64 = 1_700_000_000;

pub(crate) fn target(data: &[u8]) {
    let Some((query, body)) = two_texts(data) else { return };
    is_decoded_as_forms_are(query);
    let query = &Query::parse(query);
    drop(http::event_of_query(query));
    event_of(body);
    check(query, body);
    request_signed_as_documented_passes(query);
}

fn is_decoded_as_forms_are(text: &str) {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let query = Query::parse(text);
    for (name, _) in &form {
        let name = name.to_lowercase();
        let mut wanted =
            form.iter().filter(|(other, _)| other.to_lowercase() == name).map(|(_, value)| value);
        assert!(query.all(&name).eq(wanted.clone()), "{name} of {text:?}");
        assert_eq!(query.get(&name), wanted.next_back().map(String::as_str), "{name} of {text:?}");
    }
    let names = query.names().count();
    assert!(names <= form.len(), "{text:?}");
}

fn event_of(body: &str) {
    let (several, one) = (http::event_of_body(body, true), http::event_of_body(body, false));
    for event in [&several, &one].into_iter().flatten() {
        assert!(!event.name.is_empty() && !event.name.starts_with("pusher") && !event.channels.is_empty());
        if let Ok(value) = serde_json::from_str::<Value>(body) {
            assert_eq!(value["name"], event.name.as_str());
            match &value["data"] {
                Value::String(text) => assert_eq!(*text, event.data),
                other => assert_eq!(Some(other), serde_json::from_str::<Value>(&event.data).ok().as_ref()),
            }
        }
    }
    assert!(one.is_none_or(|event| event.channels.len() == 1), "{body:?}");
}

fn check(query: &Query, body: &str) {
    let apps = registry();
    let paths = ["/apps/1/events".into()];
    let request = SignedRequest { method: "POST", paths: &paths, query };
    if let Err(error) = request::authenticate(&apps, &request, NOW) {
        assert!(!error.to_string().is_empty());
    }
    drop(request::check_stream_timestamp(query, NOW));
    drop(request::check_body(query, body.as_bytes()));
}

/// Signs the parameters as the documentation says: in lower case, sorted by name, joined.
fn request_signed_as_documented_passes(query: &Query) {
    let names: Vec<&str> = query.names().collect();
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for name in names {
        if !pairs.iter().any(|(known, _)| *known == name) {
            pairs.push((name, query.get(name).unwrap_or_default()));
        }
    }
    let now = NOW.to_string();
    pairs.extend([("auth_key", "key"), ("auth_timestamp", &now), ("auth_version", "1.0")]);
    pairs.sort_unstable();
    let joined: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let signed = format!("GET\n/apps/1/channels\n{}", joined.join("&"));
    let signature = sign(&Secret::new("secret-of-app"), &signed);
    let encoded = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs.iter().rev())
        .append_pair("auth_signature", &signature)
        .finish();
    let (paths, query) = (["/apps/1/channels".into()], Query::parse(&encoded));
    let request = SignedRequest { method: "GET", paths: &paths, query: &query };
    assert!(request::authenticate(&registry(), &request, NOW).is_ok(), "{encoded}");
    let other = SignedRequest { method: "POST", ..request };
    assert!(request::authenticate(&registry(), &other, NOW).is_err(), "{encoded}");
}

fn registry() -> AppRegistry {
    AppRegistry::new([App::new("1", "key", "secret-of-app")]).expect("one app has no double")
}
