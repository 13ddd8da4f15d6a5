//! The example pages, compiled in.

use std::path::{Path, PathBuf};

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::http::content_type_of;

/// Where pusher-js comes from if it is not installed here.
const PUSHER_JS_CDN: &str = "https://js.pusher.com/8.4/pusher.min.js";

/// Where the example's own dependency is installed, seen from the project's top folder.
const INSTALLED_PUSHER_JS: &str = "examples/magic-mirror/node_modules/pusher-js/dist/web/pusher.min.js";

macro_rules! pages {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../examples/magic-mirror/", $name)))),+]
    };
}

/// Every file of the example that a browser asks for.
const PAGES: [(&str, &str); 31] = pages![
    "index.html",
    "stream.html",
    "mirror.html",
    "style.css",
    "binary.js",
    "camera.js",
    "capture-worker.js",
    "capture.js",
    "client.js",
    "clock.js",
    "congestion.js",
    "connection.js",
    "film.js",
    "index.js",
    "memory.js",
    "meter.js",
    "mirror.js",
    "page.js",
    "qr.js",
    "reconnect.js",
    "refusal.js",
    "sender.js",
    "settings.js",
    "share.js",
    "snippets.js",
    "sound.js",
    "stream.js",
    "streams.js",
    "test-picture.js",
    "video.js",
    "webcodecs.js",
];

/// The file behind a path segment: pages also go by their name without ending, and the empty one is the index.
fn find(segment: &str) -> Option<(&'static str, &'static str)> {
    let name = if segment.is_empty() { "index" } else { segment };
    PAGES.into_iter().find(|(file, _)| *file == name || file.strip_suffix(".html") == Some(name))
}

/// Whether there is a page under this path segment.
pub(super) fn exists(segment: &str) -> bool {
    find(segment).is_some()
}

/// The page under this path segment.
pub(super) fn page(segment: &str) -> HttpResponse {
    let Some((name, text)) = find(segment) else { return HttpResponse::NotFound().finish() };
    served(content_type_of(name)).body(text)
}

/// pusher-js, for the pages: the configured file, or the example's installed dependency, or a way to the CDN.
pub(super) fn pusher_js(configured: Option<&Path>) -> HttpResponse {
    let path = configured.map_or_else(|| PathBuf::from(INSTALLED_PUSHER_JS), Path::to_path_buf);
    match (std::fs::read(&path), configured) {
        (Ok(script), _) => served("text/javascript; charset=utf-8").body(script),
        (Err(_), None) => HttpResponse::Found().insert_header((header::LOCATION, PUSHER_JS_CDN)).finish(),
        (Err(error), Some(path)) => {
            let sentence =
                format!("development.pusher_js names {}, which cannot be read: {error}\n", path.display());
            HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body(sentence)
        }
    }
}

fn served(content_type: &'static str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer.content_type(content_type).insert_header((header::CACHE_CONTROL, "no-cache"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_example_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/magic-mirror");
        let served = |name: &String| [".html", ".css", ".js"].iter().any(|ending| name.ends_with(ending));
        let files = std::fs::read_dir(folder).unwrap();
        let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = files.filter(served).collect();
        let compiled: BTreeSet<String> = PAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(compiled, files);
    }

    #[test]
    fn pages_go_by_their_short_names() {
        assert_eq!(find("").unwrap().0, "index.html");
        assert_eq!(find("stream").unwrap().0, "stream.html");
        assert_eq!(find("stream.html").unwrap().0, "stream.html");
        assert_eq!(find("stream.js").unwrap().0, "stream.js");
        assert!(find("package.json").is_none() && find("../Cargo.toml").is_none());
    }
}
