//! Two renditions of one track: who is late is sent the small one, and all that it is sent can be decoded.

use std::thread::sleep;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::patience;
use heliostat_protocol_tests::track::{BinaryMessage, TrackChecker, members, small};
use serde_json::json;

use crate::video::{broker, camera, film};

const CHANNEL: &str = "presence-camera";

/// The time between two frames, of which each twentieth is a key frame.
const PACE: Duration = Duration::from_millis(10);

/// A viewer that returns no ping for long is moved to the small rendition with a key frame of that, also when all that was held back
/// on the way arrives at once. One that wants the small rendition gets nothing else, and one that wants no layer 1 is not asked.
///
/// Proves: video.
#[test]
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a camera")]
fn who_is_late_is_moved_to_the_small_rendition() {
    let Some(target) = broker("") else { return };
    let mut publisher = camera(&target, CHANNEL, "ann");
    let (mut slow, mut modest) = (camera(&target, CHANNEL, "v1"), camera(&target, CHANNEL, "v2"));
    modest
        .send(&json!({ "event": "pusher:track_wanted", "channel": CHANNEL, "data": { "wanted": "small" } }));
    let (mut of_slow, mut of_modest) = (TrackChecker::new(), TrackChecker::new());
    let began = Instant::now();
    let (mut number, mut has_small, mut has_full) = (0, false, false);
    while !has_small {
        assert!(
            began.elapsed() < patience() + Duration::from_secs(2),
            "it was sent {} frames",
            of_slow.frames()
        );
        number += 1;
        for mut members in [members(number, number % 20 == 1), small(number, number % 20 == 1)] {
            if number % 20 != 1 {
                members["layer"] = json!(number % 2);
            }
            let share = if members.get("rendition").is_some() { 4 } else { 1 };
            of_slow.sent("client-video", &members);
            of_modest.sent("client-video", &members);
            film(&mut publisher, CHANNEL, &members, 2000 / share);
        }
        publisher.drain();
        // For a second and a half it reads nothing, and so returns no ping.
        if !(Duration::from_millis(100)..Duration::from_millis(1600)).contains(&began.elapsed()) {
            slow.drain();
        }
        while slow.has_binary() {
            let frame = of_slow.take(&slow.receive_binary()).unwrap();
            has_small |= frame.is_small;
            has_full |= !frame.is_small;
        }
        modest.drain();
        while modest.has_binary() {
            let message = modest.receive_binary();
            // Before its wish came it may have been sent a beginning of the full one.
            of_modest.take(&message);
            let is_small = BinaryMessage::read(&message).members.get("rendition").is_some();
            assert!(is_small || of_modest.moves() == 0, "the full one again");
        }
        sleep(PACE);
    }
    assert!(has_full, "it began with the full one");
    of_slow.assert_whole();
    of_modest.assert_whole();
}
