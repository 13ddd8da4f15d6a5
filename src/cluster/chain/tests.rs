use super::*;
use crate::protocol::Frame;

pub(in crate::cluster) const TIMES: ChainTimes =
    ChainTimes { last_known_for: 1000, heard_until: 0, latest: u64::MAX };

pub(in crate::cluster) fn word(number: u64, previous: u64) -> ChainWord {
    let event = EventMessage {
        epoch: 1,
        number,
        state: 0,
        except: None,
        latest: None,
        frame: Frame::ping(),
        restored: None,
        is_remembered: false,
        is_of_track: false,
    };
    ChainWord { number, previous, said: ChainedWord::Event { from: NodeId::new(1), event } }
}

fn lost(number: u64, previous: u64, is_own: bool) -> ChainWord {
    ChainWord { said: ChainedWord::Lost { is_own }, ..word(number, previous) }
}

/// A chain, and what it has had done.
struct World {
    chain: Chain,
    room: ChainRoom,
    times: ChainTimes,
}

impl World {
    fn new() -> Self {
        World { chain: Chain::new(), room: ChainRoom::new(100, usize::MAX), times: TIMES }
    }

    /// One that is claimed, and whose stream has this as its last word.
    fn live(last: u64) -> Self {
        let mut world = World::new();
        assert_eq!(world.begin(None), ["fetch 0"]);
        let told = world.page(vec![word(last, 0)], Some(last), false);
        assert_eq!(told, [format!("fill [{last}] up to {last}"), "settle".to_owned()]);
        world
    }

    fn told(steps: Vec<ChainStep>) -> Vec<String> {
        let told = |step| match step {
            ChainStep::Deliver(word) => format!("{}", word.number),
            ChainStep::Fill { words, reached, .. } => {
                format!("fill {:?} up to {reached}", words.iter().map(|word| word.number).collect::<Vec<_>>())
            }
            ChainStep::Hole(reason) => format!("hole {reason:?}"),
            ChainStep::Fetch { behind } => format!("fetch {behind}"),
            ChainStep::Settle => "settle".to_owned(),
        };
        steps.into_iter().map(told).collect()
    }

    fn begin(&mut self, reached: Option<u64>) -> Vec<String> {
        let mut steps = Vec::new();
        self.chain.begin(reached, &mut steps);
        Self::told(steps)
    }

    fn hear(&mut self, word: ChainWord) -> Vec<String> {
        let mut steps = Vec::new();
        self.chain.hear(word, &self.times, &mut self.room, &mut steps);
        Self::told(steps)
    }

    fn page(&mut self, words: Vec<ChainWord>, last: Option<u64>, has_more: bool) -> Vec<String> {
        let now = 10_000;
        let mut steps = Vec::new();
        let page = ChainPage { words, last, now, has_more };
        self.chain.take_page(page, &self.times, &mut self.room, &mut steps);
        Self::told(steps)
    }

    fn with(&mut self, deed: impl FnOnce(&mut Chain, &mut ChainRoom, &mut Vec<ChainStep>)) -> Vec<String> {
        let mut steps = Vec::new();
        deed(&mut self.chain, &mut self.room, &mut steps);
        Self::told(steps)
    }
}

#[test]
fn what_joins_is_handed_on_and_nothing_twice() {
    let mut world = World::live(10);
    assert_eq!(world.hear(word(20, 10)), ["20"]);
    assert_eq!(world.hear(word(20, 10)), [""; 0]);
    assert_eq!(world.hear(word(10, 0)), [""; 0]);
    assert_eq!(world.hear(word(21, 20)), ["21"]);
    assert_eq!(world.chain.reached(), Some(21));
}

#[test]
fn what_is_missing_is_fetched_and_what_comes_meanwhile_waits() {
    let mut world = World::live(10);
    assert_eq!(world.hear(word(30, 20)), ["fetch 10"]);
    assert_eq!(world.hear(word(40, 30)), [""; 0]);
    assert_eq!((world.chain.reached(), world.room.words), (None, 2));
    let told = world.page(vec![word(20, 10), word(30, 20)], Some(30), false);
    assert_eq!(told, ["20", "30", "40"]);
    assert_eq!((world.chain.reached(), world.room.words, world.room.bytes), (Some(40), 0, 0));
    // It came in parts, and the rest of it was said later.
    assert_eq!(world.hear(word(80, 70)), ["fetch 40"]);
    assert_eq!(world.page(vec![word(50, 40)], Some(60), true), ["50", "fetch 50"]);
    assert_eq!(world.page(vec![word(60, 50)], Some(60), false), ["60", "fetch 60"]);
    assert_eq!(world.page(vec![word(70, 60)], Some(70), false), ["70", "80"]);
}

#[test]
fn where_the_stream_does_not_reach_back_there_is_a_hole() {
    let mut world = World::live(10);
    world.hear(word(60, 50));
    let told = world.page(vec![word(40, 30), word(50, 40)], Some(60), false);
    assert_eq!(told, ["hole Trimmed", "40", "50", "60"], "the last one is kept no more, and has come");
    // All of it is gone.
    world.hear(word(90, 80));
    assert_eq!(world.page(vec![], Some(90), false), ["hole Trimmed", "90"]);
    assert_eq!(world.chain.reached(), Some(90));
    assert_eq!(world.hear(word(95, 90)), ["95"]);
}

#[test]
fn who_joins_is_given_the_history_and_waits_for_all_of_it() {
    let mut world = World::new();
    assert_eq!(world.hear(word(30, 20)), [""; 0]);
    assert_eq!(world.begin(Some(5)), ["fetch 5"]);
    assert_eq!(world.page(vec![word(10, 5)], Some(20), true), ["fill [10] up to 10", "fetch 10"]);
    let told = world.page(vec![word(20, 10), word(30, 20)], Some(30), false);
    assert_eq!(told, ["fill [20, 30] up to 30", "settle"]);
    // What was known is lost to what is there, and a node has lost some.
    let mut world = World::new();
    world.begin(Some(5));
    let told = world.page(vec![word(20, 9), lost(21, 20, true), word(22, 21)], Some(22), false);
    let expected = ["fill [] up to 5", "hole Trimmed", "fill [20] up to 20", "hole Lost"];
    assert_eq!(told[..4], expected);
    assert_eq!(told[4..], ["fill [21, 22] up to 22", "settle"]);
}

#[test]
fn an_empty_stream_is_known_as_far_as_the_engine_knows_of_it() {
    let mut world = World::new();
    world.begin(None);
    assert_eq!(world.page(vec![], None, false), ["fill [] up to 9000", "settle"]);
    // What was said so long ago may have been forgotten.
    let mut world = World::new();
    world.begin(Some(8000));
    let told = world.page(vec![], None, false);
    assert_eq!(told, ["fill [] up to 8000", "hole Trimmed", "fill [] up to 9000", "settle"]);
    let mut world = World::new();
    world.begin(Some(9500));
    assert_eq!(world.page(vec![], None, false), ["fill [] up to 9500", "settle"]);
}

#[test]
fn a_channel_that_was_quiet_for_long_has_no_hole() {
    let mut world = World::live(10);
    world.times.heard_until = 30_000;
    assert_eq!(world.hear(word(30_500, 0)), ["30500"]);
    // It is not known that nothing was said between.
    assert_eq!(world.hear(word(41_500, 0)), ["fetch 30500"]);
    assert_eq!(world.page(vec![word(41_500, 0)], Some(41_500), false), ["hole Trimmed", "41500"]);
}

#[test]
fn who_waits_for_too_long_joins_all_the_same_and_knows_nothing() {
    let mut world = World::new();
    world.begin(None);
    world.hear(word(30, 20));
    world.hear(word(40, 30));
    world.hear(word(60, 50));
    let late = world.with(|chain, room, steps| chain.be_late(room, steps));
    assert_eq!(late, ["hole Unfetched", "30", "40", "hole Unfetched", "60", "settle"]);
    assert_eq!(world.page(vec![word(10, 0)], Some(60), false), [""; 0], "it comes too late");
    assert_eq!(world.hear(word(70, 60)), ["70"]);
    assert_eq!(world.with(|chain, room, steps| chain.be_late(room, steps)), [""; 0]);
    // It had not even been confirmed that its words come.
    let mut world = World::new();
    let late = world.with(|chain, room, steps| chain.be_late(room, steps));
    assert_eq!(late, ["hole Unfetched", "settle"]);
    assert_eq!(world.begin(Some(5)), ["hole Unfetched", "settle"]);
    assert_eq!(world.hear(word(70, 60)), ["70"]);
}

#[test]
fn when_the_engine_is_there_again_what_was_said_meanwhile_is_fetched() {
    let mut world = World::live(10);
    assert_eq!(world.with(|chain, _, steps| chain.look_again(steps)), ["fetch 10"]);
    assert_eq!(world.with(|chain, _, steps| chain.look_again(steps)), [""; 0]);
    assert_eq!(world.page(vec![word(20, 10)], Some(20), false), ["20", "fetch 20"], "once more");
    let fail = |world: &mut World, failure| world.with(|chain, room, steps| chain.fail(failure, room, steps));
    assert_eq!(fail(&mut world, FetchFailure::Away), [""; 0]);
    assert!(world.chain.is_stopped());
    assert_eq!(world.hear(word(30, 20)), [""; 0]);
    assert_eq!(world.with(|chain, _, steps| chain.look_again(steps)), ["fetch 20"]);
    assert_eq!(world.page(vec![word(30, 20)], Some(30), false), ["30"]);
    // It does not answer.
    world.hear(word(50, 40));
    for _ in 0..MOST_UNANSWERED {
        assert_eq!(fail(&mut world, FetchFailure::Unanswered), [""; 0]);
        assert_eq!(world.with(|chain, _, steps| chain.resume(steps)), ["fetch 30"]);
    }
    assert_eq!(fail(&mut world, FetchFailure::Unanswered), ["hole Unfetched", "50", "settle"]);
    world.hear(word(70, 60));
    assert_eq!(fail(&mut world, FetchFailure::Refused), ["hole Unfetched", "70", "settle"]);
}

#[test]
fn another_engine_has_another_stream() {
    let mut world = World::live(10);
    let change = |world: &mut World| world.with(|chain, room, steps| chain.change_engine(room, steps));
    assert_eq!(change(&mut world), ["hole Engine", "settle"]);
    assert_eq!(world.hear(word(7, 3)), ["7"]);
    assert_eq!(world.hear(word(8, 7)), ["8"]);
    let mut world = World::new();
    world.begin(Some(5));
    world.hear(word(9, 8));
    assert_eq!(change(&mut world), ["hole Engine", "fetch 0"], "whoever joins waits for what it has");
    assert_eq!(world.room.words, 0);
}

#[test]
fn what_waits_is_bounded_and_what_is_left_out_is_fetched() {
    let mut world = World::live(10);
    world.room.most_words = 2;
    world.hear(word(30, 20));
    world.hear(word(40, 30));
    world.hear(word(50, 40));
    assert_eq!(world.hear(word(60, 50)), [""; 0]);
    assert_eq!(world.room.words, 2);
    let told = world.page(vec![word(20, 10)], Some(60), false);
    assert_eq!(told, ["20", "30", "40", "hole Trimmed", "fetch 60"], "the stream keeps the rest no more");
    let mut world = World::live(10);
    world.room.most_words = 2;
    for number in [30, 40, 50] {
        world.hear(word(number, number - 10));
    }
    let told = world.page(vec![word(20, 10), word(30, 20)], Some(30), false);
    assert_eq!(told, ["20", "30", "40", "fetch 40"]);
    assert_eq!(world.page(vec![word(50, 40)], Some(50), false), ["50"]);
    assert_eq!((world.room.words, world.room.bytes), (0, 0));
}

#[test]
fn what_a_node_has_lost_is_missing_but_to_its_own_subscribers() {
    let mut world = World::live(10);
    assert_eq!(world.hear(lost(20, 10, false)), ["hole Lost", "20"]);
    assert_eq!(world.hear(lost(30, 20, true)), ["30"]);
    assert_eq!(world.hear(word(40, 30)), ["40"]);
}

#[test]
fn where_nothing_is_said_for_long_it_is_known_again_what_there_is() {
    let mut world = World::new();
    world.with(|chain, room, steps| chain.be_late(room, steps));
    let pass = |world: &mut World, now, heard_until| {
        world.times.heard_until = heard_until;
        let times = world.times;
        world.with(|chain, _, steps| chain.pass(now, &times, steps))
    };
    assert_eq!(pass(&mut world, 1000, 900), [""; 0]);
    assert_eq!(pass(&mut world, 130_000_000, LATE_CLOCK + 1001), [""; 0], "its words do not come yet");
    assert_eq!(world.begin(None), ["hole Unfetched", "settle"]);
    assert_eq!(pass(&mut world, 1000, 900), [""; 0]);
    assert_eq!(pass(&mut world, 70_000_000, LATE_CLOCK + 1000), [""; 0]);
    let known = LATE_CLOCK + 1001;
    assert_eq!(pass(&mut world, 130_000_000, known), [format!("fill [] up to {known}")]);
    assert_eq!((world.chain.reached(), pass(&mut world, 200_000_000, 2 * known)), (Some(known), vec![]));
    assert_eq!(world.hear(word(120_002_500, 0)), ["120002500"]);
}

#[test]
fn a_number_that_cannot_have_been_given_yet_is_looked_for_in_the_stream() {
    let mut world = World::live(10);
    world.times.latest = 20_000;
    assert_eq!(world.hear(word(90_000, 10)), ["fetch 10"]);
    assert_eq!(world.hear(word(90_001, 90_000)), [""; 0]);
    assert_eq!(world.room.words, 0);
    assert_eq!(world.page(vec![], Some(10), false), ["fetch 10"], "it was heard of meanwhile");
    assert_eq!(world.page(vec![], Some(10), false), [""; 0]);
    assert_eq!(world.hear(word(20, 10)), ["20"], "and what is said then is no repeat");
    // The clock was set, and the stream has it.
    assert_eq!(world.hear(word(90_000, 20)), ["fetch 20"]);
    assert_eq!(world.page(vec![word(90_000, 20)], Some(90_000), false), ["90000"]);
}

#[test]
fn what_a_clock_has_told_that_is_set_back_is_not_known() {
    let mut world = World::new();
    let ahead = 10_001 + LATE_CLOCK;
    assert_eq!(world.begin(Some(ahead)), [format!("fetch {ahead}")]);
    assert_eq!(world.page(vec![], Some(30), false), ["hole Trimmed", "fetch 0"]);
    let told = world.page(vec![word(20, 10), word(30, 20)], Some(30), false);
    assert_eq!(told, ["fill [20, 30] up to 30", "settle"]);
    assert_eq!(world.hear(word(40, 30)), ["40"]);
    // Of one that was followed when that happened, what was said meanwhile is missing.
    let last = ahead + 2;
    assert_eq!(world.hear(word(last, 40)), [last.to_string()]);
    world.with(|chain, _, steps| chain.look_again(steps));
    assert_eq!(world.page(vec![], Some(50), false), ["hole Trimmed"]);
    assert_eq!(world.hear(word(60, 50)), ["60"]);
}
