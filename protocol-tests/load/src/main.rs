//! Loads a Pusher-compatible broker, verifies every delivery, and says what each one cost.
//!
//! One thread and one epoll carry all clients, so that on two cores the server is the bottleneck. Servers are started
//! on one core and this process moves to another. Beside the broker runs the *ceiling*: a program that only writes
//! prepared bytes, so that a figure can be read as a ratio taken in the same minute on the same machine.
#![expect(
    clippy::disallowed_methods,
    reason = "a load has a pace, and the machine has to come to rest between two of them"
)]

mod ceiling;
mod cli;
mod clients;
mod curves;
mod gauge;
mod ledger;
mod load;
mod neighbour;
mod report;
mod run;
mod scenario;
mod server;
mod talker;
mod trace;
mod viewer;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
