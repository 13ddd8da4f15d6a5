//! Latest-only channels: a slow subscriber is sent the newest event of each name, and is not closed.

use std::time::{Duration, Instant};

use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::{Socket, Target, picture};
use serde_json::{Value, json};

/// Bytes of one picture: a few of them fill what the kernel takes for a socket that nobody reads.
const PICTURE_BYTES: usize = 200 * 1024;

fn broker(more: &str) -> Option<Target> {
    Target::own(&format!(
        "[server]\nworkers = 2\nhttp_body_bytes = 4194304\n[connection]\noutbox_bytes = 524288\n{MAIN_APP}\
         [apps.limits]\nevent_payload_bytes = 1048576\n\
         [[apps.channels]]\npattern = 'mirror*'\ndelivery = 'latest'\n{more}"
    ))
}

/// The number in a frame's payload.
fn number(data: &Value) -> u64 {
    let data: Value = serde_json::from_str(data.as_str().unwrap()).unwrap();
    data["n"].as_u64().unwrap()
}

fn frame(n: u64) -> String {
    json!({ "n": n, "dataUrl": picture(n as usize, PICTURE_BYTES) }).to_string()
}

/// A reader that was away gets on with the newest event; what it was sent is in order; others heard everything.
///
/// Proves: video.
#[test]
fn a_slow_reader_goes_on_with_the_newest_event() {
    const FRAMES: u64 = 60;
    let Some(target) = broker("") else { return };
    let (mut slow, mut quick) = (target.connect(), target.connect());
    slow.subscribe("mirror-1");
    quick.subscribe("mirror-1");
    for n in 1..=FRAMES {
        target.publish("mirror-1", "frame", &frame(n));
        assert_eq!(number(&quick.expect_on("mirror-1", "frame").data), n);
    }
    let mut seen = vec![number(&slow.expect_on("mirror-1", "frame").data)];
    while seen.last() != Some(&FRAMES) {
        seen.push(number(&slow.expect_on("mirror-1", "frame").data));
    }
    assert!(seen.is_sorted() && seen.len() < FRAMES as usize / 2, "{seen:?}");
    slow.assert_silence();
    // And it is a subscriber like any other again.
    target.publish("mirror-1", "frame", &frame(FRAMES + 1));
    for reader in [&mut slow, &mut quick] {
        assert_eq!(number(&reader.expect_on("mirror-1", "frame").data), FRAMES + 1);
    }
    // What was conflated is told in the log, summed up.
    let conflated = FRAMES as usize - seen.len();
    crate::eventually("the log tells how many were conflated", || {
        quick.assert_silence();
        let log = target.broker().unwrap().log();
        let lines = log.lines().filter(|line| line.contains("newer events of latest-only channels"));
        let counts = lines.map(|line| line.split("events=").nth(1).unwrap());
        let counts = counts.map(|rest| rest.split_whitespace().next().unwrap().parse::<usize>().unwrap());
        (counts.sum::<usize>() == conflated).then_some(())
    });
}

/// Of each event name the newest waits, in the order in which they came; other channels lose nothing.
///
/// Proves: video.
#[test]
fn each_event_name_has_its_newest_and_other_channels_lose_nothing() {
    let Some(target) = broker("") else { return };
    let mut slow = target.connect();
    slow.subscribe("mirror-2");
    slow.subscribe("chat");
    for n in 1..=30 {
        target.publish("mirror-2", "frame", &frame(n));
        target.publish("chat", "said", &json!({ "n": n }).to_string());
        target.publish("mirror-2", "note", &json!({ "n": n }).to_string());
    }
    let (mut frames, mut notes, mut said) = (Vec::new(), Vec::new(), Vec::new());
    while notes.last() != Some(&30) {
        let message = slow.message();
        let list = match message.event.as_str() {
            "frame" => &mut frames,
            "note" => &mut notes,
            _ => &mut said,
        };
        list.push(number(&message.data));
    }
    assert!(frames.is_sorted() && frames.last() == Some(&30) && frames.len() < 20, "{frames:?}");
    assert!(notes.is_sorted() && notes.len() < 20, "{notes:?}");
    assert_eq!(said, (1..=30).collect::<Vec<_>>());
}

/// A channel that no pattern marks is as strict as ever, and of several patterns the first counts.
///
/// Proves: video.
#[test]
fn other_channels_close_slow_readers() {
    let more = "[[apps.channels]]\npattern = '*'\ndelivery = 'every'\n";
    let Some(target) = broker(more) else { return };
    let mut slow = target.connect();
    slow.subscribe("ordinary");
    let mut published = 0;
    // No longer than that: a close frame that is not read within some seconds is followed by a reset.
    while !target.broker().unwrap().log().contains("slow reader closed") {
        assert!(published < 100, "nobody was closed");
        target.publish("ordinary", "frame", &frame(published));
        published += 1;
    }
    let mut heard = 0;
    let closed = loop {
        match slow.receive() {
            heliostat_protocol_tests::Incoming::Message(_) => heard += 1,
            heliostat_protocol_tests::Incoming::Close(closed) => break closed,
            heliostat_protocol_tests::Incoming::End => panic!("ended without a word after {heard}"),
            _ => {}
        }
    };
    assert_eq!(closed.code, 4100, "{closed:?} after {heard}");
}

/// The slow subscriber test: one reader of fifty is paused while pictures stream. The others' latency is what it was
/// before, the paused one goes on with the newest picture, and the broker does not grow.
///
/// The pause ends as soon as the bound has been reached many times over; `PROTOCOL_TESTS_PAUSE_SECONDS` makes it as long
/// as one likes, 30 for the full test.
///
/// Proves: video.
#[test]
fn one_paused_reader_of_fifty_costs_the_others_nothing() {
    const READERS: usize = 50;
    const EVERY: Duration = Duration::from_millis(40);
    let Some(target) = broker("") else { return };
    let pause = std::env::var("PROTOCOL_TESTS_PAUSE_SECONDS").ok();
    let pause = pause.map_or(Duration::from_secs(3), |text| Duration::from_secs(text.parse().unwrap()));
    let mut readers: Vec<Socket> = (0..READERS).map(|_| target.connect()).collect();
    readers.iter_mut().for_each(|reader| reader.subscribe("mirror-3"));
    let mut paused = readers.remove(READERS / 2);

    let mut n = 0;
    // Publishes at a steady pace until the time is over, and tells the latency of each round to all of them.
    let mut stream = |readers: &mut [Socket], time: Duration| {
        let (began, mut latencies) = (Instant::now(), Vec::new());
        while began.elapsed() < time || latencies.len() < 20 {
            let round = Instant::now();
            n += 1;
            target.publish(
                "mirror-3",
                "frame",
                &json!({ "n": n, "dataUrl": picture(n as usize, 40_000) }).to_string(),
            );
            for reader in readers.iter_mut() {
                assert_eq!(number(&reader.expect_on("mirror-3", "frame").data), n);
            }
            latencies.push(round.elapsed());
            keep_pace(EVERY.saturating_sub(round.elapsed()));
        }
        latencies.sort_unstable();
        latencies[latencies.len() / 2]
    };
    // At first the one to be paused reads along.
    let mut all = readers;
    all.push(paused);
    let before = stream(&mut all, Duration::from_secs(1));
    paused = all.pop().unwrap();
    let resident = || target.broker().and_then(|broker| broker.resident_bytes());
    let resident_before = resident();
    let during = stream(&mut all, pause);
    println!("median latency to all readers: {before:?} before, {during:?} during the pause");
    // The median of a whole round, on a machine that does other things: what a wait for the paused one would be is
    // seconds.
    assert!(
        during < before * 3 + Duration::from_millis(50),
        "{before:?} before, {during:?} during the pause"
    );
    if let (Some(before), Some(after)) = (resident_before, resident()) {
        let grown = after.peak.saturating_sub(before.now);
        println!("resident memory grew by {grown} bytes");
        assert!(grown < 8 << 20, "the broker grew by {grown} bytes");
    }
    // The paused one reads on: what the kernel held for it, and then the newest.
    let newest = n;
    let mut seen = vec![number(&paused.expect_on("mirror-3", "frame").data)];
    while seen.last() != Some(&newest) {
        seen.push(number(&paused.expect_on("mirror-3", "frame").data));
    }
    println!("of {newest} pictures the paused reader was sent {}", seen.len());
    assert!(seen.is_sorted() && (seen.len() as u64) < newest, "{seen:?}");
    paused.assert_silence();
}

#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a camera")]
fn keep_pace(span: Duration) {
    std::thread::sleep(span);
}
