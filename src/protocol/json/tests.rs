//! Values as they pass through.

use serde_json::value::RawValue;

use super::*;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[test]
fn a_string_passes_to_the_byte_and_is_measured_unescaped() {
    let table = [
        (r#""""#, 0),
        (r#""abc""#, 3),
        (r#""a\"b\\c\n""#, 6),
        ("\"\u{e9}\"", 2),
        (r#""\u00e9""#, 2),
        (r#""\u20ac""#, 3),
        (r#""\u0041\/""#, 2),
        (r#""\ud83d\ude00!""#, 5),
    ];
    for (text, bytes) in table {
        let value = raw(text);
        let data = Data::relay(&value).unwrap();
        assert_eq!((data.literal(), data.bytes()), (text, bytes), "{text}");
        assert_eq!(serde_json::from_str::<String>(text).unwrap().len(), bytes, "{text}");
    }
}

#[test]
fn half_a_character_is_refused() {
    for text in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#""\ud83dx\ude00""#] {
        assert_eq!(Data::relay(&raw(text)), Err(Unrelayable::LoneSurrogate), "{text}");
    }
}

#[test]
fn any_other_value_becomes_the_string_of_its_compact_text() {
    let table = [
        (r#"{ "on" : true }"#, r#"{"on":true}"#),
        ("[1, 2.50 ,\n-3e9]", "[1,2.50,-3e9]"),
        ("null", "null"),
        (r#"{"a b":" c\" \\ "}"#, r#"{"a b":" c\" \\ "}"#),
        (r#"["\ud800", ""]"#, r#"["\ud800",""]"#),
        ("1e400", "1e400"),
    ];
    for (text, inner) in table {
        let value = raw(text);
        let data = Data::relay(&value).unwrap();
        let decoded: String = serde_json::from_str(data.literal()).unwrap();
        assert_eq!((decoded.as_str(), data.bytes()), (inner, inner.len()), "{text}");
    }
}

#[test]
fn depth_is_bounded_where_a_client_would_have_to_follow() {
    let nested = |n: usize| raw(&format!("{}{}", "[".repeat(n), "]".repeat(n)));
    assert!(Data::relay(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(Data::relay(&nested(MAX_DEPTH + 1)), Err(Unrelayable::TooDeep));
    assert_eq!(Data::relay(&nested(10_000)), Err(Unrelayable::TooDeep));
}

#[test]
fn members_are_found_by_name_and_the_last_one_counts() {
    let [a, b] = members(r#"{"a":1,"x":{"a":2},"\u0061":[3],"c":4}"#, ["a", "b"]).unwrap();
    assert_eq!(a.unwrap().get(), "[3]");
    assert!(b.is_none());
    for bad in ["", "[]", "1", "\"a\"", "{\"a\":}", "{\"a\":1", "{} {}", "{a:1}"] {
        assert!(members(bad, ["a"]).is_err(), "{bad}");
    }
}

#[test]
fn deep_nesting_in_a_member_is_carried_without_recursion() {
    let text = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(members(&text, ["a"]).unwrap()[0].is_some());
    assert!(members(&text, ["b"]).unwrap()[0].is_none());
}

#[test]
fn text_is_quoted_as_serde_would() {
    for text in ["", "plain", "q\"b\\n\n\r\t\0\u{1f}é€😀"] {
        assert_eq!(serde_json::from_str::<String>(&string_literal(text)).unwrap(), text);
    }
    assert_eq!(as_string(&raw(r#""a\u0062""#)).as_deref(), Some("ab"));
    assert_eq!(as_string(&raw("1")), None);
    assert_eq!(as_string(&raw(r#""\ud800""#)), None);
}
