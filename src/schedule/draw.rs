//! Random choices whose stream is ours to define, so that a seed printed years ago gives
//! the same schedule on any machine and with any version of the libraries.
//!
//! From the generator only raw 64-bit outputs are taken: PCG64 (XSL RR 128/64, M. E.
//! O'Neill, 2014), its state the seed and its stream [`STREAM`]. Bounded numbers are drawn
//! by multiplication with rejection (D. Lemire, 2019), orders by the Fisher-Yates shuffle
//! from the last place down.

use rand::Rng;
use rand_pcg::Pcg64;

/// The stream that PCG's reference implementation uses by default.
const STREAM: u128 = 0x0a02_bdbf_7bb3_c0a7_ac28_fa16_a64a_bf96;

/// A source of random choices.
#[derive(Debug)]
pub struct Draw(Pcg64);

impl Draw {
    /// Everything drawn follows from the seed.
    pub fn new(seed: u64) -> Self {
        Self(Pcg64::new(u128::from(seed), STREAM))
    }

    /// A number below `bound`, each equally likely; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // 2^64 mod bound: so many low halves would favour some results, and are drawn again.
        let unfair = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            let (high, low) = ((product >> 64) as u64, product as u64);
            if low >= unfair {
                return high;
            }
        }
    }

    /// The items in a random order, each order equally likely.
    pub fn shuffled<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let mut items = items.to_vec();
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            items.swap(last, chosen);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Draw;

    #[test]
    fn stream_is_the_one_documented() {
        let mut draw = Draw::new(42);
        let drawn: Vec<u64> = (0..8).map(|_| draw.below(1000)).collect();
        insta::assert_compact_debug_snapshot!(drawn, @"[497, 555, 530, 284, 666, 985, 260, 862]");
        let items: Vec<u8> = (1..=9).collect();
        insta::assert_compact_debug_snapshot!(Draw::new(42).shuffled(&items), @"[3, 6, 1, 8, 7, 2, 4, 9, 5]");
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut draw = Draw::new(1);
        let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..24_000 {
            *seen.entry(draw.shuffled(&[1, 2, 3, 4])).or_default() += 1;
        }
        assert_eq!(seen.len(), 24);
        // 1,000 expected of each; five standard deviations are about 155.
        assert!(seen.values().all(|&n| (845..1155).contains(&n)), "{seen:?}");
    }

    #[test]
    fn nothing_to_shuffle() {
        assert!(Draw::new(1).shuffled::<u8>(&[]).is_empty());
        assert_eq!(Draw::new(1).shuffled(&[7]), [7]);
    }
}
