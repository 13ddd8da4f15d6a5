//! What one connection is subscribed to.

use std::sync::Arc;

use super::by_channel::ByChannel;

/// The subscribed channels; on presence channels, with the user that joined.
pub(super) type Subscriptions = ByChannel<Option<Arc<str>>>;
