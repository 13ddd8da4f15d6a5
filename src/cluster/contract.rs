//! What every engine must do: one suite for all of them. Nothing here sleeps; what has to happen is waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::adapter::{
    Adapter, Conflict, EngineError, EngineId, Link, NoteName, OtherNote, Remembered, Subject, Word,
};
use super::inbox::{Inbox, Words, inbox};
use crate::channel::NodeId;
use crate::protocol::ChannelName;

mod streams;

pub(crate) use streams::*;

/// Long enough for a slow machine, and for an engine to be found away.
const DEADLINE: Duration = Duration::from_secs(60);

/// An engine of one kind, made for one test.
pub(crate) trait ContractEngine: Sized {
    type Adapter: Adapter;

    /// A new one, empty.
    async fn start() -> Self;

    /// Joins it.
    fn join(&self, inbox: Inbox) -> Self::Adapter;

    /// Makes it answer nobody.
    fn halt(&self);

    /// Lets it go on.
    fn go_on(&self);

    /// Puts an empty one in its place.
    async fn replace(&mut self);
}

/// One test for each rule.
macro_rules! contract {
    ($engine:ty: $($rule:ident)*) => {
        $(#[tokio::test]
        async fn $rule() {
            $crate::cluster::contract::$rule::<$engine>().await;
        })*
    };
    ($engine:ty) => {
        $crate::cluster::contract::contract!($engine:
            words_arrive_in_each_senders_order what_is_confirmed_is_heard_from_then_on
            confirmations_are_matched_in_order what_nobody_wants_comes_to_nobody
            what_is_remembered_has_the_number_of_what_is_heard numbers_never_go_back_when_it_expires what_was_lost_is_restored_where_nothing_has_followed_it the_first_who_misses_something_is_told_from_the_others
            documents_are_written_if_they_have_the_version_expected notes_are_written_if_they_are_as_expected a_halt_is_seen_and_healed
            another_engine_is_seen_as_another a_reader_who_is_held_back_loses_words_and_holds_no_more
            what_is_kept_is_numbered_and_names_what_came_before_it a_stream_keeps_the_newest_within_its_bounds
            the_last_number_of_a_stream_is_known_for_longer_than_what_it_kept a_page_of_a_stream_is_bounded
            what_is_kept_and_remembered_has_one_number streams_are_away_with_the_engine_and_gone_with_it);
    };
}
pub(crate) use contract;

/// A node of a test.
struct ContractNode<E: ContractEngine> {
    adapter: E::Adapter,
    words: Words,
}

impl<E: ContractEngine> ContractNode<E> {
    async fn join(engine: &E) -> Self {
        Self::with_room(engine, 100_000).await
    }

    async fn with_room(engine: &E, max_words: usize) -> Self {
        let (inbox, words) = inbox(max_words, 1 << 30);
        let adapter = engine.join(inbox);
        let node = ContractNode { adapter, words };
        node.up().await;
        node
    }

    /// Waits for the engine; says which it is.
    async fn up(&self) -> EngineId {
        let mut link = self.adapter.link();
        let up = timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Up { .. }))).await;
        match &*up.expect("the link is not up").unwrap() {
            Link::Up { engine, .. } => engine.clone(),
            Link::Away { .. } => unreachable!(),
        }
    }

    async fn subscribe(&self, subject: &Subject) {
        let (ticket, confirmed) = oneshot::channel();
        self.adapter.subscribe(subject, Some(ticket.into()));
        assert_eq!(within(confirmed).await, Ok(Ok(())));
    }

    fn say(&self, subject: &Subject, text: &str) -> oneshot::Receiver<Result<(), EngineError>> {
        let (ticket, taken) = oneshot::channel();
        self.adapter.publish(subject, Bytes::copy_from_slice(text.as_bytes()), Some(ticket.into())).unwrap();
        taken
    }

    async fn remember(&self, subject: &Subject, text: &str, expiry: Duration) {
        let (ticket, taken) = oneshot::channel();
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.adapter.publish_and_remember(subject, bytes, expiry, Some(ticket.into())).unwrap();
        assert_eq!(within(taken).await, Ok(Ok(())));
    }

    async fn hear(&mut self) -> Word {
        within(self.words.next()).await.expect("the engine has gone")
    }

    async fn hear_text(&mut self) -> String {
        String::from_utf8(self.hear().await.bytes.to_vec()).unwrap()
    }

    async fn note(
        &self,
        name: &NoteName,
        expected: Option<&'static str>,
        note: Option<&'static str>,
        expiry: Duration,
    ) -> Result<Result<(), OtherNote>, EngineError> {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let note = note.map(|note| (bytes(note), expiry));
        within(self.adapter.write_note(name, expected.map(bytes), note)).await
    }

    async fn recall(&self, subject: &Subject) -> Option<Remembered> {
        within(self.adapter.recall(subject)).await.unwrap()
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(DEADLINE, what).await.expect("it has not happened in time")
}

fn channel(name: &str) -> Subject {
    Subject::Channel { app: "app".into(), channel: ChannelName::parse(name, 200).unwrap() }
}

pub(crate) async fn words_arrive_in_each_senders_order<E: ContractEngine>() {
    // Heard in parts: an engine whose probes wait for long behind what is heard before them is taken for lost.
    const PARTS: usize = 30;
    const WORDS: usize = 100;
    let engine = E::start().await;
    let (mut one, two) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let subjects = [channel("a"), channel("b"), Subject::State, Subject::Node(NodeId::new(7))];
    for subject in &subjects {
        one.subscribe(subject).await;
    }
    let mut tickets = Vec::new();
    let mut next = std::collections::HashMap::<(Subject, String), usize>::new();
    for part in 0..PARTS {
        for n in part * WORDS..(part + 1) * WORDS {
            for subject in &subjects {
                tickets.push(two.say(subject, &format!("two {n}")));
                tickets.push(one.say(subject, &format!("one {n}")));
            }
        }
        for _ in 0..2 * WORDS * subjects.len() {
            let word = one.hear().await;
            let text = String::from_utf8(word.bytes.to_vec()).unwrap();
            let (from, number) = text.split_once(' ').unwrap();
            let next = next.entry((word.subject, from.to_owned())).or_default();
            assert_eq!((number, word.number), (next.to_string().as_str(), None));
            *next += 1;
        }
    }
    for ticket in tickets {
        assert_eq!(within(ticket).await, Ok(Ok(())));
    }
    // A probe may be on its way.
    within(async {
        while two.adapter.outbox().waiting != (0, 0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(two.adapter.outbox().taken.0, (PARTS * WORDS * subjects.len()) as u64);
}

pub(crate) async fn what_is_confirmed_is_heard_from_then_on<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut hears, says) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    for n in 0..200 {
        let subject = channel(&format!("channel-{n}"));
        hears.subscribe(&subject).await;
        drop(says.say(&subject, "first"));
        let word = hears.hear().await;
        assert_eq!((word.subject, &word.bytes[..]), (subject, &b"first"[..]));
    }
}

pub(crate) async fn confirmations_are_matched_in_order<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut hears, says) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    for n in 0..50 {
        let subject = channel("again");
        let (first, mut first_confirmed) = oneshot::channel();
        let (second, second_confirmed) = oneshot::channel();
        hears.adapter.subscribe(&subject, Some(first.into()));
        hears.adapter.unsubscribe(&subject);
        hears.adapter.subscribe(&subject, Some(second.into()));
        assert_eq!(within(second_confirmed).await, Ok(Ok(())));
        assert_eq!(first_confirmed.try_recv(), Ok(Ok(())), "before the second one");
        drop(says.say(&subject, &n.to_string()));
        assert_eq!(hears.hear_text().await, n.to_string());
        hears.adapter.unsubscribe(&subject);
    }
}

pub(crate) async fn what_nobody_wants_comes_to_nobody<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut hears, says) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let (wanted, left) = (channel("wanted"), channel("left"));
    hears.subscribe(&left).await;
    hears.adapter.unsubscribe(&left);
    hears.subscribe(&wanted).await;
    for _ in 0..100 {
        drop(says.say(&channel("unwanted"), "no"));
        drop(says.say(&left, "no"));
    }
    drop(says.say(&wanted, "yes"));
    assert_eq!(hears.hear_text().await, "yes");
    assert!(hears.words.try_next().is_none() && hears.words.counts().dropped().0 == 0);
}

pub(crate) async fn what_is_remembered_has_the_number_of_what_is_heard<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut one, two) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let subject = channel("cache-a");
    one.subscribe(&subject).await;
    assert_eq!(one.recall(&subject).await, None);
    let long = Duration::from_secs(1000);
    let both = async {
        for n in 0..100 {
            let (of_one, of_two) = (format!("one {n}"), format!("two {n}"));
            tokio::join!(one.remember(&subject, &of_one, long), two.remember(&subject, &of_two, long));
        }
    };
    both.await;
    let mut heard = Vec::new();
    for _ in 0..200 {
        heard.push(one.hear().await);
    }
    let numbers: Vec<u64> = heard.iter().map(|word| word.number.expect("it has none")).collect();
    assert!(numbers.is_sorted() && numbers.iter().collect::<BTreeSet<_>>().len() == 200, "{numbers:?}");
    let last = heard.pop().unwrap();
    for node in [&one, &two] {
        let recalled = node.recall(&subject).await.expect("it is not remembered");
        assert_eq!((Some(recalled.number), &recalled.bytes), (last.number, &last.bytes));
        assert!(recalled.expires_in <= long && recalled.expires_in > long / 2);
    }
    assert_eq!(two.recall(&channel("cache-b")).await, None);
}

pub(crate) async fn what_was_lost_is_restored_where_nothing_has_followed_it<E: ContractEngine>() {
    let engine = E::start().await;
    let mut node = ContractNode::join(&engine).await;
    let (subject, hour) = (channel("cache-a"), Duration::from_secs(3600));
    node.subscribe(&subject).await;
    let restored = async |node: &ContractNode<E>, text: &'static str, over: u64| {
        let bytes = Bytes::from_static(text.as_bytes());
        within(node.adapter.restore(&subject, bytes, hour, over)).await.unwrap()
    };
    assert!(restored(&node, "lost", 0).await);
    let heard = node.hear().await;
    let first = node.recall(&subject).await.expect("it is not remembered");
    assert_eq!((&heard.bytes[..], heard.number), (&b"lost"[..], Some(first.number)));
    assert!(first.bytes == "lost" && first.expires_in <= hour && first.expires_in > hour / 2);
    assert!(!restored(&node, "another", 0).await, "somebody was faster");
    assert!(restored(&node, "the last", first.number).await);
    assert!(node.hear().await.number > Some(first.number));
    node.remember(&subject, "live", hour).await;
    assert!(!restored(&node, "late", first.number).await);
    assert_eq!(node.recall(&subject).await.unwrap().bytes, "live");
    assert_eq!(node.hear_text().await, "live", "nothing else was said");
}

pub(crate) async fn numbers_never_go_back_when_it_expires<E: ContractEngine>() {
    let engine = E::start().await;
    let mut node = ContractNode::join(&engine).await;
    let subject = channel("cache-a");
    node.subscribe(&subject).await;
    let mut before = 0;
    for _ in 0..3 {
        node.remember(&subject, "short", Duration::from_millis(20)).await;
        let number = node.hear().await.number.unwrap();
        assert!(number > before);
        before = number;
        within(async { while node.recall(&subject).await.is_some() {} }).await;
    }
}

pub(crate) async fn the_first_who_misses_something_is_told_from_the_others<E: ContractEngine>() {
    let engine = E::start().await;
    let (one, two) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let (subject, long) = (channel("cache-a"), Duration::from_secs(1000));
    let misses = async |node: &ContractNode<E>| within(node.adapter.note_miss(&subject, long)).await.unwrap();
    assert!(misses(&one).await);
    assert!(!misses(&two).await && !misses(&one).await, "it is known");
    two.remember(&subject, "there", long).await;
    assert!(!misses(&one).await, "it is there");
    two.remember(&subject, "there", Duration::from_millis(1)).await;
    within(async { while two.recall(&subject).await.is_some() {} }).await;
    assert!(misses(&two).await, "it has been forgotten");
    assert!(!misses(&one).await);
}

pub(crate) async fn notes_are_written_if_they_are_as_expected<E: ContractEngine>() {
    let engine = E::start().await;
    let (one, two) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let name = |app: &str, number| NoteName { app: app.into(), number: [number; 16] };
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let long = Duration::from_secs(600);
    let other = |found: Option<&'static str>| Ok(Err(OtherNote(found.map(text))));
    let mine = name("app", 7);
    assert_eq!(one.note(&mine, Some("a"), Some("b"), long).await, other(None));
    assert_eq!(one.note(&mine, None, Some("a\0é"), long).await, Ok(Ok(())));
    for (expected, note) in [(None, Some("b")), (Some("a"), Some("b")), (Some(""), None), (None, None)] {
        assert_eq!(two.note(&mine, expected, note, long).await, other(Some("a\0é")), "{expected:?}");
    }
    assert_eq!(two.note(&mine, Some("a\0é"), Some("b"), long).await, Ok(Ok(())));
    for another in [name("app", 8), name("other", 7)] {
        assert_eq!(one.note(&another, None, Some(""), long).await, Ok(Ok(())));
        assert_eq!(two.note(&another, None, Some("x"), long).await, other(Some("")));
    }
    assert_eq!(one.note(&mine, Some("b"), None, long).await, Ok(Ok(())));
    assert_eq!(two.note(&mine, None, Some("c"), Duration::from_millis(1)).await, Ok(Ok(())));
    within(async { while one.note(&mine, None, Some("d"), long).await != Ok(Ok(())) {} }).await;
    assert_eq!(two.note(&mine, Some("c"), None, long).await, other(Some("d")), "it is another one by now");
}

pub(crate) async fn documents_are_written_if_they_have_the_version_expected<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut one, two) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    one.subscribe(&Subject::Documents).await;
    assert_eq!(within(one.adapter.document("a")).await, Ok(None));
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let first = within(two.adapter.write_document("a", 0, text("1"))).await.unwrap().unwrap();
    assert!(first > 0);
    for expected in [0, first + 1] {
        let refused = within(one.adapter.write_document("a", expected, text("2"))).await;
        assert_eq!(refused, Ok(Err(Conflict { version: first })));
    }
    let second = within(one.adapter.write_document("a", first, text("2"))).await.unwrap().unwrap();
    assert!(second > first);
    within(one.adapter.write_document("b\0:é", 0, text(""))).await.unwrap().unwrap();
    for (key, bytes) in [("a", &b"2"[..]), ("b\0:é", b"")] {
        let document = within(two.adapter.document(key)).await.unwrap().unwrap();
        assert_eq!((&*document.key, &document.bytes[..]), (key, bytes));
        assert!(key != "a" || document.version == second);
    }
    assert_eq!(within(two.adapter.write_document("a", second, None)).await, Ok(Ok(0)));
    let again = within(two.adapter.write_document("a", 0, text("3"))).await.unwrap().unwrap();
    assert!(again > second, "what was removed is not taken for what is new");
    let mut told = Vec::new();
    for _ in 0..5 {
        let word = one.hear().await;
        assert_eq!(word.subject, Subject::Documents);
        told.push((String::from_utf8(word.bytes.to_vec()).unwrap(), word.number.unwrap()));
    }
    let of_a: Vec<u64> = told.iter().filter(|(key, _)| key == "a").map(|(_, version)| *version).collect();
    assert_eq!((of_a, told[2].0.as_str()), (vec![first, second, 0, again], "b\0:é"));
}

pub(crate) async fn a_halt_is_seen_and_healed<E: ContractEngine>() {
    let engine = E::start().await;
    let (mut hears, says) = (ContractNode::join(&engine).await, ContractNode::join(&engine).await);
    let subject = channel("a");
    hears.subscribe(&subject).await;
    let before = hears.up().await;
    engine.halt();
    for node in [&hears, &says] {
        let mut link = node.adapter.link();
        let away = timeout(DEADLINE, link.wait_for(|link| matches!(link, Link::Away { .. }))).await;
        away.expect("nobody sees that the engine is away").unwrap();
        assert_eq!(within(node.say(&subject, "lost")).await, Ok(Err(EngineError::Away)));
        assert_eq!(within(node.adapter.recall(&subject)).await, Err(EngineError::Away));
        assert_eq!(within(node.adapter.document("a")).await, Err(EngineError::Away));
    }
    let while_away = channel("while-away");
    let (ticket, confirmed) = oneshot::channel();
    hears.adapter.subscribe(&while_away, Some(ticket.into()));
    assert_eq!(within(confirmed).await, Ok(Err(EngineError::Away)));
    engine.go_on();
    assert_eq!(hears.up().await, before, "it is the same engine");
    says.up().await;
    for (subject, text) in [(&subject, "back"), (&while_away, "wanted meanwhile")] {
        assert_eq!(within(says.say(subject, text)).await, Ok(Ok(())));
        assert_eq!(hears.hear_text().await, text);
    }
    assert!(says.adapter.outbox().lost >= 1);
}

pub(crate) async fn another_engine_is_seen_as_another<E: ContractEngine>() {
    let mut engine = E::start().await;
    let mut node = ContractNode::join(&engine).await;
    let other = ContractNode::join(&engine).await;
    let (subject, long) = (channel("cache-a"), Duration::from_secs(1000));
    node.subscribe(&subject).await;
    node.remember(&subject, "before", long).await;
    let number = node.hear().await.number.unwrap();
    within(node.adapter.write_document("a", 0, Some(Bytes::new()))).await.unwrap().unwrap();
    let before = node.up().await;
    assert_eq!(other.up().await, before, "all name it alike");
    engine.replace().await;
    for node in [&node, &other] {
        let mut link = node.adapter.link();
        let is_other = |link: &Link| matches!(link, Link::Up { engine, .. } if *engine != before);
        within(link.wait_for(is_other)).await.unwrap();
    }
    assert_eq!(node.up().await, other.up().await);
    assert_eq!(node.recall(&subject).await, None);
    assert_eq!(within(node.adapter.document("a")).await, Ok(None));
    other.remember(&subject, "after", long).await;
    let word = node.hear().await;
    assert_eq!(&word.bytes[..], b"after");
    assert!(word.number.unwrap() > number, "an empty engine does not go back");
}

pub(crate) async fn a_reader_who_is_held_back_loses_words_and_holds_no_more<E: ContractEngine>() {
    let engine = E::start().await;
    // Two of the sixteen are kept for what nodes say of themselves.
    const ROOM: u64 = 14;
    let (mut hears, says) = (ContractNode::with_room(&engine, 16).await, ContractNode::join(&engine).await);
    let subject = channel("a");
    hears.subscribe(&subject).await;
    let said: Vec<_> = (0..1000).map(|n| says.say(&subject, &n.to_string())).collect();
    for taken in said {
        assert_eq!(within(taken).await, Ok(Ok(())), "others are not held back");
    }
    // What comes after it has come before it is answered: the answer is another connection's.
    within(async {
        while hears.words.counts().dropped().0 + ROOM < 1000 {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_eq!(hears.words.counts().waiting_words() as u64, ROOM);
    for n in 0..ROOM {
        assert_eq!(hears.hear_text().await, n.to_string());
    }
    assert_eq!(hears.words.counts().dropped().0, 1000 - ROOM);
    drop(says.say(&subject, "again"));
    assert_eq!(hears.hear_text().await, "again");
}

mod local {
    use super::super::local::{LocalAdapter, LocalEngine};
    use super::{ContractEngine, Inbox};

    impl ContractEngine for LocalEngine {
        type Adapter = LocalAdapter;

        async fn start() -> Self {
            LocalEngine::new()
        }

        fn join(&self, inbox: Inbox) -> LocalAdapter {
            LocalEngine::join(self, inbox)
        }

        fn halt(&self) {
            LocalEngine::halt(self);
        }

        fn go_on(&self) {
            LocalEngine::go_on(self);
        }

        async fn replace(&mut self) {
            self.wipe();
        }
    }

    contract!(LocalEngine);
}
