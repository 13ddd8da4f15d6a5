//! The HTTP transports: paths, bodies, introductions, scripts, and the order of what is sent.

use heliostat::tools::fuzzing::fallback;
use serde_json::Value;

use crate::two_texts;

pub(crate) fn target(data: &[u8]) {
    order(data);
    bodies(data);
    let Some((first, second)) = two_texts(data) else { return };
    let (session, statistics) = fallback::is_served(first);
    assert!(!session || first.is_empty() || first.starts_with('/'), "{first:?}");
    assert!(!statistics || !first.starts_with('/'), "{first:?}");
    if let Some(key) = fallback::key_of(first) {
        let path = serde_json::from_str::<Value>(first).expect("an introduction is JSON")["path"].clone();
        assert!(path.as_str().is_some_and(|path| path.contains("/app/")) && !key.is_empty(), "{first:?}");
    }
    scripts(first, second);
}

fn bodies(data: &[u8]) {
    let [body, _, framed] = fallback::messages(data);
    let wanted = serde_json::from_slice::<Vec<String>>(data).ok();
    if wanted.is_some() || data.first() == Some(&b'{') {
        assert_eq!((&body, &framed), (&wanted, &wanted));
    }
    let form: Vec<u8> = [b"d=", percent_encoded(data).as_bytes()].concat();
    let [_, form, _] = fallback::messages(&form);
    // In a form, bytes that are no text become replacement characters.
    if std::str::from_utf8(data).is_ok() {
        assert_eq!(form, body);
    }
}

fn percent_encoded(data: &[u8]) -> String {
    url::form_urlencoded::byte_serialize(data).collect()
}

/// Nothing in a frame ends the call that it stands in, or the page's script.
fn scripts(callback: &str, frame: &str) {
    let Some([script, page]) = fallback::in_script(callback, frame) else { return };
    let script = String::from_utf8(script).expect("a script is text");
    let call = script.strip_prefix(&format!("/**/{callback}(")).and_then(|rest| rest.strip_suffix(");\r\n"));
    let call = call.expect("the frame stands in a call");
    assert_eq!(serde_json::from_str::<String>(call).ok().as_deref(), Some(frame));
    assert!(!call.contains(['<', '\u{2028}', '\u{2029}']), "{call}");
    assert_eq!(page.iter().filter(|byte| **byte == b'<').count(), 2);
}

/// Everything that is sent is heard once; and what comes with numbers that follow each other is heard in their order.
fn order(data: &[u8]) {
    let sends: Vec<_> = data
        .chunks_exact(3)
        .map(|send| {
            let number = (send[0] < 0xf0).then(|| u64::from(send[0] % 64));
            (number, usize::from(send[1]) * 1024, send[2] % 16)
        })
        .collect();
    let mut heard = fallback::heard(&sends);
    heard.sort_unstable();
    assert!(heard.into_iter().eq(0..sends.len()), "{sends:?}");
}
