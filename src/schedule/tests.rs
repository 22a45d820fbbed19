use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{FaultId, Groups, PlannedFault, TimedFault, describe, plan, table};
use crate::inventory::NodeName;
use crate::scenario::{FaultSpec, PartitionSpec, Scenario, Step, testing};

fn nodes(count: usize) -> Vec<NodeName> {
    (1..=count).map(|n| NodeName(format!("n{n}"))).collect()
}

fn cut(spec: PartitionSpec, repeat: u32) -> Step {
    Step {
        at: Duration::from_secs(10),
        fault: FaultSpec::Partition(spec),
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
    let PlannedFault::Partition(groups) = &fault.fault;
    groups
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
    insta::assert_snapshot!(table(&faults), @r#"
        fault     inject       heal      lasts  partition
            1       +10s       +40s        30s  n2 n5 | n1 n3 n4
            2        +1m     +1m30s        30s  n1 n5 | n2 n3 n4
            3     +2m10s     +2m40s        30s  leader and the first 1 of n1 n2 n5 n3 n4 | the others
            4     +2m50s     +3m20s        30s  n2 n4 | n1 n3 n5
            5     +3m30s  +3m31s500ms    1s500ms  n3 | n1 n2 n4 n5
            6  +3m51s500ms     +3m53s    1s500ms  n3 | n1 n2 n4 n5
            7     +4m13s  +4m14s500ms    1s500ms  n3 | n1 n2 n4 n5
            8     +4m40s     +5m10s        30s  leader | the others
            9     +5m20s     +5m50s        30s  n4 n1 | n2 | n3 n5
        "#);
    insta::assert_snapshot!(serde_json::to_string(&faults[..2]).unwrap(), @r#"[{"id":1,"inject_at":10000,"heal_at":40000,"fault":{"partition":{"named":[["n2","n5"],["n1","n3","n4"]]}}},{"id":2,"inject_at":60000,"heal_at":90000,"fault":{"partition":{"named":[["n1","n5"],["n2","n3","n4"]]}}}]"#);
    let other = plan(&every_kind(), &nodes(5), 2017).unwrap();
    insta::assert_snapshot!(table(&other), @r#"
        fault     inject       heal      lasts  partition
            1       +10s       +40s        30s  n2 n5 | n1 n3 n4
            2        +1m     +1m30s        30s  n3 n4 | n1 n2 n5
            3     +2m10s     +2m40s        30s  leader and the first 1 of n4 n1 n3 n5 n2 | the others
            4     +2m50s     +3m20s        30s  n1 n4 | n2 n3 n5
            5     +3m30s  +3m31s500ms    1s500ms  n3 | n1 n2 n4 n5
            6  +3m51s500ms     +3m53s    1s500ms  n1 | n2 n3 n4 n5
            7     +4m13s  +4m14s500ms    1s500ms  n4 | n1 n2 n3 n5
            8     +4m40s     +5m10s        30s  leader | the others
            9     +5m20s     +5m50s        30s  n4 n1 | n2 | n3 n5
        "#);
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
fn leader_is_resolved_at_injection() {
    let order = ["n4", "n2", "n5", "n1", "n3"].map(|name| NodeName(name.to_owned()));
    for (others, leader, expected) in [
        (1, "n4", Some("n4 n2 | n5 n1 n3")),
        (1, "n5", Some("n5 n4 | n2 n1 n3")),
        (0, "n3", Some("n3 | n4 n2 n5 n1")),
        (1, "n9", None),
    ] {
        let groups = Groups::WithLeader {
            order: order.to_vec(),
            others,
        };
        assert!(groups.need_leader());
        let resolved = groups.resolve(&NodeName(leader.to_owned()));
        assert_eq!(
            resolved.as_deref().map(describe).as_deref(),
            expected,
            "leader {leader}"
        );
    }
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
    fn every_node_is_in_exactly_one_group(count in 3_usize..=9, seed: u64, kind in 0..5) {
        let spec = match kind {
            0 => PartitionSpec::Minority,
            1 => PartitionSpec::Halves,
            2 => PartitionSpec::One,
            3 => PartitionSpec::LeaderMinority,
            _ => PartitionSpec::LeaderAlone,
        };
        let small = match kind {
            0 | 3 => (count - 1) / 2,
            1 => count / 2,
            _ => 1,
        };
        for fault in plan(&scenario(vec![cut(spec, 3)]), &nodes(count), seed).unwrap() {
            let sides = groups(&fault).resolve(&NodeName("n2".to_owned())).unwrap();
            prop_assert_eq!(sides.len(), 2);
            prop_assert_eq!(sides[0].len(), small);
            if kind >= 3 {
                prop_assert!(sides[0].contains(&NodeName("n2".to_owned())));
            }
            let mut all: Vec<NodeName> = sides.concat();
            all.sort();
            prop_assert_eq!(all, nodes(count));
        }
    }
}
