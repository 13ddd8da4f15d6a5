//! The content of a binary payload, while it is kept to be fetched, and where that is.

use bytes::Bytes;

use super::FeedPlace;

/// Bytes of a binary payload that is kept to be fetched. Of a larger one only its length is told.
pub(crate) const KEPT_PAYLOAD_BYTES: usize = 1024 * 1024;

/// What is before the node and the number of an entry whose payload can be fetched.
const PAYLOADS_PATH: &str = "/console/live/payloads/";

/// A payload that can be fetched for a while.
#[derive(Clone, Debug)]
pub(crate) struct KeptPayload {
    pub(crate) media_type: Box<str>,
    pub(crate) content: Bytes,
}

/// Where the payload of an entry is fetched, at whichever node: it is named by the node that keeps it, unless that is alone, and by
/// the entry's number there.
pub(super) fn payload_path(place: Option<&FeedPlace>, seq: u64) -> Box<str> {
    let node = place.map(|place| format!("{}/", place.id)).unwrap_or_default();
    format!("{PAYLOADS_PATH}{node}{seq}").into()
}

/// The same for what another node has named; none if that is nothing that it keeps itself. Releases that cannot be asked for a
/// payload name no node.
pub(super) fn passed_path(path: &str, place: &FeedPlace) -> Option<Box<str>> {
    let number = path.strip_prefix(PAYLOADS_PATH)?.strip_prefix(&*place.id)?.strip_prefix('/')?;
    Some(payload_path(Some(place), number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_names_what_it_keeps_itself_and_nothing_else() {
        let place = FeedPlace::new("00ff", "a");
        assert_eq!(&*payload_path(None, 7), "/console/live/payloads/7");
        let named = payload_path(Some(&place), 7);
        assert_eq!(&*named, "/console/live/payloads/00ff/7");
        assert_eq!(passed_path(&named, &place), Some(named));
        for other in [
            "/console/live/payloads/7",
            "/console/live/payloads/00fe/7",
            "/console/live/payloads/00ff/",
            "/console/live/payloads/00ff/7/../../../api/status",
            "/console/live/payloads/00ff/18446744073709551616",
            "https://evil.example/console/live/payloads/00ff/7",
            "",
        ] {
            assert_eq!(passed_path(other, &place), None, "{other}");
        }
    }
}
