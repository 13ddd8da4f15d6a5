//! Suppresses messages of a library about what we do on purpose, while we do it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Metadata;

use super::line::LogLine;

/// Messages of a library that are left out of the log while they are expected.
#[derive(Debug)]
pub(crate) struct ExpectedMessages {
    /// The part of the library.
    target: &'static str,
    /// How each message begins and ends.
    messages: &'static [(&'static str, &'static str)],
    expecting: AtomicUsize,
}

/// What the thread that accepts connections says of a port that was closed behind its back. That it could not accept for
/// another reason, such as too many open files, is none of these.
pub(crate) static CLOSED_PORT_MESSAGES: ExpectedMessages = ExpectedMessages {
    target: "actix_server::accept",
    messages: &[
        // EINVAL: the socket does not listen.
        ("Error accepting connection: ", "(os error 22)"),
        ("Can not deregister server socket ", ""),
    ],
    expecting: AtomicUsize::new(0),
};

/// The time in which messages are suppressed. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the time at once"]
pub(crate) struct SuppressionGuard(&'static ExpectedMessages);

/// From now on these messages are left out of the log.
pub(crate) fn suppress_messages(messages: &'static ExpectedMessages) -> SuppressionGuard {
    messages.expecting.fetch_add(1, Ordering::SeqCst);
    SuppressionGuard(messages)
}

impl Drop for SuppressionGuard {
    fn drop(&mut self) {
        self.0.expecting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ExpectedMessages {
    /// Whether an event with this metadata may be one, as far as they are expected now.
    pub(super) fn may_include(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == self.target && self.expecting.load(Ordering::SeqCst) > 0
    }

    /// Whether this line is one.
    pub(super) fn contains(&self, line: &LogLine) -> bool {
        let message = line.message();
        self.messages.iter().any(|(begin, end)| message.starts_with(begin) && message.ends_with(end))
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn only_what_a_closed_port_makes_the_library_say_is_a_complaint_of_it() {
        for (message, is_one) in [
            ("Error accepting connection: Invalid argument (os error 22)", true),
            ("Can not deregister server socket No such file or directory (os error 2)", true),
            ("Error accepting connection: Too many open files (os error 24)", false),
            ("No workers", false),
        ] {
            let line = LogLine::new(Level::ERROR, "actix_server::accept", message);
            assert_eq!(CLOSED_PORT_MESSAGES.contains(&line), is_one, "{message}");
        }
    }
}
