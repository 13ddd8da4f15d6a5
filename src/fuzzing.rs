//! What the fuzz targets of `protocol-tests/fuzz` call besides the public interface: what reads the bytes of strangers
//! and is private to its module. No part of the interface; anything here may change.

pub use crate::http::fuzzing as http;
pub use crate::pipe::fuzzing as pipe;
pub use crate::test_mode::fuzzing as control;
pub use crate::transport::fallback::fuzzing as fallback;
pub use crate::transport::websocket::fuzzing as websocket;
