//! Values that are replaced while others read them, without a lock.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// A value as it was when it was asked for. It stays the same while it is held, whatever replaces it meanwhile; so
/// hold it for one piece of work and not longer.
pub struct Current<T>(Guard<Arc<T>>);

impl<T> Current<T> {
    pub(super) fn of(value: &ArcSwap<T>) -> Self {
        Current(value.load())
    }

    /// A share of the value, to be held for longer.
    pub fn share(&self) -> Arc<T> {
        Arc::clone(&self.0)
    }
}

impl<T> Deref for Current<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
