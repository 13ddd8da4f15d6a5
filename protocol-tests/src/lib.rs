//! Black-box harness.
