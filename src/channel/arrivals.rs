//! A list in the order of arrival, from which anything is removed as quickly as it was added, on average.

use std::collections::VecDeque;

/// Names an item of one list, as long as the item is on it. A later one is larger.
pub(super) type Ticket = u64;

/// Items in the order in which they were added.
#[derive(Clone, Debug)]
pub(super) struct Arrivals<T> {
    /// Sorted by their tickets. What is removed leaves its place empty; never at either end, and never more than half of
    /// all places.
    places: VecDeque<(Ticket, Option<T>)>,
    present: usize,
    next: Ticket,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Arrivals { places: VecDeque::new(), present: 0, next: 0 }
    }
}

impl<T> Arrivals<T> {
    /// Adds an item behind all others.
    pub(super) fn push(&mut self, item: T) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        if self.places.capacity() == 0 {
            // Most lists hold one item, ever.
            self.places.reserve_exact(1);
        }
        self.places.push_back((ticket, Some(item)));
        self.present += 1;
        ticket
    }

    /// An item, to be changed.
    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let place = self.place(ticket)?;
        self.places[place].1.as_mut()
    }

    /// Removes an item.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<T> {
        let place = self.place(ticket)?;
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

    fn place(&self, ticket: Ticket) -> Option<usize> {
        self.places.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_arrival_whoever_leaves() {
        for leaving in 0..5 {
            let mut list = Arrivals::default();
            let tickets: Vec<Ticket> = "abcde".chars().map(|name| list.push(name)).collect();
            assert_eq!(list.remove(tickets[leaving]), "abcde".chars().nth(leaving));
            assert_eq!(list.remove(tickets[leaving]), None, "gone is gone");
            assert_eq!(list.get_mut(tickets[leaving]), None);
            list.push('f');
            let expected: String = "abcdef".chars().filter(|c| "abcde".find(*c) != Some(leaving)).collect();
            assert_eq!((list.iter().collect::<String>(), list.len()), (expected, 5));
        }
    }

    #[test]
    fn the_places_of_those_who_left_are_at_most_as_many_as_those_who_are_there() {
        let mut list = Arrivals::default();
        let tickets: Vec<Ticket> = (0..10_000).map(|number| list.push(number)).collect();
        for (number, ticket) in tickets.iter().enumerate().filter(|(number, _)| number % 10 != 3) {
            assert_eq!(list.remove(*ticket), Some(number));
            assert!(list.places.len() <= 2 * list.len(), "{} for {}", list.places.len(), list.len());
        }
        assert!(list.iter().eq((3..10_000).step_by(10).collect::<Vec<_>>().iter()));
        for ticket in tickets.iter().skip(3).step_by(10) {
            list.remove(*ticket);
        }
        assert!(list.is_empty() && list.places.capacity() <= 16);
    }
}
