//! The console's files, compiled in.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use crate::http::content_type_of;

/// What the pages may do: load what this listener serves, and nothing else; and no page of another site may show them.
pub(super) const PAGE_POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

macro_rules! assets {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("assets/", $name)))),+]
    };
}

/// Every file that a browser asks for.
const ASSETS: &[(&str, &str)] = assets![
    "index.html",
    "api.js",
    "channels.js",
    "chart.js",
    "connections.js",
    "console.css",
    "diff.js",
    "entry.js",
    "feed.js",
    "history.js",
    "icon.svg",
    "live.js",
    "main.js",
    "nodes.js",
    "overview.js",
    "page.js",
    "paged.js",
    "picture.js",
    "pipe.js",
    "send.js",
    "settings.js",
    "snippets.js",
    "users.js",
    "video.js",
    "webhooks.js",
    "why.js",
];

/// The file under this name; the empty one is the page.
fn find(name: &str) -> Option<(&'static str, &'static str)> {
    let name = if name.is_empty() { "index.html" } else { name };
    ASSETS.iter().copied().find(|(file, _)| *file == name)
}

/// Answers a request for a file; `None` if there is no such file.
pub(super) fn answer(request: &HttpRequest, name: &str) -> Option<HttpResponse> {
    let (name, text) = find(name)?;
    let tag = format!("\"{}\"", hex::encode(&digest(text)[..16]));
    let is_known =
        request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::ETAG, tag))
        .insert_header((header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"));
    if is_known {
        return Some(answer.finish());
    }
    Some(answer.content_type(content_type_of(name)).body(text))
}

fn digest(text: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/assets");
        let files = std::fs::read_dir(folder).unwrap();
        let files: BTreeSet<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let compiled: BTreeSet<String> = ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(compiled, files);
    }

    #[test]
    fn nothing_of_a_page_stands_in_the_page() {
        for (name, text) in ASSETS.iter().filter(|(name, _)| name.ends_with(".html")) {
            let scripts = text.matches("<script").count();
            assert_eq!(scripts, text.matches("<script type=\"module\" src=").count(), "{name}: a script");
            let forbidden =
                ["<style", " style=", " onclick=", " onload=", "javascript:", "http://", "https://"];
            let forbidden: Vec<_> = forbidden.iter().filter(|word| text.contains(**word)).collect();
            assert!(forbidden.is_empty(), "{name}: {forbidden:?}");
        }
    }
}
