//! The worked example, every refusal, and what libraries really sign.

use super::*;

const NOW: u64 = 1_353_088_179;
const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
const SIGNED: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
                      &body_md5=ec365a775a4cd0599faeb73354201b6f";
const SIGNATURE: &str = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

fn apps() -> AppRegistry {
    let documentation = App::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
    AppRegistry::new([documentation, App::new("1", "app-key", "app-secret")]).unwrap()
}

fn check(method: &str, path: &str, query: &str, body: &str, now: u64) -> Result<String, RequestAuthError> {
    let paths = [path.into()];
    let query = Query::parse(query);
    let request = SignedRequest { method, paths: &paths, query: &query };
    let app = authenticate(&apps(), &request, now)?;
    check_body(&query, body.as_bytes())?;
    Ok(app.id.clone())
}

/// Proves: 166.
#[test]
fn the_documentations_worked_example_verifies() {
    let query = format!("{SIGNED}&auth_signature={SIGNATURE}");
    assert_eq!(check("POST", "/apps/3/events", &query, BODY, NOW), Ok("3".into()));
    assert_eq!(check("POST", "/apps/3/events", &query, BODY, NOW + 599), Ok("3".into()));
}

#[test]
fn the_parts_may_come_in_any_order_and_case() {
    let query = format!(
        "auth_signature={SIGNATURE}&Body_MD5=ec365a775a4cd0599faeb73354201b6f&AUTH_VERSION=1.0\
         &auth_timestamp=1353088179&auth_key=278d425bdf160c739803"
    );
    assert_eq!(check("POST", "/apps/3/events", &query, BODY, NOW), Ok("3".into()));
}

#[test]
fn checks_are_made_in_order_and_say_what_is_wrong() {
    let key = "auth_key=app-key";
    let table = [
        (String::new(), "Missing parameter: auth_key"),
        ("auth_key=nope".into(), "Unknown auth_key"),
        (key.into(), "Version required"),
        (format!("{key}&auth_version=2.0"), "Version not supported"),
        (format!("{key}&auth_version=1.0"), "Timestamp required"),
        (
            format!("{key}&auth_version=1.0&auth_timestamp=1704067200"),
            "Timestamp expired: Given timestamp (2024-01-01T00:00:00Z) not within 600s of server time \
             (2012-11-16T17:49:39Z)",
        ),
        (
            format!("{key}&auth_version=1.0&auth_timestamp=1353088179&auth_signature=x"),
            "Invalid signature: you should have sent HmacSHA256Hex(\"GET\\n/apps/1/channels\\nauth_key=app-key\
             &auth_timestamp=1353088179&auth_version=1.0\", your_secret_key), but you sent \"x\"",
        ),
    ];
    for (query, message) in table {
        let error = check("GET", "/apps/1/channels", &query, "", NOW).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_window_ends_at_six_hundred_seconds() {
    let query = format!("{SIGNED}&auth_signature={SIGNATURE}");
    for now in [NOW - 600, NOW + 600, 0, u64::MAX] {
        let result = check("POST", "/apps/3/events", &query, BODY, now);
        assert!(matches!(result, Err(RequestAuthError::TimestampExpired { .. })), "{now}");
    }
}

#[test]
fn the_body_is_covered_through_its_hash() {
    let query = format!("{SIGNED}&auth_signature={SIGNATURE}");
    let changed = check("POST", "/apps/3/events", &query, "{}", NOW);
    assert_eq!(changed, Err(RequestAuthError::WrongBodyHash));
}

fn signed(method: &str, path: &str, signed: &str) -> String {
    let secret = crate::app::Secret::new("app-secret");
    crate::auth::sign(&secret, &format!("{method}\n{path}\n{signed}"))
}

#[test]
fn what_official_libraries_sign_is_accepted() {
    let base = format!("auth_key=app-key&auth_timestamp={NOW}&auth_version=1.0");
    // (as sent, as signed)
    let table = [
        ("body_md5=d41d8cd98f00b204e9800998ecf8427e", "body_md5=d41d8cd98f00b204e9800998ecf8427e"),
        ("info=user_count%2Csubscription_count", "info=user_count,subscription_count"),
        ("info=user_count%2Csubscription_count", "info=user_count%2Csubscription_count"),
        ("k=a+b%20c", "k=a b c"),
        ("k[]=v1&k[]=v2", "k[]=v1&k[]=v2"),
        ("k%5B%5D=v1&k%5B%5D=v2", "k=v1,v2"),
        ("k%5B0%5D=v1&k%5B1%5D=v2", "k=v1,v2"),
    ];
    for (sent, to_sign) in table {
        let signature = signed("GET", "/apps/1/channels", &format!("{base}&{to_sign}"));
        let query = format!("{base}&{sent}&auth_signature={signature}");
        assert_eq!(check("GET", "/apps/1/channels", &query, "", NOW), Ok("1".into()), "{sent} as {to_sign}");
    }
}

#[test]
fn dates_are_right_around_leap_days() {
    let table = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_399, "2000-02-28T23:59:59Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (951_868_800, "2000-03-01T00:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ];
    for (seconds, text) in table {
        assert_eq!(date(seconds), text);
    }
}
