//! Values of a scenario replaced on the command line: `--set workload.rate=200`.
//!
//! They are put into the tree before it is read, so they are checked as what the file says
//! is. Their places are lines far beyond any file, by which [`name_overrides`] knows which
//! mistakes were made on the command line.

use crate::diagnostic::{Collector, Diagnostics, Place, quoted};
use crate::yaml::{self, Entry, Kind, TEXT_BYTES_MAX, Value};

/// The place of the first override; the next are on the next lines.
const FIRST_LINE: usize = TEXT_BYTES_MAX + 2;

/// Puts the overrides into the tree, in their order.
pub(super) fn apply(tree: &mut Value, overrides: &[(String, String)], to: &mut Collector<'_>) {
    for (index, (path, text)) in overrides.iter().enumerate() {
        let place = Place {
            line: FIRST_LINE + index,
            column: 1,
        };
        let mut syntax = Collector::new(option(path, text), text);
        let value = yaml::parse(text, &mut syntax);
        if let Err(mistakes) = syntax.finish() {
            for mistake in mistakes.0 {
                to.error(place, mistake.message, mistake.remedy);
            }
        }
        if let Some(mut value) = value {
            move_to(&mut value, place);
            let keys: Vec<&str> = path.split('.').collect();
            if keys.len() > yaml::DEPTH_MAX || keys.contains(&"") {
                to.error(
                    place,
                    format!("{} is no path to a value", quoted(path)),
                    "write keys with dots between them: `workload.rate`, `schedule.0.duration`",
                );
            } else {
                put(tree, &keys, value, to);
            }
        }
    }
}

/// Names the override as the origin of what is wrong with it.
pub(super) fn name_overrides(found: &mut Diagnostics, overrides: &[(String, String)]) {
    for diagnostic in &mut found.0 {
        let index = diagnostic
            .place
            .and_then(|place| place.line.checked_sub(FIRST_LINE));
        if let Some((path, text)) = index.and_then(|index| overrides.get(index)) {
            diagnostic.file = option(path, text);
            diagnostic.place = None;
        }
    }
}

fn option(path: &str, text: &str) -> String {
    let shown = quoted(&format!("{path}={text}"));
    format!("--set {}", shown.trim_matches('`'))
}

fn move_to(value: &mut Value, place: Place) {
    value.place = place;
    match &mut value.kind {
        Kind::Null | Kind::Scalar { .. } => {}
        Kind::Sequence(items) => items.iter_mut().for_each(|item| move_to(item, place)),
        Kind::Mapping(entries) => {
            for entry in entries {
                entry.place = place;
                move_to(&mut entry.value, place);
            }
        }
    }
}

/// Replaces the value at a path. Mappings that are not there yet are made, whatever is there
/// instead; an entry behind the last of a list is appended.
fn put(target: &mut Value, keys: &[&str], value: Value, to: &mut Collector<'_>) {
    let Some((key, rest)) = keys.split_first() else {
        *target = value;
        return;
    };
    let nothing = Value {
        kind: Kind::Null,
        ..value.clone()
    };
    match &mut target.kind {
        Kind::Sequence(items) => {
            let index = key.parse().unwrap_or(usize::MAX);
            if index == items.len() {
                items.push(nothing);
            }
            match items.get_mut(index) {
                Some(item) => put(item, rest, value, to),
                None => to.error(
                    value.place,
                    format!("the list of {} has no entry {}", items.len(), quoted(key)),
                    "entries count from 0; the one behind the last is appended",
                ),
            }
        }
        Kind::Mapping(entries) => {
            let known = entries.iter().position(|entry| entry.key == *key);
            let index = known.unwrap_or(entries.len());
            if known.is_none() {
                entries.push(Entry {
                    key: (*key).to_owned(),
                    place: value.place,
                    value: nothing,
                });
            }
            put(&mut entries[index].value, rest, value, to);
        }
        Kind::Null | Kind::Scalar { .. } => {
            *target = Value {
                kind: Kind::Mapping(Vec::new()),
                ..nothing
            };
            put(target, keys, value, to);
        }
    }
}
