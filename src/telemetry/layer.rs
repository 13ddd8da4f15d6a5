//! From an event to a line in the queue.

use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::expected::OF_CLOSED_PORTS;
use super::line::Line;
use super::queue::Queue;

/// Hears the program's events, as far as the filter lets them through.
pub(super) struct Log {
    queue: Arc<Queue>,
}

impl Log {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Log { queue }
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if OF_CLOSED_PORTS.are_expected_from(event.metadata()) && OF_CLOSED_PORTS.include(&Line::of(event)) {
            return;
        }
        if self.queue.admit(event.metadata()) {
            self.queue.push(&Line::of(event));
        }
    }
}
