//! Batches of one endpoint's queue: their size, their order, and the bounds.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const ROOMY: BatchQueueBounds = BatchQueueBounds { events: 1000, bytes: 1 << 30 };
const BATCHES: Batching = Batching { window: Duration::from_secs(1), most: 3 };

fn name(text: &str) -> ChannelName {
    ChannelName::parse(text, 164).unwrap()
}

/// Pushes events written `channel+number`.
fn push(queue: &mut BatchQueue, events: &[&str], now: Instant) {
    for event in events {
        queue.push(&name(&event[..1]), Arc::from(*event), now).unwrap();
    }
}

fn take(queue: &mut BatchQueue, now: Instant) -> Option<(Batch, Vec<String>)> {
    let batch = queue.take(now)?;
    let events = batch.events.iter().map(|event| event.to_string()).collect();
    Some((batch, events))
}

#[test]
fn without_batching_each_event_is_a_request_and_a_channel_waits_for_its_own() {
    let now = Instant::now();
    let mut queue = BatchQueue::new(ROOMY, Batching::OFF);
    push(&mut queue, &["a1", "a2", "b1"], now);
    let (first, events) = take(&mut queue, now).unwrap();
    assert_eq!(events, ["a1"]);
    let (second, events) = take(&mut queue, now).unwrap();
    assert_eq!(events, ["b1"], "a2 waits for a1");
    assert!(queue.take(now).is_none() && queue.next_request_at(now).is_none());
    queue.done(second);
    assert!(queue.take(now).is_none());
    push(&mut queue, &["a3"], now);
    queue.done(first);
    for expected in ["a2", "a3"] {
        let (batch, events) = take(&mut queue, now).unwrap();
        assert_eq!(events, [expected]);
        queue.done(batch);
    }
    assert!(queue.is_empty() && queue.channels.is_empty() && queue.bytes == 0 && queue.ready_events == 0);
}

#[test]
fn a_batch_waits_for_its_window_or_until_it_is_full() {
    let now = Instant::now();
    let mut queue = BatchQueue::new(ROOMY, BATCHES);
    push(&mut queue, &["a1", "b1"], now);
    assert!(queue.take(now).is_none());
    assert_eq!(queue.next_request_at(now), Some(now + BATCHES.window));
    let (batch, events) = take(&mut queue, now + BATCHES.window).unwrap();
    assert_eq!(events, ["a1", "b1"]);
    push(&mut queue, &["a2", "c1", "c2"], now);
    assert!(queue.take(now).is_none(), "a is under way, so only two are ready");
    push(&mut queue, &["d1", "c3"], now);
    let (full, events) = take(&mut queue, now).unwrap();
    assert_eq!(events, ["c1", "c2", "d1"], "in the order in which they happened");
    queue.done(full);
    queue.done(batch);
    assert!(queue.take(now).is_none());
    queue.flush();
    let (last, events) = take(&mut queue, now).unwrap();
    assert_eq!(events, ["a2", "c3"]);
    queue.done(last);
    assert!(queue.is_empty() && queue.channels.is_empty() && queue.ready_events == 0);
}

#[test]
fn a_full_queue_takes_no_more_and_large_events_go_alone() {
    let now = Instant::now();
    let mut queue = BatchQueue::new(BatchQueueBounds { events: 2, bytes: 10 }, Batching::OFF);
    assert_eq!(queue.push(&name("a"), "x".repeat(50).into(), now), Ok(()), "a single one always fits");
    assert_eq!(queue.push(&name("a"), "y".into(), now), Err(QueueFull), "too many bytes");
    let batch = queue.take(now).unwrap();
    assert_eq!(queue.push(&name("a"), "y".into(), now), Err(QueueFull), "it is still under way");
    queue.done(batch);
    push(&mut queue, &["a1", "a2"], now);
    assert_eq!(queue.push(&name("a"), "a3".into(), now), Err(QueueFull), "too many events");

    let mut queue = BatchQueue::new(ROOMY, BATCHES);
    let large: Arc<str> = "x".repeat(BATCH_BYTES - 1).into();
    for _ in 0..2 {
        queue.push(&name("a"), Arc::clone(&large), now).unwrap();
        queue.push(&name("b"), "b".into(), now).unwrap();
    }
    assert_eq!(queue.take(now).unwrap().events.len(), 2, "together they are as large as a batch may be");
}

/// What happens next to a queue.
#[derive(Clone, Debug)]
enum Step {
    Push(&'static str),
    Done(Index),
    Take,
}

/// Steps, each with the milliseconds before it.
fn history() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        select(&["a", "b", "c", "d"][..]).prop_map(Step::Push),
        any::<Index>().prop_map(Step::Done),
        Just(Step::Take),
    ];
    vec((0_u64..400, step), 0..400)
}

proptest! {
    /// Against a plain list: each channel's events come out in order, each once, and never two requests of one
    /// channel at once.
    #[test]
    fn each_channel_is_sent_in_order(history in history(), batching in select(&[Batching::OFF, BATCHES][..])) {
        let mut queue = BatchQueue::new(ROOMY, batching);
        let mut now = Instant::now();
        let mut under_way: Vec<Batch> = Vec::new();
        let mut sent: HashMap<String, Vec<usize>> = HashMap::new();
        let mut pushed: HashMap<String, Vec<usize>> = HashMap::new();
        for (n, (after, step)) in history.into_iter().enumerate() {
            now += Duration::from_millis(after);
            match step {
                Step::Push(channel) => {
                    queue.push(&name(channel), format!("{channel}{n}").into(), now).unwrap();
                    pushed.entry(channel.to_owned()).or_default().push(n);
                }
                Step::Done(index) if !under_way.is_empty() => {
                    queue.done(under_way.remove(index.index(under_way.len())));
                }
                Step::Done(_) | Step::Take => {
                    let Some(batch) = queue.take(now) else { continue };
                    prop_assert!(batch.events.len() <= batching.most && !batch.events.is_empty());
                    note(&batch, &mut sent);
                    let taken = |channel| under_way.iter().any(|b| b.channels.contains(channel));
                    prop_assert!(!batch.channels.iter().any(taken));
                    under_way.push(batch);
                }
            }
        }
        queue.flush();
        loop {
            under_way.drain(..).for_each(|batch| queue.done(batch));
            let Some(batch) = queue.take(now) else { break };
            note(&batch, &mut sent);
            under_way.push(batch);
        }
        prop_assert_eq!(sent, pushed);
        prop_assert!(queue.is_empty() && queue.channels.is_empty() && queue.ready.is_empty());
        prop_assert_eq!((queue.bytes, queue.ready_events), (0, 0));
    }
}

/// Notes the numbers of a batch's events under their channels.
fn note(batch: &Batch, sent: &mut HashMap<String, Vec<usize>>) {
    for event in &batch.events {
        sent.entry(event[..1].to_owned()).or_default().push(event[1..].parse().unwrap());
    }
}
