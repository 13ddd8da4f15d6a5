//! What the console tells of the pipe: what each rule has heard, sent and dropped, why, and what last; and who else hears.

use serde_json::{Value, json};

use crate::admin::ask;
use crate::console::Console;
use crate::eventually;

/// Each rule counts what it has heard, sent and dropped by the reason, and tells what it heard and dropped last; metrics tell the
/// same. Other settings of the app may change meanwhile.
///
/// Proves: pages, pipe rules.
#[test]
fn a_rule_tells_what_it_has_done() {
    let rules = "[[apps.pipe]]\nfrom = 'cam-*'\nevent = 'frame'\nto = ['mirror-*', 'all']\nwhere = { kind = 'camera' }\n\
                 [[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\nto = 'mirror'\nrate = '2/h'\n\
                 [[apps.pipe]]\nfrom = 'stream'\nevent = 'frame'\ndrop = true\n";
    let Some(console) = Console::start_with(rules) else { return };
    let (mut sender, mut mirror) = (console.broker.connect(), console.broker.connect());
    let rules = || console.show("/pipe")["rules"].as_array().unwrap().clone();
    assert_eq!([&rules()[0]["matched"], &rules()[0]["last_match"]], [&json!(0), &Value::Null]);
    sender.subscribe("cam-1");
    sender.subscribe("stream");
    mirror.subscribe("mirror");
    mirror.subscribe("all");
    sender.trigger("cam-1", "frame", &json!({ "kind": "camera" }));
    sender.trigger("cam-1", "frame", &json!({ "kind": "<b>another</b>" }));
    (0..5).for_each(|n| sender.trigger("stream", "frame", &json!(n)));
    let told = eventually("all is counted", || Some(rules()).filter(|told| told[2]["matched"] == 5));
    let counts = |rule: &Value| [rule["matched"].clone(), rule["sent"].clone()];
    assert_eq!(counts(&told[0]), [json!(1), json!(2)]);
    assert_eq!(counts(&told[1]), [json!(5), json!(2)]);
    assert_eq!(counts(&told[2]), [json!(5), json!(0)]);
    assert_eq!(told[0]["dropped"], json!({ "payload": 1, "pace": 0, "replaced": 0, "full": 0, "target": 0 }));
    assert_eq!(told[1]["dropped"]["pace"], 3);
    let [last, dropped, paced] = [&told[0]["last_match"], &told[0]["last_drop"], &told[1]["last_drop"]];
    assert_eq!(
        [&last["channel"], &last["event"], &last["number"]],
        [&json!("cam-1"), &json!("frame"), &json!(1)]
    );
    assert_eq!([&dropped["reason"], &dropped["to"]], [&json!("payload"), &Value::Null]);
    assert_eq!([&paced["reason"], &paced["to"]], [&json!("pace"), &json!("mirror")]);
    // A sample may have been taken in between: then it is the first behind that.
    assert!((1..=3).contains(&paced["number"].as_u64().unwrap()), "{paced}");
    let answer = ask(&console.admin, "GET", "/metrics", "");
    let scraped = answer.text();
    for (rule, result, count) in
        [(0, "heard", 1), (0, "sent", 2), (0, "payload", 1), (1, "pace", 3), (2, "heard", 5)]
    {
        let labels = format!(
            "{{app_id=\"{}\",rule=\"{rule}\",result=\"{result}\"}}",
            console.broker.credentials.app_id
        );
        let line = format!("heliostat_pipe_rule_events_total{labels} {count}");
        assert!(scraped.lines().any(|told| told == line), "{line}\n{scraped}");
    }
    // Another setting of the app leaves the counts.
    let config = std::fs::read_to_string(console.broker.broker().unwrap().config()).unwrap();
    let changed = config.replacen("[[apps.pipe]]", "http_streams = false\n[[apps.pipe]]", 1);
    assert!(console.broker.broker().unwrap().reload(&changed).status.success());
    assert_eq!(counts(&rules()[1]), [json!(5), json!(2)]);
    let others = console.show("/pipe");
    assert_eq!([&others["hooks"], &others["backends"]["connected"]], [&json!([]), &json!(0)]);
}
