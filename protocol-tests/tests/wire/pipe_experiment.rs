//! The experiment of 2012 and its heirs: a camera's pictures go from one page through the broker to another.

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Target, picture};
use serde_json::json;

use crate::{fence, keys};

/// The experiment of 2012, as its two browsers spoke: frames on the public channel `stream` come out on `mirror`,
/// for old and for new clients, and nobody else hears them. The broker is one started without any configuration.
///
/// Proves: 14, 51, pipe rules.
#[test]
fn the_experiment_works() {
    const FRAMES: usize = 40;
    let Some(target) = Target::own_with(None, &[], &[]) else { return };
    let eras =
        ["client=js&version=1.10.0-pre", "protocol=5&client=js&version=1.12.7&flash=false", "protocol=7"];
    for era in eras {
        let (mut stream, mut onlooker, mut mirror) =
            (target.connect_as(era), target.connect_as(era), target.connect_as(era));
        stream.subscribe("stream");
        onlooker.subscribe("stream");
        mirror.subscribe("mirror");
        for n in 0..FRAMES {
            // In pieces of 16 KiB, as the clients of the time cut large messages.
            let frame = json!({ "event": "frame", "data": { "dataUrl": picture(n, 100 * 1024) }, "channel": "stream" });
            let text = frame.to_string();
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(16 * 1024).collect();
            for (p, piece) in pieces.iter().enumerate() {
                let fin = if p + 1 == pieces.len() { 0x80 } else { 0 };
                stream.send_frame(fin | u8::from(p == 0), piece);
            }
            let event = mirror.expect_on("mirror", "frame");
            assert_eq!(keys(&event.whole), ["channel", "data", "event"]);
            assert_eq!(event.decoded(), json!({ "dataUrl": picture(n, 100 * 1024) }));
        }
        // Neither the sender nor anybody else on its channel heard a word of it.
        fence(&target, "stream", [&mut stream, &mut onlooker]);
        for socket in [stream, onlooker, mirror] {
            socket.close();
        }
    }
}

/// Its twin for clients of today: the private channel's other subscribers get the event as always, and the mirror
/// gets it under the name it listens for.
///
/// Proves: 113, 114, pipe rules.
#[test]
fn the_private_twin_is_broadcast_and_forwarded() {
    const FRAMES: usize = 20;
    let Some(target) = Target::own_with(None, &[], &[]) else { return };
    let (mut stream, mut onlooker, mut mirror) = (target.connect(), target.connect(), target.connect());
    stream.subscribe_private("private-stream");
    onlooker.subscribe_private("private-stream");
    mirror.subscribe("mirror");
    for n in 0..FRAMES {
        let data = json!({ "dataUrl": picture(n, 100 * 1024) });
        stream.trigger("private-stream", "client-frame", &data);
        assert_eq!(mirror.expect_on("mirror", "frame").decoded(), data);
        assert_eq!(onlooker.expect_on("private-stream", "client-frame").decoded(), data);
    }
    fence(&target, "private-stream", [&mut stream, &mut onlooker]);
}

/// Rules come from the command line as well.
///
/// Proves: pipe rules.
#[test]
fn a_rule_from_the_command_line_works() {
    let rules = ["--pipe", "door:knock=hall:heard", "--pipe", "cam-*:frame=screen-*"];
    let Some(target) = Target::own_with(Some(MAIN_APP), &rules, &[]) else { return };
    let (mut sender, mut hall) = (target.connect(), target.connect());
    for channel in ["door", "cam-7"] {
        sender.subscribe(channel);
    }
    for channel in ["hall", "screen-7"] {
        hall.subscribe(channel);
    }
    sender.trigger("door", "knock", &json!("twice"));
    assert_eq!(hall.expect_on("hall", "heard").data, json!("twice"));
    sender.trigger("cam-7", "frame", &json!(1));
    assert_eq!(hall.expect_on("screen-7", "frame").data, json!("1"));
}

/// A flood into a mirror that nobody reads is bounded by what one connection may keep waiting.
///
/// Proves: bad input.
#[test]
fn a_mirror_that_never_reads_does_not_grow_the_broker() {
    const FRAMES: usize = 80;
    let config = format!(
        "[connection]\noutbox_bytes = 1048576\n{MAIN_APP}[[apps.pipe]]\nfrom = \"stream\"\nevent = \"frame\"\nto = \"mirror\"\n"
    );
    let Some(target) = Target::own(&config) else { return };
    let (mut sender, mut mirror) = (target.connect(), target.connect());
    sender.subscribe("stream");
    mirror.subscribe("mirror");
    let resident = || target.broker().and_then(|broker| broker.resident_bytes());
    let before = resident();
    for n in 0..FRAMES {
        sender.trigger("stream", "frame", &json!({ "dataUrl": picture(n, 800 * 1024) }));
        sender.assert_silence();
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.peak.saturating_sub(before.now);
        assert!(grown < 32 << 20, "the broker grew by {grown} bytes for 62 MiB that nobody read");
    }
}
