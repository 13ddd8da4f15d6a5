//! What backends send to the pipe, and a rule's `where`, for the fuzz targets.

use serde_json::{Map, Value};

pub use super::wire::fuzzing::{ReadRequest, read};

/// Whether a rule with this `where` takes the payload.
pub fn takes(payload: &str, wanted: &Map<String, Value>) -> bool {
    super::filter::matches(payload, wanted)
}
