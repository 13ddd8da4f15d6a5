//! The pipe.

mod pattern;
mod rule;

pub use pattern::{BadPattern, Pattern};
pub use rule::{BadRule, RuleSpec};
