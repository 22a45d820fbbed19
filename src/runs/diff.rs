//! Two runs side by side: what was set otherwise, and what came of it.
//!
//! Made from whatever fields `run.json` and `results.json` have, so that runs of different versions of jtest can be
//! compared, and a finding that is new shows up by itself.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::dir::Dir;
use super::summary::file;
use crate::check::judge::RESULTS_FILE;
use crate::manifest::MANIFEST_FILE;

/// Lines of the setup that are told.
const SETUP_MAX: usize = 200;

/// Nesting that is looked into.
const DEPTH_MAX: usize = 32;

/// Two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What the runs are called.
    pub runs: [String; 2],
    /// What of the setup differs.
    pub setup: Vec<Row>,
    /// More of it that differs and is left out.
    pub setup_left_out: usize,
    /// What came of it, whether or not it differs.
    pub results: Vec<Row>,
}

/// One value of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Where it stands in `run.json` or `results.json`.
    pub name: String,
    /// In each of the two; `null` where it is not there.
    pub values: [Value; 2],
}

impl Row {
    /// Whether the two are not the same.
    pub fn differs(&self) -> bool {
        self.values[0] != self.values[1]
    }
}

/// Compares two run directories, each with its name.
///
/// # Errors
///
/// A file of one of them is missing or damaged; the text names the run.
pub fn diff(runs: [(&str, &Dir); 2]) -> Result<Comparison, String> {
    let read = |name: &'static str| -> Result<[Value; 2], String> {
        let [a, b] = runs.map(|(run, directory)| match file(directory, name) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(format!(
                "{run}: {name} is missing; `jtest check` makes the results of a run"
            )),
            Err(problem) => Err(format!("{run}: {problem}")),
        });
        Ok([a?, b?])
    };
    let setups = read(MANIFEST_FILE)?.map(|manifest| setup(&manifest));
    let results = read(RESULTS_FILE)?.map(|results| outcome(&results));
    let mut setup = rows(setups);
    setup.retain(Row::differs);
    let setup_left_out = setup.len().saturating_sub(SETUP_MAX);
    setup.truncate(SETUP_MAX);
    let mut results = rows(results);
    results.retain(|row| row.values.iter().any(|value| !value.is_null()));
    Ok(Comparison {
        runs: runs.map(|(run, _)| run.to_owned()),
        setup,
        setup_left_out,
        results,
    })
}

/// Values by the place where they stand, and the order in which they are told.
type Values = Vec<(String, Value)>;

fn rows([a, b]: [Values; 2]) -> Vec<Row> {
    let mut order: Vec<String> = a.iter().map(|(name, _)| name.clone()).collect();
    let of_a: BTreeMap<_, _> = a.into_iter().collect();
    order.extend(
        b.iter()
            .map(|(name, _)| name)
            .filter(|name| !of_a.contains_key(*name))
            .cloned(),
    );
    let of_b: BTreeMap<_, _> = b.into_iter().collect();
    let row = |name: String| {
        let values = [&of_a, &of_b].map(|of| of.get(&name).cloned().unwrap_or_default());
        Row { name, values }
    };
    order.into_iter().map(row).collect()
}

/// The versions, the hosts, the seed and every value of the scenario.
fn setup(manifest: &Value) -> Values {
    let mut values = Values::new();
    for name in ["jtest_version", "seed"] {
        values.push((name.to_owned(), manifest[name].clone()));
    }
    let nodes = manifest["nodes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    values.push(("nodes".to_owned(), nodes.len().into()));
    for fact in ["rabbitmq", "os", "kernel"] {
        let facts = nodes.iter().map(|node| node["facts"][fact].clone());
        let mut facts: Vec<Value> = facts.filter(|value| !value.is_null()).collect();
        facts.sort_by_key(Value::to_string);
        facts.dedup();
        let facts = facts.iter().map(|fact| fact.as_str().unwrap_or_default());
        values.push((fact.to_owned(), facts.collect::<Vec<_>>().join(", ").into()));
    }
    scalars("", &manifest["scenario"], 0, &mut values);
    values
}

/// The verdicts, and every single value of the findings.
fn outcome(results: &Value) -> Values {
    let mut values = vec![("verdict".to_owned(), results["verdict"].clone())];
    let Some(fields) = results.as_object() else {
        return values;
    };
    for (name, finding) in fields {
        let Some(data) = finding.get("data").and_then(Value::as_object) else {
            continue;
        };
        values.push((format!("{name}.verdict"), finding["verdict"].clone()));
        for (field, value) in data {
            push_single(&mut values, format!("{name}.{field}"), value);
        }
    }
    let nodes = results["availability"]["data"]["nodes"].as_array();
    let nodes = nodes.map(Vec::as_slice).unwrap_or_default();
    let longest = nodes
        .iter()
        .filter_map(|node| node["longest"]["length_ns"].as_i64());
    let longest = longest.max().map(Value::from).unwrap_or_default();
    values.push(("availability.longest_gap_ns".to_owned(), longest));
    let faults = results["coverage"]["data"]["faults"].as_array();
    let faults = faults.map(Vec::as_slice).unwrap_or_default();
    values.push(("coverage.faults".to_owned(), faults.len().into()));
    let proven = faults
        .iter()
        .filter(|fault| fault["proven"] == true && fault["heal_proven"] == true);
    values.push((
        "coverage.faults_proven_and_undone".to_owned(),
        proven.count().into(),
    ));
    values
}

/// A single value, or a few numbers that belong together; lists and examples are left to the files.
fn push_single(to: &mut Values, name: String, value: &Value) {
    match value {
        Value::Array(_) => {}
        Value::Object(numbers) if numbers.values().all(Value::is_number) => {
            let each = numbers.iter();
            to.extend(each.map(|(field, value)| (format!("{name}.{field}"), value.clone())));
        }
        Value::Object(_) => {}
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            to.push((name, value.clone()));
        }
    }
}

fn scalars(at: &str, value: &Value, depth: usize, to: &mut Values) {
    let place = |name: &str| match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    };
    match value {
        _ if depth > DEPTH_MAX => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                scalars(&place(name), value, depth + 1, to);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                scalars(&place(&index.to_string()), value, depth + 1, to);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            to.push((at.to_owned(), value.clone()));
        }
    }
}
