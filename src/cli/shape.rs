//! The shape of a JSON value, for tests: what `docs/machine-output.md` tells of a verb against what the verb prints.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// Asserts that a verb's JSON has the shape of the example in `docs/machine-output.md`: the same fields with values
/// of the same types. `null` fits every type; a list that is empty in the example is told of elsewhere, others must have
/// something in them.
pub fn assert_documented(verb: &str, found: &impl Serialize) {
    let page = include_str!("../../docs/machine-output.md");
    let heading = format!("\n## `jtest {verb}`\n");
    let (_, section) = page.split_once(&heading).expect("a section of the verb");
    let (_, example) = section.split_once("```json\n").expect("an example");
    let (example, _) = example.split_once("```").expect("the example's end");
    let example = serde_json::from_str(example).expect("the example is JSON");
    let found = serde_json::to_value(found).expect("JSON");
    let (documented, found) = (shape(&example), shape(&found));
    for (place, kind) in &found {
        if is_told_elsewhere(place, &documented) {
            continue;
        }
        let known = documented.get(place);
        assert!(
            known.is_some_and(|known| fits(kind, known)),
            "docs/machine-output.md tells of `jtest {verb}` that {place} is {known:?}, and it is {kind:?}"
        );
    }
    for place in documented.keys() {
        assert!(
            found.contains_key(place) || is_below_null(place, &found),
            "docs/machine-output.md tells of {place} in `jtest {verb}`, and it is not there"
        );
    }
}

/// What a place is in all the values that there are.
type Kinds = BTreeSet<&'static str>;

/// Every place in a value, such as `.hosts[].node`.
type Shape = BTreeMap<String, Kinds>;

fn shape(value: &Value) -> Shape {
    fn add(at: &str, value: &Value, to: &mut Shape) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "list",
            Value::Object(_) => "object",
        };
        to.entry(at.to_owned()).or_default().insert(kind);
        match value {
            Value::Array(items) => items
                .iter()
                .for_each(|item| add(&format!("{at}[]"), item, to)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    add(&format!("{at}.{name}"), value, to);
                }
            }
            _ => {}
        }
    }
    let mut shape = Shape::new();
    add("", value, &mut shape);
    shape
}

fn fits(kind: &Kinds, known: &Kinds) -> bool {
    known.contains("null") && known.len() == 1
        || kind
            .iter()
            .all(|kind| *kind == "null" || known.contains(kind))
}

/// Whether it is in a list that the example leaves empty.
fn is_told_elsewhere(place: &str, documented: &Shape) -> bool {
    place.match_indices("[]").any(|(end, _)| {
        !documented.contains_key(&place[..end + 2]) && documented.contains_key(&place[..end])
    })
}

fn is_below_null(place: &str, found: &Shape) -> bool {
    found.iter().any(|(above, kind)| {
        kind.contains("null")
            && place
                .strip_prefix(above.as_str())
                .is_some_and(|rest| rest.starts_with(['.', '[']))
    })
}

mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes_are_told_apart() {
        let example = shape(&json!({"a": [{"b": 1, "c": null}], "d": {"e": "x"}}));
        let fits = |value| {
            let found = shape(&value);
            found
                .iter()
                .all(|(place, kind)| example.get(place).is_some_and(|known| fits(kind, known)))
        };
        assert!(fits(json!({"a": [{"b": 2, "c": "any"}], "d": null})));
        assert!(!fits(json!({"a": [{"b": "2"}]})));
        assert!(!fits(json!({"f": 1})));
        let found = shape(&json!({"d": null}));
        assert!(is_below_null(".d.e", &found) && !is_below_null(".a[].b", &found));
    }
}
