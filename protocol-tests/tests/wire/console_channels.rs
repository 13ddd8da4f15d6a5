//! What the console shows of one channel: its tracks and viewers, what it keeps, and who came back.

use std::time::Instant;

use heliostat_protocol_tests::tab::{Tab, complete, fresh_name};
use heliostat_protocol_tests::track::{members, small};
use heliostat_protocol_tests::{patience, unique};
use serde_json::{Value, json};

use crate::console::Console;
use crate::video::{camera, film, sequence};

const CHANNELS: &str = "[[apps.channels]]\npattern = '*-camera'\ndelivery = 'video'\npublishers = ['ann']\n\
                        [[apps.channels]]\npattern = 'short-*'\nhistory = { events = 3 }\n\
                        [[apps.channels]]\npattern = 'kept-*'\nhistory = { events = 100 }\n";

/// Asks again until what is shown is so.
#[track_caller]
fn shown_so(console: &Console, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + patience();
    loop {
        let shown = console.show(path);
        if is_so(&shown) {
            return shown;
        }
        assert!(Instant::now() < deadline, "{path}: {shown}");
    }
}

/// Each rendition with what its key frames say and when they came; who films; and each viewer counted once by how late it is.
///
/// Proves: console.
#[test]
fn a_film_is_shown_with_its_renditions_and_viewers() {
    let Some(console) = Console::start_with(CHANNELS) else { return };
    let channel = "presence-camera";
    let path = format!("/channels/{channel}/video");
    let mut ann = camera(&console.broker, channel, "ann");
    let (mut first, mut second) =
        (camera(&console.broker, channel, "v1"), camera(&console.broker, channel, "v2"));
    // One who takes no binary messages is sent no frames.
    let mut plain = console.broker.connect();
    plain.subscribe_presence(channel, "v3", &json!(null));
    assert_eq!(console.show(&path)["tracks"], json!([]), "nobody films yet");
    for n in 1..=4 {
        film(&mut ann, channel, &members(n, n % 2 == 1), 2000);
        film(&mut ann, channel, &small(n, n == 1), 500);
        assert_eq!((sequence(&mut first), sequence(&mut second)), (n, n));
    }
    let shown = shown_so(&console, &path, |shown| shown["viewers"]["see"]["full"] == 2);
    let track = &shown["tracks"][0];
    assert_eq!((&track["event"], &track["kind"]), (&json!("client-video"), &json!("pictures")), "{shown}");
    let holder = &track["holder"];
    assert_eq!((&holder["kind"], &holder["user_id"]), (&json!("client"), &json!("ann")), "{shown}");
    assert_eq!(holder["socket_id"], ann.id.as_str());
    let of = |rendition: &Value| {
        let values =
            ["rendition", "alive", "sequence", "codec", "width", "height", "media_type", "kept_frames"];
        values.map(|name| rendition[name].clone())
    };
    let expected = |name, kept| json!([name, true, 4, "vp8", 16, 16, "video/webcodecs", kept]);
    assert_eq!(json!(of(&track["renditions"][0])), expected("full", 2), "{shown}");
    assert_eq!(json!(of(&track["renditions"][1])), expected("small", 4), "{shown}");
    let times = |rendition: &Value| {
        (rendition["key_frame_ms"].is_number(), rendition["key_frame_interval_ms"].is_number())
    };
    assert_eq!(times(&track["renditions"][0]), (true, true), "two key frames came: {shown}");
    assert_eq!(times(&track["renditions"][1]), (true, false), "one came: {shown}");
    let viewers = &shown["viewers"];
    assert_eq!((&viewers["count"], &viewers["without_frames"]), (&json!(2), &json!(2)), "{shown}");
    assert_eq!(viewers["whole"], json!(true));
    let bands = viewers["bands"].as_array().unwrap();
    assert_eq!(bands.iter().map(|band| band["viewers"].as_u64().unwrap()).sum::<u64>(), 2, "{shown}");
    let latest: Vec<_> = viewers["latest"].as_array().unwrap().iter().map(|one| &one["socket_id"]).collect();
    assert!(latest.contains(&&json!(first.id)) && latest.contains(&&json!(second.id)), "{shown}");
    assert!(shown["cache"]["bytes"].as_u64().unwrap() > 2000, "{shown}");
    console.refuse("/channels/kept-a/video", 404);
}

/// Page by page, the newest first, with what may be held and is; and nothing of a channel that keeps nothing.
///
/// Proves: console.
#[test]
fn a_history_is_shown_the_newest_first() {
    let Some(console) = Console::start_with(CHANNELS) else { return };
    let channel = unique("kept-");
    (1..=7).for_each(|n| console.broker.publish(&channel, "e", &n.to_string()));
    let path = format!("/channels/{channel}/history?limit=3");
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let page = console.show(&format!("{path}{after}"));
        let data =
            page["items"].as_array().unwrap().iter().map(|event| event["data"].as_str().unwrap().to_owned());
        pages.push(data.collect::<Vec<_>>());
        assert_eq!(page["complete"], json!(true));
        let history = &page["history"];
        assert_eq!(
            (&history["held"]["events"], &history["bounds"]["events"]),
            (&json!(7), &json!(100)),
            "{page}"
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [vec!["7", "6", "5"], vec!["4", "3", "2"], vec!["1"]]);
    let of_channel = console.show(&format!("/channels/{channel}"));
    assert_eq!(of_channel["history"]["held"]["events"], json!(7), "{of_channel}");
    assert!(of_channel["history"]["held"]["oldest_ms"].as_u64() <= of_channel["history"]["now"].as_u64());
    console.refuse("/channels/none/history", 404);
    console.refuse(&format!("{path}&after=x"), 400);
}

/// Whoever comes back is told of with what it was sent, and why not all; never by its name. Who comes for the first time has not come
/// back.
///
/// Proves: console.
#[test]
fn who_came_back_is_shown_and_by_no_name() {
    let Some(console) = Console::start_with(CHANNELS) else { return };
    let (kept, short) = (unique("kept-"), unique("short-"));
    let name = fresh_name();
    let (mut tab, _) = Tab::open(&console.broker, &name, &kept);
    console.broker.publish(&kept, "news", "1");
    tab.echo_all(Some("1"));
    tab.cut();
    assert_eq!(console.show("/recoveries")["items"], json!([]), "nobody has come back yet");
    ["2", "3"].iter().for_each(|event| console.broker.publish(&kept, "news", event));
    let (tab, resumed) = Tab::open(&console.broker, &name, &kept);
    assert_eq!(resumed, complete(&["2", "3"]));
    let shown = console.show("/recoveries");
    let recovery = &shown["items"][0];
    assert_eq!(recovery["channel"], json!(kept));
    assert_eq!(recovery["socket_id"], json!(tab.socket.id));
    assert_eq!(
        [&recovery["complete"], &recovery["outcome"], &recovery["reason"], &recovery["events"]],
        [&json!(true), &json!("complete"), &Value::Null, &json!(2)]
    );
    assert_eq!(recovery["client"].as_str().map(str::len), Some(6), "{shown}");
    assert!(!shown.to_string().contains(&name[..8]), "{shown}");

    // More than is kept is missed on another channel.
    let other_name = fresh_name();
    let (mut other, _) = Tab::open(&console.broker, &other_name, &short);
    console.broker.publish(&short, "news", "1");
    other.echo_all(Some("1"));
    other.cut();
    ["2", "3", "4", "5"].iter().for_each(|event| console.broker.publish(&short, "news", event));
    let (other, _) = Tab::open(&console.broker, &other_name, &short);
    let of_channel = console.show(&format!("/recoveries?channel={short}"));
    let items = of_channel["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["outcome"]), (1, &json!("lost")), "{of_channel}");
    assert_ne!(items[0]["client"], recovery["client"]);
    let of_connection = console.show(&format!("/recoveries?socket_id={}", other.socket.id));
    assert_eq!(of_connection["items"], of_channel["items"]);
    console.refuse("/recoveries?socket_id=x", 400);
}
