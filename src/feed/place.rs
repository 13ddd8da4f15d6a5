//! Where something happened, in a cluster.

use serde::Serialize;

/// A node, as viewers are told of it. Two nodes may have one name, but never one id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FeedPlace {
    #[serde(rename = "node")]
    pub(crate) id: Box<str>,
    #[serde(rename = "node_name")]
    pub(crate) name: Box<str>,
}

impl FeedPlace {
    /// The node of this id and name.
    pub(crate) fn new(id: &str, name: &str) -> Self {
        FeedPlace { id: id.into(), name: name.into() }
    }

    /// Whether it is called so.
    pub(super) fn is(&self, called: &str) -> bool {
        *self.id == *called || *self.name == *called
    }
}
