//! Complaints of a library about what we do on purpose, which are left out of the log while we do it.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Metadata;

use super::line::Line;

/// What is left out while somebody expects it, and by how many it is expected.
#[derive(Debug)]
pub(crate) struct Complaints {
    /// The part of the library.
    target: &'static str,
    /// How each message begins and ends.
    messages: &'static [(&'static str, &'static str)],
    expecting: AtomicUsize,
}

/// What the thread that accepts connections says of a port that was closed behind its back. That it could not accept for
/// another reason, such as too many open files, is none of these.
pub(crate) static OF_CLOSED_PORTS: Complaints = Complaints {
    target: "actix_server::accept",
    messages: &[
        // EINVAL: the socket does not listen.
        ("Error accepting connection: ", "(os error 22)"),
        ("Can not deregister server socket ", ""),
    ],
    expecting: AtomicUsize::new(0),
};

/// The time in which complaints are expected. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the time at once"]
pub(crate) struct Expecting(&'static Complaints);

/// From now on these complaints are left out of the log.
pub(crate) fn expect_complaints(complaints: &'static Complaints) -> Expecting {
    complaints.expecting.fetch_add(1, Ordering::SeqCst);
    Expecting(complaints)
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.0.expecting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Complaints {
    /// Whether an event with this metadata may be one, as far as they are expected now.
    pub(super) fn are_expected_from(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == self.target && self.expecting.load(Ordering::SeqCst) > 0
    }

    /// Whether this line is one.
    pub(super) fn include(&self, line: &Line) -> bool {
        let said = line.message();
        self.messages.iter().any(|(begin, end)| said.starts_with(begin) && said.ends_with(end))
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
            let line = Line::new(Level::ERROR, "actix_server::accept", message);
            assert_eq!(OF_CLOSED_PORTS.include(&line), is_one, "{message}");
        }
    }
}
