//! A coarse timer wheel: one per worker, in place of a timer per connection.

use std::time::{Duration, Instant};

/// Items by the time at which to look at them again. An item comes out within one resolution after its time;
/// one that lies beyond the wheel's reach comes out early, and whoever put it in looks and puts it in again.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    slots: Vec<Vec<T>>,
    resolution: Duration,
    start: Instant,
    /// Ticks that have been taken out.
    turned: u64,
    items: usize,
    /// Of a sweep that is under way: the slot, and how many of its items have not been looked at.
    swept: Option<(usize, usize)>,
}

impl<T> Wheel<T> {
    /// Slots of the wheel; its reach is this many resolutions.
    const SLOTS: u64 = 256;

    /// An empty wheel.
    pub(crate) fn new(resolution: Duration, now: Instant) -> Self {
        let slots = (0..Self::SLOTS).map(|_| Vec::new()).collect();
        Wheel { slots, resolution, start: now, turned: 0, items: 0, swept: None }
    }

    /// How often to call [`Wheel::turn`].
    pub(crate) fn resolution(&self) -> Duration {
        self.resolution
    }

    /// Puts an item in.
    pub(crate) fn insert(&mut self, time: Instant, item: T) {
        let tick = self.tick(time).saturating_add(1);
        let tick = tick.clamp(self.turned + 1, self.turned + Self::SLOTS - 1);
        self.slots[(tick % Self::SLOTS) as usize].push(item);
        self.items += 1;
    }

    /// How many items are in it.
    pub(crate) fn len(&self) -> usize {
        self.items
    }

    /// Begins to drop the items that are not to be kept; [`Wheel::sweep`] goes on with it.
    pub(crate) fn begin_sweep(&mut self) {
        self.swept.get_or_insert((0, usize::MAX));
    }

    /// Looks at so many items, and drops those that are not to be kept and the memory they took. Returns whether no sweep
    /// is under way any more. What has been put in meanwhile may be passed over.
    pub(crate) fn sweep(&mut self, mut most: usize, mut keep: impl FnMut(&T) -> bool) -> bool {
        while let Some((number, unswept)) = self.swept {
            let Some(slot) = self.slots.get_mut(number) else {
                self.swept = None;
                break;
            };
            let end = unswept.min(slot.len());
            let begin = end.saturating_sub(most);
            for place in (begin..end).rev() {
                if !keep(&slot[place]) {
                    slot.swap_remove(place);
                    self.items -= 1;
                }
            }
            most -= end - begin;
            if begin > 0 {
                self.swept = Some((number, begin));
                return false;
            }
            if slot.capacity() > 2 * slot.len() {
                slot.shrink_to_fit();
            }
            self.swept = Some((number + 1, usize::MAX));
        }
        true
    }

    /// Takes out all items whose time has come.
    pub(crate) fn turn(&mut self, now: Instant, mut each: impl FnMut(T)) {
        let tick = self.tick(now);
        // After a long pause one full round empties every slot.
        let first = (self.turned + 1).max(tick.saturating_sub(Self::SLOTS - 1));
        for tick in first..=tick {
            let due = std::mem::take(&mut self.slots[(tick % Self::SLOTS) as usize]);
            self.items -= due.len();
            due.into_iter().for_each(&mut each);
        }
        self.turned = self.turned.max(tick);
    }

    /// Takes out all items of a kind, whenever their time may be.
    pub(crate) fn take(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for slot in &mut self.slots {
            taken.extend(slot.extract_if(.., |item| wanted(item)));
        }
        self.items -= taken.len();
        taken
    }

    fn tick(&self, time: Instant) -> u64 {
        let elapsed = time.saturating_duration_since(self.start).as_nanos();
        u64::try_from(elapsed / self.resolution.as_nanos().max(1)).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel() -> (Wheel<u32>, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (Wheel::new(Duration::from_millis(10), start), move |ms| start + Duration::from_millis(ms))
    }

    fn out(wheel: &mut Wheel<u32>, now: Instant) -> Vec<u32> {
        let mut items = Vec::new();
        wheel.turn(now, |item| items.push(item));
        items
    }

    #[test]
    fn an_item_comes_out_after_its_time_and_within_a_resolution() {
        let (mut wheel, at) = wheel();
        wheel.insert(at(25), 1);
        wheel.insert(at(50), 2);
        assert!(out(&mut wheel, at(25)).is_empty());
        assert_eq!(out(&mut wheel, at(35)), [1]);
        assert!(out(&mut wheel, at(59)).is_empty());
        assert_eq!(out(&mut wheel, at(60)), [2]);
        assert!(out(&mut wheel, at(5000)).is_empty());
    }

    #[test]
    fn an_item_of_the_past_comes_out_at_the_next_turn() {
        let (mut wheel, at) = wheel();
        out(&mut wheel, at(1000));
        wheel.insert(at(5), 1);
        assert_eq!(out(&mut wheel, at(1010)), [1]);
    }

    #[test]
    fn an_item_beyond_the_reach_comes_out_early_rather_than_never() {
        let (mut wheel, at) = wheel();
        wheel.insert(at(86_400_000), 1);
        assert!(out(&mut wheel, at(2540)).is_empty());
        assert_eq!(out(&mut wheel, at(2560)), [1]);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let (mut wheel, at) = wheel();
        (0..100).for_each(|n| wheel.insert(at(u64::from(n) * 20), n));
        assert_eq!(wheel.len(), 100);
        wheel.begin_sweep();
        let mut turns = 1;
        while !wheel.sweep(7, |n| n % 10 == 0) {
            turns += 1;
        }
        assert_eq!((wheel.len(), turns), (10, 15), "as many as make a hundred, and one");
        assert!(wheel.sweep(7, |_| unreachable!("it is over")));
        assert_eq!(out(&mut wheel, at(1_000_000)).len(), 10);
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn items_of_a_kind_can_be_taken_out_before_their_time() {
        let (mut wheel, at) = wheel();
        (0..6).for_each(|n| wheel.insert(at(u64::from(n) * 100), n));
        let mut even = wheel.take(|n| n % 2 == 0);
        even.sort_unstable();
        assert_eq!(even, [0, 2, 4]);
        assert_eq!(out(&mut wheel, at(2000)), [1, 3, 5]);
    }

    #[test]
    fn nothing_is_lost_over_a_long_pause() {
        let (mut wheel, at) = wheel();
        (0..100).for_each(|n| wheel.insert(at(u64::from(n) * 20), n));
        let mut items = out(&mut wheel, at(1_000_000));
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
