//! The header `Forwarded` (RFC 7239), in parts.

/// The elements of a list such as `for="[::1]:8080";proto=https, for=b`, each as its pairs. A comma or semicolon within
/// quotes separates nothing.
pub(super) fn elements(list: &str) -> impl Iterator<Item = Vec<&str>> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let (pairs, more) = first_element(rest?);
        rest = more;
        Some(pairs)
    })
}

/// The pairs of the first element, and what follows the comma behind it.
fn first_element(list: &str) -> (Vec<&str>, Option<&str>) {
    let (mut pairs, mut begun) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in list.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' | ',' if !quoted => {
                pairs.push(&list[begun..at]);
                begun = at + 1;
                if c == ',' {
                    return (pairs, Some(&list[begun..]));
                }
            }
            _ => {}
        }
    }
    pairs.push(&list[begun..]);
    (pairs, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_elements_together() {
        for (list, expected) in [
            ("", &[&[""][..]][..]),
            ("a=b", &[&["a=b"]]),
            ("a=b;c=d, e=f,", &[&["a=b", "c=d"], &[" e=f"], &[""]]),
            ("a=\"b,c;d\";e=f, g", &[&["a=\"b,c;d\"", "e=f"], &[" g"]]),
            ("a=\"b\\\",c\", d", &[&["a=\"b\\\",c\""], &[" d"]]),
            ("a=\"b, c", &[&["a=\"b, c"]]),
        ] {
            assert_eq!(elements(list).collect::<Vec<_>>(), expected, "{list}");
        }
    }
}
