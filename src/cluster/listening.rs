//! What this node's backends on the pipe want to hear, and whether the others know.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::event::BackendDemand;
use crate::hub::AppIndex;

/// What the backends of this node want, app by app. Who tells the others holds it, so they are told in order.
#[derive(Debug, Default)]
pub(super) struct OwnDemands(pub(super) Mutex<HashMap<Arc<str>, OwnDemand>>);

/// What they want of one app: something.
#[derive(Debug)]
pub(super) struct OwnDemand {
    /// Of the app by that id which told it last.
    pub(super) of: AppIndex,
    pub(super) demand: Arc<BackendDemand>,
    /// What the others say comes, as far as is known.
    pub(super) is_confirmed: bool,
}
