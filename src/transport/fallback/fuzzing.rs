//! Paths and bodies of the HTTP transports, for the fuzz targets.

use std::time::{Duration, Instant};

use super::endpoint::FallbackEndpoint;
use super::introduction::IntroducedPath;
use super::message_body;
use super::response_format::{ResponseFormat, is_callback};
use super::send_order::SendOrder;
use crate::recovery::GivenName;

/// The messages of a body: SockJS's, a form's, and a frame's of a WebSocket.
pub fn messages(body: &[u8]) -> [Option<Vec<String>>; 3] {
    let framed = std::str::from_utf8(body).ok();
    [
        message_body::messages(body).ok(),
        message_body::messages_of_form(body, "application/x-www-form-urlencoded").ok(),
        framed.and_then(|text| message_body::messages_of_frame(text).ok()),
    ]
}

/// Whether something stands at a path, among the sessions or among the statistics.
pub fn is_served(path: &str) -> (bool, bool) {
    (FallbackEndpoint::at(path).is_some(), FallbackEndpoint::of_statistics(path).is_some())
}

/// The key that a client's introduction names.
pub fn key_of(introduction: &str) -> Option<String> {
    IntroducedPath::read(introduction, "/prefix", GivenName::None).named.key.ok().map(|key| key.into_owned())
}

/// A frame within a script that calls the function `callback`, and within a page that does; none if that is no name.
pub fn in_script(callback: &str, frame: &str) -> Option<[Vec<u8>; 2]> {
    let named = is_callback(callback).then(|| callback.to_owned())?;
    let formats = [ResponseFormat::Jsonp(named.clone()), ResponseFormat::HtmlFile(named)];
    Some(formats.map(|format| format.wrap(frame).to_vec()))
}

/// The order in which sends are heard that come with these numbers, bytes, and milliseconds after the one before.
pub fn heard(sends: &[(Option<u64>, usize, u8)]) -> Vec<usize> {
    let mut order = SendOrder::new();
    let mut now = Instant::now();
    let mut heard = Vec::new();
    for (index, (number, bytes, after)) in sends.iter().enumerate() {
        now += Duration::from_millis((*after).into());
        order.take_send(*number, index, *bytes, now);
        heard.extend(std::iter::from_fn(|| order.next(now)));
    }
    while let Some(due) = order.due() {
        heard.extend(std::iter::from_fn(|| order.next(due)));
    }
    heard
}
