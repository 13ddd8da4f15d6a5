//! What a pipe rule sends, and how often: paces, filters, several targets, none at all.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Socket, Target};
use serde_json::json;

/// A broker with these rules, a sender on `stream`, and a listener on `mirror`.
fn with_rules(rules: &str) -> Option<(Target, Socket, Socket)> {
    let target = Target::own(&format!("{MAIN_APP}{rules}"))?;
    let (mut sender, mut mirror) = (target.connect(), target.connect());
    sender.subscribe("stream");
    mirror.subscribe("mirror");
    Some((target, sender, mirror))
}

/// Events over the rate are dropped; so many as the rate allows may come at once.
///
/// Proves: pipe rules.
#[test]
fn what_is_over_the_rate_is_dropped() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\nrate = '5/h'\n";
    let Some((target, mut sender, mut mirror)) = with_rules(rule) else { return };
    for n in 0..40 {
        sender.trigger("stream", "frame", &json!(n));
    }
    sender.assert_silence();
    for n in 0..5 {
        assert_eq!(mirror.expect_on("mirror", "frame").data, json!(n.to_string()));
    }
    target.assert_nothing_published(&mut mirror, "mirror");
}

/// With `keep = "latest"`, the newest event that came too soon is sent when its time has come, and only that one.
///
/// Proves: pipe rules.
#[test]
fn the_newest_waits_for_its_time() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\nmin_interval = '300ms'\nkeep = 'latest'\n";
    let Some((target, mut sender, mut mirror)) = with_rules(rule) else { return };
    let began = Instant::now();
    for n in 0..20 {
        sender.trigger("stream", "frame", &json!({ "n": n }));
    }
    assert_eq!(mirror.expect_on("mirror", "frame").decoded(), json!({ "n": 0 }));
    assert_eq!(mirror.expect_on("mirror", "frame").decoded(), json!({ "n": 19 }));
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(300), "it came after {waited:?}");
    target.assert_nothing_published(&mut mirror, "mirror");
    // It took its turn: the next one waits again.
    sender.trigger("stream", "frame", &json!({ "n": 20 }));
    assert_eq!(mirror.expect_on("mirror", "frame").decoded(), json!({ "n": 20 }));
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(600), "it came after {waited:?}");
}

/// Each channel that a rule with a star sends to has its own pace.
///
/// Proves: pipe rules.
#[test]
fn each_target_has_its_own_pace() {
    let rule = "[[apps.pipe]]\nfrom = 'cam-*'\nevent = 'frame'\nto = 'screen-*'\nmin_interval = '1h'\n";
    let Some((_, mut sender, mut screens)) = with_rules(rule) else { return };
    for n in 0..3 {
        sender.subscribe(&format!("cam-{n}"));
        screens.subscribe(&format!("screen-{n}"));
    }
    for round in 0..2 {
        for n in 0..3 {
            sender.trigger(&format!("cam-{n}"), "frame", &json!(round));
        }
    }
    sender.assert_silence();
    for n in 0..3 {
        assert_eq!(screens.expect_on(&format!("screen-{n}"), "frame").data, json!("0"));
    }
    screens.assert_silence();
}

/// A rule may have several targets, which get the same event; a star is filled in each.
///
/// Proves: pipe rules.
#[test]
fn one_event_goes_to_several_targets() {
    let rule = "[[apps.pipe]]\nfrom = 'cam-*'\nevent = 'frame'\nto = ['mirror', 'left-*', 'right-*']\nadd = { by = 'rule' }\n";
    let Some((_, mut sender, mut mirror)) = with_rules(rule) else { return };
    sender.subscribe("cam-7");
    mirror.subscribe("left-7");
    mirror.subscribe("right-7");
    sender.trigger("cam-7", "frame", &json!({ "n": 1 }));
    for channel in ["mirror", "left-7", "right-7"] {
        assert_eq!(mirror.expect_on(channel, "frame").decoded(), json!({ "n": 1, "by": "rule" }));
    }
}

/// `where` looks at the members it names and at nothing else of the payload.
///
/// Proves: pipe rules.
#[test]
fn where_takes_only_payloads_with_these_members() {
    let rule = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\nwhere = { kind = 'camera', on = true }\n";
    let Some((target, mut sender, mut mirror)) = with_rules(rule) else { return };
    for other in [
        json!({}),
        json!({ "kind": "camera" }),
        json!({ "kind": "screen", "on": true }),
        json!({ "kind": "camera", "on": "true" }),
        json!([{ "kind": "camera", "on": true }]),
        json!("camera"),
        json!(null),
    ] {
        sender.trigger("stream", "frame", &other);
    }
    // The members may be anywhere, and the payload may be a string that holds the object.
    let whole = json!({ "x": { "kind": "no" }, "on": true, "kind": "camera" });
    sender.trigger("stream", "frame", &whole);
    sender.trigger("stream", "frame", &json!(whole.to_string()));
    sender.assert_silence();
    for _ in 0..2 {
        assert_eq!(mirror.expect_on("mirror", "frame").decoded(), whole);
    }
    target.assert_nothing_published(&mut mirror, "mirror");
}

/// `where` compares numbers to their last digit, at every depth, whether a client or the HTTP API sends them.
///
/// Proves: pipe rules.
#[test]
fn where_tells_large_numbers_apart() {
    let id = 175_928_847_299_117_063_u64;
    let numbers = [
        (id.to_string(), true),
        ((id - 1).to_string(), false),
        ((id + 1).to_string(), false),
        (format!("{id}.0"), true),
        (format!("{id}0e-1"), true),
        (format!("{id}.5"), false),
        (format!("{id}{id}"), false),
    ];
    for (wanted, payload) in
        [("id = #", r#"{"id":#}"#), ("a = [1, { id = # }]", r#"{"a":[1.0,{"id":#}],"b":#}"#)]
    {
        let wanted = wanted.replace('#', &id.to_string());
        let rule = format!(
            "[[apps.pipe]]\nfrom = 'stream'\nevent = '*'\nto = 'mirror'\nsource = ['client', 'http']\n\
             where = {{ {wanted} }}\n"
        );
        let Some((target, mut sender, mut mirror)) = with_rules(&rule) else { return };
        for (number, equal) in &numbers {
            let data = payload.replace('#', number);
            sender.send_text(&format!(r#"{{"event":"frame","channel":"stream","data":{data}}}"#));
            if *equal {
                assert_eq!(mirror.expect_on("mirror", "frame").data, data);
            }
            target.publish("stream", "frame", &data);
            if *equal {
                assert_eq!(mirror.expect_on("mirror", "frame").data, data);
            }
        }
        target.assert_nothing_published(&mut mirror, "mirror");
    }
}

/// A rule with `drop = true` takes an event from the client and sends it nowhere; other rules still hear it.
///
/// Proves: pipe rules.
#[test]
fn what_is_dropped_is_no_error() {
    let rules = "[[apps.pipe]]\nfrom = 'stream'\nevent = 'noise'\ndrop = true\n\
                 [[apps.pipe]]\nfrom = '*'\nevent = 'frame'\ndrop = true\n\
                 [[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\n";
    let Some((target, mut sender, mut mirror)) = with_rules(rules) else { return };
    sender.trigger("stream", "noise", &json!(1));
    sender.assert_silence();
    sender.trigger("stream", "frame", &json!(2));
    sender.assert_silence();
    assert_eq!(mirror.expect_on("mirror", "frame").data, json!("2"));
    sender.trigger("stream", "other", &json!(3));
    sender.expect_error(None, "Unsupported event received on socket: other");
    target.assert_nothing_published(&mut mirror, "mirror");
}
