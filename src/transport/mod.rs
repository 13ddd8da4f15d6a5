//! How frames come in and go out. A transport carries frames and knows nothing of what they say.

pub mod websocket;
