//! What happened to the cluster, on the time axis of the rates: stages, faults, who leads the
//! queue, and whom each node sees.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::results::{Coverage, FaultCoverage};
use crate::event::{Event, NodeView, Record, Stage};
use crate::history::operation::Nanos;
use crate::inventory::NodeName;
use crate::schedule::{FaultId, words};

/// Faults drawn.
const FAULTS_MAX: usize = 1000;
/// Times at which the views of the nodes are drawn.
const VIEWS_MAX: usize = 1500;
/// Characters of a text of a fault.
const WORDS_MAX: usize = 120;

/// What is drawn besides rates.
#[derive(Debug, Default, Serialize)]
pub struct Timeline {
    /// What was done when.
    pub stages: Vec<StageTimes>,
    /// In the order of the schedule.
    pub faults: Vec<FaultTimes>,
    /// The nodes' views, where one changed.
    pub views: Vec<Views>,
    /// Who led the queue in its own eyes; several may at once.
    pub leaders: Vec<Leading>,
}

/// A node that holds itself for the queue's leader.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leading {
    /// Its position.
    pub node: usize,
    /// Seconds of the run.
    pub from: f64,
    /// The same.
    pub until: f64,
}

/// One stage.
#[derive(Debug, Serialize)]
pub struct StageTimes {
    /// Its name.
    pub name: String,
    /// Seconds of the run.
    pub from: f64,
    /// The same.
    pub until: Option<f64>,
}

/// One fault, in seconds of the run.
#[derive(Debug, Serialize)]
pub struct FaultTimes {
    /// Its number.
    pub number: u32,
    /// What and whom.
    pub what: String,
    /// When it was asked for.
    pub asked: Option<f64>,
    /// When the first node had it.
    pub first: Option<f64>,
    /// When the last node had it.
    pub last: Option<f64>,
    /// When it was undone.
    pub healed: Option<f64>,
    /// Whether it is proven to have bitten.
    pub proven: bool,
    /// Whether it is proven to be gone.
    pub heal_proven: bool,
}

/// What the nodes say at one moment.
#[derive(Debug, PartialEq, Serialize)]
pub struct Views {
    /// Seconds of the run.
    pub at: f64,
    /// By the position of the node.
    pub nodes: Vec<View>,
}

/// What one node says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// How well it is with it: 0 it sees all, 1 an alarm, 2 it misses some or reports a partition, 3 it does
    /// not answer.
    pub state: u8,
    /// In words.
    pub said: String,
}

/// Everything on the time axis.
pub fn timeline(events: &[Record], coverage: &Coverage, nodes: &[NodeName]) -> Timeline {
    Timeline {
        stages: stages(events),
        faults: coverage
            .faults
            .iter()
            .take(FAULTS_MAX)
            .map(|fault| fault_times(fault, events))
            .collect(),
        views: views(events, nodes),
        leaders: leaders(events, nodes),
    }
}

fn seconds(time: Nanos) -> f64 {
    (time as f64 / 1e6).round() / 1e3
}

fn stages(events: &[Record]) -> Vec<StageTimes> {
    let mut stages: Vec<StageTimes> = Vec::new();
    for record in events {
        match &record.event {
            Event::StageBegan { stage } => stages.push(StageTimes {
                name: stage.to_string(),
                from: seconds(record.time),
                until: None,
            }),
            Event::StageEnded { stage, .. } => {
                let name = stage.to_string();
                let begun = stages.iter_mut().rev().find(|begun| begun.name == name);
                if let Some(begun) = begun {
                    begun.until = Some(seconds(record.time));
                }
            }
            _ => {}
        }
    }
    // One of the check itself would say when the report was made, and not what happened.
    let after = [Stage::Check.to_string(), Stage::Report.to_string()];
    stages.retain(|stage| !after.contains(&stage.name));
    stages
}

fn fault_times(fault: &FaultCoverage, events: &[Record]) -> FaultTimes {
    let what = fault.description.as_deref().unwrap_or("never asked for");
    FaultTimes {
        number: fault.fault.0,
        what: what.chars().take(WORDS_MAX).collect(),
        asked: asked(fault.fault, events).map(seconds),
        first: fault.injected_first_ns.map(seconds),
        last: fault.injected_last_ns.map(seconds),
        healed: fault.healed_ns.map(seconds),
        proven: fault.proven,
        heal_proven: fault.heal_proven,
    }
}

/// When a fault was asked for.
pub fn asked(id: FaultId, events: &[Record]) -> Option<Nanos> {
    let mut asked = events
        .iter()
        .filter(|record| matches!(&record.event, Event::FaultAsked { fault, .. } if *fault == id));
    asked.next().map(|record| record.time)
}

fn views(events: &[Record], nodes: &[NodeName]) -> Vec<Views> {
    let mut views: Vec<Views> = Vec::new();
    let mut last = None;
    for record in events {
        let Event::ClusterView { views: told, .. } = &record.event else {
            continue;
        };
        let now: Vec<View> = nodes.iter().map(|node| view(node, told, nodes)).collect();
        let at = seconds(record.time);
        if views.last().is_none_or(|before| before.nodes != now) {
            views.push(Views { at, nodes: now });
        }
        last = Some(at);
    }
    while views.len() > VIEWS_MAX {
        let mut number = 0;
        views.retain(|_| {
            number += 1;
            number % 2 == 1
        });
    }
    // The last one says until when they are known.
    if let (Some(at), Some(before)) = (last, views.last()) {
        let nodes = before.nodes.clone();
        views.push(Views { at, nodes });
    }
    views
}

fn view(node: &NodeName, told: &BTreeMap<NodeName, NodeView>, nodes: &[NodeName]) -> View {
    let Some(view) = told.get(node) else {
        return View {
            state: 3,
            said: "does not answer".to_owned(),
        };
    };
    if view.running.is_empty() {
        return View {
            state: 3,
            said: "says that its broker does not run".to_owned(),
        };
    }
    let is_whole = sees_all(view, nodes);
    let mut said = match is_whole {
        true => "sees all".to_owned(),
        false => format!("sees {}", words(&view.running)),
    };
    if !view.partitions.is_empty() {
        said += &format!("; reports a partition from {}", words(&view.partitions));
    }
    if !view.alarms.is_empty() {
        said += &format!("; alarm: {}", view.alarms.join(", "));
    }
    View {
        state: match (is_whole, view.alarms.is_empty()) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        },
        said: said.chars().take(WORDS_MAX).collect(),
    }
}

fn sees_all(view: &NodeView, nodes: &[NodeName]) -> bool {
    view.partitions.is_empty() && nodes.iter().all(|node| view.running.contains(node))
}

fn leaders(events: &[Record], nodes: &[NodeName]) -> Vec<Leading> {
    let mut ended: Vec<Leading> = Vec::new();
    let mut leading: Vec<Leading> = Vec::new();
    for record in events {
        let Event::ClusterView { views, leader } = &record.event else {
            continue;
        };
        let now = seconds(record.time);
        // Runs of old have one leader for all, whom most nodes named.
        let has_own = views.values().any(|view| view.leader.is_some());
        let leads = |node: &NodeName| match has_own {
            true => views.get(node).and_then(|view| view.leader.as_ref()) == Some(node),
            false => leader.as_ref() == Some(node),
        };
        for reign in &mut leading {
            reign.until = now;
        }
        let (still, over) = leading
            .into_iter()
            .partition(|reign| leads(&nodes[reign.node]));
        leading = still;
        ended.extend::<Vec<Leading>>(over);
        for (node, _) in nodes.iter().enumerate().filter(|(_, name)| leads(name)) {
            if leading.iter().all(|reign| reign.node != node) {
                leading.push(Leading {
                    node,
                    from: now,
                    until: now,
                });
            }
        }
    }
    ended.extend(leading);
    ended.truncate(VIEWS_MAX);
    ended
}

/// Who led the queue when it was asked last before a moment, and when that was.
pub fn leader_before(time: Nanos, events: &[Record]) -> Option<(NodeName, Nanos)> {
    let before = events.iter().take_while(|record| record.time <= time);
    before.filter_map(led).last()
}

/// Who led the queue when it was asked first after a moment, and when that was.
pub fn leader_after(time: Nanos, events: &[Record]) -> Option<(NodeName, Nanos)> {
    let mut after = events.iter().filter(|record| record.time > time);
    after.find_map(led)
}

/// Who led the queue after `before` until `last`, each with the time at which it was first seen.
pub fn leaders_within(
    first: Nanos,
    last: Nanos,
    events: &[Record],
    before: Option<NodeName>,
) -> Vec<(NodeName, Nanos)> {
    let within = events
        .iter()
        .filter(|record| record.time > first && record.time <= last);
    let mut known = before;
    let mut changes = Vec::new();
    for (leader, at) in within.filter_map(led) {
        if known.as_ref() != Some(&leader) {
            known = Some(leader.clone());
            changes.push((leader, at));
        }
    }
    changes
}

fn led(record: &Record) -> Option<(NodeName, Nanos)> {
    match &record.event {
        Event::ClusterView {
            leader: Some(leader),
            ..
        } => Some((leader.clone(), record.time)),
        _ => None,
    }
}

/// When all nodes first saw all nodes again after a heal; none if another fault came before.
pub fn whole_after(healed: Nanos, events: &[Record], nodes: &[NodeName]) -> Option<Nanos> {
    let after = events.iter().filter(|record| record.time > healed);
    for record in after {
        match &record.event {
            Event::FaultInjected { first, .. } if *first > healed => return None,
            Event::ClusterView { views, .. }
                if nodes
                    .iter()
                    .all(|node| views.get(node).is_some_and(|view| sees_all(view, nodes))) =>
            {
                return Some(record.time);
            }
            _ => {}
        }
    }
    None
}

/// The sides of a cut; none for any other fault.
pub fn sides(id: FaultId, events: &[Record]) -> Vec<Vec<NodeName>> {
    let asked = events.iter().find_map(|record| match &record.event {
        Event::FaultAsked { fault, groups, .. } if *fault == id => Some(groups.clone()),
        _ => None,
    });
    asked.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        NodeName(name.into())
    }

    fn told(time: Nanos, views: &[(&str, &[&str])], leader: Option<&str>) -> Record {
        let views = views.iter().map(|(node, running)| {
            let view = NodeView {
                running: running.iter().map(|node| name(node)).collect(),
                ..NodeView::default()
            };
            (name(node), view)
        });
        Record {
            time: time * 1_000_000_000,
            event: Event::ClusterView {
                views: views.collect(),
                leader: leader.map(name),
            },
        }
    }

    fn reign(node: usize, from: f64, until: f64) -> Leading {
        Leading { node, from, until }
    }

    #[test]
    fn two_may_hold_themselves_for_the_leader() {
        let nodes = [name("n1"), name("n2")];
        let held = |time: Nanos, eyes: [&str; 2]| {
            let view = |leader: &str| NodeView {
                leader: Some(name(leader)),
                ..NodeView::default()
            };
            Record {
                time: time * 1_000_000_000,
                event: Event::ClusterView {
                    views: nodes.iter().cloned().zip(eyes.map(view)).collect(),
                    leader: Some(name(eyes[0])),
                },
            }
        };
        let events = [
            held(1, ["n1", "n1"]),
            held(2, ["n1", "n2"]),
            held(3, ["n2", "n2"]),
        ];
        let found = leaders(&events, &nodes);
        assert_eq!(found, [reign(0, 1.0, 3.0), reign(1, 2.0, 3.0)]);
    }

    #[test]
    fn views_and_leaders_are_told_where_they_change() {
        let all: &[&str] = &["n1", "n2"];
        let nodes = [name("n1"), name("n2")];
        let events = [
            told(1, &[("n1", all), ("n2", all)], Some("n1")),
            told(2, &[("n1", all), ("n2", all)], Some("n1")),
            told(3, &[("n1", &["n1"]), ("n2", &[])], Some("n2")),
            told(4, &[("n1", all)], None),
            told(5, &[("n1", all), ("n2", all)], Some("n2")),
            told(6, &[("n1", all), ("n2", all)], Some("n2")),
        ];
        let timeline = timeline(&events, &Coverage::default(), &nodes);
        let states: Vec<_> = timeline
            .views
            .iter()
            .map(|views| {
                let states: Vec<u8> = views.nodes.iter().map(|view| view.state).collect();
                (views.at, states)
            })
            .collect();
        assert_eq!(
            states,
            [
                (1.0, vec![0, 0]),
                (3.0, vec![2, 3]),
                (4.0, vec![0, 3]),
                (5.0, vec![0, 0]),
                (6.0, vec![0, 0]),
            ]
        );
        assert_eq!(timeline.views[1].nodes[0].said, "sees n1");
        assert_eq!(
            timeline.leaders,
            [reign(0, 1.0, 3.0), reign(1, 3.0, 4.0), reign(1, 5.0, 6.0)]
        );
        let second = 1_000_000_000;
        assert_eq!(whole_after(2 * second, &events, &nodes), Some(5 * second));
        assert_eq!(
            leader_before(4 * second, &events),
            Some((name("n2"), 3 * second))
        );
        assert_eq!(
            leader_after(3 * second, &events),
            Some((name("n2"), 5 * second))
        );
        let within = |before| leaders_within(0, 5 * second, &events, before);
        let first = (name("n1"), second);
        assert_eq!(within(None), [first, (name("n2"), 3 * second)]);
        assert_eq!(within(Some(name("n1"))), [(name("n2"), 3 * second)]);
    }
}
