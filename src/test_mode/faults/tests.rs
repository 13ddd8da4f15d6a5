//! Faults in JSON, and when they act.

use super::*;

fn fault(json: Value) -> Fault {
    Fault::parse(&json).unwrap()
}

fn facts<'a>(event: &'a str, channel: &'a str, socket_id: &'a str) -> FrameFacts<'a> {
    FrameFacts { event: Some(event), channel: Some(channel), socket_id, ..FrameFacts::default() }
}

#[test]
fn a_fault_is_listed_as_it_was_given() {
    let given = [
        json!({ "type": "refuse_connections", "code": 4100, "reason": "full", "times": 2 }),
        json!({ "type": "frames", "action": "drop", "event": "message", "channel": "room" }),
        json!({ "type": "frames", "action": "delay", "delay_ms": 50, "share": 0.5, "seed": 7 }),
        json!({ "type": "ignore_pings", "socket_id": "1.2", "for_ms": 100 }),
        json!({ "type": "http", "status": 503, "body": "down", "hang": false, "path": "/events" }),
        json!({ "type": "webhooks", "status": 500 }),
    ];
    for json in given {
        let faults = Faults::default();
        let now = Instant::now();
        let id = faults.add(fault(json.clone()), 0, now).unwrap();
        let mut expected = json;
        expected["id"] = json!(id);
        expected["used"] = json!(0);
        assert_eq!(faults.list(now), [expected]);
    }
}

#[test]
fn a_fault_acts_as_often_and_as_long_as_it_should() {
    let faults = Faults::default();
    let now = Instant::now();
    faults.add(fault(json!({ "type": "refuse_connections", "code": 4100, "times": 2 })), 0, now).unwrap();
    let refused: Vec<_> = (0..4).map(|_| faults.refuse(now).map(|(_, code, _)| code)).collect();
    assert_eq!(refused, [Some(4100), Some(4100), None, None]);
    faults.add(fault(json!({ "type": "webhooks", "for_ms": 100 })), 0, now).unwrap();
    assert!(faults.webhook(now + Duration::from_millis(99)).is_some());
    assert!(faults.webhook(now + Duration::from_millis(100)).is_none());
    let left = faults.list(now);
    assert_eq!((left.len(), &left[0]["used"]), (1, &json!(2)), "spent, and not out of time");
}

#[test]
fn whoever_is_held_up_waits_until_the_fault_is_over() {
    let faults = Faults::default();
    let now = Instant::now();
    let id =
        faults.add(fault(json!({ "type": "http", "hang": true, "times": 1, "for_ms": 50 })), 0, now).unwrap();
    assert_eq!(faults.http(now, "/apps/1/events"), Some((id, None)));
    assert_eq!(faults.http(now, "/apps/1/events"), None, "once is enough");
    assert_eq!(faults.left(id, now), Some(Duration::from_millis(50)), "for the one who hangs it goes on");
    assert_eq!(faults.left(id, now + Duration::from_millis(50)), None);
    faults.clear(id);
    assert_eq!(faults.left(id, now), None);
}

#[test]
fn frames_are_met_by_what_is_named() {
    let faults = Faults::default();
    let now = Instant::now();
    let id = faults
        .add(
            fault(json!({ "type": "frames", "action": "drop", "channel": "room", "socket_id": "1.2" })),
            0,
            now,
        )
        .unwrap();
    assert_eq!(
        faults.frame(now, &facts("message", "room", "1.2")),
        Some((id, FrameAction::Drop, Duration::ZERO))
    );
    assert_eq!(faults.frame(now, &facts("message", "other", "1.2")), None);
    assert_eq!(faults.frame(now, &facts("message", "room", "1.3")), None);
    let greeting = FrameFacts { channel: None, ..facts("pusher:connection_established", "", "1.2") };
    assert_eq!(faults.frame(now, &greeting), None);
    assert!(faults.clear(id) && !faults.clear(id));
    assert_eq!(faults.frame(now, &facts("message", "room", "1.2")), None);
    faults.add(fault(json!({ "type": "ignore_pings" })), 0, now).unwrap();
    assert!(faults.frame(now, &facts("message", "room", "1.2")).is_none());
    let pong = FrameFacts { answers_ping: true, socket_id: "1.2", ..FrameFacts::default() };
    assert!(faults.frame(now, &pong).is_some());
}

#[test]
fn chance_repeats_itself_with_its_seed() {
    let course = |seed: u64| {
        let faults = Faults::default();
        let now = Instant::now();
        let json = json!({ "type": "frames", "action": "drop", "share": 0.5 });
        faults.add(fault(json), seed, now).unwrap();
        assert_eq!(faults.list(now)[0]["seed"], json!(seed));
        (0..50).map(|_| faults.frame(now, &facts("e", "c", "1.1")).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(course(3), course(3));
    assert_ne!(course(3), course(4));
}

#[test]
fn a_share_of_connections_is_picked_by_seed() {
    let all: Vec<u32> = (0..10).collect();
    assert_eq!(pick(all.clone(), 0.3, 5).len(), 3);
    assert_eq!(pick(all.clone(), 0.3, 5), pick(all.clone(), 0.3, 5));
    assert_eq!(pick(all.clone(), 0.01, 5).len(), 1);
    let mut everybody = pick(all.clone(), 1.0, 9);
    everybody.sort_unstable();
    assert_eq!(everybody, all);
    assert!(pick(Vec::<u32>::new(), 1.0, 0).is_empty());
}

#[test]
fn what_is_no_fault_is_explained() {
    let cases = [
        (json!("drop"), "expected a fault as a JSON object"),
        (json!({ "type": "magic" }), "unknown variant `magic`"),
        (json!({ "type": "ignore_ping" }), "did you mean \"ignore_pings\"?"),
        (json!({ "type": "frames", "action": "reoder" }), "did you mean \"reorder\"?"),
        (json!({ "type": "webhooks", "time": 1 }), "did you mean \"times\"?"),
        (json!({ "type": "webhooks", "stauts": 500 }), "did you mean \"status\"?"),
        (json!({ "type": "frames", "action": "eat" }), "unknown variant `eat`"),
        (json!({ "type": "frames", "action": "delay" }), "\"delay_ms\" for the action delay"),
        (json!({ "type": "frames", "action": "drop", "chanel": "a" }), "unknown field `chanel`"),
        (json!({ "type": "frames", "action": "drop", "chanel": "a" }), "did you mean \"channel\"?"),
        (json!({ "type": "refuse_connections", "code": 1006 }), "got 1006"),
        (json!({ "type": "refuse_connections", "code": 4100, "times": 0 }), "at least 1"),
        (json!({ "type": "http" }), "either \"status\" or \"hang\""),
        (json!({ "type": "http", "status": 500, "hang": true }), "either \"status\" or \"hang\""),
        (json!({ "type": "http", "status": 101 }), "from 200 to 599, got 101"),
        (json!({ "type": "webhooks", "status": 204 }), "from 300 to 599 for webhooks that fail, got 204"),
        (json!({ "type": "webhooks", "share": 1.5 }), "above 0 and at most 1, got 1.5"),
        (json!({ "type": "frames", "action": "delay", "delay_ms": 90_000_000 }), "at most 86400000"),
        (json!({ "type": "webhooks", "state": 500 }), "unknown field `state`"),
    ];
    for (json, expected) in cases {
        let error = Fault::parse(&json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}

#[test]
fn there_is_room_for_so_many_faults() {
    let faults = Faults::default();
    let now = Instant::now();
    for _ in 0..MAX_FAULTS {
        faults.add(fault(json!({ "type": "webhooks" })), 0, now).unwrap();
    }
    assert_eq!(faults.add(fault(json!({ "type": "webhooks" })), 0, now), Err(TooManyFaults));
    assert_eq!(faults.clear_all(), MAX_FAULTS);
    for _ in 0..MAX_FAULTS + 1 {
        faults.add(fault(json!({ "type": "webhooks", "times": 1 })), 0, now).unwrap();
        assert!(faults.webhook(now).is_some(), "what has done its work makes room");
    }
    faults.clear_all();
    assert!(faults.add(fault(json!({ "type": "webhooks" })), 0, now).is_ok());
}
