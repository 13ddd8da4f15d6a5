//! The node as a whole: whether it should be sent new clients. It knows what bounds the hub and the connections, and none
//! of those who ask.

mod readiness;

pub(crate) use readiness::{Readiness, Ready, Unready};
