//! Binary messages: what is read is what is written again, and its JSON form says the same.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use heliostat::tools::protocol::json::{self, Data};
use heliostat::tools::protocol::{BinaryMessage, DATA_URL};
use serde_json::Value;

pub(crate) fn target(data: &[u8]) {
    let Ok(message) = BinaryMessage::parse(data) else { return };
    let mut written = Vec::new();
    message.encode(&mut written);
    assert_eq!(written, data);
    assert_eq!(written.len(), message.encoded_bytes());
    assert!(!message.event.is_empty());

    let (media_type, members) =
        (message.payload.media_type().to_owned(), message.payload.members().to_owned());
    let content = message.payload.content().to_vec();
    let data = Data::of_binary(message.payload);
    assert_eq!(data.bytes(), content.len());
    let literal = serde_json::from_str::<String>(data.literal()).expect("the JSON form is a string");
    assert_eq!(literal, data.text());
    let url = format!("data:{media_type};base64,{}", STANDARD.encode(&content));
    let [found] = json::members(&literal, [DATA_URL]).expect("the JSON form holds an object");
    assert_eq!(found.and_then(json::as_string).as_deref(), Some(url.as_str()));
    // Values are made only where they can be: a number may be too large for one.
    if let Ok(Value::Object(mut all)) = serde_json::from_str(&literal) {
        all.remove(DATA_URL);
        let members = if members.is_empty() { "{}" } else { &members };
        assert_eq!(Value::Object(all), serde_json::from_str::<Value>(members).expect("its members are JSON"));
    }
}
