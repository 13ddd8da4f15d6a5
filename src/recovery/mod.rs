//! Who comes back after a gap, and what is kept for it.

mod config;

pub use config::RecoveryConfig;
