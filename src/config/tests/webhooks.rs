//! The webhooks of an app: what they can be, and the sentence that each mistake gets.

use super::*;
use crate::webhook::{DeliverySettings, EventType, EventTypes, WebhookEndpoint};

fn endpoints(loaded: &Loaded) -> &[WebhookEndpoint] {
    &loaded.config.apps[0].webhooks.endpoints
}

#[test]
fn an_endpoint_has_what_it_is_given() {
    let text = with_app("")
        + "[apps.webhook_delivery]\nbatching = true\nretry_first_seconds = 0.5\n\
           [[apps.webhooks]]\nurl = 'http://localhost:3000/hook'\n\
           [[apps.webhooks]]\nurl = 'https://example.com'\nevents = ['presence', 'cache_miss']\nchannels = 'room-*'\n\
           headers = { Authorization = 'Bearer hush' }\n";
    let loaded = Sources { file: Some(&text), ..Sources::default() }.load().unwrap();
    let [plain, rich] = endpoints(&loaded) else { panic!("{loaded:?}") };
    assert_eq!(*plain, WebhookEndpoint::new("http://localhost:3000/hook").unwrap());
    let types = [EventType::MemberAdded, EventType::MemberRemoved, EventType::CacheMiss];
    assert_eq!(rich.events, types.into_iter().collect::<EventTypes>());
    assert_eq!(rich.channels.as_ref().unwrap().to_string(), "room-*");
    assert_eq!((rich.headers[0].name(), rich.headers[0].value()), ("authorization", "Bearer hush"));
    let delivery = &loaded.config.apps[0].webhooks.delivery;
    assert!(delivery.batching && delivery.retry.first.as_millis() == 500);
    assert_eq!(delivery.batch_events, DeliverySettings::default().batch_events);
}

#[test]
fn the_environment_adds_endpoints_and_sets_how_they_are_told() {
    let text = with_app("") + "[[apps.webhooks]]\nurl = 'http://localhost:1/'\n";
    let variables = &[
        ("HELIOSTAT_APP_WEBHOOK_URL", " http://localhost:1/  https://example.com/a "),
        ("HELIOSTAT_APP_WEBHOOK_DELIVERY_BATCHING", "true"),
    ];
    let loaded = Sources { file: Some(&text), variables, ..Sources::default() }.load().unwrap();
    let urls: Vec<_> = endpoints(&loaded).iter().map(|endpoint| endpoint.url.as_str()).collect();
    assert_eq!(
        urls,
        ["http://localhost:1/", "https://example.com/a"],
        "one that is there is not added again"
    );
    assert!(loaded.config.apps[0].webhooks.delivery.batching);
    let printed = loaded.to_toml(false);
    assert!(printed.contains("[[apps.webhooks]]  # h.toml:6"), "{printed}");
    assert!(
        printed.contains("[[apps.webhooks]]  # environment variable HELIOSTAT_APP_WEBHOOK_URL"),
        "{printed}"
    );
    let bad = Sources { variables: &[("HELIOSTAT_APP_WEBHOOK_URL", "ftp://x/")], ..Sources::default() };
    assert_eq!(
        bad.complaints(),
        [
            "HELIOSTAT_APP_WEBHOOK_URL: a webhook's url must begin with http:// or https://, got the scheme \"ftp\""
        ]
    );
}

#[test]
fn mistakes_in_a_webhook_name_the_line_and_no_secret() {
    let webhook = |fields: &str| with_app("") + "[[apps.webhooks]]\n" + fields;
    let whole = |more: &str| webhook(&format!("url = 'http://localhost/'\n{more}"));
    let cases = [
        (webhook("events = ['presence']"), "h.toml:6:1: a webhook needs \"url\", which is missing"),
        (
            webhook("url = 'localhost/hook'"),
            "h.toml:7:7: a webhook's url must be an http or https URL such as \"https://example.com/webhooks\", got \
             \"localhost/hook\": relative URL without a base",
        ),
        (webhook("url = 7"), "h.toml:7:7: apps.webhooks.url must be a string, got 7"),
        (
            webhook("url = 'https://me:hush@localhost/'"),
            "h.toml:7:7: a webhook's url may not hold a name or password; send an authorization header instead",
        ),
        (
            whole("events = ['chanel_occupied']"),
            "h.toml:8:10: \"chanel_occupied\" is no type of webhook event; there are channel_occupied, \
             channel_vacated, member_added, member_removed, client_event, cache_miss, subscription_count, \
             channel_existence, presence; did you mean \"channel_occupied\"?",
        ),
        (
            whole("events = []"),
            "h.toml:8:10: a webhook must have at least one type of event; without the key \"events\" it has all",
        ),
        (
            whole("events = 'presence'"),
            "h.toml:8:10: apps.webhooks.events must be a list of strings, got the string \"presence\"",
        ),
        (whole("channels = 'a*b*'"), "h.toml:8:12: a channel pattern may hold one `*`, \"a*b*\" holds more"),
        (
            whole("headers = { x-pusher-key = 'hush' }"),
            "h.toml:8:28: the header \"x-pusher-key\" is set by the broker itself and cannot be configured",
        ),
        (
            whole("headers = { 'a b' = 'hush' }"),
            "h.toml:8:21: \"a b\" cannot be the name of a header: letters, digits and - are allowed",
        ),
        (
            whole("headers = { a = \"hush\\n\" }"),
            "h.toml:8:17: the value of the header \"a\" must be printable ASCII",
        ),
        (
            whole("headers = { a = 271828 }"),
            "h.toml:8:17: apps.webhooks.headers.a must be a string, got an integer",
        ),
        (
            whole("headers = ['hush']"),
            "h.toml:8:11: apps.webhooks.headers must be a table of strings such as { authorization = \"Bearer …\" }, \
             got an array of 1",
        ),
        (
            whole("event = ['presence']"),
            "h.toml:8:1: unknown key \"apps.webhooks.event\"; did you mean \"apps.webhooks.events\"?",
        ),
        (
            whole("[[apps.webhooks]]\nurl = 'http://LOCALHOST'"),
            "h.toml:8:1: the same webhook is already given at h.toml:6:1",
        ),
        (
            with_app("") + "webhooks = 'http://localhost/'",
            "h.toml:6:12: apps.webhooks must be one or more tables, each begun by [[apps.webhooks]], got a string",
        ),
        (
            with_app("") + "[apps.webhook_delivery]\nbatch_events = 0",
            "h.toml:7:16: apps.webhook_delivery.batch_events must be an integer from 1 to 10000, got 0",
        ),
        (
            with_app("") + "[apps.webhook_delivery]\ntimeout = 5",
            "h.toml:7:1: unknown key \"apps.webhook_delivery.timeout\"; did you mean \
             \"apps.webhook_delivery.timeout_seconds\"?",
        ),
        (with_app("") + "webhook_delivery = 1", "h.toml:6:20: apps.webhook_delivery must be a table, got 1"),
    ];
    for (text, expected) in cases {
        let complaints = Sources { file: Some(&text), ..Sources::default() }.complaints();
        assert_eq!(complaints, [expected], "{text}");
        assert!(!expected.contains("hush") && !expected.contains("271828"));
    }
}
