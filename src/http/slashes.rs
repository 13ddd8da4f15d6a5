//! Collapses slashes that proxies double where they put a prefix before a path, or take one away.

use actix_http::RequestHead;
use actix_web::http::Uri;

/// Makes one slash of several at the beginning of the path, and after the broker's own prefix.
pub(crate) fn collapse_slashes(head: &mut RequestHead, prefix: &str) {
    let Some(path) = collapsed(head.uri.path(), prefix) else { return };
    let whole = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    if let Ok(uri) = Uri::builder().path_and_query(whole).build() {
        head.uri = uri;
    }
}

/// The path as it should be; `None` if it is so.
fn collapsed(path: &str, prefix: &str) -> Option<String> {
    let single = |path: &str| {
        if path.starts_with("//") { format!("/{}", path.trim_start_matches('/')) } else { path.to_owned() }
    };
    let doubled = |path: &str| path.starts_with("//");
    if !doubled(path) && (prefix.is_empty() || !path.strip_prefix(prefix).is_some_and(doubled)) {
        return None;
    }
    let path = single(path);
    Some(match path.strip_prefix(prefix) {
        Some(below) => format!("{prefix}{}", single(below)),
        None => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_in_front_become_one() {
        for (path, prefix, collapse_slashes) in [
            ("//app/key", "", Some("/app/key")),
            ("///", "", Some("/")),
            ("//x/app/key", "/x", Some("/x/app/key")),
            ("//x//app/key", "/x", Some("/x/app/key")),
            ("/x//app/key", "/x", Some("/x/app/key")),
            ("/x//app/key", "", None),
            ("/app//key", "", None),
            ("/app/key", "/x", None),
            ("*", "", None),
        ] {
            assert_eq!(collapsed(path, prefix).as_deref(), collapse_slashes, "{path} below {prefix:?}");
        }
    }
}
