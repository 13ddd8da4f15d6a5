//! heliostat, skeleton.
pub mod app;
pub mod auth;
pub mod config;
pub mod pipe;
pub mod protocol;
