//! `jtest fault`: faults by hand, against an inventory, with no run around them.
//!
//! The verbs are blockade's. Each fault is proven before the verb ends, and stays in force under a
//! lease: a host that nobody tells otherwise undoes everything by itself when it runs out.

mod aim;
mod chaos;
mod hand;
mod show;

use std::time::Duration;

use self::hand::Hand;
use super::Outcome;
use super::input::UsageError;
use super::output::OutputArgs;
use super::target::{self, TargetArgs};
use crate::catalog::{Group, KINDS, Kind, PARTITION, kind};
use crate::inventory::Inventory;
use crate::scenario::{AimSpec, NodesSpec};
use crate::yaml::parse_duration;

/// What was typed after `jtest fault`.
#[derive(Debug, clap::Args)]
pub struct FaultArgs {
    #[command(subcommand)]
    verb: FaultVerb,
}

/// Options of every verb that does something.
#[derive(Debug, clap::Args)]
struct HandArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// After which the hosts undo everything by themselves; never shortens what is left of it
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = lease)]
    lease: Duration,
    /// Undo it after this time, or as soon as it is proven after that, and wait for it; without it, it stays
    /// until the lease runs out
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
    /// The queue, for faults that are about one
    #[arg(long, value_name = "NAME", default_value = "jtest.queue")]
    queue: String,
    /// Everything random comes from it; a random one is chosen, and printed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Debug, clap::Subcommand)]
enum FaultVerb {
    /// Divide the nodes: `n1,n2 n3,n4,n5` (nodes left out form one more group), or a word such as `minority`
    Partition {
        /// Groups of nodes, or one of minority, halves, one, random, majorities-ring, bridge
        #[arg(value_name = "GROUP", required_unless_present = "random")]
        groups: Vec<String>,
        /// Random groups
        #[arg(long, conflicts_with = "groups")]
        random: bool,
        /// What the first group loses: both, in or out
        #[arg(long, value_name = "WAY", default_value = "both")]
        direction: String,
        /// Only TCP from or to these ports
        #[arg(long, value_name = "PORTS")]
        ports: Option<String>,
        /// Cut and whole again, each for so long (5ms to 1s)
        #[arg(long, value_name = "TIME")]
        flap: Option<String>,
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Undo every partition
    Join {
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Lose packets: `flaky n3 30%`
    Flaky {
        /// Nodes (`n1,n2`), or one, minority, majority, all
        nodes: String,
        /// How many
        #[arg(default_value = "30%")]
        share: String,
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Delay packets: `slow n3 75ms±100ms`
    Slow {
        /// Nodes (`n1,n2`), or one, minority, majority, all
        nodes: String,
        /// How late, and by how much more or less
        #[arg(default_value = "75ms±100ms")]
        by: String,
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Send packets twice: `duplicate n3 10%`
    Duplicate {
        /// Nodes (`n1,n2`), or one, minority, majority, all
        nodes: String,
        /// How many
        #[arg(default_value = "5%")]
        share: String,
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Undo what was done to packets
    Fast(SomeNodes),
    /// Kill the broker; `start` starts it again
    Kill(Nodes),
    /// Stop the broker's service; `start` starts it again
    Stop(Nodes),
    /// Undo `kill` and `stop`
    Start(SomeNodes),
    /// Restart the broker's service
    Restart(Nodes),
    /// Freeze the broker's process
    Pause(Nodes),
    /// Undo `pause`
    Unpause(SomeNodes),
    /// Let the clock jump (in a container the broker's alone): `clock n2 +90s`
    Clock {
        /// Nodes (`n1,n2`), or one, minority, majority, all
        nodes: String,
        /// By how much
        #[arg(allow_hyphen_values = true)]
        by: String,
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Any fault of the table (`jtest faults` lists them): `inject fill-disk n2 to=90%`
    Inject {
        /// Which
        kind: String,
        /// Nodes (`n1,n2`), or one, minority, majority, all
        nodes: String,
        /// What is set about it
        #[arg(value_name = "NAME=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Random faults, one after another
    Random {
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Tell what is in force on every node, and when its lease ends
    Status {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Tell what was done on every node, from the nodes' own logs
    Events {
        #[command(flatten)]
        target: TargetArgs,
        /// How far back
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = time)]
        since: Duration,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Lengthen the lease of what is in force, to `--lease` from now
    Renew {
        #[command(flatten)]
        hand: HandArgs,
    },
    /// Undo everything
    Heal(super::heal::HealArgs),
}

/// Nodes and nothing else.
#[derive(Debug, clap::Args)]
struct Nodes {
    /// Nodes (`n1,n2`), or one, minority, majority, all
    nodes: String,
    #[command(flatten)]
    hand: HandArgs,
}

/// Nodes, or all.
#[derive(Debug, clap::Args)]
struct SomeNodes {
    /// Only on these nodes (`n1,n2`); on all without it
    nodes: Option<String>,
    #[command(flatten)]
    hand: HandArgs,
}

impl FaultArgs {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self.verb {
            FaultVerb::Partition {
                groups,
                random,
                direction,
                ports,
                flap,
                hand,
            } => {
                let mut settings = vec![("direction", direction)];
                settings.extend(ports.map(|ports| ("ports", ports)));
                settings.extend(flap.map(|flap| ("flap", flap)));
                let inventory = hand.target.inventory()?;
                let groups = if random {
                    vec!["random".to_owned()]
                } else {
                    groups
                };
                let aim = AimSpec::Groups(aim::groups(&groups)?);
                hand.inject(&inventory, &PARTITION, aim, &settings)
            }
            FaultVerb::Flaky { nodes, share, hand } => {
                hand.inject_on(known("loss")?, &nodes, &[("share", share)])
            }
            FaultVerb::Slow { nodes, by, hand } => {
                let (by, jitter) = match by.split_once('±') {
                    Some((by, jitter)) => (by.to_owned(), Some(jitter.to_owned())),
                    None => (by, None),
                };
                let mut settings = vec![("by", by)];
                settings.extend(jitter.map(|jitter| ("jitter", jitter)));
                hand.inject_on(known("delay")?, &nodes, &settings)
            }
            FaultVerb::Duplicate { nodes, share, hand } => {
                hand.inject_on(known("duplicate")?, &nodes, &[("share", share)])
            }
            FaultVerb::Clock { nodes, by, hand } => {
                hand.inject_on(known("clock-bump")?, &nodes, &[("by", by)])
            }
            FaultVerb::Kill(Nodes { nodes, hand }) => {
                let down = [("systemd_restart", "false".to_owned())];
                hand.inject_on(known("kill")?, &nodes, &down)
            }
            FaultVerb::Stop(Nodes { nodes, hand }) => hand.inject_on(known("stop")?, &nodes, &[]),
            FaultVerb::Restart(Nodes { nodes, hand }) => {
                hand.inject_on(known("restart")?, &nodes, &[])
            }
            FaultVerb::Pause(Nodes { nodes, hand }) => hand.inject_on(known("pause")?, &nodes, &[]),
            FaultVerb::Inject {
                kind,
                nodes,
                settings,
                hand,
            } => {
                let mut pairs = Vec::new();
                for setting in &settings {
                    let (name, value) = setting.split_once('=').ok_or_else(|| {
                        UsageError(format!("{setting:?} is no setting; write it as NAME=VALUE"))
                    })?;
                    pairs.push((name, value.to_owned()));
                }
                hand.inject_on(known(&kind)?, &nodes, &pairs)
            }
            FaultVerb::Join { hand } => hand.undo(&["partition"], None),
            FaultVerb::Fast(SomeNodes { nodes, hand }) => {
                hand.undo(&kinds_of(Group::Packet), nodes.as_deref())
            }
            FaultVerb::Start(SomeNodes { nodes, hand }) => {
                hand.undo(&["kill", "stop", "terminate"], nodes.as_deref())
            }
            FaultVerb::Unpause(SomeNodes { nodes, hand }) => {
                hand.undo(&["pause"], nodes.as_deref())
            }
            FaultVerb::Random { hand } => hand.chaos(),
            FaultVerb::Renew { hand } => hand.renew(),
            FaultVerb::Status { target, output } => show::status(&target, output),
            FaultVerb::Events {
                target,
                since,
                output,
            } => show::events(&target, since, output),
            FaultVerb::Heal(heal) => heal.run(),
        }
    }
}

impl HandArgs {
    fn inject_on(
        &self,
        kind: &'static Kind,
        nodes: &str,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        let aim: NodesSpec = aim::nodes(nodes)?;
        self.inject(&inventory, kind, AimSpec::On(aim), settings)
    }

    fn inject(
        &self,
        inventory: &Inventory,
        kind: &'static Kind,
        aim: AimSpec,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Outcome> {
        let seed = self.seed.unwrap_or_else(rand::random);
        let planned = aim::planned(kind, &aim, settings, inventory, seed)?;
        target::block_on(async {
            let hand = Hand::take(self, inventory).await?;
            hand.inject(&planned, self.lasts).await
        })?
    }

    /// On these nodes, or on all.
    fn undo(&self, kinds: &[&str], nodes: Option<&str>) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        let all = inventory.nodes.iter().map(|node| node.name.clone());
        let mut nodes_meant: Vec<_> = all.collect();
        if let Some(typed) = nodes {
            nodes_meant = aim::named(typed, &nodes_meant)?;
        }
        target::block_on(async {
            let hand = Hand::take(self, &inventory).await?;
            hand.undo(kinds, &nodes_meant).await
        })?
    }

    fn renew(&self) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        target::block_on(async {
            let hand = Hand::take(self, &inventory).await?;
            hand.end().await
        })?
    }

    fn chaos(&self) -> anyhow::Result<Outcome> {
        let inventory = self.target.inventory()?;
        let seed = self.seed.unwrap_or_else(rand::random);
        let lasts = self.lasts.unwrap_or(Duration::from_secs(60));
        super::print(&format!("seed {seed}\n"))?;
        target::block_on(async {
            let hand = Hand::take(self, &inventory).await?;
            chaos::run(hand, &inventory, seed, lasts).await
        })?
    }
}

fn kinds_of(group: Group) -> Vec<&'static str> {
    let kinds = KINDS.iter().filter(|kind| kind.group == group);
    kinds.map(|kind| kind.name).collect()
}

fn known(name: &str) -> Result<&'static Kind, UsageError> {
    kind(name).ok_or_else(|| aim::unknown_kind(name))
}

fn time(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text).filter(|length| *length > Duration::ZERO);
    length.ok_or_else(|| "write a time such as `30s` or `5m`".to_owned())
}

fn lease(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);
    let length = parse_duration(text).filter(|length| range.contains(length));
    length.ok_or_else(|| "write a time from 10s to 24h".to_owned())
}
