//! What other nodes say by way of the engine, where anybody may write who can reach it.

use heliostat::tools::fuzzing::cluster::read;

pub(crate) fn target(data: &[u8]) {
    let Some(read) = read(data) else { return };
    assert!(read.again_is_equal, "{read:?}");
    // There is no longer way to say it than ours, so nothing that is read is larger than it came.
    assert!(read.again.len() <= data.len(), "{read:?}");
    // An entry of a table for at least four bytes.
    assert!(read.replica_bytes <= 64 * data.len(), "{read:?}");
    assert!(read.removals >= read.entries, "{read:?}");
}
