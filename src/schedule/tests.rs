use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{FaultId, Groups, PlannedAim, TimedFault, plan, table};
use crate::catalog::{KindRef, kind};
use crate::inventory::NodeName;
use crate::scenario::{AimSpec, FaultSpec, PartitionSpec, Scenario, Step, testing};

fn nodes(count: usize) -> Vec<NodeName> {
    (1..=count).map(|n| NodeName(format!("n{n}"))).collect()
}

fn cut(spec: PartitionSpec, repeat: u32) -> Step {
    Step {
        at: Duration::from_secs(10),
        fault: FaultSpec {
            kind: KindRef(kind("partition").unwrap()),
            aim: AimSpec::Groups(spec),
            settings: kind("partition").unwrap().defaults(),
        },
        duration: Duration::from_secs(30),
        repeat,
        pause: Duration::from_secs(20),
    }
}

fn scenario(schedule: Vec<Step>) -> Scenario {
    Scenario {
        schedule,
        ..testing::scenario()
    }
}

fn named(groups: &[&[&str]]) -> PartitionSpec {
    let group = |names: &&[&str]| names.iter().map(|&name| name.to_owned()).collect();
    PartitionSpec::Groups(groups.iter().map(group).collect())
}

fn groups(fault: &TimedFault) -> &Groups {
    match &fault.fault.aim {
        PlannedAim::Groups(groups) => groups,
        PlannedAim::On(nodes) => panic!("{nodes} are not divided"),
    }
}

/// All kinds of partition, with their times interleaved.
fn every_kind() -> Scenario {
    scenario(vec![
        Step {
            at: Duration::from_secs(130),
            ..cut(PartitionSpec::LeaderMinority, 1)
        },
        cut(PartitionSpec::Minority, 2),
        Step {
            at: Duration::from_secs(170),
            ..cut(PartitionSpec::Halves, 1)
        },
        Step {
            at: Duration::from_secs(210),
            duration: Duration::from_millis(1500),
            ..cut(PartitionSpec::One, 3)
        },
        Step {
            at: Duration::from_secs(280),
            ..cut(PartitionSpec::LeaderAlone, 1)
        },
        Step {
            at: Duration::from_secs(320),
            ..cut(named(&[&["n4", "n1"], &["n2"]]), 1)
        },
    ])
}

#[test]
fn a_seed_means_the_same_on_every_machine() {
    let faults = plan(&every_kind(), &nodes(5), 2016).unwrap();
    insta::assert_snapshot!(table(&faults), @r"
    fault     inject       heal      lasts  what
        1       +10s       +40s        30s  partition n2 n5 | n1 n3 n4
        2        +1m     +1m30s        30s  partition n1 n5 | n2 n3 n4
        3     +2m10s     +2m40s        30s  partition leader and the first 1 of n1 n2 n5 n3 n4 | the others
        4     +2m50s     +3m20s        30s  partition n2 n4 | n1 n3 n5
        5     +3m30s  +3m31s500ms    1s500ms  partition n3 | n1 n2 n4 n5
        6  +3m51s500ms     +3m53s    1s500ms  partition n3 | n1 n2 n4 n5
        7     +4m13s  +4m14s500ms    1s500ms  partition n3 | n1 n2 n4 n5
        8     +4m40s     +5m10s        30s  partition leader | the others
        9     +5m20s     +5m50s        30s  partition n4 n1 | n2 | n3 n5
    ");
    insta::assert_snapshot!(serde_json::to_string(&faults[..2]).unwrap(), @r#"[{"id":1,"inject_at":10000,"heal_at":40000,"fault":{"kind":"partition","aim":{"groups":{"named":[["n2","n5"],["n1","n3","n4"]]}},"settings":{"direction":{"word":"both"}}}},{"id":2,"inject_at":60000,"heal_at":90000,"fault":{"kind":"partition","aim":{"groups":{"named":[["n1","n5"],["n2","n3","n4"]]}},"settings":{"direction":{"word":"both"}}}}]"#);
    let other = plan(&every_kind(), &nodes(5), 2017).unwrap();
    insta::assert_snapshot!(table(&other), @r"
    fault     inject       heal      lasts  what
        1       +10s       +40s        30s  partition n2 n5 | n1 n3 n4
        2        +1m     +1m30s        30s  partition n3 n4 | n1 n2 n5
        3     +2m10s     +2m40s        30s  partition leader and the first 1 of n4 n1 n3 n5 n2 | the others
        4     +2m50s     +3m20s        30s  partition n1 n4 | n2 n3 n5
        5     +3m30s  +3m31s500ms    1s500ms  partition n3 | n1 n2 n4 n5
        6  +3m51s500ms     +3m53s    1s500ms  partition n1 | n2 n3 n4 n5
        7     +4m13s  +4m14s500ms    1s500ms  partition n4 | n1 n2 n3 n5
        8     +4m40s     +5m10s        30s  partition leader | the others
        9     +5m20s     +5m50s        30s  partition n4 n1 | n2 | n3 n5
    ");
}

#[test]
fn each_repeat_draws_anew() {
    let faults = plan(
        &scenario(vec![cut(PartitionSpec::Minority, 40)]),
        &nodes(5),
        1,
    )
    .unwrap();
    let seen: BTreeSet<String> = faults.iter().map(|f| groups(f).to_string()).collect();
    assert!(seen.len() >= 8, "of 10 pairs only {seen:?}");
    assert_eq!(faults[39].id, FaultId(40));
    assert_eq!(faults[39].inject_at, Duration::from_secs(10 + 39 * 50));
}

#[test]
fn reports_everything_that_does_not_fit_the_inventory() {
    let mut ill = scenario(vec![
        cut(named(&[&["n1", "m2"], &["elsewhere"]]), 1),
        cut(named(&[&["n1", "n2"]]), 1),
        cut(PartitionSpec::LeaderMinority, 1),
    ]);
    ill.queue.replicas = Some(3);
    let misfits = plan(&ill, &nodes(2), 1).unwrap_err();
    insta::assert_snapshot!(misfits.to_string(), @r#"
        the scenario does not fit the inventory:
        queue.replicas: 3 replicas do not fit on 2 nodes; ask for at most 2, or for `all`
        schedule.0.groups: the inventory has no node `m2`; did you mean `n2`?
        schedule.0.groups: the inventory has no node `elsewhere`; known are `n1`, `n2`
        schedule.1.groups: one group holds every node, so nothing would be cut; leave out the nodes of the other side: they form a group of their own
        schedule.2.groups: this partition needs at least 3 nodes, the inventory has 2; add hosts to the inventory
        "#);
}

#[test]
fn an_empty_schedule_is_an_empty_plan() {
    assert_eq!(plan(&scenario(Vec::new()), &nodes(5), 1), Ok(Vec::new()));
}

proptest! {
    #[test]
    fn every_node_is_in_exactly_one_group(count in 3_usize..=9, seed: u64, kind in 0..4) {
        let (spec, small) = match kind {
            0 => (PartitionSpec::Minority, (count - 1) / 2),
            1 => (PartitionSpec::Halves, count / 2),
            2 => (PartitionSpec::One, 1),
            _ => (PartitionSpec::Random, 0),
        };
        for fault in plan(&scenario(vec![cut(spec, 3)]), &nodes(count), seed).unwrap() {
            let Groups::Named(sides) = groups(&fault) else { unreachable!() };
            prop_assert!(sides.len() >= 2 && sides.iter().all(|side| !side.is_empty()));
            if kind < 3 {
                prop_assert_eq!((sides.len(), sides[0].len()), (2, small));
            }
            let mut all: Vec<NodeName> = sides.concat();
            all.sort();
            prop_assert_eq!(all, nodes(count));
        }
    }

    #[test]
    fn a_bridge_stands_between_two_sides(count in 3_usize..=9, seed: u64) {
        let planned = plan(&scenario(vec![cut(PartitionSpec::Bridge, 1)]), &nodes(count), seed);
        let planned = planned.unwrap();
        let Groups::Bridge { bridge, sides } = groups(&planned[0]) else { unreachable!() };
        prop_assert!(sides.iter().all(|side| !side.is_empty()));
        let mut all = sides.concat();
        all.push(bridge.clone());
        all.sort();
        prop_assert_eq!(all, nodes(count));
    }
}
