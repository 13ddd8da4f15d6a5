//! Apps of one id that follow each other: one that was removed may still have connections that are being closed when another
//! one is added by its id. Other nodes know an app by its id alone, so only the last one tells them anything.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::hub::AppIndex;

use super::AppState;

/// Which app of an id is the last one. Those that follow each other share it.
#[derive(Debug)]
pub(in crate::hub) struct Succession(Mutex<LastOfItsId>);

#[derive(Debug)]
struct LastOfItsId {
    last: AppIndex,
    /// It has followed another one, and nobody has told the other nodes.
    is_untold: bool,
}

/// What of an app may be told to the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tellable {
    /// That nothing is true any more of what apps of this id had told before.
    pub(crate) is_renewed: bool,
    /// What becomes true of it. Of one that another has followed, nothing.
    pub(crate) is_last: bool,
}

impl Succession {
    /// Of the first app of its id.
    pub(super) fn of(first: AppIndex) -> Arc<Self> {
        Arc::new(Succession(Mutex::new(LastOfItsId { last: first, is_untold: false })))
    }

    /// Another one follows.
    pub(super) fn follow(&self, next: AppIndex) {
        *self.0.lock() = LastOfItsId { last: next, is_untold: true };
    }
}

impl AppState {
    /// What of the app may be told to the other nodes now: whoever tells it asks under the lock that puts in order what is
    /// told, and tells it.
    pub(crate) fn tellable(&self) -> Tellable {
        let mut last_of = self.succession.0.lock();
        let is_renewed = std::mem::replace(&mut last_of.is_untold, false);
        Tellable { is_renewed, is_last: last_of.last == self.index() }
    }

    /// Whether no other one of its id has followed it.
    pub(crate) fn is_last(&self) -> bool {
        self.succession.0.lock().last == self.index()
    }

    /// Which app of its id is the last one.
    pub(in crate::hub) fn succession(&self) -> &Arc<Succession> {
        &self.succession
    }
}

#[cfg(test)]
mod tests {
    use crate::app::App;
    use crate::connection::ConnectionConfig;
    use crate::hub::Hub;

    use super::*;

    #[test]
    fn of_apps_that_follow_each_other_the_last_one_is_told_of() {
        let app = || App::new("1", "k", "s");
        let hub = Hub::new(vec![(app(), Vec::new())], ConnectionConfig::default(), 1, 0).unwrap();
        let again = || {
            hub.set_apps(Vec::new()).unwrap();
            hub.set_apps(vec![(app(), Some(Vec::new()))]).unwrap();
            hub.state_by_key("k").unwrap()
        };
        let told = |state: &AppState| {
            let Tellable { is_renewed, is_last } = state.tellable();
            (is_renewed, is_last)
        };
        let first = hub.state_by_key("k").unwrap();
        assert_eq!(told(&first), (false, true));
        assert!(first.is_last());
        let second = again();
        assert_eq!(
            [told(&first), told(&second), told(&first)],
            [(true, false), (false, true), (false, false)]
        );
        let third = again();
        assert!(third.is_last() && !second.is_last() && !first.is_last());
        assert_eq!(
            [told(&third), told(&second), told(&first)],
            [(true, true), (false, false), (false, false)]
        );
        drop((first, second, third));
        assert_eq!(told(&again()), (false, true), "nothing was left of those before");
    }
}
