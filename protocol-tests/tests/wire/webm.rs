//! Tracks of video channels as live WebM, judged by the rules of the format and by ffmpeg.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use heliostat_protocol_tests::http::{Connection, Endless, Piece};
use heliostat_protocol_tests::target::MAIN_APP;
use heliostat_protocol_tests::track::BinaryMessage;
use heliostat_protocol_tests::webm::Webm;
use heliostat_protocol_tests::{Socket, Target, be_patient, keep_pace, patience, unique};
use serde_json::{Value, json};

use crate::eventually;

/// For how long what comes is held back to be put in order.
const HELD: Duration = Duration::from_millis(200);

/// A broker with a channel that clients film on through a rule.
fn broker(more: &str) -> Option<Target> {
    Target::own(&configuration(more))
}

fn configuration(more: &str) -> String {
    let limits = "client_events = true\nhttp_streams = true\nlimits = { client_events_per_second = 1000 }";
    let app = MAIN_APP.replace("client_events = true", limits);
    let rules = ["picture", "voice"].map(|event| {
        format!("[[apps.pipe]]\nfrom = 'stream'\nevent = '{event}'\nto = 'my-camera'\nas = '{event}'\n")
    });
    let channel = "[[apps.channels]]\npattern = '*-camera'\ndelivery = 'video'\n";
    format!("{more}{app}{channel}{}", rules.concat())
}

fn publisher(target: &Target) -> Socket {
    let mut socket = target.connect_as("protocol=7&binary=1");
    socket.subscribe("stream");
    socket
}

fn film(socket: &mut Socket, event: &str, members: &Value, content: &[u8]) {
    let media_type = if event == "voice" { "audio/webcodecs" } else { "video/webcodecs" };
    BinaryMessage::new("stream", event, media_type, members, content.to_vec()).send(socket);
}

fn picture(codec: &str, sequence: u64, ms: i64, is_key: bool) -> Value {
    let mut members = json!({ "sequence": sequence, "timestamp": ms * 1000 });
    if is_key {
        members["key"] = json!(true);
        members["config"] = json!({ "codec": codec, "codedWidth": 320, "codedHeight": 180 });
    }
    members
}

fn voice(sequence: u64, ms: i64) -> Value {
    json!({ "sequence": sequence, "timestamp": ms * 1000, "key": true,
            "config": { "codec": "opus", "sampleRate": 48_000, "numberOfChannels": 1 } })
}

/// Asks for the channel's WebM and does not wait for the answer; returns when it is subscribed.
fn ask(target: &Target, rest: &str) -> Connection {
    let mut connection = Connection::open(target);
    let path = format!("/apps/{}/channels/my-camera/webm{rest}", target.credentials.app_id);
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    eventually("the stream is subscribed", || {
        let channel = target.get("/channels/my-camera").send().json();
        (channel["occupied"] == json!(true)).then_some(())
    });
    connection
}

fn run(program: &str, arguments: &[&str], file: &Path) -> Output {
    let file = file.to_str().unwrap();
    let arguments = arguments.iter().map(|argument| if *argument == "FILE" { file } else { argument });
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}, Debian's package ffmpeg: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program}: {said}");
    output
}

/// A directory of the test's own.
fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique("webm-"));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// The pictures that a file shows, by their checksums.
fn pictures(file: &Path) -> Vec<String> {
    let arguments = [
        "-v",
        "error",
        "-noautorotate",
        "-i",
        "FILE",
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ];
    let output = run("ffmpeg", &arguments, file);
    let lines = String::from_utf8(output.stdout).unwrap();
    let sums = lines.lines().filter(|line| !line.starts_with('#'));
    sums.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// A camera's pictures and sound, encoded by ffmpeg.
fn filmed(directory: &Path, encoder: &[&str]) -> (PathBuf, Webm) {
    let file = directory.join("filmed.webm");
    let arguments = [
        &["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30"][..],
        &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "1.2", "-pix_fmt", "yuv420p"],
        encoder,
        &["-g", "12", "-c:a", "libopus", "FILE"],
    ];
    run("ffmpeg", &arguments.concat(), &file);
    let webm = Webm::read(&std::fs::read(&file).unwrap()).unwrap();
    (file, webm)
}

/// The same of a phone that is held upright.
fn turned(mut members: Value) -> Value {
    if members["key"] == json!(true) {
        members["config"]["rotation"] = json!(90);
    }
    members
}

/// What ffmpeg shows of the stream is picture for picture what was encoded, with its sound, in all three codecs.
///
/// Proves: video.
#[test]
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: time passes on the publisher's side")]
fn ffmpeg_shows_what_was_filmed_picture_for_picture() {
    let directory = directory();
    for (codec, name, encoder) in [
        ("vp8", "vp8", &["-c:v", "libvpx", "-deadline", "realtime", "-auto-alt-ref", "0"][..]),
        ("vp09.00.11.08", "vp9", &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-lag-in-frames", "0"]),
        ("av01.0.01M.08", "av1", &["-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8"]),
    ] {
        let Some(target) = broker("") else { return };
        let (file, filmed) = filmed(&directory, encoder);
        let mut publisher = publisher(&target);
        let answer = ask(&target, "");
        let (mut numbers, mut last) = ([0_u64; 2], Vec::new());
        let begun = Instant::now();
        for block in &filmed.blocks {
            // As a camera and a microphone send it: of a second of sound in one burst a viewer is sent the end.
            let due = begun + Duration::from_millis(u64::try_from(block.ms).unwrap());
            keep_pace(due);
            let is_voice = filmed.tracks[&block.track].channels > 0;
            let sequence = &mut numbers[usize::from(is_voice)];
            let (event, members) = if is_voice {
                ("voice", voice(*sequence, block.ms))
            } else {
                ("picture", turned(picture(codec, *sequence, block.ms, block.is_key)))
            };
            film(&mut publisher, event, &members, &block.content);
            *sequence += 1;
            // One piece of a tone is like another.
            if block.ms <= 1100 && !is_voice {
                last.clone_from(&block.content);
            }
        }
        sleep(HELD);
        let key = filmed.of_kind(1)[0];
        film(&mut publisher, "voice", &voice(numbers[1], 1300), b"\xfc\xff\xfe");
        film(&mut publisher, "picture", &picture(codec, numbers[0], 1300, true), &key.content);
        let mut stream = Endless::answered(answer);
        assert_eq!((stream.head.status, stream.head.header("content-type")), (200, Some("video/webm")));
        let bytes = stream.up_to(&last);
        let webm = Webm::read(&bytes).unwrap();
        assert_eq!(webm.tracks[&1].codec, format!("V_{}", name.to_uppercase()));
        assert_eq!((webm.tracks[&1].size, webm.tracks[&2].channels), ((320, 180), 1));
        assert!(webm.clusters >= 3 && webm.of_kind(2).len() > 40, "{}", webm.of_kind(2).len());
        let live = directory.join(format!("{name}.webm"));
        std::fs::write(&live, &bytes).unwrap();
        let (shown, encoded) = (pictures(&live), pictures(&file));
        assert!(
            shown.len() >= 33 && encoded.starts_with(&shown),
            "{name}: {} of {}",
            shown.len(),
            encoded.len()
        );
        let probe = [
            "-v",
            "error",
            "-show_entries",
            "stream=codec_name,width,height,channels:stream_side_data=rotation",
            "-of",
            "json",
            "FILE",
        ];
        let streams: Value = serde_json::from_slice(&run("ffprobe", &probe, &live).stdout).unwrap();
        let (pictures, sound) = (&streams["streams"][0], &streams["streams"][1]);
        assert_eq!((&pictures["codec_name"], &pictures["width"]), (&json!(name), &json!(320)));
        assert_eq!(
            pictures["side_data_list"][0]["rotation"],
            json!(-90),
            "players turn it clockwise: {pictures}"
        );
        assert_eq!((&sound["codec_name"], &sound["channels"]), (&json!("opus"), &json!(1)));
        run("ffmpeg", &["-v", "error", "-i", "FILE", "-f", "null", "-"], &live);
    }
}

/// What comes of a stream of pictures: their sequences, which stand in their contents, and whether they are key frames.
fn sequences(webm: &Webm) -> Vec<(u64, bool)> {
    let sequence = |content: &[u8]| u64::from_be_bytes(content[..8].try_into().unwrap());
    webm.blocks.iter().map(|block| (sequence(&block.content), block.is_key)).collect()
}

fn content(sequence: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0x5a; bytes];
    content[..8].copy_from_slice(&sequence.to_be_bytes());
    content
}

/// What has come of the body, until this is among it, or, where nothing is expected, nothing more comes.
#[track_caller]
fn read_on(connection: &mut Connection, bytes: &mut Vec<u8>, until: Option<&[u8]>) {
    let is_there = |bytes: &[u8], end: &[u8]| bytes.windows(end.len()).any(|window| window == end);
    loop {
        match connection.piece(until.map_or(Duration::from_millis(500), |_| patience())) {
            Piece::Chunk(chunk) => bytes.extend(chunk),
            Piece::Nothing if until.is_none() => return,
            other => panic!("expected more of the stream, got {other:?}"),
        }
        if until.is_some_and(|end| is_there(&bytes[bytes.len().saturating_sub(400_000)..], end)) {
            return;
        }
    }
}

/// Who comes late begins with the last key frame. Who does not read is moved to a later one when it does, and is sent nothing
/// that it could not decode.
///
/// Proves: video.
#[test]
#[expect(clippy::disallowed_methods, reason = "it waits for nothing: it is the pace of a camera")]
fn slow_readers_go_on_with_a_key_frame() {
    const FRAMES: u64 = 300;
    let Some(target) = broker("") else { return };
    let mut publisher = publisher(&target);
    let film_one = |publisher: &mut Socket, number: u64, bytes| {
        let members = picture("vp8", number, number as i64 * 10, number.is_multiple_of(20));
        film(publisher, "picture", &members, &content(number, bytes));
    };
    for number in 0..25 {
        film_one(&mut publisher, number, 100);
    }
    publisher.drain();
    let mut stalled = ask(&target, "?event=picture&sound=none");
    assert_eq!(stalled.begin().unwrap().status, 200);
    for number in 25..FRAMES {
        film_one(&mut publisher, number, 100_000);
        sleep(Duration::from_millis(10));
        publisher.drain();
    }
    let mut bytes = Vec::new();
    read_on(&mut stalled, &mut bytes, None);
    for number in FRAMES..FRAMES + 30 {
        film_one(&mut publisher, number, 100);
    }
    read_on(&mut stalled, &mut bytes, Some(&content(FRAMES + 29, 8)));
    let sent = sequences(&Webm::read(&bytes).unwrap());
    assert_eq!(sent[0], (20, true), "it begins with what is kept");
    for (before, (sequence, is_key)) in sent.iter().zip(&sent[1..]) {
        assert!(*is_key || *sequence == before.0 + 1, "{sequence} behind {before:?}");
    }
    assert!(sent.len() < 250, "it was not sent all that nobody read, but {}", sent.len());
    assert_eq!(sent.last(), Some(&(FRAMES + 29, false)), "it is live again");
}

/// Who may read a stream, and what there is none of, is as with the other streams; what no WebM carries is said.
///
/// Proves: video, bad input.
#[test]
fn what_cannot_be_a_webm_is_said() {
    be_patient(Duration::from_secs(20));
    let Some(target) = broker("") else { return };
    let answer = |method: &str, rest: &str| {
        let request =
            format!("{method} /apps/1001/channels/{rest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Connection::open(&target).exchange(request.as_bytes()).unwrap()
    };
    assert_eq!(answer("POST", "my-camera/webm").status, 405);
    let no_video = "WebM can only be streamed of video channels (delivery = \"video\" in [[apps.channels]])";
    answer("GET", "news/webm").assert_error(400, no_video);
    answer("GET", "private-camera/webm").assert_error(401, "Missing parameter: auth_key");
    let nothing =
        "No key frame of such a track came on this channel within 10 s: try again while somebody films";
    target.get("/channels/private-camera/webm").send().assert_error(404, nothing);
    let Some(off) = Target::own(MAIN_APP) else { return };
    off.get("/channels/my-camera/webm")
        .send()
        .assert_error(403, "Forbidden: HTTP streams of channels are off for this app (http_streams)");
    let mut publisher = publisher(&target);
    film(&mut publisher, "picture", &picture("avc1.64001f", 1, 0, true), b"content");
    let carried = "WebM carries no \"avc1.64001f\": expected a track in vp8, vp9 or av01";
    eventually("the track is there", || (answer("GET", "my-camera/webm").status == 415).then_some(()));
    answer("GET", "my-camera/webm").assert_error(415, carried);
    answer("GET", "my-camera/webm?event=other").assert_error(404, nothing);
}

/// Timestamps may run backwards, configurations be none, and codecs change: what comes of it is a sound file, or its end.
///
/// Proves: video, bad input.
#[test]
fn whatever_is_filmed_comes_of_it_a_sound_file() {
    let Some(target) = broker("") else { return };
    let mut publisher = publisher(&target);
    let mut stream = ask(&target, "?event=picture&sound=none");
    let mut film_at = |sequence: u64, ms: i64, is_key, bytes| {
        let members = picture("vp8", sequence, ms, is_key);
        film(&mut publisher, "picture", &members, &content(sequence, bytes));
    };
    const LATE: i64 = 9_007_199_254_740;
    for (sequence, ms) in [(0, 500), (1, 533), (2, 100), (3, -LATE), (4, LATE), (5, 0), (6, 33)] {
        film_at(sequence, ms, sequence % 3 == 0, 100);
    }
    let mut without = picture("vp8", 7, 66, true);
    for (member, wrong) in [("codedWidth", json!(0)), ("codec", json!(7)), ("description", json!("?"))] {
        without["config"][member] = wrong;
        film(&mut publisher, "picture", &without, b"x");
    }
    film(&mut publisher, "picture", &picture("vp8", 7, 66, false), &content(7, 100));
    let mut small = picture("vp8", 8, 100, true);
    small["config"]["codedWidth"] = json!(160);
    film(&mut publisher, "picture", &small, &content(8, 100));
    film(&mut publisher, "picture", &picture("vp09.00.11.08", 9, 133, true), &content(9, 100));
    assert_eq!(stream.begin().unwrap().status, 200);
    let mut bytes = Vec::new();
    loop {
        match stream.piece(patience()) {
            Piece::Chunk(chunk) => bytes.extend(chunk),
            Piece::End => break,
            other => panic!("expected the end of the stream, got {other:?}"),
        }
    }
    let webm = Webm::read(&bytes).unwrap();
    let sent: Vec<u64> = sequences(&webm).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(sent, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(webm.clusters, 4, "the other size goes on, the other codec does not");
}

/// A reload that takes away what makes it one ends a stream at once, with what has come of it, and one whose beginning is still
/// awaited as well.
///
/// Proves: video.
#[test]
fn streams_end_with_what_makes_them() {
    let before = configuration("");
    for (what, after, status) in [
        ("the channel carries tracks", before.replace("delivery = 'video'\n", "delivery = 'every'\n"), 400),
        ("there are streams", before.replace("http_streams = true", "http_streams = false"), 403),
        ("there is the app", "[[apps]]\nid = '7'\nkey = 'seven'\nsecret = 'seven-secret'\n".to_owned(), 403),
    ] {
        let Some(target) = Target::own(&before) else { return };
        let mut publisher = publisher(&target);
        let mut stream = ask(&target, "?sound=none");
        let mut waiting = ask(&target, "?event=other");
        for (sequence, ms) in [(1, 0), (2, 40)] {
            let members = picture("vp8", sequence, ms, sequence == 1);
            film(&mut publisher, "picture", &members, &content(sequence, 100));
        }
        assert_eq!(stream.begin().unwrap().status, 200);
        let mut bytes = Vec::new();
        read_on(&mut stream, &mut bytes, Some(&content(2, 100)));
        let reloaded = target.broker().unwrap().reload(&after);
        assert!(reloaded.status.success(), "{reloaded:?}");
        // Nothing more is filmed, so that nothing but the reload can end it.
        match stream.piece(patience()) {
            Piece::End => {}
            other => panic!("{what} no more: expected the end of the stream, got {other:?}"),
        }
        assert_eq!(sequences(&Webm::read(&bytes).unwrap()), [(1, true), (2, false)], "{what} no more");
        assert_eq!(waiting.begin().unwrap().status, status, "{what} no more");
    }
}
