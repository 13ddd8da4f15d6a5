//! Requests of backends on the pipe's wire, in each version of its protocol.

use heliostat::tools::fuzzing::pipe::read;
use heliostat::tools::pipe::Dialect;
use serde_json::Value;

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let value = serde_json::from_str::<Value>(text).ok();
    let read = [Dialect::Unversioned, Dialect::V0_2, Dialect::V1_0].map(|dialect| read(text, dialect));
    for read in &read {
        // Everything that is answered is answered under the id that was given.
        let id = read.id.as_ref().map(|id| serde_json::from_str::<Value>(id).ok());
        if let (Some(value), Some(id)) = (&value, &id) {
            assert_eq!(id.as_ref(), value.get("id"), "{text:?}");
        }
        match &read.command {
            Ok(_) => assert!(value.as_ref().is_none_or(|value| value["method"].is_string()), "{text:?}"),
            Err((code, sentence)) => assert!(*code > 0 && !sentence.is_empty()),
        }
        if value.as_ref().is_none_or(|value| !value.is_object()) && read.command.is_ok() {
            // Only where a value cannot be made may one be accepted: nested deeply, or with half a character.
            assert!(value.is_none() && text.trim_start().starts_with('{'), "{text:?}");
        }
    }
    // What an older version understands, a newer one understands as well, but for filters.
    let [old, _, new] = &read;
    let is_subscription = value.as_ref().is_some_and(|value| value["method"] == "subscribe");
    assert!(old.command.is_err() || new.command.is_ok() || is_subscription || value.is_none(), "{text:?}");
}
