//! The webhooks of an app under test: waited for, failing on demand, and by the app's clock.

use heliostat_protocol_tests::{Credentials, Sink, TestApp, TestMode, schema, unique};
use serde_json::{Value, json};

/// An app with an endpoint of its own.
#[track_caller]
fn app<'m>(mode: &'m TestMode, settings: &Value, events: &[&str]) -> (TestApp<'m>, Sink) {
    let (id, key, secret) = (unique("app"), unique("key"), unique("secret"));
    let sink = Sink::start(&Credentials::new(&id, &key, &secret));
    let webhooks = json!([{ "url": sink.url(), "events": events }]);
    let request =
        json!({ "id": id, "key": key, "secret": secret, "settings": settings, "webhooks": webhooks });
    let described = &mode.document()["components"]["schemas"]["CreateApp"];
    schema::judge(mode.document(), described, &request).unwrap();
    (mode.app(&request), sink)
}

/// Advances the clock, and waits: what has been logged before is due by then.
#[track_caller]
fn advance_until(app: &TestApp<'_>, advance_ms: u64, condition: &Value) -> Value {
    app.ask("POST", "/clock", &json!({ "advance_ms": advance_ms }));
    app.wait(condition)
}

/// What was delivered can be waited for, event by event; what is held back comes when the app's clock says so.
///
/// Proves: test mode.
#[test]
fn a_delivered_webhook_is_waited_for() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let settings = json!({ "webhook_delivery": { "removal_delay_seconds": 3600 } });
    let (app, sink) = app(&mode, &settings, &["channel_existence", "presence"]);
    let none = json!({ "type": "webhook", "count": 0 });
    app.wait(&none);
    let mut socket = app.target.connect();
    socket.subscribe_presence("presence-room", "ann", &json!(null));
    let outcome = app.wait(&json!({ "type": "webhook", "name": "member_added", "count": 1 }));
    let entry = &outcome["entries"][0];
    assert_eq!((&entry["channel"], &entry["user_id"]), (&json!("presence-room"), &json!("ann")));
    assert_eq!((&entry["status"], &entry["attempt"]), (&json!(200), &json!(1)));
    assert_eq!(entry["path"], json!(sink.url()));
    let mut told: Value = serde_json::from_str(entry["data"].as_str().unwrap()).unwrap();
    let id = told.as_object_mut().unwrap().remove("id");
    assert!(id.is_some_and(|id| id.as_str().is_some_and(|id| id.len() == 32)), "{entry}");
    assert_eq!(told, json!({ "name": "member_added", "channel": "presence-room", "user_id": "ann" }));
    app.wait(&json!({ "type": "webhook", "name": "channel_occupied", "status": 200, "count": 1 }));

    socket.close();
    app.wait(&json!({ "type": "logged", "filter": { "type": "channel_vacated" } }));
    app.wait(&json!({ "type": "webhook", "count": 2 }));
    advance_until(&app, 3_600_000, &json!({ "type": "webhook", "name": "channel_vacated", "count": 1 }));
    app.wait(&json!({ "type": "webhook", "count": 4 }));
    let received = sink.events_until(|event| event["name"] == "channel_vacated");
    assert_eq!(received.len(), 4, "{received:?}");
    app.wait(&json!({ "type": "logged", "filter": { "type": "webhook_failed" }, "count": 0 }));
    let timeline = app.ask("GET", "/timeline", &Value::Null);
    let line = format!("webhook member_added on presence-room to {} 200", sink.url());
    assert!(timeline.to_string().contains(&line), "{timeline}");
}

/// A fault makes so many attempts fail; each is in the log, and then the webhook is delivered.
///
/// Proves: test mode.
#[test]
fn webhooks_fail_on_demand() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let settings = json!({ "webhook_delivery": {
        "retry_first_seconds": 600, "retry_longest_seconds": 600, "give_up_after_seconds": 86_400,
    } });
    let (app, sink) = app(&mode, &settings, &["channel_occupied"]);
    let refused = app.fault(&json!({ "type": "webhooks", "status": 503, "times": 2 }));
    let mut socket = app.target.connect();
    socket.subscribe("room");
    let failed = |status: Option<u16>, count: usize| {
        let mut filter = json!({ "type": "webhook_failed", "channel": "room" });
        status.into_iter().for_each(|status| filter["status"] = json!(status));
        json!({ "type": "logged", "filter": filter, "count": count })
    };
    app.wait(&failed(Some(503), 1));
    app.wait(&json!({ "type": "webhook", "count": 0 }));
    let outcome = advance_until(&app, 600_000, &failed(Some(503), 2));
    let attempts: Vec<&Value> = outcome["entries"].as_array().unwrap().iter().collect();
    for (entry, number) in attempts.iter().zip(1..) {
        assert_eq!((&entry["fault"], &entry["attempt"]), (&json!(refused), &json!(number)));
    }
    assert_eq!(attempts.len(), 2);
    let outcome = advance_until(&app, 600_000, &json!({ "type": "webhook", "channel": "room", "count": 1 }));
    assert_eq!(outcome["entries"][0]["attempt"], 3);
    assert_eq!(sink.webhook().event()["channel"], "room", "the first that is sent");

    // As if nobody listened, until the fault is cleared.
    let unheard = app.fault(&json!({ "type": "webhooks" }));
    // The first has slept through the minutes that passed.
    let mut socket = app.target.connect();
    socket.subscribe("other");
    let wait = json!({ "type": "logged", "filter": { "type": "webhook_failed", "fault": unheard } });
    let outcome = app.wait(&wait);
    assert!(outcome["entries"][0]["reason"].as_str().unwrap().contains("nobody listens"), "{outcome}");
    app.ask("DELETE", "/faults", &Value::Null);
    advance_until(&app, 600_000, &json!({ "type": "webhook", "channel": "other", "count": 1 }));
    assert_eq!(sink.webhook().event()["channel"], "other");
}

/// What an endpoint really answers is in the log as well.
///
/// Proves: test mode.
#[test]
fn an_endpoint_that_fails_is_seen() {
    let Some(mode) = TestMode::start(&[]) else { return };
    let (app, sink) = app(&mode, &json!({ "webhook_delivery.retry_first_seconds": 0.001 }), &["cache_miss"]);
    sink.next_answers([heliostat_protocol_tests::sink::Answer::Status(500)]);
    let mut socket = app.target.connect();
    socket.subscribe("cache-room");
    let outcome = app.wait(&json!({ "type": "webhook", "name": "cache_miss", "count": 1 }));
    assert_eq!(outcome["entries"][0]["attempt"], 2);
    let failed = json!({ "type": "webhook_failed", "status": 500 });
    let outcome = app.wait(&json!({ "type": "logged", "filter": failed, "count": 1 }));
    assert_eq!(outcome["entries"][0]["fault"], Value::Null);
    for (bad, expected) in [
        (json!([{ "url": "nowhere" }]), "nowhere"),
        (json!([{ "url": sink.url(), "events": ["vacated"] }]), "vacated"),
    ] {
        let (status, answer) = mode.call("POST", "/test/apps", &json!({ "webhooks": bad }));
        assert!(status == 400 && answer["error"].as_str().unwrap().contains(expected), "{answer}");
    }
    let (status, answer) = app.call("POST", "/faults", &json!({ "type": "webhooks", "status": 200 }));
    assert!(status == 400 && answer["error"].as_str().unwrap().contains("300 to 599"), "{answer}");
}
