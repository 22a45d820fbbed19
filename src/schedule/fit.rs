//! Whether a scenario fits the nodes of an inventory.

use super::{Misfit, aim};
use crate::diagnostic::{did_you_mean, quoted};
use crate::inventory::NodeName;
use crate::scenario::{AimSpec, FaultSpec, NodesSpec, PartitionSpec, Scenario, Step};

/// Everything that does not fit, in the scenario's order.
pub(super) fn check(scenario: &Scenario, nodes: &[NodeName]) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    count(scenario, nodes, &mut misfits);
    replicas(scenario, nodes, &mut misfits);
    Step::each_of(&scenario.schedule, "schedule", &mut |path, step| {
        if let Step::Fault(step) = step {
            fault(path, &step.fault, nodes, &mut misfits);
        }
        if let Some(condition) = step.condition() {
            let key = match step {
                Step::Fault(_) => "until",
                _ => "await",
            };
            for name in condition.named() {
                known(&format!("{path}.{key}"), &name.0, nodes, &mut misfits);
            }
        }
    });
    misfits
}

/// The same for one fault by itself.
pub(super) fn check_fault(spec: &FaultSpec, nodes: &[NodeName]) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    fault("fault", spec, nodes, &mut misfits);
    misfits
}

fn count(scenario: &Scenario, nodes: &[NodeName], misfits: &mut Vec<Misfit>) {
    if let Some(count) = scenario.cluster.nodes
        && count != nodes.len()
    {
        misfits.push(Misfit {
            path: "cluster.nodes".to_owned(),
            message: format!(
                "the scenario is written for {count} nodes, not for {}",
                nodes.len()
            ),
            remedy: format!("name an inventory of {count} hosts"),
        });
    }
}

fn replicas(scenario: &Scenario, nodes: &[NodeName], misfits: &mut Vec<Misfit>) {
    let Some(replicas) = scenario.queue.replicas else {
        return;
    };
    if replicas as usize > nodes.len() {
        misfits.push(Misfit {
            path: "queue.replicas".to_owned(),
            message: format!("{replicas} replicas do not fit on {} nodes", nodes.len()),
            remedy: format!("ask for at most {}, or for `all`", nodes.len()),
        });
    }
}

fn known(path: &str, name: &str, nodes: &[NodeName], misfits: &mut Vec<Misfit>) {
    if !nodes.iter().any(|node| node.0 == name) {
        misfits.push(Misfit {
            path: path.to_owned(),
            message: format!("the inventory has no node {}", quoted(name)),
            remedy: did_you_mean(name, nodes.iter().map(|node| node.0.as_str())),
        });
    }
}

fn fault(path: &str, fault: &FaultSpec, nodes: &[NodeName], misfits: &mut Vec<Misfit>) {
    let aim = &fault.aim;
    let path = match aim {
        AimSpec::Groups(_) => format!("{path}.groups"),
        AimSpec::On(_) => format!("{path}.on"),
    };
    let least = aim::nodes_min(aim);
    if nodes.len() < least {
        misfits.push(Misfit {
            path: path.clone(),
            message: format!(
                "this {} needs at least {least} nodes, the inventory has {}",
                fault.kind.name,
                nodes.len()
            ),
            remedy: "add hosts to the inventory".to_owned(),
        });
    }
    let named: Vec<&String> = match aim {
        AimSpec::Groups(PartitionSpec::Groups(groups)) => groups.iter().flatten().collect(),
        AimSpec::On(NodesSpec::Named(names)) => names.iter().collect(),
        AimSpec::Groups(_) | AimSpec::On(_) => Vec::new(),
    };
    for name in named {
        known(&path, name, nodes, misfits);
    }
    if let AimSpec::Groups(PartitionSpec::Groups(groups)) = aim
        && let [only] = groups.as_slice()
        && nodes.iter().all(|node| only.contains(&node.0))
    {
        misfits.push(Misfit {
            path,
            message: "one group holds every node, so nothing would be cut".to_owned(),
            remedy: "leave out the nodes of the other side: they form a group of their own"
                .to_owned(),
        });
    }
}
