//! A secret that stands in what came. It is looked for in all that is refused, however little else is looked at, for what is
//! refused is shown to others: it costs a digest for each part.

use std::borrow::Cow;
use std::iter::once;

use percent_encoding::percent_decode_str;

use super::cause::Cause;
use super::request::DisputedRequest;
use crate::app::AppRegistry;

/// Parts of one text that are looked at. What somebody pastes in the wrong place has fewer.
const MOST_PARTS: usize = 16;

/// Whether a secret stands in the `auth` of a client: where the key or the signature should be, and also within JSON.
pub(crate) fn told_in_auth(apps: &AppRegistry, auth: &str) -> Option<Cause> {
    let behind_key = auth.split_once(':').map(|(_, rest)| rest);
    told_among(apps, once(auth).chain(behind_key).chain(auth.split([':', '"', '\\'])))
}

/// Whether one is a part of a path, or all of it.
pub(crate) fn told_in_path(apps: &AppRegistry, path: &str) -> Option<Cause> {
    let segments = path.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy());
    told_among(apps, once(Cow::Borrowed(path)).chain(segments))
}

/// Whether one stands in the path of a request or is a value of its query.
pub(crate) fn told_in_request(apps: &AppRegistry, request: &DisputedRequest<'_>) -> Option<Cause> {
    let signature = request.query.get("auth_signature");
    let values = request.query.parameters_to_sign().map(|(_, value)| value);
    told_in_path(apps, request.path).or_else(|| told_among(apps, signature.into_iter().chain(values)))
}

fn told_among(apps: &AppRegistry, parts: impl Iterator<Item = impl AsRef<str>>) -> Option<Cause> {
    let mut parts = parts.filter(|part| !part.as_ref().is_empty()).take(MOST_PARTS);
    let whose = parts.find_map(|part| apps.by_secret(part.as_ref()));
    whose.map(|app| Cause::SecretTold { app: app.id.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::auth::request::Query;

    fn apps() -> AppRegistry {
        AppRegistry::new([App::new("1", "app-key", "app-secret"), App::new("2", "k", "a:b/c+d")]).unwrap()
    }

    fn told(app: &str) -> Option<Cause> {
        Some(Cause::SecretTold { app: app.to_owned() })
    }

    #[test]
    fn a_secret_is_found_wherever_it_was_pasted() {
        for (auth, app) in [
            ("app-secret:00", "1"),
            ("app-key:app-secret", "1"),
            ("app-key: app-secret\n", "1"),
            ("app-secret", "1"),
            ("app-key:app-key:app-secret", "1"),
            ("\"app-secret:00\"", "1"),
            ("{\"auth\":\"app-secret:00\"}", "1"),
            ("\"{\\\"auth\\\":\\\"app-key:app-secret\\\"}\"", "1"),
            ("k:a:b/c+d", "2"),
        ] {
            assert_eq!(told_in_auth(&apps(), auth), told(app), "{auth}");
        }
        for (path, app) in [
            ("/apps/app-secret/events", "1"),
            ("app-secret", "1"),
            ("/app/app%2Dsecret", "1"),
            ("/app/a:b%2Fc+d", "2"),
            ("a:b/c+d", "2"),
        ] {
            assert_eq!(told_in_path(&apps(), path), told(app), "{path}");
        }
        for query in ["auth_key=app-secret", "a=1&auth_signature=app-secret", "auth_timestamp=app%2Dsecret"] {
            let query = &Query::parse(query);
            let request = DisputedRequest { method: "GET", path: "/", query, prefix_taken: None, now: 0 };
            assert_eq!(told_in_request(&apps(), &request), told("1"), "{query:?}");
        }
    }

    #[test]
    fn what_only_resembles_a_secret_is_none() {
        for text in
            ["app-key:00", "app-secrets:00", "app-secret-", "app_secret", "APP-SECRET", "", ":", "///"]
        {
            assert_eq!((told_in_auth(&apps(), text), told_in_path(&apps(), text)), (None, None), "{text}");
        }
        assert_eq!(told_in_auth(&apps(), &format!("{}app-secret", "x:".repeat(MOST_PARTS))), None);
    }
}
