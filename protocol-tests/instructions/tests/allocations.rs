//! How often the hot paths ask the allocator for memory.
//!
//! The counts are exact and the same on every machine. A count that falls is to be written down here; one that
//! rises is a regression, or needs a reason beside it. Growing a buffer counts as one more allocation.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use allocation_counter::measure;

use heliostat::tools::connection::Action;
use heliostat::tools::event::Destination;
use heliostat::tools::protocol::frame_reader::{FrameEvent, FrameReader};
use heliostat::tools::protocol::json::Data;
use heliostat_instructions::audience::Audience;
use heliostat_instructions::client;
use heliostat_instructions::paths::HOT_PATHS;

/// A frame's bytes, and the count of those who share it.
const SHARED_FRAME: u64 = 2;

/// The text of a JSON object as a JSON string: the form in which every client accepts it.
const OBJECT_AS_STRING: u64 = 1;

/// Client events that are counted together.
const EVENTS: u64 = 100;

/// Broadcasts that are counted together, so that what happens only now and then is seen too.
const BROADCASTS: usize = 100;

/// Allocations of [`BROADCASTS`] broadcasts to an audience of this size, each written before the next. Some are made
/// before, so that lists have grown to what they stay at; what it takes to start counting is counted off.
fn broadcast_allocations(audience: usize) -> u64 {
    // A thread can be the worker of one hub only.
    let counted = thread::spawn(move || {
        let audience = Audience::of(audience, &client::channel("news"));
        let event = audience.event("message", Data::of_text("42"));
        let allocations = |times| measure(|| audience.broadcast(times, &event)).count_total;
        let few = allocations(10);
        allocations(10 + BROADCASTS) - few
    });
    counted.join().expect("the broadcasts were delivered")
}

/// Whether ten hear it or a thousand: the frame is allocated, and nothing for any of them.
#[test]
fn a_broadcast_allocates_its_frame_and_nothing_per_delivery() {
    for audience in [1, 10, 1000] {
        let allocations = broadcast_allocations(audience);
        assert_eq!(allocations, SHARED_FRAME * BROADCASTS as u64, "{BROADCASTS} broadcasts to {audience}");
    }
}

/// From the bytes on the sender's socket to nineteen others' being written.
#[test]
fn a_client_event_allocates_its_payload_and_its_frame() {
    let channel = client::channel(client::CHANNEL);
    let audience = Audience::of(20, &channel);
    let now = Instant::now();
    let mut connection = client::subscribed_connection(now);
    let mut reader = FrameReader::new(client::app().limits.inbound_message_bytes(false));
    let sent = client::masked(client::CLIENT_EVENT);
    let mut input = sent.clone();
    let mut say = || {
        input.copy_from_slice(&sent);
        let outcome = reader.feed(&mut input, |event| {
            let FrameEvent::Text(text) = event else { panic!("a text was sent: {event:?}") };
            let action = connection.receive(text, now, &|_, _| false);
            let Some(Action::Accept(mut event)) = action else {
                panic!("a client event was sent: {action:?}")
            };
            // The connection that says it is none of the audience.
            let Destination::Subscribers { except, .. } = &mut event.to else {
                panic!("it is for subscribers: {event:?}")
            };
            *except = Some(audience.someone());
            audience.publish(&event);
            true
        });
        assert_eq!(outcome, Ok(()));
    };
    let mut allocations = |times| {
        let said = async {
            for _ in 0..times {
                say();
                audience.written(19).await;
            }
        };
        measure(|| audience.run(said)).count_total
    };
    // The connection's rate limit is made at its first event.
    allocations(1);
    let few = allocations(10);
    assert_eq!(
        allocations(10 + EVENTS) - few,
        EVENTS * (OBJECT_AS_STRING + SHARED_FRAME),
        "{EVENTS} client events"
    );
}

/// A client's event whose data is a string already passes unchanged.
#[test]
fn reading_a_client_event_allocates_only_what_must_be_rewritten() {
    let now = Instant::now();
    let mut connection = client::subscribed_connection(now);
    let as_it_is = r#"{"event":"client-a","channel":"private-chat-17","data":"as it is"}"#;
    let first = measure(|| assert!(connection.receive(as_it_is, now, &|_, _| false).is_some()));
    assert_eq!(first.count_total, 1, "the connection's rate limit, made at its first event");
    let table = [
        (as_it_is, 0),
        (r#"{"event":"client-a","channel":"private-chat-17","data":{"as":"an object"}}"#, OBJECT_AS_STRING),
        (client::CLIENT_EVENT, OBJECT_AS_STRING),
    ];
    for (text, expected) in table {
        let allocations = measure(|| {
            let action = connection.receive(text, now, &|_, _| false);
            assert!(matches!(black_box(action), Some(Action::Accept(_))));
        });
        assert_eq!(allocations.count_total, expected, "{text}");
    }
}

/// The instruction counts take the same fixtures; here they are only run.
#[test]
fn every_hot_path_does_its_work() {
    let runs = HOT_PATHS.map(|path| (path.name, thread::spawn(move || (path.run)(2))));
    for (name, run) in runs {
        assert!(run.join().is_ok(), "{name}");
    }
}
