//! What one run was and how it ended, in a line.
//!
//! Read from the fields that every version of `run.json` and `results.json` has had, so that runs of an older
//! jtest are listed as well. A run directory that cannot be read is told as damaged.

use std::collections::BTreeSet;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dir::Dir;
use super::name::RunName;
use crate::check::Verdict;
use crate::check::judge::RESULTS_FILE;
use crate::history::operation::Nanos;
use crate::manifest::MANIFEST_FILE;

/// Of each of the two files.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// What is there of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on.
    Running,
    /// It has a verdict.
    Judged,
    /// It ended without a verdict.
    Unjudged,
    /// What it left cannot be read.
    Damaged,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its name, `SCENARIO/TIME`: also the path below the runs directory.
    pub run: String,
    /// The scenario's name.
    pub scenario: String,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// What is there of it.
    pub state: State,
    /// The verdict, of a judged run.
    pub verdict: Option<Verdict>,
    /// Messages that were confirmed.
    pub confirmed: Option<u64>,
    /// Messages that were lost; `null` where one cannot know.
    pub lost: Option<u64>,
    /// For how long a node served nobody, at the longest; `null` where no confirm came.
    pub longest_gap_ns: Option<Nanos>,
    /// The versions of RabbitMQ on its hosts.
    pub rabbitmq_versions: BTreeSet<String>,
    /// jtest's own version.
    pub jtest_version: Option<String>,
    /// Everything random came from it.
    pub seed: Option<u64>,
    /// What is wrong with what it left.
    pub problem: Option<String>,
}

/// The fields of `run.json` that are looked at.
#[derive(Deserialize)]
struct Manifest {
    jtest_version: String,
    started: String,
    seed: u64,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    facts: Option<Facts>,
}

#[derive(Deserialize)]
struct Facts {
    rabbitmq: Option<String>,
}

/// The fields of `results.json` that are looked at.
#[derive(Deserialize)]
struct Results {
    verdict: Verdict,
    total_queue: Finding<Counts>,
    availability: Option<Finding<Availability>>,
}

#[derive(Deserialize)]
struct Finding<T> {
    data: T,
}

#[derive(Deserialize)]
struct Availability {
    nodes: Vec<NodeService>,
}

#[derive(Deserialize)]
struct NodeService {
    longest: Option<Gap>,
}

#[derive(Deserialize)]
struct Gap {
    length_ns: Nanos,
}

impl Availability {
    fn longest_gap_ns(&self) -> Option<Nanos> {
        let longest = self.nodes.iter().filter_map(|node| node.longest.as_ref());
        longest.map(|gap| gap.length_ns).max()
    }
}

#[derive(Deserialize)]
struct Counts {
    confirmed: u64,
    lost: Option<u64>,
}

/// The summary of a run directory, or of one that cannot even be opened.
pub fn summary(directory: io::Result<Dir>, name: &RunName) -> RunSummary {
    let mut run = RunSummary {
        run: name.to_string(),
        scenario: name.scenario.clone(),
        started: name
            .began()
            .map(|time| time.to_string())
            .unwrap_or_default(),
        state: State::Damaged,
        verdict: None,
        confirmed: None,
        lost: None,
        longest_gap_ns: None,
        rabbitmq_versions: BTreeSet::new(),
        jtest_version: None,
        seed: None,
        problem: None,
    };
    match directory {
        Ok(directory) => fill(&mut run, &directory),
        Err(error) => run.problem = Some(format!("it cannot be opened: {error}")),
    }
    run
}

fn fill(run: &mut RunSummary, directory: &Dir) {
    let is_in_use = directory.is_in_use();
    let manifest = file::<Manifest>(directory, MANIFEST_FILE);
    let results = file::<Results>(directory, RESULTS_FILE);
    if let Ok(Some(manifest)) = &manifest {
        run.started.clone_from(&manifest.started);
        run.jtest_version = Some(manifest.jtest_version.clone());
        run.seed = Some(manifest.seed);
        let facts = manifest.nodes.iter().filter_map(|node| node.facts.as_ref());
        run.rabbitmq_versions = facts.filter_map(|facts| facts.rabbitmq.clone()).collect();
    }
    let (state, problem) = match (&manifest, &results) {
        _ if is_in_use => (State::Running, None),
        (Err(problem), _) | (_, Err(problem)) => (State::Damaged, Some(problem.clone())),
        (Ok(None), Ok(None)) => (
            State::Unjudged,
            Some("it ended before its load began; jtest.log tells why".to_owned()),
        ),
        (Ok(None), Ok(Some(_))) => (State::Damaged, Some(format!("{MANIFEST_FILE} is missing"))),
        (Ok(Some(_)), Ok(None)) => (
            State::Unjudged,
            Some(format!("{RESULTS_FILE} is missing; `jtest check` makes it")),
        ),
        (Ok(Some(_)), Ok(Some(results))) => {
            run.verdict = Some(results.verdict);
            run.confirmed = Some(results.total_queue.data.confirmed);
            run.lost = results.total_queue.data.lost;
            let availability = results.availability.as_ref();
            run.longest_gap_ns = availability.and_then(|told| told.data.longest_gap_ns());
            (State::Judged, None)
        }
    };
    run.state = state;
    run.problem = problem;
}

/// `Ok(None)`: there is none.
pub(super) fn file<T: DeserializeOwned>(directory: &Dir, name: &str) -> Result<Option<T>, String> {
    match directory.read(name, BYTES_MAX) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(format!("{name} is damaged: {error}")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{name} cannot be read: {error}")),
    }
}

/// Which runs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of scenarios whose name has this in it.
    pub scenario: Option<String>,
    /// Those of this verdict, or in this state.
    pub verdict: Option<String>,
}

impl Filter {
    /// What a verdict can be asked to be: one of the verdicts, or the state of a run that has none.
    pub const VERDICTS: [&str; 6] = [
        "valid", "invalid", "unknown", "running", "unjudged", "damaged",
    ];

    pub(super) fn is_of_scenario(&self, name: &RunName) -> bool {
        let wanted = self.scenario.as_deref();
        wanted.is_none_or(|wanted| name.scenario.contains(wanted))
    }

    pub(super) fn has_verdict(&self, run: &RunSummary) -> bool {
        let wanted = self.verdict.as_deref();
        wanted.is_none_or(|wanted| wanted == run.outcome())
    }
}

impl RunSummary {
    /// The verdict, or the state of a run that has none, in a word.
    pub fn outcome(&self) -> &'static str {
        match (self.state, self.verdict) {
            (State::Running, _) => "running",
            (State::Damaged, _) => "damaged",
            (State::Judged, Some(Verdict::Valid)) => "valid",
            (State::Judged, Some(Verdict::Invalid)) => "invalid",
            (State::Judged, Some(Verdict::Unknown)) => "unknown",
            (State::Unjudged, _) | (State::Judged, None) => "unjudged",
        }
    }
}
