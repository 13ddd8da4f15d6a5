//! Each cause is named where it is one, and not where it only looks like it.

use super::super::told_in_request;
use super::*;
use crate::app::{App, Secret};
use crate::auth::request::{SignedRequest, authenticate};
use crate::auth::sign;

const NOW: u64 = 1_700_000_000;
const AUTH: &str = "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0";

fn apps() -> AppRegistry {
    AppRegistry::new([App::new("1", "app-key", "app-secret"), App::new("2", "other-key", "other-secret")])
        .unwrap()
}

/// What came: a request and the text that was signed with this secret instead of what should have been.
struct Came<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    secret: &'a str,
    signed: &'a str,
}

const CAME: Came<'_> =
    Came { method: "GET", path: "/apps/1/channels", query: AUTH, secret: "app-secret", signed: "" };

impl Came<'_> {
    fn cause(&self) -> Option<Cause> {
        self.cause_with(sign(&Secret::new(self.secret), self.signed), None)
    }

    fn cause_with(&self, signature: String, prefix_taken: Option<&str>) -> Option<Cause> {
        let query = Query::parse(&format!("{}&auth_signature={signature}", self.query));
        let apps = apps();
        let paths = [self.path.into()];
        let request = SignedRequest { method: self.method, paths: &paths, query: &query };
        let error = authenticate(&apps, &request, NOW).unwrap_err();
        let disputed =
            DisputedRequest { method: self.method, path: self.path, query: &query, prefix_taken, now: NOW };
        told_in_request(&apps, &disputed).or_else(|| cause_of_request(&apps, &disputed, &error))
    }
}

fn get(parameters: &str) -> String {
    format!("GET\n/apps/1/channels\n{parameters}")
}

#[test]
fn the_secret_and_the_form_are_named() {
    let signed = get(AUTH);
    let with = |secret: &str| Came { secret, signed: &signed, ..CAME }.cause();
    assert_eq!(with("other-secret"), Some(Cause::SecretOfOtherApp { app: "2".into() }));
    assert_eq!(with("app-key"), Some(Cause::KeyAsSecret));
    assert_eq!(with("app-secret\n"), Some(Cause::SecretWithSpace));
    assert_eq!((with("guessed"), with("app-secret\n\n"), with("app-kez")), (None, None, None));
    let right = sign(&Secret::new("app-secret"), &signed);
    assert_eq!(CAME.cause_with(right.to_uppercase(), None), Some(Cause::UpperCase));
    assert_eq!(CAME.cause_with(format!("{right}%0A"), None), Some(Cause::SpaceAround));
    assert_eq!(CAME.cause_with("00".into(), None), Some(Cause::NoDigest { chars: 2 }));
    assert_eq!(CAME.cause_with("app-secret".into(), None), Some(Cause::SecretTold { app: "1".into() }));
    assert_eq!(CAME.cause_with(String::new(), None), None);
}

#[test]
fn the_key_is_looked_at() {
    let with = |key: &str| {
        let query = AUTH.replace("app-key", key);
        Came { query: &query, ..CAME }.cause()
    };
    assert_eq!(with("2"), Some(Cause::IdAsKey { app: "2".into() }));
    assert_eq!(with("other-secret"), Some(Cause::SecretTold { app: "2".into() }));
    assert_eq!(with("APP-KEY"), Some(Cause::AlmostKey { key: "app-key".into() }));
    assert_eq!(with("app-kez"), None);
}

#[test]
fn a_clock_that_is_off_is_told_by_how_much() {
    let at = |time: &str| {
        let query = AUTH.replace("1700000000", time);
        let signed = get(&query);
        Came { query: &query, signed: &signed, ..CAME }.cause()
    };
    let off = |seconds, is_ahead| Some(Cause::Clock { seconds, is_ahead, is_right: true });
    assert_eq!(at("1700003600"), off(3600, true));
    assert_eq!(at("1699999400"), off(600, false));
    assert_eq!(at("1700000000000"), Some(Cause::Milliseconds));
    assert_eq!(at("1600000000000"), off(1_598_300_000_000, true));
    assert_eq!(at("now"), Some(Cause::NoTime));
    let query = AUTH.replace("1700000000", "1700003600");
    let wrong = Came { query: &query, signed: "something else", ..CAME }.cause();
    assert_eq!(wrong, Some(Cause::Clock { seconds: 3600, is_ahead: true, is_right: false }));
}

#[test]
fn another_path_or_method_is_named() {
    let signed_path = |path: &str, signed: &str| {
        Some(Cause::OtherPath { signed: signed.to_owned(), came: path.to_owned() })
    };
    let signed = format!("GET\n/ws/apps/1/channels\n{AUTH}");
    let signature = sign(&Secret::new("app-secret"), &signed);
    let taken = CAME.cause_with(signature.clone(), Some("/ws/"));
    assert_eq!(taken, signed_path(CAME.path, "/ws/apps/1/channels"));
    assert!(taken.unwrap().to_string().ends_with("a proxy took the beginning of the path away"));
    assert_eq!(CAME.cause_with(signature, Some("/x")), None);
    let below = Came { path: "/x/apps/1/channels", signed: &get(AUTH), ..CAME };
    assert_eq!(below.cause(), signed_path(below.path, "/apps/1/channels"));
    let slash = format!("GET\n/apps/1/channels/\n{AUTH}");
    assert_eq!(Came { signed: &slash, ..CAME }.cause(), signed_path(CAME.path, "/apps/1/channels/"));
    let post = get(AUTH).replace("GET", "POST");
    assert_eq!(
        Came { signed: &post, ..CAME }.cause(),
        Some(Cause::OtherMethod { signed: "POST", came: "GET".into() })
    );
    assert_eq!(Came { signed: &get(AUTH).replace("GET", "PUT"), ..CAME }.cause(), None);
    assert_eq!(Came { signed: &get(AUTH).replace('\n', "\\n"), ..CAME }.cause(), Some(Cause::NoLineBreaks));
    assert_eq!(Came { signed: &get(AUTH).replace('\n', " "), ..CAME }.cause(), None);
}

#[test]
fn what_became_of_the_query_is_named() {
    let parameter = |name: &str| name.to_owned();
    let with = |more: &str, signed: &str| {
        let query = format!("{AUTH}{more}");
        Came { query: &query, signed: &get(signed), ..CAME }.cause()
    };
    let unsorted = format!("z=1&{AUTH}");
    let came = Came { query: &unsorted, signed: &get(&unsorted), ..CAME };
    assert_eq!(came.cause(), Some(Cause::Unsorted));
    assert_eq!(with("&z=a%2520b", &format!("{AUTH}&z=a b")), Some(Cause::EncodedTwice));
    assert_eq!(with("&z=a%20b", &format!("{AUTH}&z=a+b")), Some(Cause::SignedEncoded));
    assert_eq!(with("&z=a+b", &format!("{AUTH}&z=a%20b")), Some(Cause::SignedEncoded));
    let reordered = Some(Cause::ArrayReordered { name: "k[]".into() });
    assert_eq!(with("&k[]=b&k[]=a", &format!("{AUTH}&k[]=a&k[]=b")), reordered);
    assert_eq!(with("&k[]=a&k[]=b", &format!("{AUTH}&k[]=b&k[]=a")), reordered);
    assert_eq!(with("&fbclid=1", AUTH), Some(Cause::NotSigned { name: parameter("fbclid") }));
    let missing = |text: &str| Some(Cause::DidNotCome { parameter: parameter(text) });
    assert_eq!(with("", &format!("{AUTH}&body_md5={EMPTY_MD5}")), missing(&format!("body_md5={EMPTY_MD5}")));
    assert_eq!(with("", &format!("{AUTH}&info=user_count")), missing("info=user_count"));
    // Near misses.
    let other_order = format!("auth_version=1.0&z=1&{}", AUTH.trim_end_matches("&auth_version=1.0"));
    assert_eq!(Came { query: &unsorted, signed: &get(&other_order), ..CAME }.cause(), None);
    assert_eq!(with("&z=a%2520b", &format!("{AUTH}&z=a  b")), None);
    assert_eq!(with("&k[]=b&k[]=a&k[]=c", &format!("{AUTH}&k[]=b&k[]=c&k[]=a")), None);
    assert_eq!(with("&fbclid=1", &format!("{AUTH}&fbclid=2")), None);
    assert_eq!(with("", &format!("{AUTH}&info=cache")), None);
    assert_eq!(with(&format!("&z={}", "x".repeat(2 * MOST_BYTES)), AUTH), None);
}
