//! What SockJS asks for beside its sessions: what the server can do, and the page from which it reaches across
//! origins.

use std::time::{Duration, SystemTime};

use actix_web::http::header::{self, HttpDate};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use md5::{Digest, Md5};
use rand::RngExt;
use serde_json::json;

use crate::auth::request::Query;

/// How long what never changes may be kept, in seconds.
pub(super) const YEAR_SECONDS: u64 = 365 * 24 * 60 * 60;

/// What the server can do. The number is for clients that have no source of chance of their own.
pub(super) fn info(hostname: &str) -> HttpResponse {
    let entropy: u32 = rand::rng().random();
    let mut info =
        json!({ "websocket": true, "origins": ["*:*"], "cookie_needed": false, "entropy": entropy });
    if !hostname.is_empty() {
        info["hostname"] = json!(hostname);
    }
    uncached(HttpResponse::Ok().content_type("application/json; charset=UTF-8")).body(info.to_string())
}

/// The page that a client puts into a hidden frame. It holds nothing but the script of SockJS.
pub(super) fn iframe(request: &HttpRequest, default_script: &str) -> HttpResponse {
    let query = Query::parse(request.query_string());
    let script = query.get("js_path").filter(|path| is_pushers_own(path)).unwrap_or(default_script);
    let page = page(script);
    let tag = format!("\"{}\"", hex::encode(Md5::digest(page.as_bytes())));
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag || known.trim() == "*")) {
        return HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish();
    }
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/html; charset=UTF-8").insert_header((header::ETAG, tag));
    cached(&mut answer).body(page)
}

/// Lets an answer be kept for a year.
pub(super) fn cached(answer: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    let expires = HttpDate::from(SystemTime::now() + Duration::from_secs(YEAR_SECONDS));
    answer
        .insert_header((header::CACHE_CONTROL, format!("public, max-age={YEAR_SECONDS}")))
        .insert_header((header::EXPIRES, expires.to_string()))
}

/// Pages name the script they use themselves. Only the copies on pusher-js's own site are believed: any other script
/// would run with the rights of this origin.
fn is_pushers_own(script: &str) -> bool {
    let path =
        ["https://js.pusher.com/", "http://js.pusher.com/"].iter().find_map(|site| script.strip_prefix(site));
    let version =
        path.and_then(|path| path.strip_suffix("/sockjs.min.js").or_else(|| path.strip_suffix("/sockjs.js")));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    version.is_some_and(|version| !version.is_empty() && version.bytes().all(allowed))
}

fn page(script: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n  \
         <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
         <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n  \
         <script>\n    document.domain = document.domain;\n    \
         _sockjs_onload = function(){{SockJS.bootstrap_iframe();}};\n  </script>\n  \
         <script src=\"{script}\"></script>\n</head>\n<body>\n  \
         <h2>Don't panic!</h2>\n  \
         <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n</body>\n</html>"
    )
}

/// Keeps an answer from being given twice.
pub(super) fn uncached(answer: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    const NEVER: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";
    answer.insert_header((header::CACHE_CONTROL, NEVER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scripts_of_pusher_js_itself_are_believed() {
        for good in ["https://js.pusher.com/8.4/sockjs.min.js", "http://js.pusher.com/2.2.4/sockjs.js"] {
            assert!(is_pushers_own(good), "{good}");
        }
        for bad in [
            "",
            "https://js.pusher.com/sockjs.js",
            "https://js.pusher.com.evil.example/8/sockjs.js",
            "https://evil.example/8.4/sockjs.min.js",
            "https://js.pusher.com/8.4/\"><script>/sockjs.js",
            "https://js.pusher.com/../8.4/sockjs.js",
            "javascript:alert(1)//sockjs.js",
        ] {
            assert!(!is_pushers_own(bad), "{bad}");
        }
    }
}
