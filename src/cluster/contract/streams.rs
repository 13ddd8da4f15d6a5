//! What every engine must do that keeps streams.

use super::super::adapter::{Keeping, KeptPage, KeptWord};
use super::*;

impl<E: ContractEngine> ContractNode<E> {
    async fn keep(&self, subject: &Subject, text: &str, keeping: &Keeping) {
        let (ticket, taken) = oneshot::channel();
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.adapter.publish_and_keep(subject, bytes, keeping, Some(ticket.into())).unwrap();
        assert_eq!(within(taken).await, Ok(Ok(())));
    }

    async fn kept(&self, subject: &Subject, behind: u64) -> KeptPage {
        within(self.adapter.kept(subject, behind, (1000, 1 << 20))).await.unwrap()
    }

    /// The texts that a stream keeps.
    async fn kept_texts(&self, subject: &Subject) -> Vec<String> {
        let page = self.kept(subject, 0).await;
        assert!(!page.has_more);
        page.words.iter().map(|word| String::from_utf8(word.bytes.to_vec()).unwrap()).collect()
    }
}

/// Much, and for long.
const KEEPS_MUCH: Keeping = Keeping {
    events: 1000,
    bytes: 1 << 20,
    time: Duration::from_secs(1000),
    last_known_for: Duration::from_secs(2000),
    remembered_for: None,
};

fn as_kept(word: &Word) -> KeptWord {
    let none = "it has no numbers";
    KeptWord {
        number: word.number.expect(none),
        previous: word.previous.expect(none),
        bytes: word.bytes.clone(),
    }
}

pub(crate) async fn what_is_kept_is_numbered_and_names_what_came_before_it<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut one, mut two) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let (subject, other) = (channel("kept"), channel("other"));
    for node in [&one, &two] {
        node.subscribe(&subject).await;
    }
    let nothing = one.kept(&subject, 0).await;
    assert_eq!((nothing.words.len(), nothing.last, nothing.has_more), (0, None, false));
    for n in 0..100 {
        let (of_one, of_two) = (format!("one {n}"), format!("two {n}"));
        let keeps = &KEEPS_MUCH;
        tokio::join!(one.keep(&subject, &of_one, keeps), two.keep(&subject, &of_two, keeps));
    }
    let mut heard = Vec::new();
    for _ in 0..200 {
        let (by_one, by_two) = (as_kept(&one.hear().await), as_kept(&two.hear().await));
        assert_eq!(by_one, by_two, "all hear one order");
        heard.push(by_one);
    }
    let mut before = 0;
    for word in &heard {
        assert!(word.previous == before && word.number > before, "{word:?} behind {before}");
        before = word.number;
    }
    let page = two.kept(&subject, 0).await;
    assert_eq!((&page.words, page.last, page.has_more), (&heard, Some(before), false));
    let (from, until) = (heard[0].number, page.now + 1_000_000);
    assert!(from > 1_700_000_000_000_000 && before <= until, "numbers are microseconds: {from} {until}");
    let behind = one.kept(&subject, heard[149].number).await;
    assert_eq!((behind.words, behind.last), (heard[150..].to_vec(), Some(before)));
    assert_eq!(one.kept(&subject, before).await.words, []);
    assert_eq!(one.kept(&other, 0).await.last, None);
    drop(two.say(&subject, "not kept"));
    let plain = one.hear().await;
    assert_eq!((&plain.bytes[..], plain.number, plain.previous), (&b"not kept"[..], None, None));
    for n in 0..50 {
        two.keep(&subject, &n.to_string(), &KEEPS_MUCH).await;
        let word = as_kept(&one.hear().await);
        assert_eq!(
            one.kept(&subject, before).await.words,
            std::slice::from_ref(&word),
            "what is heard is kept"
        );
        assert_eq!(word.previous, before);
        before = word.number;
    }
}

pub(crate) async fn a_stream_keeps_the_newest_within_its_bounds<E: ContractEngine>() {
    let engine = E::start().await;
    let node = ContractNode::join(&engine).await;
    let subject = channel("events");
    let ten = Keeping { events: 10, ..KEEPS_MUCH };
    for n in 0..25 {
        node.keep(&subject, &n.to_string(), &ten).await;
        let first = 10.max(n + 1) - 10;
        let expected: Vec<String> = (first..=n).map(|n: i32| n.to_string()).collect();
        assert_eq!(node.kept_texts(&subject).await, expected);
    }
    node.keep(&subject, "one of three", &Keeping { events: 3, ..KEEPS_MUCH }).await;
    assert_eq!(
        node.kept_texts(&subject).await,
        ["23", "24", "one of three"],
        "the bounds are those of the last"
    );

    let subject = channel("bytes");
    let hundred = Keeping { bytes: 100, ..KEEPS_MUCH };
    for (text, left) in [(30, 1), (30, 2), (40, 3), (1, 3), (60, 2), (100, 1), (0, 2), (101, 0), (7, 1)] {
        node.keep(&subject, &"x".repeat(text), &hundred).await;
        let kept = node.kept_texts(&subject).await;
        assert!(kept.len() == left && kept.last().is_none_or(|last| last.len() == text), "{text}: {kept:?}");
    }

    let subject = channel("time");
    let second = Keeping { time: Duration::from_secs(1), ..KEEPS_MUCH };
    let in_time = async {
        loop {
            node.keep(&subject, "old", &KEEPS_MUCH).await;
            let old = node.kept(&subject, 0).await.last.unwrap();
            while node.kept(&subject, old).await.now <= old + 1_000_000 {}
            node.keep(&subject, "new", &second).await;
            let kept = node.kept_texts(&subject).await;
            // Otherwise this has taken a second.
            if !kept.is_empty() {
                break kept;
            }
        }
    };
    assert_eq!(within(in_time).await, ["new"]);
    within(async { while !node.kept_texts(&subject).await.is_empty() {} }).await;
}

pub(crate) async fn the_last_number_of_a_stream_is_known_for_longer_than_what_it_kept<E: ContractEngine>() {
    let engine = E::start().await;
    let mut node = ContractNode::join(&engine).await;
    let subject = channel("kept");
    node.subscribe(&subject).await;
    let short = Duration::from_millis(20);
    node.keep(&subject, "first", &Keeping { time: short, ..KEEPS_MUCH }).await;
    let first = as_kept(&node.hear().await);
    within(async { while !node.kept_texts(&subject).await.is_empty() {} }).await;
    assert_eq!(node.kept(&subject, 0).await.last, Some(first.number));
    let forgotten = Keeping { time: short, last_known_for: short, ..KEEPS_MUCH };
    node.keep(&subject, "second", &forgotten).await;
    let second = as_kept(&node.hear().await);
    assert_eq!(second.previous, first.number);
    within(async { while node.kept(&subject, 0).await.last.is_some() {} }).await;
    node.keep(&subject, "third", &KEEPS_MUCH).await;
    let third = as_kept(&node.hear().await);
    assert!(third.previous == 0 && third.number > second.number, "{third:?} behind {second:?}");
    assert_eq!(node.kept_texts(&subject).await, ["third"]);
}

pub(crate) async fn a_page_of_a_stream_is_bounded<E: ContractEngine>() {
    let engine = E::start().await;
    let node = ContractNode::join(&engine).await;
    let subject = channel("kept");
    for n in 0..100 {
        node.keep(&subject, &"x".repeat(10 * n), &KEEPS_MUCH).await;
    }
    for most in [(1, 1 << 20), (7, 1 << 20), (1000, 0), (1000, 900), (1000, 5000), (100, 1 << 20), (0, 0)] {
        let (mut behind, mut found) = (0, Vec::new());
        loop {
            let page = within(node.adapter.kept(&subject, behind, most)).await.unwrap();
            let bytes: usize = page.words.iter().map(|word| word.bytes.len()).sum();
            assert!(page.words.len() <= most.0.max(1), "{most:?}: {}", page.words.len());
            // What surrounds each may be counted as well, and room be left for it.
            assert!(page.words.len() <= 1 || bytes <= most.1 + 100 * most.0, "{most:?}: {bytes} bytes");
            found.extend(page.words);
            behind = found.last().map_or(0, |word| word.number);
            if !page.has_more {
                assert_eq!(page.last, Some(behind));
                break;
            }
        }
        let lengths: Vec<usize> = found.iter().map(|word| word.bytes.len()).collect();
        assert_eq!(lengths, (0..100).map(|n| 10 * n).collect::<Vec<_>>(), "{most:?}");
    }
}

pub(crate) async fn what_is_kept_and_remembered_has_one_number<E: ContractEngine>() {
    let engine = E::start().await;
    let mut node = ContractNode::join(&engine).await;
    let (subject, long) = (channel("cache-kept"), Duration::from_secs(1000));
    node.subscribe(&subject).await;
    assert!(within(node.adapter.note_miss(&subject, long)).await.unwrap());
    let both = Keeping { remembered_for: Some(long), ..KEEPS_MUCH };
    let mut last = 0;
    for round in 0..3 {
        node.keep(&subject, "both", &both).await;
        let word = as_kept(&node.hear().await);
        let recalled = node.recall(&subject).await.expect("it is not remembered");
        assert_eq!((recalled.number, &recalled.bytes), (word.number, &word.bytes));
        assert!(recalled.expires_in <= long && recalled.expires_in > long / 2 && word.number > last);
        assert_eq!(node.kept(&subject, 0).await.words.len(), round + 1);
        node.remember(&subject, "remembered alone", long).await;
        let alone = node.hear().await;
        assert!(alone.number > Some(word.number) && alone.previous.is_none());
        last = alone.number.unwrap();
    }
    node.remember(&subject, "short", Duration::from_millis(1)).await;
    within(async { while node.recall(&subject).await.is_some() {} }).await;
    assert!(within(node.adapter.note_miss(&subject, long)).await.unwrap());
    node.keep(&subject, "both", &both).await;
    node.keep(&subject, "kept alone", &KEEPS_MUCH).await;
    assert_eq!(node.recall(&subject).await.unwrap().bytes, "both");
}

pub(crate) async fn streams_are_away_with_the_engine_and_gone_with_it<E: ContractEngine>() {
    let mut engine = E::start().await;
    let mut node = ContractNode::join(&engine).await;
    // Of several servers one is enough: some are on it.
    let subjects: Vec<Subject> = (0..32).map(|n| channel(&format!("kept-{n}"))).collect();
    let mut before = Vec::new();
    for subject in &subjects {
        node.subscribe(subject).await;
        node.keep(subject, "before", &KEEPS_MUCH).await;
        before.push(as_kept(&node.hear().await));
    }
    let known = node.up().await;
    engine.halt();
    let mut link = node.adapter.link();
    within(link.wait_for(|link| matches!(link, Link::Away { .. }))).await.unwrap();
    let (ticket, taken) = oneshot::channel();
    node.adapter.publish_and_keep(&subjects[0], Bytes::new(), &KEEPS_MUCH, Some(ticket.into())).unwrap();
    assert_eq!(within(taken).await, Ok(Err(EngineError::Away)));
    assert_eq!(within(node.adapter.kept(&subjects[0], 0, (1, 1))).await, Err(EngineError::Away));
    engine.go_on();
    assert_eq!(node.up().await, known);
    for (subject, word) in subjects.iter().zip(&before) {
        assert_eq!(node.kept(subject, 0).await.words, std::slice::from_ref(word));
    }
    engine.replace().await;
    within(link.wait_for(|link| matches!(link, Link::Up { engine, .. } if *engine != known))).await.unwrap();
    for (subject, word) in subjects.iter().zip(&before) {
        let page = node.kept(subject, 0).await;
        assert_eq!((page.words.len(), page.last), (0, None));
        node.keep(subject, "after", &KEEPS_MUCH).await;
        let after = as_kept(&node.hear().await);
        assert!(after.previous == 0 && after.number > word.number, "an empty engine does not go back");
    }
}
