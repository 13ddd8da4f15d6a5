//! Random lines with little and much room on the way: what arrives is judged by when it was filmed, not by what the broker takes
//! it for.

use super::*;

/// The steps of the time.
const TICK: Duration = Duration::from_millis(5);

/// Ticks between two frames, and between two key frames.
const FRAME_TICKS: u64 = 7;
const KEY_TICKS: u64 = FRAME_TICKS * 57;

/// How long the line is, each way.
const TRAVEL: Duration = Duration::from_millis(40);

/// Bytes of a delta of the full rendition: some two megabits per second. A key frame has four times as many.
const DELTA_BYTES: usize = 8_300;

/// Bytes per tick that the full rendition takes.
const WHOLE: usize = 4 * DELTA_BYTES * 60 / 57 / 4 / FRAME_TICKS as usize;

/// A viewer at the end of a line that takes so many bytes before it pushes back.
struct DistantViewer {
    viewer: Viewer,
    buffer: usize,
    line: VecDeque<ForViewer>,
    line_bytes: usize,
    /// Bytes that have gone through of what is at the front, and when that came there.
    through: usize,
    at_front: Instant,
    on_their_way: VecDeque<(Instant, Instant, ForViewer)>,
    pongs: VecDeque<(Instant, Frame)>,
    /// When each picture arrived, and how long it had waited before it began to.
    arrived: Vec<(Instant, Duration)>,
    /// When each picture arrived as a whole, and when it was filmed.
    shown: Vec<(Instant, Instant)>,
    decoded: Option<(u64, Rendition, u64)>,
}

impl DistantViewer {
    fn new(buffer: usize, start: Instant) -> Self {
        DistantViewer {
            viewer: Viewer::default(),
            buffer,
            line: VecDeque::new(),
            line_bytes: 0,
            through: 0,
            at_front: start,
            on_their_way: VecDeque::new(),
            pongs: VecDeque::new(),
            arrived: Vec::new(),
            shown: Vec::new(),
            decoded: None,
        }
    }

    /// One tick, in which so many bytes go through.
    fn tick(&mut self, bytes: usize, start: Instant, now: Instant) {
        while self.pongs.front().is_some_and(|(at, _)| *at <= now) {
            let (_, ping) = self.pongs.pop_front().unwrap();
            self.viewer.echoed(ping.payload(), now);
        }
        while self.line_bytes < self.buffer && self.viewer.has_waiting() {
            self.viewer.hand_out(now, AT_ONCE, |handed| {
                self.line_bytes += bytes_of(&handed);
                self.line.push_back(handed);
            });
        }
        self.through += bytes;
        while let Some(front) = self.line.front().map(bytes_of) {
            if front > self.through {
                break;
            }
            self.through -= front;
            self.line_bytes -= front;
            let began = self.at_front;
            self.on_their_way.extend(self.line.pop_front().map(|handed| (now + TRAVEL, began, handed)));
            self.at_front = now;
        }
        if self.line.is_empty() {
            // What the line could have taken is lost.
            (self.through, self.at_front) = (0, now + TICK);
        }
        while self.on_their_way.front().is_some_and(|(at, ..)| *at <= now) {
            let (at, began, handed) = self.on_their_way.pop_front().unwrap();
            match handed {
                ForViewer::Ping(ping) => self.pongs.push_back((at + TRAVEL, ping)),
                ForViewer::Message(frame) => self.arrives((at, began), start, &frame),
            }
        }
    }

    fn arrives(&mut self, (at, began): (Instant, Instant), start: Instant, frame: &Frame) {
        decode(&mut self.decoded, frame, &Published::new());
        let content = BinaryMessage::parse(frame.payload()).unwrap().payload.content()[8..16].to_vec();
        let filmed = start + Duration::from_millis(u64::from_be_bytes(content.try_into().unwrap()));
        self.arrived.push((at, began.saturating_duration_since(filmed)));
        self.shown.push((at, filmed));
    }

    /// The longest time in which all that arrived was more than a second late.
    fn longest_late(&self) -> Duration {
        let late = |(_, delay): &(Instant, Duration)| *delay > Duration::from_secs(1);
        let spells = self.arrived.chunk_by(|a, b| late(a) == late(b)).filter(|spell| late(&spell[0]));
        spells.map(|spell| spell[spell.len() - 1].0 - spell[0].0).max().unwrap_or_default()
    }
}

impl DistantViewer {
    /// The longest time in which what it shows was more than a second old: also while nothing arrives.
    fn longest_stale(&self) -> Duration {
        let second = Duration::from_secs(1);
        let fresh = self.shown.iter().filter(|(at, filmed)| at.saturating_duration_since(*filmed) <= second);
        let fresh: Vec<_> = fresh.collect();
        let gaps = fresh.windows(2).map(|two| two[1].0.saturating_duration_since(two[0].1 + second));
        gaps.max().unwrap_or(Duration::MAX)
    }
}

fn bytes_of(handed: &ForViewer) -> usize {
    match handed {
        ForViewer::Message(frame) | ForViewer::Ping(frame) => frame.websocket().len(),
    }
}

/// What a viewer is sent whose line takes so many bytes in each tick.
fn watched(buffer: usize, has_small: bool, line: impl Iterator<Item = usize>) -> DistantViewer {
    let start = Instant::now();
    let mut filming = Filming::new();
    let mut distant = DistantViewer::new(buffer, start);
    let camera = channel();
    let filmer = Filmer::Client { socket: socket(1), user_id: None, channel: &camera, event: "client-video" };
    for (tick, bytes) in (0..).zip(line) {
        let now = start + TICK * tick as u32;
        if tick % FRAME_TICKS == 0 {
            let is_key = tick % KEY_TICKS == 0;
            for rendition in Rendition::ALL.into_iter().take(1 + usize::from(has_small)) {
                let bytes = DELTA_BYTES * if is_key { 4 } else { 1 } / [1, 4][rendition as usize];
                let filmed = (tick * TICK.as_millis() as u64).to_be_bytes();
                let content = [&[0; 8][..], &filmed, &vec![0; bytes]].concat();
                let (about, frame) = message(&members(tick / FRAME_TICKS, is_key, rendition, 0), &content);
                filming.now = now;
                let taken = filming.take(&filmer, &about, &frame).unwrap();
                distant.viewer.offer(&taken.frame.unwrap(), &frame, now);
            }
        }
        distant.tick(bytes, start, now);
    }
    distant
}

/// Bytes per tick, for so many ticks: of a line that gets better and worse, or of one that takes all but stalls now and then.
fn phases() -> impl Strategy<Value = Vec<(usize, u64)>> {
    let rates = vec![WHOLE / 4, WHOLE / 2, WHOLE * 5 / 4, WHOLE * 4];
    let changing = prop::collection::vec((prop::sample::select(rates), 100..1500_u64), 1..8);
    let stalls = (20..400_u64, 100..1500_u64).prop_map(|(stalls, goes)| [(0, stalls), (WHOLE * 4, goes)]);
    let stalling = prop::collection::vec(stalls, 1..8).prop_map(|phases| phases.concat());
    prop_oneof![changing, stalling]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn nobody_is_a_second_late_for_longer_than_a_key_frame_interval(
        phases in phases(),
        buffer in prop_oneof![Just(16 * 1024), Just(4 * 1024 * 1024)],
        has_small in any::<bool>(),
    ) {
        let line = phases.iter().flat_map(|(bytes, ticks)| (0..*ticks).map(|_| *bytes));
        let distant = watched(buffer, has_small, line);
        let late = distant.longest_late();
        // The broker hears after a second at most that a line takes a quarter of what it took before.
        let heard = Duration::from_secs(1);
        prop_assert!(late <= TICK * KEY_TICKS as u32 + heard, "{late:?} of {} pictures", distant.arrived.len());
    }
}

/// A line that takes a quarter from the beginning, and in whose buffer there is room for a quarter of a minute.
#[test]
fn a_line_that_is_weak_from_the_beginning_is_known_to_be() {
    for (has_small, buffer) in [(false, 4 << 20), (true, 4 << 20), (false, 16 << 10), (true, 16 << 10)] {
        let distant = watched(buffer, has_small, std::iter::repeat_n(WHOLE / 4, 6000));
        let late = distant.longest_late();
        assert!(late <= TICK * KEY_TICKS as u32, "{late:?} with {buffer} bytes, small: {has_small}");
        let stale = distant.longest_stale();
        println!("{buffer} {has_small}: late {late:?}, stale {stale:?}");
        assert!(stale <= TICK * KEY_TICKS as u32, "{stale:?} with {buffer} bytes, small: {has_small}");
        let begun = distant.arrived[0].0 + Duration::from_secs(6);
        let calm: Vec<_> = distant.arrived.iter().filter(|(at, _)| *at > begun).collect();
        // With a small rendition it sees moving pictures, some twenty each second.
        let worst = calm.iter().map(|(_, delay)| *delay).max().unwrap();
        if has_small {
            let pictures = calm.len();
            assert!(
                worst < Duration::from_millis(700) && pictures > 20 * 23,
                "{worst:?}, {pictures} pictures"
            );
        }
    }
}

/// A line that takes all of it and comes down to a quarter at any time is known to be weak half a second later at most than one that
/// was so from the beginning, and one that only stalls is not taken for one.
#[test]
fn a_line_that_comes_down_is_told_from_one_that_stalls() {
    const STALL_TICKS: usize = 60;
    for phase in 0..12 {
        let before = std::iter::repeat_n(WHOLE * 4, (1_600 + phase * KEY_TICKS / 12) as usize);
        let comes_down = before.clone().chain(std::iter::repeat_n(WHOLE / 4, 2_000));
        let late = watched(4 << 20, false, comes_down).longest_late();
        assert!(late <= TICK * KEY_TICKS as u32 + Duration::from_millis(500), "{late:?} in phase {phase}");
        let stall = || std::iter::repeat_n(0, STALL_TICKS).chain(std::iter::repeat_n(WHOLE * 4, 940));
        for buffer in [4 << 20, 16 << 10] {
            let distant = watched(buffer, false, before.clone().chain((0..2).flat_map(|_| stall())));
            let gaps = distant.shown.windows(2).map(|two| two[1].1.saturating_duration_since(two[0].1));
            assert_eq!(gaps.max(), Some(TICK * FRAME_TICKS as u32), "nothing is given up, in phase {phase}");
        }
    }
}
