//! Makes lines of the program's events and queues them.

use std::sync::Arc;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::LogLine;
use super::line_queue::LineQueue;
use super::suppressed::CLOSED_PORT_MESSAGES;

/// A layer of `tracing` that queues the program's events as lines, as far as the filter lets them through.
pub(super) struct LogLayer {
    queue: Arc<LineQueue>,
}

impl LogLayer {
    pub(super) fn new(queue: Arc<LineQueue>) -> Self {
        LogLayer { queue }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if CLOSED_PORT_MESSAGES.may_include(event.metadata())
            && CLOSED_PORT_MESSAGES.contains(&LogLine::of(event))
        {
            return;
        }
        if self.queue.admit(event.metadata()) {
            self.queue.push(&LogLine::of(event));
        }
    }
}
