//! Nothing but the place of its tests, and of this: the Rust on the page of snippets compiles.

#[cfg(doctest)]
#[doc = include_str!("../../../../docs/compatibility.md")]
struct Snippets;
