use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::protocol::{BinaryMessage, BinaryPayload};

use super::*;

const VP8: &str = r#""key":true,"config":{"codec":"vp8","codedWidth":640,"codedHeight":360}"#;
const OPUS: &str = r#""key":true,"config":{"codec":"opus","sampleRate":48000,"numberOfChannels":2}"#;

/// A writer, with what it has written.
struct Script {
    writer: WebmWriter,
    now: Instant,
    written: Vec<u8>,
}

impl Script {
    fn new(tracks: WebmTracks) -> Self {
        Script { writer: WebmWriter::new(tracks), now: Instant::now(), written: Vec::new() }
    }

    fn with_sound() -> Self {
        Script::new(WebmTracks { pictures: WebmPictures::First, sound: WebmSound::Any })
    }

    fn take(&mut self, event: &str, media_type: &str, members: &str, content: &[u8]) -> &mut Self {
        let payload = BinaryPayload::new(media_type, members, content).unwrap();
        let message = BinaryMessage { channel: Some("camera"), event, user_id: None, payload };
        self.writer.take(&message, self.now);
        self.written.extend(self.writer.take_ready().unwrap_or_default());
        self
    }

    fn picture(&mut self, ms: i64, more: &str) -> &mut Self {
        let comma = if more.is_empty() { "" } else { "," };
        let members = format!("{{\"sequence\":1,\"timestamp\":{}{comma}{more}}}", ms * 1000);
        self.take("video", "video/webcodecs", &members, format!("p{ms}").as_bytes())
    }

    fn sound(&mut self, ms: i64, more: &str) -> &mut Self {
        let comma = if more.is_empty() { "" } else { "," };
        let members = format!("{{\"sequence\":1,\"timestamp\":{}{comma}{more}}}", ms * 1000);
        self.take("voice", "audio/webcodecs", &members, format!("s{ms}").as_bytes())
    }

    fn pass(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    /// Its clusters: when each begins, and its blocks with their track, their time, whether they are key frames, and content.
    fn clusters(&self) -> Vec<Vec<(u8, u64, bool, String)>> {
        let mut clusters = Vec::new();
        let mut begin = 0;
        for (id, content) in elements(&self.written) {
            match id {
                0x1f43_b675 => clusters.push(Vec::new()),
                0xe7 => begin = unsigned(content),
                0xa3 => {
                    let ms = begin + u64::from(u16::from_be_bytes([content[1], content[2]]));
                    let text = String::from_utf8_lossy(&content[4..]).into_owned();
                    clusters.last_mut().unwrap().push((content[0] & 0x7f, ms, content[3] == 0x80, text));
                }
                _ => {}
            }
        }
        clusters
    }
}

fn unsigned(content: &[u8]) -> u64 {
    content.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The elements of a file in order, those that hold others before them and empty.
fn elements(mut rest: &[u8]) -> Vec<(u32, &[u8])> {
    const MASTERS: [u32; 8] =
        [0x1a45_dfa3, 0x1853_8067, 0x1549_a966, 0x1654_ae6b, 0xae, 0xe0, 0xe1, 0x1f43_b675];
    let mut found = Vec::new();
    while let Some(first) = rest.first() {
        let id_bytes = first.leading_zeros() as usize + 1;
        let id = unsigned(&rest[..id_bytes]) as u32;
        rest = &rest[id_bytes..];
        let length_bytes = rest[0].leading_zeros() as usize + 1;
        let length = unsigned(&rest[..length_bytes]) & ((1 << (7 * length_bytes)) - 1);
        rest = &rest[length_bytes..];
        if MASTERS.contains(&id) {
            found.push((id, &rest[..0]));
        } else {
            found.push((id, &rest[..length as usize]));
            rest = &rest[length as usize..];
        }
    }
    found
}

#[test]
fn a_file_of_pictures_is_byte_for_byte_this() {
    let mut script = Script::new(WebmTracks::default());
    script.picture(90, "").picture(100, VP8).picture(133, "");
    let app = concat!("heliostat ", env!("CARGO_PKG_VERSION"));
    let info = [
        b"\x2a\xd7\xb1\x83\x0f\x42\x40\x4d\x80\x89heliostat\x57\x41",
        &[0x80 + app.len() as u8][..],
        app.as_bytes(),
    ]
    .concat();
    let expected = [
        &b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm"[..],
        b"\x42\x87\x81\x04\x42\x85\x81\x02",
        b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
        &[0x15, 0x49, 0xa9, 0x66, 0x80 + info.len() as u8],
        &info,
        b"\x16\x54\xae\x6b\xa7\xae\xa5\xd7\x81\x01\x73\xc5\x81\x01\x83\x81\x01\x9c\x81\x00\x22\xb5\x9c\x83und\x86\x85V_VP8",
        b"\xe0\x88\xb0\x82\x02\x80\xba\x82\x01\x68",
        b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\x00",
        b"\xa3\x88\x81\x00\x00\x80p100\xa3\x88\x81\x00\x21\x00p133",
    ]
    .concat();
    assert_eq!(script.written, expected);
    assert_eq!(script.writer.nothing(), Some(&b"\xec\x80"[..]));
}

#[test]
fn sound_is_written_in_step_with_the_pictures() {
    let mut script = Script::with_sound();
    script.sound(80, OPUS).picture(100, VP8).sound(100, "").sound(120, "").picture(133, "").sound(140, "");
    let elements: BTreeMap<u32, &[u8]> = elements(&script.written).into_iter().collect();
    assert_eq!(elements[&0x86], b"A_OPUS");
    assert_eq!(elements[&0x63a2], b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0");
    assert_eq!((elements[&0x9f], unsigned(elements[&0x56bb])), (&[2][..], 80_000_000));
    let block = |track, ms, is_key, text: &str| (track, ms, is_key, text.to_owned());
    let first = vec![
        block(1, 0, true, "p100"),
        block(2, 0, true, "s100"),
        block(2, 20, true, "s120"),
        block(1, 33, false, "p133"),
    ];
    assert_eq!(
        script.clusters(),
        std::slice::from_ref(&first),
        "the last waits for a picture that may come before it"
    );
    script.picture(166, VP8).sound(150, "");
    let clusters = script.clusters();
    assert_eq!(clusters.len(), 1);
    script.pass(150).picture(200, "");
    let clusters = script.clusters();
    assert_eq!(clusters[0][4..], [block(2, 40, true, "s140"), block(2, 50, true, "s150")]);
    assert_eq!(clusters[1], [block(1, 66, true, "p166")]);
    // What comes too late for its place is moved.
    script.sound(155, "").pass(150).sound(210, "");
    assert_eq!(script.clusters()[1][1..], [block(2, 66, true, "s155"), block(1, 100, false, "p200")]);
}

#[test]
fn the_beginning_waits_for_the_sound_that_is_wanted_and_no_longer_than_its_pace() {
    let mut script = Script::with_sound();
    script.picture(0, VP8).sound(10, "").picture(33, "");
    assert!(!script.writer.has_begun() && script.written.is_empty());
    script.pass(400).sound(400, OPUS);
    assert!(script.writer.has_begun());
    assert_eq!(script.clusters()[0].len(), 2, "{:?}", script.clusters());
    let mut silent = Script::with_sound();
    silent.picture(0, VP8).pass(1199).picture(1199, "");
    assert!(silent.written.is_empty());
    silent.pass(1).picture(1200, "");
    assert_eq!(silent.clusters()[0].len(), 3);
    silent.sound(1210, OPUS).pass(200).picture(1300, "");
    assert_eq!(silent.clusters()[0].len(), 4, "sound that comes later is none of this file");
    let mut deaf = Script::new(WebmTracks::default());
    deaf.sound(0, OPUS).picture(0, VP8);
    assert_eq!(deaf.clusters()[0].len(), 1);
}

#[test]
fn sound_that_stops_holds_nothing_up_for_long() {
    let mut script = Script::with_sound();
    script.sound(0, OPUS).picture(0, VP8).sound(5, "");
    for n in 1..=60 {
        script.pass(33).picture(n * 33, "");
    }
    let written: usize = script.clusters().iter().map(Vec::len).sum();
    assert_eq!(written, 62, "nothing waits for what has not come for a second");
}

#[test]
fn other_tracks_are_passed_over() {
    let request = |event: &str, track: &str| TrackRequest { event: event.into(), track: track.into() };
    let tracks = WebmTracks {
        pictures: WebmPictures::Of(request("video", "left")),
        sound: WebmSound::Of(request("voice", "left")),
    };
    let mut script = Script::new(tracks);
    let left = |more: &str| format!("\"track\":\"left\",{more}");
    script.picture(0, VP8).sound(0, OPUS).sound(0, &left(OPUS)).picture(7, &left(VP8)).picture(20, VP8);
    script.sound(20, "").sound(27, "\"track\":\"left\"").picture(40, "\"track\":\"left\"");
    script.take(
        "other",
        "video/webcodecs",
        &format!("{{\"sequence\":1,\"timestamp\":0,{}}}", left(VP8)),
        b"x",
    );
    script.take("video", "video/webcodecs", "{\"sequence\":1}", b"x");
    let texts: Vec<String> = script.clusters().concat().into_iter().map(|block| block.3).collect();
    assert_eq!(texts, ["p7", "s27"]);
}

#[test]
fn a_picture_that_is_to_be_turned_says_so() {
    let projection = |more: &str| {
        let mut script = Script::new(WebmTracks::default());
        script.picture(0, &VP8.replace(":360}", &format!(":360{more}}}")));
        elements(&script.written)
            .into_iter()
            .find(|(id, _)| *id == 0x7670)
            .map(|(_, content)| content.to_vec())
    };
    let expected = |yaw: f64, roll: f64| {
        [
            &b"\x76\x71\x81\x00"[..],
            b"\x76\x73\x88",
            &yaw.to_be_bytes(),
            b"\x76\x74\x88",
            &[0; 8],
            b"\x76\x75\x88",
            &roll.to_be_bytes(),
        ]
        .concat()
    };
    assert_eq!(projection(""), None);
    assert_eq!(projection(",\"rotation\":0,\"flip\":false"), None);
    assert_eq!(projection(",\"rotation\":90"), Some(expected(0.0, -90.0)));
    assert_eq!(projection(",\"rotation\":270,\"flip\":true"), Some(expected(180.0, -90.0)));
}

#[test]
fn a_file_begins_with_a_picture_and_loses_none() {
    let mut script = Script::new(WebmTracks::default());
    let empty = format!("{{\"sequence\":1,\"timestamp\":0,{VP8}}}");
    script.take("video", "video/webcodecs", &empty, b"").picture(33, "");
    assert!(!script.writer.has_begun(), "no decoder begins with nothing");
    script.picture(100, VP8).picture(60, "").picture(133, "");
    let texts: Vec<String> = script.clusters().concat().into_iter().map(|block| block.3).collect();
    assert_eq!(texts, ["p100", "p60", "p133"]);
}

#[test]
fn sound_of_another_kind_is_left_out_until_it_fits_again() {
    let mut script = Script::with_sound();
    let stereo = OPUS;
    let (aac, surround) = (OPUS.replace("opus", "mp4a.40.2"), OPUS.replace(":2}", ":6}"));
    script.sound(0, &aac).sound(1, &stereo.replace(":2}", ":1}")).picture(0, VP8).sound(10, "");
    for (ms, config) in [(20, &aac), (40, &surround), (60, &stereo.to_owned())] {
        script.sound(ms, config).sound(ms + 1, "");
    }
    script.pass(200).picture(100, "");
    let sound: Vec<String> =
        script.clusters().concat().into_iter().filter(|block| block.0 == SOUND_NUMBER).map(|b| b.3).collect();
    assert_eq!(sound, ["s10", "s60", "s61"]);
}

#[test]
fn what_is_chosen_is_of_the_track_that_was_asked_for() {
    let left = |more: &str| format!("\"track\":\"left\",{more}");
    let mut named =
        Script::new(WebmTracks { pictures: WebmPictures::Named("left".into()), sound: WebmSound::Any });
    named.sound(0, OPUS).picture(0, VP8);
    assert!(!named.writer.has_begun());
    named.picture(5, &left(VP8)).sound(5, &left(OPUS)).picture(6, VP8).pass(200).sound(210, &left(OPUS));
    let texts: Vec<String> = named.clusters().concat().into_iter().map(|block| block.3).collect();
    assert_eq!(texts, ["p5", "s5"]);
    // The sound that came first is of another track.
    let mut first = Script::with_sound();
    first.sound(0, OPUS).picture(0, &left(VP8)).sound(1, "").sound(2, &left(OPUS)).pass(200).picture(3, VP8);
    first.sound(210, &left(OPUS));
    let texts: Vec<String> = first.clusters().concat().into_iter().map(|block| block.3).collect();
    assert_eq!(texts, ["p0", "s2"]);
}

#[test]
fn what_waits_is_bounded_and_written_when_its_time_is_over() {
    let large = vec![0x5a; 1024 * 1024];
    let mut script = Script::with_sound();
    script.sound(0, OPUS).picture(0, VP8).sound(1, "");
    for n in 1..=40 {
        let members = format!("{{\"sequence\":1,\"timestamp\":{}}}", n * 1000);
        script.take("video", "video/webcodecs", &members, &large);
    }
    let written = script.clusters().concat().len();
    assert!(written >= 2 + 36, "no more than 4 MiB wait for sound, but {written} were written");
    script.pass(200);
    script.writer.pass(script.now);
    assert!(script.writer.ready_bytes() > 4 * 1024 * 1024 - 10_000, "nothing more has to come");
    let mut alone = Script::with_sound();
    alone.picture(0, VP8).pass(1200);
    alone.writer.pass(alone.now);
    assert!(alone.writer.has_begun());
}

#[test]
fn another_size_goes_on_and_another_codec_ends_it() {
    let vp9 = VP8.replace("vp8", "vp09.00.31.08");
    let mut script = Script::new(WebmTracks::default());
    script.picture(0, VP8).picture(33, &VP8.replace("640", "320"));
    assert_eq!(script.clusters().len(), 2);
    script.picture(66, &vp9).picture(99, VP8);
    assert_eq!(script.writer.over(), Some(&WebmEnd::CodecChanged));
    assert_eq!(script.clusters().len(), 2, "nothing comes behind the end");
    let mut held = Script::with_sound();
    held.sound(0, OPUS).picture(0, VP8).sound(1, "").picture(33, "").picture(66, &vp9);
    assert_eq!(held.clusters().concat().len(), 3, "what waited is written before it");
    let mut early = Script::with_sound();
    early.picture(0, VP8).picture(10, "").picture(33, &vp9);
    assert_eq!(early.writer.over(), Some(&WebmEnd::CodecChanged));
    assert_eq!(early.clusters().concat().len(), 2, "what came before the sound is a file as well");
    let mut avc = Script::new(WebmTracks::default());
    avc.picture(0, &VP8.replace("vp8", "avc1.640028"));
    assert_eq!(avc.writer.over(), Some(&WebmEnd::Codec("avc1.640028".to_owned())));
    assert!(avc.written.is_empty() && !avc.writer.has_begun());
}

#[test]
fn clusters_last_no_longer_than_their_blocks_can_say() {
    let mut script = Script::new(WebmTracks::default());
    script.picture(0, VP8);
    for n in 1..=20 {
        script.picture(n * 4000, "");
    }
    let clusters = script.clusters();
    assert_eq!(clusters.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 5]);
    assert_eq!(clusters[1][0].1, 32_000);
}

#[test]
fn times_never_run_backwards_whatever_comes() {
    let mut script = Script::with_sound();
    script.sound(0, OPUS).picture(0, VP8);
    let mut seed = 1_u64;
    for _ in 0..3000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ms = (seed >> 30) as i64 % 9_007_199_254_740 * if seed >> 20 & 1 == 0 { 1 } else { -1 };
        let ms = if seed >> 21 & 3 == 0 { ms } else { (seed >> 50) as i64 };
        script.pass(seed >> 60);
        match seed >> 25 & 7 {
            0..=2 => script.sound(ms, ""),
            3 => script.picture(ms, VP8),
            _ => script.picture(ms, ""),
        };
    }
    let clusters = script.clusters();
    let blocks = clusters.concat();
    assert!(blocks.len() > 2000 && blocks.is_sorted_by_key(|block| block.1));
    assert!(clusters.iter().all(|cluster| cluster.last().unwrap().1 - cluster[0].1 <= CLUSTER_MS));
    let in_the_midst = clusters.iter().flat_map(|cluster| &cluster[1..]);
    assert!(!in_the_midst.into_iter().any(|block| block.0 == PICTURES_NUMBER && block.2));
}
