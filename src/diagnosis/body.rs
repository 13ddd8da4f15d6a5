//! The body of a request whose signature is right, and whose hash was signed.

use md5::{Digest, Md5};

use super::cause::Cause;
use super::examiner::MOST_BYTES;
use super::json_forms::{JsonForm, in_form};
use super::request::EMPTY_MD5;
use crate::auth::request::{Query, body_hash};

/// Why this body is not the one whose hash was signed, as far as that can be told.
pub(crate) fn cause_of_body(query: &Query, body: &[u8]) -> Option<Cause> {
    let bytes = body.len();
    let Some(given) = query.get("body_md5") else {
        return (bytes > 0).then_some(Cause::BodyNotSigned);
    };
    if bytes == 0 {
        return (given != EMPTY_MD5).then_some(Cause::BodyLost);
    }
    if given == EMPTY_MD5 {
        return Some(Cause::HashOfNothing { bytes });
    }
    let is_of = |text: &str| body_hash(text.as_bytes()) == given;
    if bytes > MOST_BYTES {
        return Some(Cause::BodyChanged { bytes });
    }
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, Md5::digest(body));
    if given.trim().eq_ignore_ascii_case(&body_hash(body)) || given.trim() == base64 {
        return Some(Cause::HashWrittenOtherwise);
    }
    let Ok(text) = std::str::from_utf8(body) else { return Some(Cause::BodyChanged { bytes }) };
    let trimmed = text.trim_end_matches(['\r', '\n']);
    let unix = text.replace("\r\n", "\n");
    let lines = [trimmed.to_owned(), format!("{trimmed}\n"), unix.clone(), unix.replace('\n', "\r\n")];
    if lines.iter().any(|other| is_of(other)) {
        return Some(Cause::BodyLineBreak);
    }
    let mut forms = JsonForm::ALL.into_iter().filter(|form| *form != JsonForm::Quoted);
    let signed = |form: &JsonForm| in_form(text, *form).is_some_and(|other| is_of(&other));
    let reencoded = forms.find(signed).map(Cause::BodyReencoded);
    reencoded.or(Some(Cause::BodyChanged { bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"name":"é/","channel":"room"}"#;

    fn cause(given: Option<&str>, body: &str) -> Option<Cause> {
        let query = Query::of_pairs(given.map(|given| ("body_md5", given)));
        cause_of_body(&query, body.as_bytes())
    }

    fn md5(text: &str) -> String {
        hex::encode(Md5::digest(text))
    }

    #[test]
    fn what_has_become_of_a_body_is_named() {
        let (own, bytes) = (md5(BODY), BODY.len());
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, Md5::digest(BODY));
        for (given, body, expected) in [
            (None, BODY, Cause::BodyNotSigned),
            (Some(own.as_str()), "", Cause::BodyLost),
            (Some(EMPTY_MD5), BODY, Cause::HashOfNothing { bytes }),
            (Some(&own.to_uppercase()), BODY, Cause::HashWrittenOtherwise),
            (Some(&base64), BODY, Cause::HashWrittenOtherwise),
            (Some(&own), &format!("{BODY}\n"), Cause::BodyLineBreak),
            (Some(&md5(&format!("{BODY}\n"))), BODY, Cause::BodyLineBreak),
            (Some(&md5("a\nb")), "a\r\nb", Cause::BodyLineBreak),
            (Some(&md5(&in_form(BODY, JsonForm::Php).unwrap())), BODY, Cause::BodyReencoded(JsonForm::Php)),
            (
                Some(&md5(&in_form(BODY, JsonForm::Python).unwrap())),
                BODY,
                Cause::BodyReencoded(JsonForm::Python),
            ),
        ] {
            assert_eq!(cause(given, body), Some(expected), "{given:?} {body:?}");
        }
    }

    #[test]
    fn another_body_is_only_called_another() {
        for (given, body) in [
            (md5("{\"name\":\"e/\",\"channel\":\"room\"}"), BODY),
            (md5(BODY)[..31].to_owned(), BODY),
            (String::new(), BODY),
            (md5(BODY), "{\"channel\":\"room\",\"name\":\"é/\"}"),
        ] {
            assert_eq!(cause(Some(&given), body), Some(Cause::BodyChanged { bytes: body.len() }), "{given}");
        }
        assert_eq!(cause(None, ""), None);
        assert_eq!(cause(Some(EMPTY_MD5), ""), None);
    }
}
