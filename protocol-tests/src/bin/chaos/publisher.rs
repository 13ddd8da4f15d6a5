//! A backend that publishes numbers, waits for each answer, and notes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Instant;

use heliostat_protocol_tests::nodes::pause;
use serde_json::json;

use crate::record::{Event, Publication};
use crate::stage::{Chance, KEPT, ROOMS, Stage, kept};

/// Publishes until the end. What was not answered may have been delivered, or not.
pub(crate) fn publish(stage: &Stage, publisher: usize, mut chance: Chance) -> Vec<Publication> {
    let mut published = Vec::new();
    let mut numbers = [0; ROOMS + KEPT];
    while !stage.is_over() {
        pause();
        let Some(node) = stage.somewhere(&mut chance) else { continue };
        let process = stage.slots[node].process.load(Ordering::SeqCst);
        let room = chance.below(ROOMS + KEPT);
        numbers[room] += 1;
        let event = Event { publisher, number: numbers[room], node };
        let name = if room < ROOMS { format!("room-{room}") } else { kept(room - ROOMS) };
        let body = json!({ "name": "number", "channel": name, "data": event.text() });
        let target = stage.slots[node].target();
        let sent = Instant::now();
        let Ok(answer) = catch_unwind(AssertUnwindSafe(|| target.events(&body))) else { continue };
        // An answer of a node that is being replaced says nothing of the others.
        let gone = process != stage.slots[node].process.load(Ordering::SeqCst)
            || !stage.slots[node].open.load(Ordering::SeqCst);
        if answer.status != 200 && gone {
            continue;
        }
        let answered = Instant::now();
        published.push(Publication { room: name, event, sent, answered, status: answer.status });
    }
    published
}
