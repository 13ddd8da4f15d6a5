//! What nodes tell each other of clients' names by way of the engine, where anybody may write who can reach it.

use heliostat::tools::fuzzing::recovery::read;

pub(crate) fn target(data: &[u8]) {
    let Some(read) = read(data) else { return };
    assert!(read.again_is_equal, "{read:?}");
    // There is no longer way to say it than ours, so nothing that is read is larger than it came.
    assert!(read.again.len() <= data.len(), "{read:?}");
    assert!(2 * read.entries <= data.len(), "{read:?}");
}
