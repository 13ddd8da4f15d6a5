use super::*;
use crate::hub::app_index::Places;

const MINUTE: Duration = Duration::from_secs(60);

fn of(text: &str) -> PublishFingerprint {
    PublishFingerprint::of([text.as_bytes()])
}

fn id(number: u32) -> IdDigest {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// Two apps.
fn apps() -> [AppIndex; 2] {
    let places = Arc::new(Places::default());
    let both = [places.take(), places.take()];
    both.map(|place| place.index())
}

fn publish(table: &mut PublishTable, app: AppIndex, number: u32, now: Instant, most: usize) {
    assert_eq!(table.claim(app, id(number), of("a"), now), Ok(()), "{number}");
    table.answer(app, id(number), None, now, most);
}

#[test]
fn an_id_is_under_way_then_answered_and_forgotten_in_the_end() {
    let ([app, other], now) = (apps(), Instant::now());
    let mut table = PublishTable::default();
    let answer = Some(Arc::from("{\"channels\":{}}"));
    assert_eq!(table.claim(app, id(1), of("a"), now), Ok(()));
    assert_eq!(table.claim(app, id(1), of("a"), now), Err(EarlierPublish::UnderWay));
    assert_eq!(table.claim(app, id(1), of("b"), now), Err(EarlierPublish::OfAnother));
    assert_eq!(table.claim(other, id(1), of("b"), now), Ok(()), "it belongs to its app");
    table.answer(app, id(1), answer.clone(), now + MINUTE, 10);
    let until = now + 11 * MINUTE;
    let shortly_before = until - Duration::from_millis(1);
    let answered = Err(EarlierPublish::Answered(answer));
    assert_eq!(table.claim(app, id(1), of("a"), shortly_before), answered);
    assert_eq!(table.claim(app, id(1), of("b"), shortly_before), Err(EarlierPublish::OfAnother));
    assert_eq!(
        table.claim(other, id(1), of("b"), until),
        Err(EarlierPublish::UnderWay),
        "however long it takes"
    );
    assert_eq!(table.claim(app, id(1), of("b"), until), Ok(()), "forgotten, though nobody has looked");
    assert_eq!((table.repeated, table.forgotten), (1, 0));
}

#[test]
fn what_was_not_published_leaves_nothing() {
    let ([app, _], now) = (apps(), Instant::now());
    let mut table = PublishTable::default();
    for text in ["a", "b"] {
        assert_eq!(table.claim(app, id(1), of(text), now), Ok(()));
        table.release(app, id(1));
    }
    assert!(table.is_empty());
    publish(&mut table, app, 1, now, 10);
    table.release(app, id(1));
    assert_eq!(
        table.claim(app, id(1), of("a"), now),
        Err(EarlierPublish::Answered(None)),
        "answered for good"
    );
}

#[test]
fn the_oldest_is_forgotten_where_an_app_has_too_many() {
    let ([app, other], now) = (apps(), Instant::now());
    let mut table = PublishTable::default();
    assert_eq!(table.claim(app, id(0), of("a"), now), Ok(()), "under way all the time");
    for number in 1..=5 {
        publish(&mut table, app, number, now, 3);
        publish(&mut table, other, number, now, 100);
    }
    let known: Vec<u32> = (0..=5).filter(|n| table.claim(app, id(*n), of("b"), now).is_err()).collect();
    assert_eq!((known, table.forgotten), (vec![0, 3, 4, 5], 2));
    assert!((1..=5).all(|n| table.claim(other, id(n), of("b"), now).is_err()));
    // A smaller bound holds from the next one on.
    publish(&mut table, other, 6, now, 2);
    let known: Vec<u32> = (1..=6).filter(|n| table.claim(other, id(*n), of("b"), now).is_err()).collect();
    assert_eq!((known, table.forgotten), (vec![5, 6], 6));
}

#[test]
fn bytes_are_bounded_for_an_app_and_for_all() {
    let ([app, other], now) = (apps(), Instant::now());
    let mut table = PublishTable {
        most_bytes_of_app: 3 * (ENTRY_BYTES + 1000),
        most_bytes: 5 * (ENTRY_BYTES + 1000),
        ..PublishTable::default()
    };
    let answer: PublishAnswer = Some("x".repeat(1000).into());
    let mut publish = |app, number| {
        assert_eq!(table.claim(app, id(number), of("a"), now), Ok(()));
        table.answer(app, id(number), answer.clone(), now, 100);
        let known =
            |table: &PublishTable, app| table.apps.get(&app).map_or(0, |publishes| publishes.by_id.len());
        (known(&table, app), known(&table, other), table.forgotten)
    };
    assert_eq!(publish(app, 1), (1, 0, 0));
    assert_eq!(publish(app, 2), (2, 0, 0));
    assert_eq!(publish(app, 3), (3, 0, 0));
    assert_eq!(publish(app, 4), (3, 0, 1), "the app's bound");
    assert_eq!(publish(other, 1).1, 1);
    assert_eq!(publish(other, 2).1, 2);
    assert_eq!(publish(other, 3), (3, 3, 2), "the oldest of all was the first app's");
    assert_eq!(table.size().0, 5);
    assert_eq!(table.apps[&app].by_id.len(), 2);
    table.forget_app(app);
    table.forget_app(other);
    assert!(table.is_empty() && table.bytes == 0 && table.oldest.is_empty());
}

#[test]
fn what_another_process_has_published_is_taken_over() {
    let ([app, other], now) = (apps(), Instant::now());
    let mut table = PublishTable::default();
    publish(&mut table, app, 1, now, 10);
    assert_eq!(table.claim(app, id(2), of("a"), now), Ok(()));
    assert_eq!((table.published(app), table.published(other)), (vec![id(1)], Vec::new()));
    assert_eq!(table.recall(app, id(1), now + MINUTE), Some((of("a"), None, 9 * MINUTE)));
    assert_eq!(table.recall(app, id(1), now + 10 * MINUTE), None);
    assert_eq!(table.recall(app, id(2), now), None, "it is under way");
    let taken: PublishAnswer = Some("b".into());
    for number in 1..=3 {
        table.take(app, (id(number), of("b")), (taken.clone(), now + MINUTE), now, 10);
    }
    assert_eq!(table.recall(app, id(1), now), Some((of("a"), None, 10 * MINUTE)), "what is known here stays");
    assert_eq!(table.claim(app, id(2), of("a"), now), Err(EarlierPublish::UnderWay));
    assert_eq!(table.recall(app, id(3), now), Some((of("b"), taken.clone(), MINUTE)));
    assert_eq!(table.claim(app, id(3), of("b"), now), Err(EarlierPublish::Answered(taken)));
    assert_eq!(
        table.claim(app, id(3), of("c"), now + MINUTE),
        Ok(()),
        "for as long as it was to be known there"
    );
}

#[test]
fn what_is_old_goes_in_pieces_and_gives_its_memory_back() {
    let ([app, _], now) = (apps(), Instant::now());
    let mut table = PublishTable::default();
    for number in 0..1000 {
        publish(&mut table, app, number, now, 10_000);
    }
    // One was published again after its time, before anybody swept.
    let later = now + REMEMBERED_FOR;
    publish(&mut table, app, 0, later, 10_000);
    assert_eq!(
        table.expire(app, later - Duration::from_millis(1), 5),
        1,
        "what was replaced was not to be kept"
    );
    assert_eq!(table.expire(app, later, 600), 600);
    assert_eq!(table.expire(app, later, 600), 399);
    assert_eq!(table.expire(app, later, 600), 0);
    assert_eq!((table.size(), table.forgotten), ((1, ENTRY_BYTES), 0));
    assert!(table.apps[&app].by_id.capacity() < 200 && table.apps[&app].by_age.capacity() < 200);
    assert_eq!(table.expire(app, later + REMEMBERED_FOR, 600), 1);
    assert!(table.is_empty() && table.bytes == 0 && table.oldest.is_empty());
}
