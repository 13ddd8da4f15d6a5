//! Numbers for apps: dense, so that each worker can keep what it has of an app in a list.

use std::sync::Arc;

use parking_lot::Mutex;

/// Names one app of a hub. Its place is given to another app once nothing is left of this one; the generation tells
/// the two apart, so that a command that was under way meanwhile reaches nobody of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppIndex {
    place: u32,
    generation: u32,
}

impl AppIndex {
    /// Its place in a list of all apps.
    pub(super) fn place(self) -> usize {
        self.place as usize
    }
}

/// Which places are taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    state: Mutex<PlaceTable>,
}

#[derive(Debug, Default)]
struct PlaceTable {
    /// How often each place has been taken.
    generations: Vec<u32>,
    free: Vec<u32>,
}

/// A place that is taken as long as this lives.
#[derive(Debug)]
pub(super) struct AppPlace {
    index: AppIndex,
    places: Arc<Places>,
}

impl Places {
    /// Takes a place, one that was left if there is one.
    pub(super) fn take(self: &Arc<Self>) -> AppPlace {
        let mut state = self.state.lock();
        let place = match state.free.pop() {
            Some(place) => place,
            None => {
                state.generations.push(0);
                u32::try_from(state.generations.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let generation = &mut state.generations[place as usize];
        *generation = generation.wrapping_add(1);
        let index = AppIndex { place, generation: *generation };
        AppPlace { index, places: Arc::clone(self) }
    }
}

impl AppPlace {
    pub(super) fn index(&self) -> AppIndex {
        self.index
    }
}

impl Drop for AppPlace {
    fn drop(&mut self) {
        self.places.state.lock().free.push(self.index.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_again_only_when_it_was_left_and_then_by_another_name() {
        let places = Arc::new(Places::default());
        let (first, second) = (places.take(), places.take());
        assert_eq!((first.index().place(), second.index().place()), (0, 1));
        let old = first.index();
        drop(first);
        let third = places.take();
        assert_eq!(third.index().place(), old.place());
        assert_ne!(third.index(), old);
        assert_eq!(places.take().index().place(), 2);
    }
}
