//! Chance that can be repeated: the same seed, the same course of events, in every release.

/// SplitMix64: small, and good enough to drop frames with.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether something happens that does so in this share of all cases, 0 to 1.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        // 53 bits are what fits a float between 0 and 1.
        let drawn = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        drawn < share
    }

    /// A number below `end`, which must not be 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_course() {
        let course = |seed| {
            let mut chance = Chance::new(seed);
            (0..64).map(|_| chance.happens(0.5)).collect::<Vec<_>>()
        };
        assert_eq!(course(7), course(7));
        assert_ne!(course(7), course(8));
        let mut known = Chance::new(0);
        assert_eq!(known.next(), 0xe220_a839_7b1d_cdaf, "the generator's published first number");
    }

    #[test]
    fn a_share_is_roughly_kept() {
        let mut chance = Chance::new(1);
        let happened = (0..10_000).filter(|_| chance.happens(0.2)).count();
        assert!((1800..2200).contains(&happened), "{happened}");
        assert!((0..100).all(|_| !chance.happens(0.0)) && (0..100).all(|_| chance.happens(1.0)));
    }
}
