//! How frames come in and go out. A transport carries frames and knows nothing of what they say.

pub(crate) mod admission;
pub(crate) mod client_info;
mod conversation;
pub(crate) mod fallback;
pub(crate) mod stream;
pub(crate) mod websocket;
