//! Fuzz targets for everything in heliostat that is written by hand and reads the bytes of strangers.
//!
//! A target takes any bytes, hands them to the code in question, and panics where that answers something else than a
//! second way of finding the answer: another parser, the same input in pieces, or what was written read again.
//! `protocol-tests/fuzz/run` lets libFuzzer look for such bytes; `cargo test` replays those that are kept in `corpus/`.

mod binary;
mod cluster;
mod control;
mod frames;
mod handshake;
mod inflate;
mod json;
mod messages;
mod names;
mod notes;
mod pipe;
mod requests;
mod sockjs;

/// What is tried on bytes.
pub type Target = fn(&[u8]);

/// Every target, by its name, which is that of its corpus.
pub const TARGETS: [(&str, Target); 13] = [
    ("binary", binary::target),
    ("cluster", cluster::target),
    ("control", control::target),
    ("frames", frames::target),
    ("handshake", handshake::target),
    ("inflate", inflate::target),
    ("json", json::target),
    ("messages", messages::target),
    ("names", names::target),
    ("notes", notes::target),
    ("pipe", pipe::target),
    ("requests", requests::target),
    ("sockjs", sockjs::target),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

/// The bytes as text, and the text up to and after its first line break: for targets that take two texts.
fn two_texts(data: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(data).ok()?;
    Some(text.split_once('\n').unwrap_or((text, "")))
}
