//! A list in the order of arrival, from which anything is removed as quickly as it was added, on average.

use std::collections::VecDeque;

use super::ChannelVersion;

/// Items in the order in which they were added, each named by the change by which it came.
#[derive(Clone, Debug)]
pub(super) struct Arrivals<T> {
    /// Sorted by their versions. What is removed leaves its place empty; never at either end, and never more than half of
    /// all places.
    places: VecDeque<(ChannelVersion, Option<T>)>,
    present: usize,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Arrivals { places: VecDeque::new(), present: 0 }
    }
}

impl<T> Arrivals<T> {
    /// Adds an item behind all others, by a later change than theirs.
    pub(super) fn push(&mut self, version: ChannelVersion, item: T) {
        debug_assert!(self.places.back().is_none_or(|(last, _)| *last < version), "versions only grow");
        if self.places.capacity() == 0 {
            // Most lists hold one item, ever.
            self.places.reserve_exact(1);
        }
        self.places.push_back((version, Some(item)));
        self.present += 1;
    }

    /// An item.
    pub(super) fn get(&self, version: ChannelVersion) -> Option<&T> {
        self.places[self.place(version)?].1.as_ref()
    }

    /// An item, to be changed.
    pub(super) fn get_mut(&mut self, version: ChannelVersion) -> Option<&mut T> {
        let place = self.place(version)?;
        self.places[place].1.as_mut()
    }

    /// Removes an item.
    pub(super) fn remove(&mut self, version: ChannelVersion) -> Option<T> {
        let place = self.place(version)?;
        let removed = self.places[place].1.take()?;
        self.present -= 1;
        while self.places.front().is_some_and(|(_, item)| item.is_none()) {
            self.places.pop_front();
        }
        while self.places.back().is_some_and(|(_, item)| item.is_none()) {
            self.places.pop_back();
        }
        if self.places.len() > 2 * self.present {
            self.places.retain(|(_, item)| item.is_some());
        }
        if self.places.capacity() > 16 && self.places.len() * 4 < self.places.capacity() {
            self.places.shrink_to(self.places.len() * 2);
        }
        Some(removed)
    }

    /// The items, the first one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|(_, item)| item.as_ref())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.present
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    fn place(&self, version: ChannelVersion) -> Option<usize> {
        self.places.binary_search_by_key(&version, |(version, _)| *version).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_arrival_whoever_leaves() {
        for leaving in 0..5 {
            let mut list = Arrivals::default();
            let versions: Vec<ChannelVersion> = (10..15).map(ChannelVersion::new).collect();
            versions.iter().zip("abcde".chars()).for_each(|(version, name)| list.push(*version, name));
            assert_eq!(list.remove(versions[leaving]), "abcde".chars().nth(leaving));
            assert_eq!(list.remove(versions[leaving]), None, "gone is gone");
            assert_eq!(list.get_mut(versions[leaving]), None);
            list.push(ChannelVersion::new(20), 'f');
            let expected: String = "abcdef".chars().filter(|c| "abcde".find(*c) != Some(leaving)).collect();
            assert_eq!((list.iter().collect::<String>(), list.len()), (expected, 5));
        }
    }

    #[test]
    fn the_places_of_those_who_left_are_at_most_as_many_as_those_who_are_there() {
        let mut list = Arrivals::default();
        let versions: Vec<ChannelVersion> = (0..10_000).map(ChannelVersion::new).collect();
        versions.iter().zip(0..).for_each(|(version, number)| list.push(*version, number));
        for (number, version) in versions.iter().enumerate().filter(|(number, _)| number % 10 != 3) {
            assert_eq!(list.remove(*version), Some(number));
            assert!(list.places.len() <= 2 * list.len(), "{} for {}", list.places.len(), list.len());
        }
        assert!(list.iter().eq((3..10_000).step_by(10).collect::<Vec<_>>().iter()));
        for version in versions.iter().skip(3).step_by(10) {
            list.remove(*version);
        }
        assert!(list.is_empty() && list.places.capacity() <= 16);
    }
}
