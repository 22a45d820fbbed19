//! Groups and hosts as the file has them, and which variables a host ends up with.
//!
//! The rules are Ansible's: a group may be described in several places, which add up; of two
//! groups the deeper one wins, then the one with the higher `ansible_group_priority`, then
//! the later one in the alphabet; a host's own variables win over all groups.

use std::collections::HashMap;

use super::ranges;
use super::{GROUPS_MAX, HOSTS_MAX};
use crate::diagnostic::{Collector, Place, did_you_mean, quoted};
use crate::yaml::{Entry, Kind, Value};

/// The group that every host is in.
const ALL: &str = "all";
/// The group of the hosts that are in no other but `all`, whatever the file says.
const UNGROUPED: &str = "ungrouped";

/// A host as the file mentions it, with its variables after precedence.
#[derive(Debug)]
pub(super) struct Host<'v> {
    /// Its name, not yet checked.
    pub name: String,
    /// The key that first names it.
    pub place: Place,
    /// Which entry decides each variable.
    pub variables: HashMap<&'v str, &'v Entry>,
    /// The port after a colon in its key, as written.
    pub port: Option<(String, Place)>,
}

/// All hosts of the tree, in the order of the file, and every entry of any `vars` or host.
#[derive(Debug, Default)]
pub(super) struct Hosts<'v> {
    /// The hosts.
    pub hosts: Vec<Host<'v>>,
    /// Each place where a variable is set, whether it is used or not.
    pub settings: Vec<&'v Entry>,
}

/// Collects the hosts of an inventory's tree, with those variables that are `used`.
pub(super) fn collect<'v>(
    tree: &'v Value,
    used: fn(&str) -> bool,
    to: &mut Collector<'_>,
) -> Hosts<'v> {
    let mut walk = Walk {
        used,
        groups: Vec::new(),
        group_index: HashMap::new(),
        hosts: Vec::new(),
        host_index: HashMap::new(),
        settings: Vec::new(),
        too_many_told: false,
    };
    let all = walk.group(ALL);
    let Some(groups) = walk.top_level(tree, to) else {
        return Hosts::default();
    };
    for entry in groups {
        walk.read_group(entry, None, to);
    }
    for group in 0..walk.groups.len() {
        if group != all && walk.groups[group].parents.is_empty() {
            walk.groups[group].parents.push(all);
        }
    }
    walk.finish(to)
}

#[derive(Debug, Default)]
struct Group<'v> {
    name: String,
    parents: Vec<usize>,
    variables: Vec<&'v Entry>,
}

#[derive(Debug)]
struct Mentioned<'v> {
    host: Host<'v>,
    groups: Vec<usize>,
    own: Vec<&'v Entry>,
}

#[derive(Debug)]
struct Walk<'v> {
    used: fn(&str) -> bool,
    groups: Vec<Group<'v>>,
    group_index: HashMap<String, usize>,
    hosts: Vec<Mentioned<'v>>,
    host_index: HashMap<String, usize>,
    settings: Vec<&'v Entry>,
    too_many_told: bool,
}

impl<'v> Walk<'v> {
    fn top_level(&self, tree: &'v Value, to: &mut Collector<'_>) -> Option<&'v [Entry]> {
        match &tree.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Null => Some(&[]),
            Kind::Scalar { .. } | Kind::Sequence(_) => {
                to.error(
                    tree.place,
                    format!("an inventory is a mapping of groups, not {}", tree.kind_name()),
                    "begin with `all:`, then `hosts:` indented below it, then one key for each host",
                );
                None
            }
        }
    }

    /// The index of a group, made if new.
    fn group(&mut self, name: &str) -> usize {
        if let Some(index) = self.group_index.get(name) {
            return *index;
        }
        let index = self.groups.len();
        self.group_index.insert(name.to_owned(), index);
        self.groups.push(Group {
            name: name.to_owned(),
            ..Group::default()
        });
        index
    }

    fn read_group(&mut self, entry: &'v Entry, parent: Option<usize>, to: &mut Collector<'_>) {
        let new = !self.group_index.contains_key(&entry.key);
        if new && self.groups.len() >= GROUPS_MAX {
            return self.too_many(entry.place, &format!("{GROUPS_MAX} groups"), to);
        }
        let group = self.group(&entry.key);
        if let Some(parent) = parent {
            if entry.key == ALL || self.is_within(parent, group) {
                to.error(
                    entry.place,
                    format!("the group {} would contain itself", quoted(&entry.key)),
                    "remove it from these `children`",
                );
                return;
            }
            if !self.groups[group].parents.contains(&parent) {
                self.groups[group].parents.push(parent);
            }
        }
        match &entry.value.kind {
            Kind::Null => {}
            Kind::Mapping(sections) => {
                for section in sections {
                    self.read_section(section, group, to);
                }
            }
            Kind::Scalar { .. } | Kind::Sequence(_) => to.error(
                entry.value.place,
                format!("the group {} must be a mapping", quoted(&entry.key)),
                "below it come `hosts:`, `vars:` or `children:`",
            ),
        }
    }

    fn read_section(&mut self, section: &'v Entry, group: usize, to: &mut Collector<'_>) {
        const SECTIONS: [&str; 3] = ["hosts", "vars", "children"];
        if !SECTIONS.contains(&section.key.as_str()) {
            let remedy = if section.value.entries().is_some() {
                format!(
                    "{}; hosts belong under `hosts:`, groups under `children:`",
                    did_you_mean(&section.key, SECTIONS)
                )
            } else {
                format!(
                    "{}; variables belong under `vars:`",
                    did_you_mean(&section.key, SECTIONS)
                )
            };
            to.error(
                section.place,
                format!("a group has no section {}", quoted(&section.key)),
                remedy,
            );
            return;
        }
        let entries = match &section.value.kind {
            Kind::Null => return,
            Kind::Mapping(entries) => entries,
            // Ansible takes a lone name for a mapping with that key.
            Kind::Scalar { text, .. } if section.key == "hosts" => {
                return self.mention(text, section.value.place, &[], group, to);
            }
            Kind::Scalar { .. } | Kind::Sequence(_) => {
                let remedy = match section.key.as_str() {
                    "vars" => "write `name: value` for each variable",
                    _ => "write each name as a key with a colon and without a dash: `n1:`",
                };
                return to.error(
                    section.value.place,
                    format!(
                        "`{}` must be a mapping, not {}",
                        section.key,
                        section.value.kind_name()
                    ),
                    remedy,
                );
            }
        };
        match section.key.as_str() {
            "vars" => {
                let used = self.used(entries);
                self.groups[group].variables.extend(used);
                self.settings.extend(entries);
            }
            "children" => {
                for child in entries {
                    self.read_group(child, Some(group), to);
                }
            }
            _ => {
                for host in entries {
                    self.read_host(host, group, to);
                }
            }
        }
    }

    fn read_host(&mut self, entry: &'v Entry, group: usize, to: &mut Collector<'_>) {
        let own: &[Entry] = match &entry.value.kind {
            Kind::Null => &[],
            Kind::Mapping(variables) => variables,
            Kind::Scalar { .. } | Kind::Sequence(_) => {
                to.error(
                    entry.value.place,
                    format!(
                        "the variables of {} must be a mapping, not {}",
                        quoted(&entry.key),
                        entry.value.kind_name()
                    ),
                    "an address is written `ansible_host: 192.0.2.1`, indented below the host",
                );
                &[]
            }
        };
        self.settings.extend(own);
        let own = self.used(own);
        self.mention(&entry.key, entry.place, &own, group, to);
    }

    /// What is used of some variables, each key once, so that hostile files stay cheap.
    fn used(&self, entries: &'v [Entry]) -> Vec<&'v Entry> {
        let mut last = HashMap::new();
        for entry in entries.iter().filter(|entry| (self.used)(&entry.key)) {
            last.insert(entry.key.as_str(), entry);
        }
        last.into_values().collect()
    }

    /// Notes that a group has the hosts of a pattern.
    fn mention(
        &mut self,
        pattern: &str,
        place: Place,
        own: &[&'v Entry],
        group: usize,
        to: &mut Collector<'_>,
    ) {
        let pattern = match ranges::expand(pattern) {
            Ok(pattern) => pattern,
            Err((message, remedy)) => return to.error(place, message, remedy),
        };
        for name in pattern.names {
            let index = match self.host_index.get(&name) {
                Some(index) => *index,
                None if self.hosts.len() >= HOSTS_MAX => {
                    return self.too_many(place, &format!("{HOSTS_MAX} hosts"), to);
                }
                None => {
                    self.hosts.push(Mentioned {
                        host: Host {
                            name: name.clone(),
                            place,
                            variables: HashMap::new(),
                            port: None,
                        },
                        groups: Vec::new(),
                        own: Vec::new(),
                    });
                    self.host_index.insert(name, self.hosts.len() - 1);
                    self.hosts.len() - 1
                }
            };
            let mentioned = &mut self.hosts[index];
            if !mentioned.groups.contains(&group) {
                mentioned.groups.push(group);
            }
            mentioned.own.extend(own);
            if let Some(port) = &pattern.port {
                mentioned.host.port = Some((port.clone(), place));
            }
        }
    }

    fn too_many(&mut self, place: Place, what: &str, to: &mut Collector<'_>) {
        if !self.too_many_told {
            self.too_many_told = true;
            to.error(
                place,
                format!("there are more than {what}"),
                "name only the few hosts that jtest is to use",
            );
        }
    }

    /// Whether `group` is `ancestor` or below it.
    fn is_within(&self, group: usize, ancestor: usize) -> bool {
        self.with_ancestors(&[group])[ancestor]
    }

    /// Marks the groups and everything above them.
    fn with_ancestors(&self, groups: &[usize]) -> Vec<bool> {
        let mut marked = vec![false; self.groups.len()];
        let mut open = groups.to_vec();
        while let Some(group) = open.pop() {
            if !std::mem::replace(&mut marked[group], true) {
                open.extend(&self.groups[group].parents);
            }
        }
        marked
    }

    /// Marks the groups that a host is in.
    fn membership(&self, host: &Mentioned<'_>, all: usize) -> Vec<bool> {
        let mut direct = host.groups.clone();
        if let Some(ungrouped) = self.group_index.get(UNGROUPED) {
            direct.retain(|group| group != ungrouped);
            if direct.iter().all(|group| *group == all) {
                direct.push(*ungrouped);
            }
        }
        direct.push(all);
        self.with_ancestors(&direct)
    }

    /// For each group the longest way down from `all`.
    fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.groups.len()];
        // No way is longer than the number of groups, as none contains itself.
        for _ in 0..self.groups.len() {
            let mut changed = false;
            for (index, group) in self.groups.iter().enumerate() {
                let depth = group.parents.iter().map(|parent| depths[*parent] + 1).max();
                let depth = depth.unwrap_or(0);
                changed |= std::mem::replace(&mut depths[index], depth) != depth;
            }
            if !changed {
                break;
            }
        }
        depths
    }

    fn finish(self, to: &mut Collector<'_>) -> Hosts<'v> {
        let depths = self.depths();
        let priorities: Vec<i64> = self
            .groups
            .iter()
            .map(|group| priority(group, to))
            .collect();
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|group| {
            (
                depths[*group],
                priorities[*group],
                &self.groups[*group].name,
            )
        });
        let all = self.group_index.get(ALL).copied().unwrap_or_default();
        let mut hosts = Vec::with_capacity(self.hosts.len());
        for mentioned in &self.hosts {
            let member = self.membership(mentioned, all);
            let inherited = order
                .iter()
                .filter(|group| member[**group])
                .flat_map(|group| &self.groups[*group].variables);
            let variables = inherited
                .chain(&mentioned.own)
                .map(|entry| (entry.key.as_str(), *entry))
                .collect();
            hosts.push(Host {
                name: mentioned.host.name.clone(),
                place: mentioned.host.place,
                variables,
                port: mentioned.host.port.clone(),
            });
        }
        Hosts {
            hosts,
            settings: self.settings,
        }
    }
}

/// `ansible_group_priority`, by default 1.
fn priority(group: &Group<'_>, to: &mut Collector<'_>) -> i64 {
    const DEFAULT: i64 = 1;
    let set = group
        .variables
        .iter()
        .rev()
        .find(|entry| entry.key == "ansible_group_priority");
    let Some(entry) = set else { return DEFAULT };
    match &entry.value.kind {
        Kind::Scalar { text, .. } => text.parse().ok(),
        Kind::Null | Kind::Sequence(_) | Kind::Mapping(_) => None,
    }
    .unwrap_or_else(|| {
        to.error(
            entry.value.place,
            "`ansible_group_priority` must be a whole number",
            "write a number such as `10`",
        );
        DEFAULT
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    /// `n1: x=1 y=2` for each host, variables in alphabetical order.
    fn check(text: &str, expected: &str) {
        let mut to = Collector::new("f", text);
        let tree = yaml::parse(text, &mut to).unwrap();
        let collected = collect(&tree, |_| true, &mut to);
        let shown: Vec<String> = collected
            .hosts
            .iter()
            .map(|host| {
                let mut variables: Vec<String> = host
                    .variables
                    .values()
                    .map(|entry| match &entry.value.kind {
                        Kind::Scalar { text, .. } => format!(" {}={text}", entry.key),
                        _ => format!(" {}=?", entry.key),
                    })
                    .collect();
                variables.sort();
                let port = host.port.as_ref().map(|(port, _)| format!(" :{port}"));
                format!(
                    "{}{}{}",
                    host.name,
                    variables.concat(),
                    port.unwrap_or_default()
                )
            })
            .collect();
        assert_eq!(shown.join("\n"), expected, "{text}");
        if let Err(told) = to.finish() {
            panic!("{told}");
        }
    }

    #[test]
    fn forms() {
        check("", "");
        check("all:\n", "");
        check("all: {hosts: {n1: , n2: {x: 1}}}", "n1\nn2 x=1");
        check("all: {hosts: n1}", "n1");
        check("all: {hosts: 'n[1:3]'}", "n1\nn2\nn3");
        check("web: {hosts: {b: }}\ndb: {hosts: {a: }}", "b\na");
        check(
            "all: {hosts: {'n[1:2]': {x: 1}, n2: {x: 2}}}",
            "n1 x=1\nn2 x=2",
        );
        check("all: {hosts: {'n1:2222': }}", "n1 :2222");
        check("ungrouped: {hosts: {n1: }}\nempty:\n", "n1");
    }

    #[test]
    fn precedence() {
        check(
            "all: {hosts: {n1: {x: host}}, vars: {x: all, y: all}}",
            "n1 x=host y=all",
        );
        check(
            "all: {vars: {x: all}, children: {p: {vars: {x: p}, children: {c: {vars: {x: c}, hosts: {n1: }}}}}}",
            "n1 x=c",
        );
        check(
            "b: {vars: {x: b}, hosts: {n1: }}\na: {vars: {x: a}, hosts: {n1: }}",
            "n1 x=b",
        );
        check(
            "b: {vars: {x: b}, hosts: {n1: }}\na: {vars: {x: a, ansible_group_priority: 2}, hosts: {n1: }}",
            "n1 ansible_group_priority=2 x=a",
        );
        check(
            "z: {vars: {x: z}, hosts: {n1: }}\nall: {children: {a: {children: {b: {vars: {x: b}, hosts: {n1: }}}}}}",
            "n1 x=b",
        );
        check("all: {vars: {x: all}}\ng: {hosts: {n1: }}", "n1 x=all");
        check(
            "g: {hosts: {n1: {x: 1}}}\nh: {hosts: {n1: {y: 2}}}",
            "n1 x=1 y=2",
        );
        check(
            "g: {hosts: {n1: {x: 1}}}\nh: {hosts: {n1: {x: 2}}}",
            "n1 x=2",
        );
        check(
            "g: {children: {c: }}\nc: {hosts: {n1: }}\nd: {vars: {x: d}}\nall: {children: {g: {vars: {x: g}}}}",
            "n1 x=g",
        );
    }

    #[test]
    fn ungrouped_is_who_is_in_no_other_group() {
        check("all: {hosts: {n1: }}\nungrouped: {vars: {x: u}}", "n1 x=u");
        check(
            "ungrouped: {vars: {x: u}, hosts: {n1: }}\ng: {hosts: {n1: }}",
            "n1",
        );
    }

    #[test]
    fn a_group_cannot_contain_itself() {
        for text in [
            "a: {children: {a: }}",
            "a: {children: {all: }}",
            "a: {children: {b: {children: {a: }}}}",
            "a: {children: {b: }}\nb: {children: {c: }}\nc: {children: {a: }}",
            "a: {children: {all: {hosts: {n1: }}}}\nall: {children: {a: }}",
        ] {
            let mut to = Collector::new("f", text);
            let tree = yaml::parse(text, &mut to).unwrap();
            let _ = collect(&tree, |_| true, &mut to);
            let told = to.finish().unwrap_err().to_string();
            assert!(told.contains("would contain itself"), "{text}: {told}");
        }
    }
}
