//! What a browser shows in place of the credentials once it has shown those: a cookie for the console's pages alone.
//!
//! It holds the time when it ends, signed with a key that is drawn at the start. So nothing is kept for it, and it is worth
//! nothing to another broker, or to this one after its next start.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::app::Secret;
use crate::auth::{sign, verify};

/// The cookie's name.
const COOKIE: &str = "heliostat_console";

/// How long it is good for.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Makes such cookies, and knows its own.
#[derive(Debug)]
pub(super) struct ConsoleSessions {
    key: Secret,
}

impl ConsoleSessions {
    /// With this key.
    pub(super) fn new(key: [u8; 32]) -> Self {
        ConsoleSessions { key: Secret::new(hex::encode(key)) }
    }

    /// A cookie that begins at this time, as a header.
    pub(super) fn begin(&self, unix_seconds: u64) -> Option<HeaderValue> {
        let ends = (unix_seconds + LIFE.as_secs()).to_string();
        let (signature, age) = (sign(&self.key, &ends), LIFE.as_secs());
        let cookie =
            format!("{COOKIE}={ends}.{signature}; Path=/console; Max-Age={age}; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&cookie).ok()
    }

    /// Whether a request shows one that is good at this time.
    pub(super) fn is_shown(&self, headers: &HeaderMap, unix_seconds: u64) -> bool {
        let cookies = headers.get_all(header::COOKIE).filter_map(|line| line.to_str().ok());
        let cookies = cookies.flat_map(|line| line.split(';')).map(str::trim);
        let mut own = cookies.filter_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='));
        own.any(|cookie| {
            let Some((ends, signature)) = cookie.split_once('.') else { return false };
            let is_over = ends.parse::<u64>().map_or(true, |ends| ends <= unix_seconds);
            verify(&self.key, ends, signature) && !is_over
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_time_at_the_broker_that_made_it() {
        let sessions = ConsoleSessions::new([7; 32]);
        let set = sessions.begin(1000).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.ends_with("; Path=/console; Max-Age=43200; HttpOnly; SameSite=Strict"), "{set}");
        let cookie = set.split(';').next().unwrap();
        let shown = |sessions: &ConsoleSessions, cookie: &str, at: u64| {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_str(&format!("a=b; {cookie}")).unwrap());
            sessions.is_shown(&headers, at)
        };
        assert!(shown(&sessions, cookie, 1000) && shown(&sessions, cookie, 44_199));
        assert!(!shown(&sessions, cookie, 44_200), "it is over");
        assert!(!shown(&ConsoleSessions::new([8; 32]), cookie, 1000));
        for wrong in ["heliostat_console=", "heliostat_console=99999999999.", "heliostat_consol=1.2"] {
            assert!(!shown(&sessions, wrong, 1000), "{wrong}");
        }
        assert!(!shown(&sessions, &cookie.replace("44200", "99999"), 1000), "another time");
    }
}
