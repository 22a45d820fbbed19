//! Each fault: what it was, how it was proven, and what it cost, node by node.

use super::cluster::{asked, whole_after};
use super::stories::sentence;
use super::terminal::seconds;
use crate::catalog;
use crate::check::availability::{Availability, NodeAround, Return};
use crate::check::results::FaultCoverage;
use crate::event::Record;
use crate::history::operation::Nanos;
use crate::inventory::NodeName;

/// Faults told one by one; `results.json` has all.
const FAULTS_MAX: usize = 200;
/// Bytes of evidence told in all.
const EVIDENCE_BYTES_MAX: usize = 200 << 10;

/// What the page tells of a fault.
#[derive(Debug)]
pub struct Section {
    /// Its number.
    pub number: u32,
    /// What and whom.
    pub description: String,
    /// What a fault of its kind does.
    pub about: &'static str,
    /// How a fault of its kind is proven.
    pub proven_by: &'static str,
    /// When it came and went.
    pub times: String,
    /// How it went, in words, and whether that is good.
    pub proof: &'static str,
    /// `valid` or `unknown`.
    pub class: &'static str,
    /// What was seen.
    pub evidence: Vec<String>,
    /// How many lines of that are left out.
    pub evidence_left_out: usize,
    /// What went wrong.
    pub errors: Vec<String>,
    /// Between what the plots are to be shown.
    pub span: Option<(Nanos, Nanos)>,
    /// What it cost.
    pub nodes: Vec<Cost>,
    /// When the cluster was whole again.
    pub whole: Option<String>,
}

/// What a fault cost the clients of a node.
#[derive(Debug)]
pub struct Cost {
    /// The node.
    pub node: NodeName,
    /// Confirms a second before it.
    pub rate: String,
    /// The longest time without a confirm that reaches into the fault.
    pub gap: String,
    /// How soon after the heal it confirmed again, and as much as before.
    pub back: String,
}

/// The sections, and how many faults are left out.
pub fn sections(
    faults: &[FaultCoverage],
    events: &[Record],
    nodes: &[NodeName],
    availability: Option<&Availability>,
) -> (Vec<Section>, usize) {
    let mut room = EVIDENCE_BYTES_MAX;
    let told = faults.iter().take(FAULTS_MAX);
    let sections = told.map(|fault| section(fault, events, nodes, availability, &mut room));
    (sections.collect(), faults.len().saturating_sub(FAULTS_MAX))
}

fn section(
    fault: &FaultCoverage,
    events: &[Record],
    nodes: &[NodeName],
    availability: Option<&Availability>,
    room: &mut usize,
) -> Section {
    let description = fault.description.as_deref().unwrap_or("never asked for");
    let kind = description.split(' ').next().and_then(catalog::kind);
    let (proof, class) = match (fault.proven, fault.heal_proven) {
        (true, _) if fault.idle => ("proven, but no client could do anything", "valid"),
        _ if fault.idle => ("nothing to do", "valid"),
        (true, true) => ("proven, and proven undone", "valid"),
        (true, false) => ("proven, not proven undone", "unknown"),
        (false, _) => ("not proven", "unknown"),
    };
    let evidence: Vec<String> = fault
        .evidence
        .iter()
        .take_while(|line| {
            let fits = line.len() <= *room;
            *room -= if fits { line.len() } else { *room };
            fits
        })
        .cloned()
        .collect();
    let span = fault.injected_first_ns.map(|from| {
        let until = fault.healed_ns.or(fault.injected_last_ns).unwrap_or(from);
        (from, until)
    });
    let served = availability.into_iter().flat_map(|all| &all.faults);
    let around = served
        .filter(|around| around.fault == fault.fault)
        .flat_map(|around| &around.nodes);
    Section {
        number: fault.fault.0,
        description: description.to_owned(),
        about: kind.map_or("", |kind| kind.about),
        proven_by: kind.map_or("", |kind| kind.proof),
        times: times(fault, events),
        proof,
        class,
        evidence_left_out: fault.evidence.len() - evidence.len(),
        evidence,
        errors: fault.errors.clone(),
        span,
        nodes: around.map(cost).collect(),
        whole: fault.healed_ns.and_then(|healed| {
            let whole = whole_after(healed, events, nodes)?;
            Some(format!(
                "All nodes saw all nodes when they were asked {} after the heal",
                seconds(whole.saturating_sub(healed))
            ))
        }),
    }
}

fn times(fault: &FaultCoverage, events: &[Record]) -> String {
    let mut told = Vec::new();
    if let Some(at) = asked(fault.fault, events) {
        told.push(format!("asked for at {}", seconds(at)));
    }
    match (fault.injected_first_ns, fault.injected_last_ns) {
        (Some(first), Some(last)) => told.push(format!(
            "in force on the first node from {}, on the last {:.1} ms later by jtest's clock",
            seconds(first),
            last.saturating_sub(first) as f64 / 1e6
        )),
        (Some(first), None) => told.push(format!("in force from {}", seconds(first))),
        (None, _) => told.push("never in force on all its nodes".to_owned()),
    }
    if let Some(spread) = fault.spread_us {
        told.push(format!(
            "spread over the nodes, as they measured it, {:.1} ms",
            spread as f64 / 1e3
        ));
    }
    if let Some(healed) = fault.healed_ns {
        told.push(format!("undone at {}", seconds(healed)));
    }
    told.push(format!("{} operations meanwhile", fault.operations));
    sentence(&told.join("; "))
}

fn cost(around: &NodeAround) -> Cost {
    let gap = around.longest.map_or("none".to_owned(), |gap| {
        let length = seconds(gap.length_ns);
        match gap.until_ns {
            Some(until) => format!("{length} ({} to {})", seconds(gap.from_ns), seconds(until)),
            None => format!("{length} (from {} on)", seconds(gap.from_ns)),
        }
    });
    Cost {
        node: around.node.clone(),
        rate: format!("{:.1}/s", around.rate_before),
        gap,
        back: around
            .healed
            .as_ref()
            .map_or("it was not undone".to_owned(), back),
    }
}

fn back(healed: &Return) -> String {
    let soon = |after: Nanos| match after as f64 / 1e9 {
        at_once if at_once < 0.05 => "at once".to_owned(),
        after => format!("after {after:.1} s"),
    };
    let Some(first) = healed.first_ns.map(soon) else {
        return "never".to_owned();
    };
    match healed.rate_ns.map(soon) {
        None => format!("{first}, but never at nine tenths of the rate before"),
        Some(rate) if rate == first => {
            format!("{first}, at nine tenths of the rate before or more")
        }
        Some(rate) => format!("{first}; at nine tenths of the rate before {rate}"),
    }
}
