//! A mapping whose keys are taken one by one; what is left is unknown.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Entry, Value};
use crate::diagnostic::{Collector, Place, did_you_mean, quoted};

/// The mapping of one thing, for instance a scenario's `queue`. A reader of an absent key
/// returns `None` without a word; a reader of an unfit value returns `None` and has told it.
#[derive(Debug)]
pub struct Fields<'v> {
    place: Place,
    entries: &'v [Entry],
    known: Vec<&'static str>,
}

impl<'v> Fields<'v> {
    pub(super) fn new(place: Place, entries: &'v [Entry]) -> Self {
        Self {
            place,
            entries,
            known: Vec::new(),
        }
    }

    /// Where the mapping begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The value of a key; `key` counts as known from now on. Nothing (`key:`) counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<&'v Value> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
            .filter(|value| !value.is_null())
    }

    /// These keys count as known, whether or not anybody takes them.
    pub fn know(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// Like [`Self::take`], but an absent key is an error; `example` is what one could write.
    pub fn require(
        &mut self,
        key: &'static str,
        example: &str,
        to: &mut Collector<'_>,
    ) -> Option<&'v Value> {
        let value = self.take(key);
        if value.is_none() {
            let place = self
                .entries
                .iter()
                .find(|entry| entry.key == key)
                .map_or(self.place, |entry| entry.place);
            to.error(
                place,
                format!("`{key}` is missing"),
                format!("add `{key}: {example}`"),
            );
        }
        value
    }

    /// Tells every key that was never taken, with the nearest right one.
    pub fn finish(self, to: &mut Collector<'_>) {
        for entry in self.entries {
            if !self.known.contains(&entry.key.as_str()) {
                to.error(
                    entry.place,
                    format!("unknown key {}", quoted(&entry.key)),
                    did_you_mean(&entry.key, self.known.iter().copied()),
                );
            }
        }
    }

    /// A text, see [`Value::text`].
    pub fn text(&mut self, key: &'static str, to: &mut Collector<'_>) -> Option<&'v str> {
        self.take(key)?.text(&name(key), to)
    }

    /// A whole number, see [`Value::u64`].
    pub fn u64(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        to: &mut Collector<'_>,
    ) -> Option<u64> {
        self.take(key)?.u64(&name(key), range, to)
    }

    /// A number, see [`Value::f64`].
    pub fn f64(&mut self, key: &'static str, to: &mut Collector<'_>) -> Option<f64> {
        self.take(key)?.f64(&name(key), to)
    }

    /// A truth value, see [`Value::bool`].
    pub fn bool(&mut self, key: &'static str, to: &mut Collector<'_>) -> Option<bool> {
        self.take(key)?.bool(&name(key), to)
    }

    /// A duration, see [`Value::duration`].
    pub fn duration(&mut self, key: &'static str, to: &mut Collector<'_>) -> Option<Duration> {
        self.take(key)?.duration(&name(key), to)
    }

    /// One of some words, see [`Value::choice`].
    pub fn choice<T: Clone>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        to: &mut Collector<'_>,
    ) -> Option<T> {
        self.take(key)?.choice(&name(key), choices, to)
    }

    /// A list, see [`Value::sequence`].
    pub fn sequence(&mut self, key: &'static str, to: &mut Collector<'_>) -> Option<&'v [Value]> {
        self.take(key)?.sequence(&name(key), to)
    }

    /// A mapping inside this one, see [`Value::fields`].
    pub fn mapping(&mut self, key: &'static str, to: &mut Collector<'_>) -> Option<Fields<'v>> {
        self.take(key)?.fields(&name(key), to)
    }
}

fn name(key: &str) -> String {
    format!("`{key}`")
}
