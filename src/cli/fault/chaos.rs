//! Random faults, one after another, for a time: blockade's chaos.

use std::time::Duration;

use tokio::time::Instant;

use super::aim;
use super::hand::{Hand, pause};
use crate::catalog::{PARTITION, kind};
use crate::cli::Outcome;
use crate::inventory::Inventory;
use crate::scenario::{AimSpec, NodesSpec, PartitionSpec};
use crate::schedule::Draw;

/// What is done, and how often of seven times.
const CHOICES: [(&str, u64); 5] = [
    ("partition", 2),
    ("kill", 1),
    ("pause", 1),
    ("loss", 2),
    ("stop", 1),
];

/// Does so until the time is up, or somebody interrupts it. Everything is undone in the end.
pub(super) async fn run(
    hand: Hand,
    inventory: &Inventory,
    seed: u64,
    lasts: Duration,
) -> anyhow::Result<Outcome> {
    let mut draw = Draw::new(seed);
    let end = Instant::now() + lasts;
    let mut outcome = Outcome::Done;
    while Instant::now() < end {
        let name = choose(&mut draw);
        let (kind, aim, settings): (_, _, &[(&str, String)]) = match name {
            "partition" => (
                Some(&PARTITION),
                AimSpec::Groups(PartitionSpec::Random),
                &[],
            ),
            "loss" => (
                kind(name),
                AimSpec::On(NodesSpec::One),
                &[("share", String::new())],
            ),
            _ => (kind(name), AimSpec::On(NodesSpec::One), &[]),
        };
        let share = format!("{}%", 5 * (1 + draw.below(8)));
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, _)| (*name, share.clone()))
            .collect();
        let duration = Duration::from_secs(5 + draw.below(11));
        let rest = Duration::from_secs(3 + draw.below(8));
        let kind = kind.ok_or_else(|| aim::unknown_kind(name))?;
        let planned = aim::planned(kind, &aim, &settings, inventory, draw.below(u64::MAX))?;
        if hand.exercise(&planned, Some(duration)).await? == Outcome::NotInOrder {
            outcome = Outcome::NotInOrder;
        }
        if !pause(rest).await {
            break;
        }
    }
    hand.end().await?;
    Ok(outcome)
}

fn choose(draw: &mut Draw) -> &'static str {
    let total = CHOICES.iter().map(|(_, weight)| weight).sum();
    let mut left = draw.below(total);
    for (name, weight) in CHOICES {
        if left < weight {
            return name;
        }
        left -= weight;
    }
    CHOICES[0].0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_is_chosen_as_often_as_it_weighs() {
        let mut draw = Draw::new(7);
        let mut seen = BTreeMap::<_, u64>::new();
        for _ in 0..7000 {
            *seen.entry(choose(&mut draw)).or_default() += 1;
        }
        for (name, weight) in CHOICES {
            // Five standard deviations of the most frequent are about 190.
            assert!(seen[name].abs_diff(weight * 1000) < 200, "{seen:?}");
        }
    }
}
