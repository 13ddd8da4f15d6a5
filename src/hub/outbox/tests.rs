//! What waits, in which order, what is given up for what, and what that costs.

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 100, frames: 3 };

/// A frame of `length` bytes, 2 to 127.
fn frame(length: usize) -> Frame {
    Frame::pong(&vec![b'x'; length - 2])
}

fn key(event: &str) -> Arc<LatestKey> {
    let channel = crate::protocol::ChannelName::parse("mirror", 164).unwrap();
    Arc::new(LatestKey { channel, event: event.into() })
}

fn pending(outbox: &Outbox) -> Vec<usize> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = outbox.fill(&mut slices);
    slices[..filled].iter().map(|s| s.len()).collect()
}

#[test]
fn what_is_written_comes_off_the_front() {
    let mut outbox = Outbox::default();
    for length in [10, 20, 30] {
        outbox.push(frame(length), BOUNDS).unwrap();
    }
    assert_eq!((pending(&outbox), outbox.bytes()), (vec![10, 20, 30], 60));
    outbox.advance(15);
    assert_eq!((pending(&outbox), outbox.bytes()), (vec![15, 30], 45));
    outbox.advance(15);
    assert_eq!(pending(&outbox), [30]);
    outbox.advance(30);
    assert!(outbox.is_empty() && outbox.bytes() == 0 && outbox.rest.capacity() == 0);
}

#[test]
fn both_bounds_hold_but_an_empty_outbox_takes_any_frame() {
    let bounds = Bounds { bytes: 50, frames: 2 };
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(frame(120), bounds), Ok(()));
    assert_eq!(outbox.push(frame(2), bounds), Err(Overflow(frame(2))), "bytes");
    outbox.advance(120);
    outbox.push(frame(2), bounds).unwrap();
    outbox.push(frame(2), bounds).unwrap();
    assert_eq!(outbox.push(frame(2), bounds), Err(Overflow(frame(2))), "frames");
    assert_eq!((outbox.frames(), outbox.bytes()), (2, 4));
}

#[test]
fn a_begun_frame_is_never_abandoned() {
    let mut outbox = Outbox::default();
    outbox.push(frame(10), BOUNDS).unwrap();
    outbox.push(frame(20), BOUNDS).unwrap();
    outbox.advance(4);
    outbox.abandon();
    assert_eq!((pending(&outbox), outbox.bytes()), (vec![6], 6));
    let mut unbegun = Outbox::default();
    unbegun.push(frame(10), BOUNDS).unwrap();
    unbegun.abandon();
    assert!(unbegun.is_empty() && unbegun.bytes() == 0);
}

#[test]
fn the_newest_of_each_kind_waits_behind_what_is_being_written() {
    let mut outbox = Outbox::default();
    outbox.push(frame(10), BOUNDS).unwrap();
    assert_eq!(outbox.push_latest(frame(20), &key("a"), BOUNDS), 0);
    assert_eq!(outbox.push_latest(frame(21), &key("b"), BOUNDS), 0);
    assert_eq!(outbox.push_latest(frame(22), &key("a"), BOUNDS), 1);
    assert_eq!((pending(&outbox), outbox.bytes()), (vec![10, 21, 22], 53), "the newer one goes to the end");
    outbox.advance(10);
    assert_eq!(outbox.push_latest(frame(30), &key("b"), BOUNDS), 0, "the first may have been begun");
    assert_eq!(pending(&outbox), [21, 22, 30]);
}

#[test]
fn the_newest_frame_finds_room_or_is_given_up_and_never_ends_the_connection() {
    let mut outbox = Outbox::default();
    outbox.push(frame(90), BOUNDS).unwrap();
    assert_eq!(outbox.push_latest(frame(120), &key("a"), BOUNDS), 0, "one of any size");
    assert_eq!(outbox.push_latest(frame(50), &key("b"), BOUNDS), 1, "the other kind makes room");
    assert_eq!(pending(&outbox), [90, 50]);
    let mut full = Outbox::default();
    for length in [40, 40, 10] {
        full.push(frame(length), BOUNDS).unwrap();
    }
    assert_eq!(full.push_latest(frame(5), &key("a"), BOUNDS), 1, "it is given up itself");
    assert_eq!(pending(&full), [40, 40, 10]);
}

#[test]
fn ordinary_frames_take_the_room_of_the_latest_only_ones() {
    let mut outbox = Outbox::default();
    outbox.push(frame(10), BOUNDS).unwrap();
    outbox.push_as(frame(80), &key("a"), BOUNDS).unwrap();
    assert_eq!(outbox.push(frame(20), BOUNDS), Err(Overflow(frame(20))));
    assert_eq!(outbox.make_room(&frame(20), BOUNDS), 1);
    outbox.push(frame(20), BOUNDS).unwrap();
    assert_eq!((pending(&outbox), outbox.bytes()), (vec![10, 20], 30));
    assert_eq!(outbox.make_room(&frame(90), BOUNDS), 0, "ordinary frames are not given up");
}

#[test]
fn ordinary_frames_in_front_are_not_searched_for_the_older_one() {
    let bounds = Bounds { bytes: 100_000, frames: 500 };
    let mut outbox = Outbox::default();
    for _ in 0..400 {
        outbox.push(frame(10), bounds).unwrap();
    }
    for _ in 0..1000 {
        outbox.push_latest(frame(20), &key("a"), bounds);
    }
    assert_eq!((outbox.frames(), outbox.bytes()), (401, 4020));
    assert_eq!(outbox.searched, 399, "once: the ordinary ones");
    for _ in 0..401 {
        outbox.pop().unwrap();
    }
    assert_eq!((outbox.frames(), outbox.bytes(), outbox.rest.capacity()), (0, 0, 0));
    assert!(outbox.index.is_none());
}

/// Many kinds, each between ordinary frames, in a queue that is full or nearly so: what is queued and given up costs
/// as much for each frame as in a short queue.
#[test]
fn nothing_is_searched_for_however_many_kinds_there_are() {
    for bound in [2000, 800] {
        let bounds = Bounds { bytes: 1_000_000, frames: bound };
        let kinds: Vec<_> = (0..500).map(|n| key(&n.to_string())).collect();
        let mut outbox = Outbox::default();
        for kind in &kinds {
            outbox.make_room(&frame(10), bounds);
            outbox.push(frame(10), bounds).unwrap();
            outbox.push_latest(frame(20), kind, bounds);
        }
        outbox.searched = 0;
        let mut pushed = 0;
        for n in 0..10_000_usize {
            // An order in which the oldest one is seldom the one that is replaced.
            outbox.push_latest(frame(30), &kinds[n * 7 % 500], bounds);
            pushed += 1;
            if n % 100 == 0 {
                outbox.make_room(&frame(10), bounds);
                outbox.push(frame(10), bounds).unwrap();
                outbox.pop().unwrap();
            }
        }
        assert!(outbox.searched <= 2 * pushed, "{} for {pushed}", outbox.searched);
        assert!(outbox.rest.len() <= 2 * outbox.frames());
        let waiting = outbox.waiting().count();
        let bytes = outbox.waiting().map(|frame| frame.websocket().len()).sum::<usize>();
        assert_eq!((outbox.frames(), outbox.bytes()), (waiting, bytes));
    }
}

/// Whatever is done with it, an outbox holds what one does that searches its queue each time.
#[test]
fn what_waits_is_what_a_search_would_leave() {
    let bounds = Bounds { bytes: 400, frames: 12 };
    let mut random = 1_u64;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut outbox = Outbox::default();
    // The length of each, and its kind.
    let mut model: VecDeque<(usize, Option<u64>)> = VecDeque::new();
    for _ in 0..20_000 {
        let (length, kind) = (2 + draw(60) as usize, draw(4));
        match draw(5) {
            0 => {
                assert_eq!(outbox.pop().map(|f| f.websocket().len()), model.pop_front().map(|w| w.0));
            }
            1 => {
                outbox.make_room(&frame(length), bounds);
                make_room(&mut model, length, bounds);
                if outbox.push(frame(length), bounds).is_ok() {
                    model.push_back((length, None));
                }
            }
            _ => {
                outbox.push_latest(frame(length), &key(&kind.to_string()), bounds);
                let mut place = 0;
                model.retain(|(_, of)| {
                    place += 1;
                    place == 1 || *of != Some(kind)
                });
                make_room(&mut model, length, bounds);
                if model.len() <= 1 || fits(&model, length, bounds) {
                    model.push_back((length, Some(kind)));
                }
            }
        }
        assert!(outbox.waiting().map(|f| f.websocket().len()).eq(model.iter().map(|w| w.0)));
        assert_eq!(outbox.frames(), model.len());
    }
}

fn fits(model: &VecDeque<(usize, Option<u64>)>, length: usize, bounds: Bounds) -> bool {
    let bytes = model.iter().map(|w| w.0).sum::<usize>() + length;
    bytes <= bounds.bytes && model.len() < bounds.frames
}

/// Gives up what can be, oldest first, but for the first of all.
fn make_room(model: &mut VecDeque<(usize, Option<u64>)>, length: usize, bounds: Bounds) {
    while !fits(model, length, bounds) {
        let Some(place) = (1..model.len()).find(|place| model[*place].1.is_some()) else { return };
        model.remove(place);
    }
}

#[test]
fn whole_frames_can_be_taken() {
    let mut outbox = Outbox::default();
    outbox.push(frame(10), BOUNDS).unwrap();
    outbox.push(frame(20), BOUNDS).unwrap();
    assert_eq!(outbox.pop(), Some(frame(10)));
    assert_eq!((outbox.pop(), outbox.pop(), outbox.bytes()), (Some(frame(20)), None, 0));
}

#[test]
fn what_a_client_missed_waits_besides_the_bounds() {
    let mut outbox = Outbox::default();
    outbox.push(frame(90), BOUNDS).unwrap();
    for _ in 0..20 {
        outbox.push_replayed(frame(100));
    }
    assert_eq!((outbox.frames(), outbox.bytes(), outbox.replayed_bytes()), (21, 2090, 2000));
    outbox.push(frame(10), BOUNDS).unwrap();
    assert_eq!(outbox.push(frame(2), BOUNDS), Err(Overflow(frame(2))), "others have as much room as ever");
    assert_eq!(outbox.push_as(frame(2), &key("a"), BOUNDS), Err(Overflow(frame(2))));
    outbox.advance(2090);
    assert_eq!(outbox.frames(), 1, "something waits still");
    outbox.push(frame(90), BOUNDS).unwrap();
    outbox.advance(100);
    assert!(outbox.is_empty() && outbox.replayed_bytes() == 0);
    outbox.push(frame(90), BOUNDS).unwrap();
    assert_eq!(outbox.push(frame(20), BOUNDS), Err(Overflow(frame(20))), "all was written: that is over");
}

#[test]
fn latest_only_frames_are_not_given_up_for_what_a_client_missed() {
    let mut outbox = Outbox::default();
    outbox.push(frame(10), BOUNDS).unwrap();
    outbox.push_as(frame(20), &key("a"), BOUNDS).unwrap();
    outbox.push_replayed(frame(120));
    assert_eq!(outbox.push_latest(frame(30), &key("b"), BOUNDS), 0);
    assert_eq!(pending(&outbox), [10, 20, 120, 30]);
    assert_eq!(outbox.make_room(&frame(70), BOUNDS), 2, "as if it were not there");
    outbox.abandon();
    assert_eq!(outbox.replayed_bytes(), 0);
}
