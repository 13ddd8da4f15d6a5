//! Requests to the control API, for the fuzz targets.

pub use super::control::fuzzing::{accepts_query, accepts_wait, app_of, faults_of};
