//! Every signed string of the protocol: how it is put together, signed and verified.
//!
//! All signatures are HMAC-SHA256 in lower-case hexadecimal, and all comparisons take constant time. Nothing here
//! knows sockets or HTTP frameworks; the clock is an argument.

pub mod channel;
mod encryption;
mod query;
pub mod request;
mod secret;
mod signature;
pub mod user;
pub mod webhook;

pub use encryption::EncryptionMasterKey;
pub use secret::is_secret;
pub use signature::{sign, split, verify};
