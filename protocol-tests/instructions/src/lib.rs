//! A guard against regressions that a busy machine cannot fool: it counts instructions and allocations, not time.
//!
//! * [`paths`]: the hot paths, each as work that can be repeated. [`client`] and [`audience`] set the scene.
//! * [`count`]: how many instructions one operation of a path takes, by valgrind.
//! * [`budgets`]: what each path may take, and what is wrong when it takes something else.
//!
//! `protocol-tests/instructions/check` runs the whole. Allocations are counted by `cargo test`, in
//! `tests/allocations.rs`.
//!
//! Instructions are those of the broker's own code, libraries included. What the kernel does is not in them, nor
//! are cache misses: this guards against code that grew, `docs/performance.md` tells how fast it is.

pub mod audience;
pub mod budgets;
pub mod client;
pub mod count;
pub mod paths;
