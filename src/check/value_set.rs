//! A set of values: a bit for each, in pages, so that it stays in proportion to what was put in,
//! however large the numbers are.

use foldhash::HashMap;

use super::results::Value;

/// Values of a page.
const PAGE: u64 = 4096;

/// A set of values.
#[derive(Debug, Default)]
pub struct ValueSet {
    pages: HashMap<(u32, u64), Box<[u64; (PAGE / 64) as usize]>>,
}

impl ValueSet {
    /// Puts it in; whether it is new.
    pub fn insert(&mut self, value: Value) -> bool {
        let page = self.pages.entry((value.producer, value.sequence / PAGE));
        let page = page.or_insert_with(|| Box::new([0; (PAGE / 64) as usize]));
        let at = value.sequence % PAGE;
        let (word, bit) = (&mut page[(at / 64) as usize], 1 << (at % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(values in prop::collection::vec((0..3u32, prop_oneof![0..200u64, 4000..4200u64, Just(u64::MAX)]), 0..300)) {
            let (mut set, mut model) = (ValueSet::default(), BTreeSet::new());
            for (producer, sequence) in values {
                let value = Value { producer, sequence };
                prop_assert_eq!(set.insert(value), model.insert(value));
            }
        }
    }
}
