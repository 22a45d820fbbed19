//! From what was typed to a planned fault: the same names, settings and draws as in a scenario.

use crate::catalog::{Aim, KINDS, Kind, KindRef, Settings};
use crate::cli::input::UsageError;
use crate::diagnostic::{did_you_mean, quoted};
use crate::inventory::{Inventory, NodeName};
use crate::scenario::{AimSpec, FaultSpec, NodesSpec, PartitionSpec};
use crate::schedule::{self, Nodes, PlannedAim, PlannedFault};

pub(super) fn unknown_kind(name: &str) -> UsageError {
    let names = KINDS.iter().map(|kind| kind.name);
    UsageError(format!(
        "there is no fault {}; {}",
        quoted(name),
        did_you_mean(name, names)
    ))
}

fn names(text: &str) -> Vec<String> {
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// `n1,n2 n3`, or a single word such as `minority`.
pub(super) fn groups(typed: &[String]) -> Result<PartitionSpec, UsageError> {
    if let [word] = typed
        && let Some((_, spec)) = PartitionSpec::WORDS.iter().find(|(known, _)| known == word)
    {
        return Ok(spec.clone());
    }
    let groups: Vec<_> = typed.iter().map(|group| names(group)).collect();
    if let Some(empty) = groups.iter().position(Vec::is_empty) {
        return Err(UsageError(format!(
            "{:?} names no node; write groups such as `n1,n2 n3,n4,n5`",
            typed[empty]
        )));
    }
    Ok(PartitionSpec::Groups(groups))
}

/// `n1,n2`, or a word such as `one`.
pub(super) fn nodes(typed: &str) -> Result<NodesSpec, UsageError> {
    if let Some((_, spec)) = NodesSpec::WORDS.iter().find(|(known, _)| *known == typed) {
        return Ok(spec.clone());
    }
    let names = names(typed);
    if names.is_empty() {
        return Err(UsageError(format!(
            "{typed:?} names no node; write nodes such as `n1,n2`"
        )));
    }
    Ok(NodesSpec::Named(names))
}

/// Nodes that are there by these names.
pub(super) fn named(typed: &str, all: &[NodeName]) -> Result<Vec<NodeName>, UsageError> {
    match nodes(typed)? {
        NodesSpec::All => Ok(all.to_vec()),
        NodesSpec::Named(names) => names
            .into_iter()
            .map(|name| {
                let found = all.iter().find(|known| known.0 == name);
                found.cloned().ok_or_else(|| {
                    let help = did_you_mean(&name, all.iter().map(|known| known.0.as_str()));
                    UsageError(format!("there is no node {}; {help}", quoted(&name)))
                })
            })
            .collect(),
        _ => Err(UsageError(format!(
            "{} means nodes that are drawn or looked up; name those where it is to be undone",
            quoted(typed)
        ))),
    }
}

pub(super) fn settings(kind: &Kind, typed: &[(&str, String)]) -> Result<Settings, UsageError> {
    let mut settings = kind.defaults();
    for (name, text) in typed {
        let known = kind.parameters.iter().map(|parameter| parameter.name);
        let parameter = kind.parameter(name).ok_or_else(|| {
            UsageError(format!(
                "{} has no setting {}; {}",
                kind.name,
                quoted(name),
                did_you_mean(name, known)
            ))
        })?;
        let setting = parameter
            .takes
            .read(text)
            .map_err(|unfit| UsageError(format!("{name}: {unfit}")))?;
        settings.insert((*name).to_owned(), setting);
    }
    for parameter in kind.parameters {
        if parameter.is_required && !settings.contains_key(parameter.name) {
            return Err(UsageError(format!(
                "{} needs {}: {}; write {}",
                kind.name, parameter.name, parameter.about, parameter.takes
            )));
        }
    }
    Ok(settings)
}

/// Everything decided but what only the cluster knows, which has no place here.
pub(super) fn planned(
    kind: &'static Kind,
    aim: &AimSpec,
    typed: &[(&str, String)],
    inventory: &Inventory,
    seed: u64,
) -> Result<PlannedFault, UsageError> {
    let fits = matches!(
        (kind.aim, aim),
        (Aim::Groups, AimSpec::Groups(_)) | (Aim::Nodes, AimSpec::On(_))
    );
    if !fits {
        return Err(UsageError(format!(
            "{} has a verb of its own: `jtest fault {}`",
            kind.name, kind.name
        )));
    }
    let spec = FaultSpec {
        kind: KindRef(kind),
        aim: aim.clone(),
        settings: settings(kind, typed)?,
    };
    let nodes: Vec<_> = inventory
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .collect();
    let planned = schedule::plan_fault(&spec, &nodes, seed)
        .map_err(|misfits| UsageError(misfits.to_string()))?;
    let is_open = match &planned.aim {
        PlannedAim::Groups(groups) => groups.needs_leader(),
        PlannedAim::On(nodes) => !matches!(nodes, Nodes::Named(_)),
    };
    if is_open {
        return Err(UsageError(
            "who leads the queue is looked up in a run only; name the nodes".to_owned(),
        ));
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::kind;

    #[test]
    fn what_is_typed_is_what_a_scenario_would_say() {
        let owned = |typed: &[&str]| {
            typed
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(groups(&owned(&["minority"])), Ok(PartitionSpec::Minority));
        assert_eq!(
            groups(&owned(&["n1,n2", "n3"])),
            Ok(PartitionSpec::Groups(vec![
                owned(&["n1", "n2"]),
                owned(&["n3"])
            ]))
        );
        assert!(groups(&owned(&["n1", ","])).is_err());
        assert_eq!(nodes("all"), Ok(NodesSpec::All));
        assert_eq!(nodes("n1, n2"), Ok(NodesSpec::Named(owned(&["n1", "n2"]))));
        assert!(nodes("").is_err());
    }

    #[test]
    fn what_is_undone_somewhere_is_named() {
        let all = ["n1", "n2", "n3"].map(|name| NodeName(name.into()));
        let named = |typed: &str| {
            let nodes = named(typed, &all)?;
            Ok::<_, UsageError>(nodes.into_iter().map(|node| node.0).collect::<Vec<_>>())
        };
        assert_eq!(named("n3,n1").unwrap(), ["n3", "n1"]);
        assert_eq!(named("all").unwrap(), ["n1", "n2", "n3"]);
        assert!(named("n9").unwrap_err().0.contains("there is no node `n9`"));
        assert!(named("minority").unwrap_err().0.contains("name those"));
    }

    #[test]
    fn mistaken_settings_are_told() {
        let check = |name: &str, typed: &[(&str, &str)], expected: &str| {
            let typed: Vec<_> = typed
                .iter()
                .map(|(key, text)| (*key, (*text).to_owned()))
                .collect();
            let error = settings(kind(name).unwrap(), &typed).unwrap_err();
            assert!(error.0.contains(expected), "{error}");
        };
        check("loss", &[], "loss needs share");
        check("loss", &[("share", "30")], "write a percentage");
        check("loss", &[("shar", "30%")], "did you mean `share`?");
        check("stop", &[("of", "epmd")], "stop has no setting `of`");
    }
}
