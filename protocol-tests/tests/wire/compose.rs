//! Compose files that were written for soketi: with only the line of the image replaced, the container is healthy.
//!
//! The broker runs with the variables of such a file and of its own image, and is asked as the file's health check asks, with
//! wget, from within. Only the ports are others, because those of the files may be taken here.

use std::process::Command;
use std::sync::Arc;

use heliostat_protocol_tests::broker::Broker;
use heliostat_protocol_tests::{Credentials, Target, skipped};

/// What the image sets.
const IMAGE: (&str, &str) = ("HELIOSTAT_SERVER_HOST", "0.0.0.0");

/// Runs a health check, and insists that the container is healthy.
#[track_caller]
fn probe(arguments: &[&str], url: &str) {
    match Command::new("wget").args(arguments).arg(url).output() {
        Ok(probed) => assert!(probed.status.success(), "{url}: {probed:?}"),
        Err(error) => eprintln!("not probed, because there is no wget here: {error}"),
    }
}

/// A client of the application gets in, and a backend's event comes to it.
#[track_caller]
fn serves(broker: &Arc<Broker>, [id, key, secret]: [&str; 3]) {
    let target = Target::at(Arc::clone(broker), Credentials::new(id, key, secret));
    let mut client = target.connect();
    client.subscribe("orders");
    target.publish("orders", "shipped", "{}");
    let _ = client.expect_on("orders", "shipped");
}

/// Coolify's compose file asks `GET /ready` on the port of the clients.
///
/// Proves: pages.
#[test]
fn coolifys_container_is_healthy() {
    if skipped("it is about variables of the broker's own process") {
        return;
    }
    let variables = [
        IMAGE,
        ("SOKETI_DEBUG", "false"),
        ("SOKETI_DEFAULT_APP_ID", "coolify"),
        ("SOKETI_DEFAULT_APP_KEY", "a-key"),
        ("SOKETI_DEFAULT_APP_SECRET", "a-secret"),
    ];
    let broker = Arc::new(Broker::start_with(None, &[], &variables));
    let named = broker.await_line("heliostat read ");
    for (name, _) in &variables[1..] {
        assert!(named.contains(name), "{named}");
    }
    probe(&["-qO-"], &format!("http://localhost:{}/ready", broker.port()));
    serves(&broker, ["coolify", "a-key", "a-secret"]);
}

/// Laravel Sail's stub asks `GET /` on the port of the metrics, which is the admin listener's.
///
/// Proves: pages.
#[test]
fn laravel_sails_container_is_healthy() {
    if skipped("it is about variables of the broker's own process") {
        return;
    }
    let variables = [
        IMAGE,
        ("SOKETI_DEBUG", "1"),
        ("SOKETI_METRICS_ENABLED", "1"),
        ("SOKETI_METRICS_SERVER_PORT", "0"),
        ("SOKETI_DEFAULT_APP_ENABLED", "1"),
        ("SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", "false"),
        ("SOKETI_DEFAULT_APP_ID", "app-id"),
        ("SOKETI_DEFAULT_APP_KEY", "app-key"),
        ("SOKETI_DEFAULT_APP_SECRET", "app-secret"),
    ];
    let broker = Arc::new(Broker::start_with(None, &[], &variables));
    let line = broker.await_line("heliostat serves the admin listener on http://");
    let port = line.trim().rsplit(':').next().unwrap_or_default();
    probe(&["--no-verbose", "--spider"], &format!("http://localhost:{port}"));
    serves(&broker, ["app-id", "app-key", "app-secret"]);
}
