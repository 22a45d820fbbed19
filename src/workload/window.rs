//! What belongs to the publishes of a connection that are not over, by their order. They begin one after the other and
//! end nearly so; each is found by its distance from the oldest.

use std::collections::VecDeque;

use super::attempts::Order;

/// Values by consecutive orders, some of them taken away again.
#[derive(Debug)]
pub(super) struct Window<T> {
    /// The order of the first slot.
    oldest: Order,
    slots: VecDeque<Option<T>>,
    held: usize,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self {
            oldest: 0,
            slots: VecDeque::new(),
            held: 0,
        }
    }
}

impl<T> Window<T> {
    /// How many values it holds.
    pub(super) fn len(&self) -> usize {
        self.held
    }

    /// Adds the value of an order, which is later than all before it.
    pub(super) fn push(&mut self, order: Order, value: T) {
        if self.slots.is_empty() {
            self.oldest = order;
        }
        debug_assert!(self.end() <= order, "{order} is not the latest");
        while self.end() < order {
            self.slots.push_back(None);
        }
        self.slots.push_back(Some(value));
        self.held += 1;
    }

    pub(super) fn get(&self, order: Order) -> Option<&T> {
        self.slots.get(self.at(order)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, order: Order) -> Option<&mut T> {
        let at = self.at(order)?;
        self.slots.get_mut(at)?.as_mut()
    }

    pub(super) fn remove(&mut self, order: Order) -> Option<T> {
        let at = self.at(order)?;
        let value = self.slots.get_mut(at)?.take()?;
        self.held -= 1;
        while matches!(self.slots.front(), Some(None)) {
            self.slots.pop_front();
            self.oldest += 1;
        }
        Some(value)
    }

    /// The values by their orders, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Order, &T)> {
        let slots = (self.oldest..).zip(&self.slots);
        slots.filter_map(|(order, slot)| Some((order, slot.as_ref()?)))
    }

    fn end(&self) -> Order {
        self.oldest + self.slots.len() as Order
    }

    fn at(&self, order: Order) -> Option<usize> {
        usize::try_from(order.checked_sub(self.oldest)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_whose_keys_come_in_order(steps in prop::collection::vec((any::<bool>(), 0u64..40), 0..200)) {
            let mut window = Window::default();
            let mut map = BTreeMap::new();
            let mut next = 0;
            for (adds, number) in steps {
                if adds {
                    // Some orders never have a value.
                    let order = next + number % 3;
                    next = order + 1;
                    window.push(order, number);
                    map.insert(order, number);
                } else {
                    let order = next.saturating_sub(number);
                    prop_assert_eq!(window.remove(order), map.remove(&order));
                }
                prop_assert_eq!(window.len(), map.len());
                for order in 0..next + 2 {
                    prop_assert_eq!(window.get(order), map.get(&order));
                    prop_assert_eq!(window.get_mut(order), map.get_mut(&order));
                }
                prop_assert!(window.iter().eq(map.iter().map(|(order, value)| (*order, value))));
            }
        }
    }
}
