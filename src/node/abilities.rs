//! What a host has of the things that faults need.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::{Kind, Need};
use crate::remote::{Host, RemoteError, Script};

/// Functions that tell whether a host is a machine of its own.
pub const MACHINE_SHELL: &str = include_str!("machine.sh");

const ABILITIES: &str = concat!(
    include_str!("machine.sh"),
    "\n",
    include_str!("abilities.sh")
);

const DEADLINE: Duration = Duration::from_secs(30);

/// What a host has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Abilities(BTreeSet<Need>);

impl Abilities {
    /// Asks a host.
    pub async fn of(host: &Host) -> Result<Self, RemoteError> {
        let script = Script::new("find out which faults it can have", ABILITIES).deadline(DEADLINE);
        Ok(Self::parse(&host.run(&script).await?.text()))
    }

    /// Reads what [`Self::of`] asked for.
    pub(super) fn parse(text: &str) -> Self {
        let named = |need: &Need| text.lines().any(|line| line == need.name());
        Self(Need::ALL.into_iter().filter(named).collect())
    }

    /// Whether it has this.
    pub fn has(&self, need: Need) -> bool {
        self.0.contains(&need)
    }

    /// What it lacks for a fault, in words with the remedy; nothing where it lacks nothing.
    pub fn lacking(&self, needs: &[&[Need]]) -> Option<String> {
        let unmet = needs
            .iter()
            .filter(|any| !any.iter().any(|need| self.has(*need)));
        let words = unmet.map(|any| {
            let each = any.iter().map(|need| format!("{need} ({})", need.remedy()));
            each.collect::<Vec<_>>().join(" or ")
        });
        let words: Vec<_> = words.collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// The faults of these that it can have.
    pub fn allows<'k>(&self, kinds: &'k [Kind]) -> Vec<&'k Kind> {
        let met = |kind: &&Kind| kind.lacks(|need| self.has(need)).is_empty();
        kinds.iter().filter(met).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::kind;

    #[test]
    fn what_is_lacking_comes_with_its_remedy() {
        let abilities = Abilities::parse("iptables\nsystemd\nunheard-of\n");
        assert_eq!(abilities.lacking(kind("partition").unwrap().needs), None);
        assert_eq!(
            abilities.lacking(kind("loss").unwrap().needs).unwrap(),
            "xt_statistic (a kernel with this netfilter module (Debian's own has it))"
        );
        let names: Vec<_> = abilities.allows(crate::catalog::KINDS);
        assert!(names.iter().any(|kind| kind.name == "kill"));
        assert!(!names.iter().any(|kind| kind.name == "fill-disk"));
    }
}
