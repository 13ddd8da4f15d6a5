//! Paths as all who look at them see them.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The segments of a path, decoded; whatever looks at a path looks at these. Bytes that are no UTF-8 become a character
/// that no name may hold.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy())
}
