//! The ways in which libraries sign the same request, all of which must be let in.

use heliostat_protocol_tests::http::percent_encoded;
use heliostat_protocol_tests::{Target, unique};
use serde_json::json;

use super::{MD5_OF_NOTHING, assert_let_in, event};

/// Names of parameters are signed in lower case, however they are spelled in the URL.
///
/// Proves: 174.
#[test]
fn parameter_names_are_signed_in_lower_case() {
    let target = Target::main();
    let call =
        target.get("/channels").spelled("auth_key", "AUTH_KEY").spelled("auth_version", "Auth_Version");
    let call = call.spelled("auth_timestamp", "auth_TIMESTAMP").spelled("auth_signature", "Auth_Signature");
    assert_let_in(call.query("ZONE", "North"));
    let event = event(&unique("room-"));
    target.post("/events", &event).spelled("body_md5", "Body_MD5").send().assert_empty_object();
}

/// Values are signed as they read after decoding, in whichever of the equivalent ways they were escaped; and
/// where a library signs what it escaped, that is accepted too.
///
/// Proves: 175.
#[test]
fn values_are_signed_decoded() {
    let target = Target::main();
    for sent in ["a%20b%2Cc", "a+b%2Cc", "a+b,c", "%61%20%62%2c%63"] {
        let call = target.get("/channels");
        assert_let_in(call.raw_query(&format!("filter_by_prefix={sent}"), "filter_by_prefix", "a b,c"));
    }
    for sent in ["a%20b%2Cc", "a+b%2Cc", "presence%2D"] {
        let call = target.get("/channels");
        assert_let_in(call.raw_query(&format!("filter_by_prefix={sent}"), "filter_by_prefix", sent));
    }
    let call = target.get("/channels");
    assert_let_in(call.raw_query("z%6Fne=%C3%A9%26%3D%25", "zone", "é&=%"));
}

/// The members of an array parameter are signed one by one in the order given, and the brackets belong to the
/// name.
///
/// Proves: 176, 180.
#[test]
fn array_parameters_are_signed_member_by_member() {
    let target = Target::main();
    let (one, other) = (unique("b-"), unique("a-"));
    let call = target.call("POST", "/events").query("name", "greet").query("data", "hi");
    let call = call.query("channels[]", &one).query("channels[]", &other);
    assert!(
        call.signed_text().contains(&format!("&channels[]={one}&channels[]={other}&")),
        "{}",
        call.signed_text()
    );
    call.send().assert_empty_object();
    let call = target.call("POST", "/events").query("name", "greet").query("data", "hi");
    let call = call.raw_query(&format!("channels%5B%5D={one}"), "channels[]", &one);
    let call = call.raw_query(&format!("channels%5b%5d={other}"), "channels[]", &other);
    call.send().assert_empty_object();
    let swapped = target.call("POST", "/events").query("name", "greet").query("data", "hi");
    let swapped = swapped.raw_query(&format!("channels[]={one}"), "channels[]", &other);
    let swapped = swapped.raw_query(&format!("channels[]={other}"), "channels[]", &one);
    swapped.send().assert_error_beginning(401, "Invalid signature");
}

/// The PHP library signs an array as one value, its members joined by commas, and then sends them one by one,
/// with or without their positions in the brackets.
///
/// Proves: 176.
#[test]
fn array_parameters_may_be_signed_joined_by_commas() {
    let target = Target::main();
    let call = target.get("/channels").raw_query("zones[]=a", "zones", "a,b").unsigned_query("zones[]=b");
    assert_let_in(call);
    let call = target.get("/channels").raw_query("zones%5B0%5D=a", "zones", "a,b,c");
    assert_let_in(call.unsigned_query("zones%5B1%5D=b").unsigned_query("zones%5B2%5D=c"));
    let call = target.get("/channels").raw_query("zones[]=a", "zones", "a,b").unsigned_query("zones[]=c");
    call.send().assert_error_beginning(401, "Invalid signature");
}

/// The Python library sends the MD5 of an empty body with a GET; a wrong one is still wrong.
///
/// Proves: 177.
#[test]
fn a_get_may_carry_the_md5_of_nothing() {
    let target = Target::main();
    assert_let_in(target.get("/channels").auth("body_md5", MD5_OF_NOTHING));
    let empty = target.get("/channels/presence-x/users").auth("body_md5", MD5_OF_NOTHING);
    assert_eq!(empty.send().json(), json!({ "users": [] }));
    let wrong = target.get("/channels").auth("body_md5", &"0".repeat(32));
    wrong.send().assert_error_beginning(401, "Invalid body_md5");
}

/// The order of the parameters in the URL means nothing.
///
/// Proves: 171.
#[test]
fn the_order_of_parameters_is_free() {
    let target = Target::main();
    assert_let_in(target.get("/channels").query("filter_by_prefix", "x").query("zone", "1").reversed());
    let event = event(&unique("room-"));
    target.post("/events", &event).reversed().send().assert_empty_object();
}

/// A channel in the path may be escaped or not, and the signature made of either form.
///
/// Proves: 199, 175.
#[test]
fn a_channel_in_the_path_is_signed_as_sent_or_decoded() {
    let target = Target::main();
    let channel = unique("room-@,;=.");
    let mut subscriber = target.connect();
    subscriber.subscribe(&channel);
    let escaped = percent_encoded(&channel);
    let decoded_path = format!("/apps/{}/channels/{channel}", target.credentials.app_id);
    for call in [
        target.get(&format!("/channels/{channel}")),
        target.get(&format!("/channels/{escaped}")),
        target.get(&format!("/channels/{}", escaped.replace("%2C", "%2c"))),
        target.get(&format!("/channels/{}", channel.replace(';', "%3B"))),
        target.get(&format!("/channels/{escaped}")).signed_path(&decoded_path),
    ] {
        assert_eq!(call.clone().send().json(), json!({ "occupied": true }), "{}", call.url());
    }
}
