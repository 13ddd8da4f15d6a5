//! What `sign` and `why` print, on the vectors of the specification.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Signing {
    #[command(subcommand)]
    action: SignAction,
}

#[derive(Parser)]
struct Explaining {
    #[command(subcommand)]
    action: WhyAction,
}

const APP: &str = "--app=1:app-key:app-secret";

fn sign(arguments: &[&str]) -> String {
    let parsed = Signing::try_parse_from(["sign"].iter().chain(arguments)).unwrap();
    run_sign(&parsed.action).unwrap()
}

fn why(arguments: &[&str]) -> (String, bool) {
    let parsed = Explaining::try_parse_from(["why"].iter().chain(arguments)).unwrap();
    run_why(&parsed.action).unwrap()
}

#[test]
fn signatures_are_those_of_the_specification() {
    let told = sign(&["channel", APP, "111.222", "private-room"]);
    let digest = "383bdeb99976476085391ef62e2b622e71e721afdbdd147f163bfed5e267ac74";
    assert_eq!(
        told,
        format!(
            "string to sign  111.222:private-room\nsignature       {digest}\nauth            app-key:{digest}\n"
        )
    );
    let told = sign(&["user", APP, "--json", "111.222", r#"{"id":"u1","user_info":{"name":"Ann"}}"#]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!(told["auth"], "app-key:fca868b63ced7dd778ea202ff4d52a28b4200df34d4aad112a544c40f55057f0");
    let told = sign(&[
        "request",
        APP,
        "--at=1700000000",
        "get",
        "http://h:1/apps/1/channels?filter_by_prefix=presence-&info=user_count",
    ]);
    let digest = "985aebc7e3bd1977bb4ab10e11ad6eba7624244a20ac945c884f459dd1366359";
    assert!(
        told.contains(digest) && told.contains("url             http://h:1/apps/1/channels?auth_key="),
        "{told}"
    );
}

#[test]
fn what_differs_is_named() {
    let signature = "383bdeb99976476085391ef62e2b622e71e721afdbdd147f163bfed5e267ac74";
    let auth = format!("app-key:{signature}");
    let (told, is_right) = why(&["channel", APP, "111.222", "private-room", &auth]);
    assert!(is_right && told.ends_with("the signature is right\n"), "{told}");
    let (told, is_right) = why(&["channel", APP, "--or-socket=111.222", "5.6", "private-room", &auth]);
    assert!(!is_right && told.contains("what differs    the socket id\n"), "{told}");
    let answer = format!("{{\"auth\":\"{auth}\"}}");
    let (told, _) = why(&["channel", APP, "111.222", "private-encrypted-room", &answer]);
    assert!(
        told.contains("string to sign  111.222:private-encrypted-room\nwhat differs    the channel\n"),
        "{told}"
    );
    let (told, _) = why(&["channel", APP, "--json", "111.222", "private-rooms", &auth]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!(told["cause"]["name"], "unknown");
    assert!(!told.to_string().contains(signature) && told["right"] == false, "{told}");
}

#[test]
fn who_begins_is_told_what_was_overlooked() {
    let told = |arguments: &[&str]| why(arguments).0;
    let malformed = told(&["channel", APP, "1.2", "private-a", "abc"]);
    assert!(
        malformed.contains("refused with    Auth value for subscription to private-a is invalid"),
        "{malformed}"
    );
    assert!(malformed.contains("got 3 characters"), "{malformed}");
    let unknown = told(&["channel", APP, "1.2", "private-a", &format!("app-key:{}", "0".repeat(64))]);
    assert!(
        unknown.contains("why             no cause could be proved") && unknown.contains("--or-app"),
        "{unknown}"
    );
    let unsigned = told(&["request", APP, "GET", "/apps/1/channels"]);
    assert!(unsigned.ends_with("refused with    Missing parameter: auth_key\n"), "{unsigned}");
    assert!(sign(&["channel", APP, "1.2", "room"]).contains("note            room is public"));
    assert!(
        sign(&["channel", APP, "1.2", "presence-a"]).contains("note            a presence channel needs")
    );
    assert!(
        sign(&["request", APP, "GET", "/apps/2/channels"])
            .contains("note            the path names the app 2")
    );
    let hidden = told(&["request", APP, "GET", "/apps/1/channels?auth_key=app-secret"]);
    assert!(hidden.contains("what differs    the secret\n") && !hidden.contains("app-secret"), "{hidden}");
}

#[test]
fn a_request_is_explained_with_its_body() {
    let body = r#"{"name":"greet","channel":"room","data":"{\"hi\":1}"}"#;
    let query = "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0\
                 &body_md5=fd9e95c7e308ea6ad8f64e2709c7f1e2\
                 &auth_signature=eb77bfc14cd5dac92813cb2a6074c494de49baf0c0112714461dc05188e0463f";
    let url = format!("https://h/apps/1/events?{query}");
    let at = |seconds: &str, url: &str, body: &str| {
        why(&["request", APP, &format!("--at={seconds}"), "POST", url, body])
    };
    assert!(at("1700000000", &url, body).1);
    let (told, is_right) = at("1700000000", &url, &format!("{body}\n"));
    assert!(!is_right && told.contains("what differs    the body\n"), "{told}");
    let (told, _) = at("1700003600", &url, body);
    assert!(
        told.contains("what differs    the time\nwhy             the clock that signed is 1 h behind"),
        "{told}"
    );
    let (told, _) = at("1700000000", &url.replace("h/apps", "h/x/apps"), body);
    assert!(told.contains("what differs    the path\n"), "{told}");
}
