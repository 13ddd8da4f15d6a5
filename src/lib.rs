//! heliostat, skeleton.
pub mod app;
pub mod pipe;
