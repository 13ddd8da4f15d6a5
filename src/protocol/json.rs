//! Reads and relays JSON: values are looked at as far as the protocol needs and no further.
//!
//! A payload is never turned into a tree and back. What must be known of it (its length once unescaped, its
//! compact text) is found in one pass over the bytes as they came.

mod data;
mod equal;
mod members;
mod number;
mod relay;
mod strings;

pub use data::Data;
pub use equal::equals;
pub use members::members;
pub use number::{Decimal, first_rounded, is_held_exactly};
pub(in crate::protocol) use relay::relay;
pub(crate) use relay::string_end;
pub use relay::{MAX_DEPTH, Unrelayable, push_compact};
pub use strings::{as_string, is_null, push_string, string_literal};

#[cfg(test)]
mod tests;
