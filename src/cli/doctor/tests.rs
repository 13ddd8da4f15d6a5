//! The checks against servers that are there: a broker, and a port that says nothing.

use std::net::TcpListener;
use std::time::Duration;

use super::finding::{Finding, Mark};
use super::*;
use crate::cli::remote::GivenApp;
use crate::testing::Broker;

/// The checks of the way itself, which need nothing but a place and an app: those that stand first.
const WAY: &[&check::Check] = ORDER.first_chunk::<10>().unwrap();

/// What these checks find of a place, with the name of each, and what is printed of it.
async fn examined(url: &str, app: &str, checks: &[&check::Check]) -> (Vec<(&'static str, Finding)>, String) {
    let place = CheckedPlace::read(url).unwrap();
    let app = GivenApp::parse(app, "--app").unwrap();
    let mut visit = Visit::new(place.clone(), place, app, None).unwrap();
    let mut report = Report::new(ReportForm::Plain, &visit.app, None);
    let (mut found, mut printed) = (Vec::new(), String::new());
    examine(checks, &mut visit, Duration::from_secs(60), |check, finding| {
        printed.push_str(&report.lines(check, finding));
        found.push((check, finding.clone()));
        ControlFlow::Continue(())
    })
    .await;
    printed.push_str(&report.end());
    (found, printed)
}

fn marked(found: &[(&'static str, Finding)], mark: Mark) -> Vec<&'static str> {
    found.iter().filter(|(_, finding)| finding.mark == mark).map(|(check, _)| *check).collect()
}

#[tokio::test]
async fn a_broker_that_is_well_is_found_well() {
    let broker = Broker::new().unwrap();
    let app = broker.new_app_with(|app| app.app.client_events = true).unwrap();
    let credentials = format!("{}:{}:{}", app.id(), app.key(), app.secret());
    let (found, printed) = examined(&broker.url(), &credentials, WAY).await;
    let mut unwell = found.iter().map(|(_, finding)| finding).filter(|finding| finding.mark != Mark::Ok);
    // A machine that is busy with other tests may be slow, which is warned of.
    let is_slow = |finding: &Finding| {
        let change = finding.change.as_deref().unwrap_or_default();
        change.contains("people notice this") || change.contains("the first packet was lost")
    };
    assert!(unwell.all(is_slow), "{printed}");
    assert!(WAY.iter().all(|check| found.iter().any(|(name, _)| *name == check.name)), "{printed}");
    assert!(!printed.contains(app.secret()), "{printed}");
}

#[tokio::test]
async fn what_is_wrong_with_credentials_is_found_where_it_shows() {
    let broker = Broker::new().unwrap();
    let app = broker.new_app_with(|app| app.app.client_events = false).unwrap();
    let (id, key, secret) = (app.id(), app.key(), app.secret());
    for (credentials, faults, word) in [
        (format!("{id}:{key}:another-secret"), vec!["signature"], "it is the secret"),
        (format!("{id}0:{key}:{secret}"), vec!["signature"], "another id"),
        (format!("{id}:another-key:{secret}"), vec!["greeting", "signature"], "no app there has this key"),
        (format!("{id}:{key}:{secret}"), vec![], "client_events = true"),
    ] {
        let (found, printed) = examined(&broker.url(), &credentials, WAY).await;
        assert_eq!(marked(&found, Mark::Fault), faults, "{printed}");
        assert!(printed.contains(word), "{printed}");
        assert!(!printed.contains(secret) && !printed.contains("another-secret"), "{printed}");
    }
}

#[tokio::test]
async fn a_port_that_is_closed_or_says_nothing_is_told_and_nothing_else_is_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (found, printed) = examined(&url, "1:key:secret", WAY).await;
    assert_eq!(marked(&found, Mark::Fault), ["tls"], "{printed}");
    assert!(printed.contains("it took the connection and said nothing"), "{printed}");
    assert_eq!(marked(&found, Mark::Skipped).len(), 7, "{printed}");
    drop(listener);
    let (found, printed) = examined(&url, "1:key:secret", WAY).await;
    assert_eq!(marked(&found, Mark::Fault), ["connect"], "{printed}");
    assert!(printed.contains("nothing listens on port"), "{printed}");
}

#[tokio::test]
async fn the_fallbacks_of_a_broker_work_and_pages_of_other_sites_may_use_them() {
    let broker = Broker::new().unwrap();
    let app = broker.new_app_with(|app| app.app.client_events = true).unwrap();
    let credentials = format!("{}:{}:{}", app.id(), app.key(), app.secret());
    let checks = [&names::CHECK, &connect::CHECK, &tls::CHECK, &fallbacks::CHECK, &cors::CHECK];
    let (found, printed) = examined(&broker.url(), &credentials, &checks).await;
    assert_eq!(marked(&found, Mark::Ok).len(), found.len(), "{printed}");
    let all = fallback_transport::FallbackTransport::ALL.map(fallback_transport::FallbackTransport::name);
    assert!(printed.contains(&format!("{}: opened, greeted and subscribed", all.join(", "))), "{printed}");
    assert!(printed.contains("it may, and may read the answers"), "{printed}");
}

#[test]
fn an_app_in_the_place_of_the_address_is_not_shown() {
    let told = |text: &str| read_place(text, "URL").unwrap_err().told;
    assert!(told("1001:app-key:hush").ends_with("got what may be an app: give that by --app"));
    assert!(told("example.com:443").ends_with("got \"example.com:443\", which lacks http:// or https://"));
    assert_eq!(read_place("1001:app-key:hush", "URL").unwrap_err().exit_code, 2);
}

#[test]
fn the_page_that_clients_are_on_is_taken_for_its_origin() {
    for (text, origin) in [
        ("https://Example.com/", "https://example.com"),
        ("https://example.com:443/page?x#y", "https://example.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("capacitor://localhost/", "capacitor://localhost"),
        ("null", "null"),
    ] {
        assert_eq!(read_origin(text).unwrap(), origin);
    }
    for wrong in ["example.com", "example.com:443", "", "*"] {
        assert_eq!(read_origin(wrong).unwrap_err().exit_code, 2, "{wrong}");
    }
}
