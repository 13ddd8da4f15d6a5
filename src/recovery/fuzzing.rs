//! What nodes tell each other of names, for the fuzz targets.

use super::note::NameNote;

/// What was read of a note.
#[derive(Debug)]
pub struct ReadNote {
    /// As this node would write it.
    pub again: Vec<u8>,
    /// Whether the same is read of that.
    pub again_is_equal: bool,
    /// Cursors and connections in it.
    pub entries: usize,
}

/// Reads the note of a name, if it is one.
pub fn read(bytes: &[u8]) -> Option<ReadNote> {
    let note = NameNote::decode(bytes).ok()?;
    let again = note.encode();
    let again_is_equal = NameNote::decode(&again).as_ref() == Ok(&note);
    let entries = note.cursors.len() + note.sockets.len();
    Some(ReadNote { again: again.to_vec(), again_is_equal, entries })
}
