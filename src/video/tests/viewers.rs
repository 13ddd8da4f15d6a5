//! What a viewer is sent of several tracks, of sound, and in which rendition.

use super::*;

const SOUND_CONFIG: &str = r#","config":{"codec":"opus","sampleRate":48000,"numberOfChannels":2}"#;

/// Tracks of one publisher, and one who watches them.
struct Screen {
    filming: Filming,
    viewer: Viewer,
    /// Pings are returned at once.
    is_near: bool,
}

impl Screen {
    fn new() -> Self {
        Screen { filming: Filming::new(), viewer: Viewer::default(), is_near: true }
    }

    fn at(&mut self, ms: u64) -> &mut Self {
        self.filming.at(ms);
        self
    }

    /// A message comes.
    fn comes(&mut self, media_type: &str, members: &str, filmer: u32) -> FrameFates {
        let camera = channel();
        let event = "client-video";
        let filmer = Filmer::Client { socket: socket(filmer), user_id: None, channel: &camera, event };
        let (about, frame) = message_of(media_type, members, &[0; 1000]);
        let taken = self.filming.take(&filmer, &about, &frame).unwrap();
        let Some(about) = taken.frame else { return FrameFates::default() };
        self.viewer.offer(&about, &frame, self.filming.now)
    }

    fn picture(&mut self, sequence: u64, is_key: bool) -> FrameFates {
        self.comes("video/x", &members(sequence, is_key, Rendition::Full, 0), 1)
    }

    fn sound(&mut self, sequence: u64, is_key: bool) -> FrameFates {
        let key = if is_key { format!(r#","key":true{SOUND_CONFIG}"#) } else { String::new() };
        self.comes("audio/x", &format!(r#"{{"sequence":{sequence},"timestamp":0{key}}}"#), 1)
    }

    /// What the viewer is sent now: which kind, and which number.
    fn sent(&mut self) -> Vec<(TrackKind, u64)> {
        let (now, mut pings) = (self.filming.now, Vec::new());
        let mut sent = Vec::new();
        self.viewer.hand_out(now, usize::MAX, |handed| match handed {
            ForViewer::Ping(ping) => pings.push(ping),
            ForViewer::Message(frame) => {
                let read = BinaryMessage::parse(frame.payload()).unwrap();
                let about = TrackMessage::read(&read.payload).unwrap().unwrap();
                sent.push((about.kind, about.sequence));
            }
        });
        if self.is_near {
            pings.iter().for_each(|ping| self.viewer.echoed(ping.payload(), now));
        }
        sent
    }

    fn want(&mut self, of: Option<&str>, wish: TrackWish) {
        let of = of.map(|track| TrackRequest { event: "client-video".into(), track: track.into() });
        let Filming { tracks, now, next_id } = &self.filming;
        let beginnings = || tracks.beginnings(next_id + 1, *now);
        self.viewer.want(&channel(), of, wish, beginnings, *now).unwrap();
    }

    fn fails(&mut self) -> Option<KeyframeWish> {
        let of = TrackRequest { event: "client-video".into(), track: "".into() };
        self.viewer.fail(&channel(), &of, self.filming.now)
    }
}

use TrackKind::{Pictures, Sound};

#[test]
fn whoever_looks_is_told_of_tracks_and_how_late_a_viewer_is() {
    let mut screen = Screen::new();
    assert_eq!(screen.viewer.lag(&channel(), screen.filming.now), None, "nothing has come");
    for n in 0..60_u64 {
        screen.at(100);
        screen.picture(n, n % 20 == 0);
        screen.sound(n, n == 0);
        let sent = screen.sent();
        assert_eq!(sent.len(), 2, "{sent:?}");
    }
    let now = screen.filming.now;
    let figures = screen.filming.tracks.figures(now);
    let [pictures, sound] = &figures[..] else { panic!("{figures:?}") };
    assert_eq!((pictures.kind, sound.kind), (Pictures, Sound));
    assert_eq!(pictures.holder.place, HeldBy::Client(socket(1)));
    let [full] = &pictures.renditions[..] else { panic!("{pictures:?}") };
    assert_eq!((full.rendition, full.is_alive, full.sequence), (Rendition::Full, true, 59));
    let intervals = (full.key_ago, full.key_interval);
    assert_eq!(intervals, (Some(Duration::from_millis(1900)), Some(Duration::from_secs(2))));
    assert_eq!(full.kept.0, 20, "since the last key frame");
    let pace = full.pace.unwrap();
    assert!((10.0..11.0).contains(&pace.frames) && (10_000.0..13_000.0).contains(&pace.bytes), "{pace:?}");
    let [piece] = &sound.renditions[..] else { panic!("{sound:?}") };
    assert_eq!((piece.pace.unwrap().frames.round(), piece.kept.0), (10.0, 1), "its configuration is kept");
    let media_type =
        |frame: &Frame| BinaryMessage::parse(frame.payload()).unwrap().payload.media_type().to_owned();
    assert_eq!(piece.key.as_ref().map(media_type).as_deref(), Some("audio/x"));
    assert_eq!(full.key.as_ref().map(media_type).as_deref(), Some("video/x"));
    let lag = screen.viewer.lag(&channel(), now).unwrap();
    assert_eq!((lag.late, lag.state), (Duration::ZERO, ViewerState::Full));
    // Nothing goes through for a while, and nothing is returned.
    screen.is_near = false;
    screen.at(100).picture(60, true);
    screen.at(400);
    let lag = screen.viewer.lag(&channel(), screen.filming.now).unwrap();
    assert_eq!((lag.late, lag.state), (Duration::from_millis(400), ViewerState::Full));
    assert!(lag.waiting_bytes > 1000);
    screen.want(None, TrackWish::Nothing);
    let state = |screen: &Screen| screen.viewer.lag(&channel(), screen.filming.now).map(|lag| lag.state);
    assert_eq!(state(&screen), Some(ViewerState::Still));
    screen.at(1_600);
    let after = screen.filming.tracks.figures(screen.filming.now);
    assert_eq!(after[0].renditions[0].pace, None, "it stands still");
}

#[test]
fn a_ping_goes_before_the_first_picture_and_one_behind_it() {
    let mut screen = Screen::new();
    screen.sound(1, true);
    let handed = |screen: &mut Screen| {
        let mut kinds = String::new();
        let now = screen.filming.now;
        screen.viewer.hand_out(now, usize::MAX, |handed| {
            kinds.push(if matches!(handed, ForViewer::Ping(_)) { 'p' } else { 'm' });
        });
        kinds
    };
    assert_eq!(handed(&mut screen), "m", "sound needs none");
    screen.picture(1, true);
    assert_eq!(handed(&mut screen), "pmp");
    screen.at(249).picture(2, false);
    assert_eq!(handed(&mut screen), "m");
    screen.at(1).picture(3, false);
    assert_eq!(handed(&mut screen), "mp");
}

#[test]
fn a_decoder_that_fails_is_that_of_the_pictures_of_the_track_that_is_there_now() {
    let mut screen = Screen::new();
    screen.sound(1, true);
    screen.picture(1, true);
    assert_eq!(screen.sent(), [(Sound, 1), (Pictures, 1)]);
    // The publisher is away for long, and another one films.
    let camera = channel();
    screen.filming.tracks.left(&camera, socket(1), screen.filming.now);
    screen.at(6_000);
    screen.comes("video/x", &members(10, true, Rendition::Full, 0), 2);
    screen.comes("audio/x", &format!(r#"{{"sequence":9,"timestamp":0,"key":true{SOUND_CONFIG}}}"#), 2);
    assert_eq!(screen.sent(), [(Sound, 9), (Pictures, 10)]);
    let wish = screen.fails().unwrap();
    assert!(screen.filming.tracks.want_key_frame(wish, screen.filming.now).is_some(), "it is there");
    screen.comes("video/x", &members(11, false, Rendition::Full, 0), 2);
    screen.comes("audio/x", r#"{"sequence":10,"timestamp":0}"#, 2);
    assert_eq!(screen.sent(), [(Sound, 10)], "sound goes on, and no delta comes");
    screen.comes("video/x", &members(12, true, Rendition::Full, 0), 2);
    assert_eq!(screen.sent(), [(Pictures, 12)]);
}

#[test]
fn what_is_wanted_of_pictures_is_nothing_to_sound_and_to_other_tracks() {
    let mut screen = Screen::new();
    let left = |n: u64, is_key| {
        members(n, is_key, Rendition::Full, 0).replace("\"timestamp\"", "\"track\":\"left\",\"timestamp\"")
    };
    screen.sound(1, true);
    screen.picture(1, true);
    screen.comes("video/x", &left(1, true), 1);
    assert_eq!(screen.sent().len(), 3);
    // It hides the left one: all others go on without a break.
    screen.at(2_000).want(Some("left"), TrackWish::Nothing);
    screen.sound(2, false);
    screen.picture(2, false);
    screen.comes("video/x", &left(2, false), 1);
    assert_eq!(screen.sent(), [(Sound, 2), (Pictures, 2)]);
    // It hides all: sound goes on.
    screen.want(None, TrackWish::Nothing);
    screen.sound(3, false);
    screen.picture(3, false);
    assert_eq!(screen.sent(), [(Sound, 3)]);
    screen.want(None, TrackWish::Full);
    screen.sound(4, false);
    screen.comes("video/x", &left(3, false), 1);
    assert_eq!(screen.sent(), [(Sound, 4), (Pictures, 1), (Pictures, 2), (Pictures, 3)], "as who joins");
    // What it wants already it need not be sent again.
    screen.at(2_000).want(None, TrackWish::Full);
    assert_eq!(screen.sent(), []);
    screen.want(Some("left"), TrackWish::Full);
    assert_eq!(screen.sent(), [(Pictures, 1), (Pictures, 2), (Pictures, 3)], "as who joins");
    // Sound that is named is meant, and begins with its configuration.
    screen.want(Some(""), TrackWish::Nothing);
    screen.sound(5, true);
    assert_eq!(screen.sent(), []);
    screen.want(Some(""), TrackWish::Full);
    screen.sound(6, false);
    screen.sound(7, true);
    assert_eq!(screen.sent().into_iter().filter(|sent| sent.0 == Sound).collect::<Vec<_>>(), [(Sound, 7)]);
}

#[test]
fn sound_that_is_given_up_takes_what_needs_it_along() {
    let mut screen = Screen::new();
    // The first piece, with the configuration, has waited too long.
    screen.sound(1, true);
    screen.at(600).sound(2, false);
    assert_eq!(screen.at(400).sound(3, false).cut, 3, "nothing that waits can be understood without it");
    assert_eq!(screen.sound(4, false).queued, 0);
    assert_eq!(screen.sent(), []);
    screen.sound(5, true);
    screen.sound(6, false);
    assert_eq!(screen.sent(), [(Sound, 5), (Sound, 6)]);
    // Those behind a second configuration are kept.
    screen.sound(7, true);
    screen.at(500).sound(8, false);
    screen.sound(9, true);
    screen.at(500).sound(10, false);
    assert_eq!(screen.sent(), [(Sound, 9), (Sound, 10)]);
}

#[test]
fn sound_that_goes_on_does_not_give_way_to_tracks_of_which_nothing_comes() {
    let mut screen = Screen::new();
    let before = screen.filming.now;
    screen.sound(1, true);
    for n in 0..70 {
        let name = TrackName { channel: channel(), event: format!("e{n}").into(), track: "".into() };
        let (id, version) = (100 + n, 100 + n);
        let about = TrackFrame {
            id,
            version,
            name: Arc::new(name),
            kind: Pictures,
            sequence: 1,
            is_key: true,
            rendition: Rendition::Full,
            is_upper_layer: false,
        };
        let (_, frame) = message(&members(1, true, Rendition::Full, 0), b"x");
        screen.viewer.offer(&about, &frame, before + Duration::from_millis(n));
        screen.at(1).sound(2 + n, false);
    }
    let sounds = screen.sent().into_iter().filter(|sent| sent.0 == Sound).count();
    assert_eq!(sounds, 71, "it would need a configuration");
}

/// Both renditions come at once, with the same numbers.
fn both(screen: &mut Screen, sequence: u64, is_key: bool) -> FrameFates {
    let mut fates = FrameFates::default();
    for rendition in Rendition::ALL {
        fates.add(screen.comes("video/x", &members(sequence, is_key, rendition, 0), 1));
    }
    fates
}

/// Which rendition was sent, by the names of the frames.
fn renditions(screen: &mut Screen) -> Vec<Rendition> {
    let (now, mut sent, mut pings) = (screen.filming.now, Vec::new(), Vec::new());
    screen.viewer.hand_out(now, usize::MAX, |handed| match handed {
        ForViewer::Message(frame) => {
            let read = BinaryMessage::parse(frame.payload()).unwrap();
            sent.push(TrackMessage::read(&read.payload).unwrap().unwrap().rendition);
        }
        ForViewer::Ping(ping) => pings.push(ping),
    });
    if screen.is_near {
        pings.iter().for_each(|ping| screen.viewer.echoed(ping.payload(), now));
    }
    sent
}

#[test]
fn who_is_late_is_moved_down_at_a_key_frame_and_up_after_ten_seconds_in_time() {
    let mut screen = Screen::new();
    let (full, small) = (Rendition::Full, Rendition::Small);
    let mut number = 1;
    both(&mut screen, 1, true);
    assert_eq!(renditions(&mut screen), [full]);
    let next = |screen: &mut Screen, is_key| {
        number += 1;
        screen.at(33);
        both(screen, number, is_key)
    };
    let mut next = next;
    // What is sent from now on does not arrive.
    screen.is_near = false;
    screen.at(300);
    let mut moved = 0;
    for _ in 0..17 {
        moved += next(&mut screen, false).moved_down;
        assert!(renditions(&mut screen).iter().all(|rendition| *rendition == full), "no key frame came");
    }
    assert_eq!(moved, 1, "more than half a second");
    // It all arrives, and the next key frames come.
    let now = screen.filming.now;
    (1..100).for_each(|n| screen.viewer.echoed(format!("v{n}").as_bytes(), now));
    screen.is_near = true;
    next(&mut screen, false);
    renditions(&mut screen);
    next(&mut screen, true);
    assert_eq!(renditions(&mut screen).last(), Some(&small));
    let mut ms = 0;
    loop {
        ms += 33;
        let is_key = ms % 1980 == 0;
        let up = next(&mut screen, is_key).moved_up;
        let sent = renditions(&mut screen);
        if up == 1 {
            assert!((9_900..10_100).contains(&ms), "{ms} ms");
            break;
        }
        assert_eq!(sent, [small], "{ms} ms");
    }
    next(&mut screen, false);
    assert_eq!(renditions(&mut screen), [small], "it waits for a key frame");
    next(&mut screen, true);
    assert_eq!(renditions(&mut screen), [full]);
}

#[test]
fn frames_of_the_upper_layer_go_first() {
    let mut screen = Screen::new();
    let layered = |n: u64| members(n, n == 1, Rendition::Full, u8::from(n.is_multiple_of(2)));
    screen.comes("video/x", &layered(1), 1);
    screen.sent();
    screen.is_near = false;
    // A picture waits for a little longer than a quarter of a second.
    screen.comes("video/x", &layered(2), 1);
    screen.at(251);
    let fates: Vec<FrameFates> = (3..=6).map(|n| screen.comes("video/x", &layered(n), 1)).collect();
    assert_eq!(fates.iter().map(|fates| fates.left_out).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert_eq!(screen.sent(), [2, 3, 5].map(|n| (Pictures, n)));
    // It is in time again, and is sent them again.
    screen.is_near = true;
    let now = screen.filming.now;
    (1..100).for_each(|n| screen.viewer.echoed(format!("v{n}").as_bytes(), now));
    let fates: Vec<FrameFates> = (7..=8).map(|n| screen.comes("video/x", &layered(n), 1)).collect();
    assert_eq!(fates.iter().map(|fates| fates.left_out).sum::<u64>(), 0);
    assert_eq!(screen.sent(), [7, 8].map(|n| (Pictures, n)));
}
