use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::{
    FaultId, Groups, Plan, PlannedAim, PlannedLasts, PlannedStep, TimedFault, outline, plan, table,
    timeline,
};
use crate::catalog::{KindRef, kind};
use crate::inventory::NodeName;
use crate::scenario::step::{FaultStep, Gap, Lasts, Span};
use crate::scenario::{AimSpec, FaultSpec, PartitionSpec, Scenario, Step, parse, testing};

fn nodes(count: usize) -> Vec<NodeName> {
    (1..=count).map(|n| NodeName(format!("n{n}"))).collect()
}

fn cut(spec: PartitionSpec, repeat: u32) -> Step {
    Step::Fault(FaultStep {
        at: None,
        name: None,
        fault: FaultSpec {
            kind: KindRef(kind("partition").unwrap()),
            aim: AimSpec::Groups(spec),
            settings: kind("partition").unwrap().defaults(),
        },
        lasts: Lasts::For(Span::exactly(Duration::from_secs(30))),
        repeat,
        gap: Gap::Pause(Span::exactly(Duration::from_secs(20))),
    })
}

/// The scenario with such a schedule, in YAML.
fn written(schedule: &str) -> Scenario {
    let text = format!("name: written\ncluster: {{net_ticktime: 1s}}\nschedule:\n{schedule}");
    match parse("s.yaml", &text, &[]) {
        Ok((scenario, warnings)) if warnings.is_empty() => scenario,
        Ok((_, told)) | Err(told) => panic!("{told}"),
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

/// Every construct of the language.
const EVERYTHING: &str = "
- {at: 10s, fault: partition, groups: minority, duration: 30s, repeat: 2, pause: 20s..40s}
- wait: 5s..10s
- {fault: kill, on: one, until: {running: all}, within: 1m}
- {fault: rate, on: followers, rate: 1mbit, name: slow}
- {await: {leader: any}, within: 30s}
- repeat: 2
  stagger: 10s
  steps:
  - {fault: restart, on: minority-third}
  - wait: 1s
- parallel:
  - - {fault: partition, groups: leader-minority, direction: in, duration: 1m}
  - - {fault: pause, on: leader-side, of: epmd, duration: 10s..20s}
    - {fault: memory-alarm, on: all}
- heal: slow
- mix:
    for: 2m
    pause: 5s
    choose:
    - {weight: 3, fault: partition, groups: halves, duration: 20s}
    - {weight: 1, steps: [{fault: kill, on: one, duration: 10s}, {await: {confirms: 50}, within: 10s}]}
- heal: all
";

#[test]
fn a_seed_means_the_same_on_every_machine() {
    let planned = plan(&written(EVERYTHING), &nodes(5), 2016).unwrap();
    insta::assert_snapshot!(table(&planned), @r"
                   from      until     lasts  what
    fault 1         10s        40s       30s  partition n2 n5 | n1 n3 n4
    fault 2     1m10.3s    1m40.3s       30s  partition n1 n4 | n2 n3 n5
    fault 3       1m48s     <2m48s       <1m  kill n2
    await 1       1m48s     <2m48s       <1m  ends fault 3: all to see exactly all
                                                running
    fault 4      <2m48s     <4m29s     1m41s  rate followers, rate 1mbit
    await 2      <2m48s     <3m18s       30s  the queue to have a leader
    fault 5      <3m18s                       restart n5
    fault 6      <3m28s                       restart n5
    fault 7      <3m29s     <4m29s        1m  partition leader and the first 1 of n5
                                                n3 n4 n1 n2 | the others, direction
                                                in
    fault 8      <3m29s   <3m44.2s     15.3s  pause the leader's side, of epmd
    fault 9    <3m44.2s     <6m29s   2m44.8s  memory-alarm n1 n2 n3 n4 n5
    fault 10     <4m29s     <4m49s       20s  partition n3 n4 | n1 n2 n5
    fault 11     <4m54s     <5m14s       20s  partition n3 n4 | n1 n2 n5
    fault 12     <5m19s     <5m39s       20s  partition n4 n5 | n1 n2 n3
    fault 13     <5m44s     <6m04s       20s  partition n1 n3 | n2 n4 n5
    fault 14     <6m09s     <6m29s       20s  partition n2 n3 | n1 n4 n5
    end          <6m29s                       of the last step
    ");
    insta::assert_snapshot!(serde_json::to_string(&planned).unwrap(), @r#"[{"fault":{"id":1,"at":10000,"fault":{"kind":"partition","aim":{"groups":{"named":[["n2","n5"],["n1","n3","n4"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":30000}}},{"wait":30274},{"fault":{"id":2,"at":null,"fault":{"kind":"partition","aim":{"groups":{"named":[["n1","n4"],["n2","n3","n5"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":30000}}},{"wait":7712},{"fault":{"id":3,"at":null,"fault":{"kind":"kill","aim":{"on":{"named":["n2"]}},"settings":{"of":{"word":"broker"},"systemd_restart":{"bool":true}}},"lasts":{"until":{"id":1,"condition":{"running":{"nodes":"all","by":"all"}},"within":60000}}}},{"fault":{"id":4,"at":null,"fault":{"kind":"rate","aim":{"on":"followers"},"settings":{"rate":{"rate":1000000}}},"lasts":"until-healed"}},{"await":{"id":2,"condition":{"leader":"any"},"within":30000}},{"fault":{"id":5,"at":null,"fault":{"kind":"restart","aim":{"on":{"named":["n5"]}},"settings":{}},"lasts":"moment"}},{"wait":1000},{"wait":8951},{"fault":{"id":6,"at":null,"fault":{"kind":"restart","aim":{"on":{"named":["n5"]}},"settings":{}},"lasts":"moment"}},{"wait":1000},{"parallel":[[{"fault":{"id":7,"at":null,"fault":{"kind":"partition","aim":{"groups":{"with-leader":{"order":["n5","n3","n4","n1","n2"],"others":1}}},"settings":{"direction":{"word":"in"}}},"lasts":{"for":60000}}}],[{"fault":{"id":8,"at":null,"fault":{"kind":"pause","aim":{"on":"leader-side"},"settings":{"of":{"word":"epmd"}}},"lasts":{"for":15219}}},{"fault":{"id":9,"at":null,"fault":{"kind":"memory-alarm","aim":{"on":{"named":["n1","n2","n3","n4","n5"]}},"settings":{}},"lasts":"until-healed"}}]]},{"heal":[4]},{"fault":{"id":10,"at":null,"fault":{"kind":"partition","aim":{"groups":{"named":[["n3","n4"],["n1","n2","n5"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":20000}}},{"wait":5000},{"fault":{"id":11,"at":null,"fault":{"kind":"partition","aim":{"groups":{"named":[["n3","n4"],["n1","n2","n5"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":20000}}},{"wait":5000},{"fault":{"id":12,"at":null,"fault":{"kind":"partition","aim":{"groups":{"named":[["n4","n5"],["n1","n2","n3"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":20000}}},{"wait":5000},{"fault":{"id":13,"at":null,"fault":{"kind":"partition","aim":{"groups":{"named":[["n1","n3"],["n2","n4","n5"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":20000}}},{"wait":5000},{"fault":{"id":14,"at":null,"fault":{"kind":"partition","aim":{"groups":{"named":[["n2","n3"],["n1","n4","n5"]]}},"settings":{"direction":{"word":"both"}}},"lasts":{"for":20000}}},"heal-all"]"#);
    let other = plan(&written(EVERYTHING), &nodes(5), 2017).unwrap();
    insta::assert_snapshot!(timeline(&other), @r"
                              0s              2m               4m               6m
    1 partition                ####
    2 partition                        ####
    3 kill                                  ========
    4 rate                                          ===============
      await 2                                       .....
    5 restart                                            |
    6 restart                                             |
    7 partition                                           =========
    8 pause                                               ===
    9 memory-alarm                                           ======================
    10 kill                                                        =
      await 3                                                       .
    11 partition                                                      ===
    12 partition                                                          ==
    13 partition                                                             ===
    14 partition                                                                 ==
    ");
    assert_ne!(planned, other);
}

#[test]
fn a_plan_survives_a_file() {
    let planned = plan(&written(EVERYTHING), &nodes(5), 7).unwrap();
    let text = serde_json::to_string(&planned).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), planned);
}

#[test]
fn each_repeat_draws_anew() {
    let scenario = scenario(vec![cut(PartitionSpec::Minority, 40)]);
    let planned = plan(&scenario, &nodes(5), 1).unwrap();
    let faults = planned.faults();
    let seen: BTreeSet<String> = faults.iter().map(|f| groups(f).to_string()).collect();
    assert!(seen.len() >= 8, "of 10 pairs only {seen:?}");
    assert_eq!(faults[39].id, FaultId(40));
    let last = outline(&planned).faults[39];
    assert_eq!(last.from.time, Duration::from_secs(39 * 50));
    assert!(last.from.is_exact);
}

#[test]
fn what_is_healed_by_name_is_found_where_it_was_begun() {
    let planned = plan(
        &written(
            "
- {fault: pause, on: one, name: a}
- {fault: pause, on: one, name: b}
- parallel:
  - [{fault: kill, on: one, name: c}, {heal: a}]
  - [{fault: kill, on: one, name: d}]
- {heal: c}
- {heal: d}
- {fault: kill, on: one, name: c}
",
        ),
        &nodes(5),
        1,
    );
    let steps = planned.unwrap().steps;
    let healed = |step: &PlannedStep| match step {
        PlannedStep::Heal(ids) => Some(ids.clone()),
        _ => None,
    };
    let PlannedStep::Parallel(branches) = &steps[2] else {
        panic!("{steps:?}")
    };
    assert_eq!(healed(&branches[0][1]), Some(vec![FaultId(1)]));
    assert_eq!(healed(&steps[3]), Some(vec![FaultId(3)]));
    assert_eq!(healed(&steps[4]), Some(vec![FaultId(4)]));
}

#[test]
fn a_schedule_without_an_end_is_refused() {
    for (schedule, problem) in [
        (
            "- repeat: 1000\n  steps: [{repeat: 11, steps: [{fault: restart, on: one}]}]\n",
            "schedule.0.steps.0.steps.0: written out, the schedule has more than 10000 faults",
        ),
        (
            "- mix: {for: 1h, choose: [{fault: restart, on: one}]}\n",
            "schedule.0.mix.choose.0.steps.0: written out, the schedule has more than 10000 faults",
        ),
        (
            "- mix: {for: 1h, choose: [{wait: 1ms}]}\n",
            "schedule.0.mix.choose.0.steps.0: written out, the schedule has more than 50000 steps",
        ),
    ] {
        let told = plan(&written(schedule), &nodes(5), 1)
            .unwrap_err()
            .to_string();
        assert!(told.contains(problem), "{told}");
    }
}

#[test]
fn a_weight_is_how_often_it_is_chosen() {
    let schedule = "- mix: {for: 1h, choose: [{weight: 3, fault: kill, on: one, duration: 1s}, {fault: stop, on: one, duration: 1s}]}\n";
    let planned = plan(&written(schedule), &nodes(5), 5).unwrap();
    let faults = planned.faults();
    let kills = faults
        .iter()
        .filter(|fault| fault.fault.kind.name == "kill");
    // 2,700 of 3,600 expected; five standard deviations are about 130.
    assert_eq!(faults.len(), 3600);
    assert!((2570..2830).contains(&kills.count()));
}

#[test]
fn the_longest_it_can_take_has_all_deadlines_in_it() {
    let schedule = "
- {at: 10s, fault: partition, groups: one, until: {leader: new}, within: 1m}
- {await: {running: all}, within: 30s}
- parallel: [[{wait: 5s}], [{wait: 7s}, {fault: restart, on: one}]]
";
    let planned = plan(&written(schedule), &nodes(5), 1).unwrap();
    let proof = super::moment_proof_max(kind("restart").unwrap());
    assert_eq!(planned.longest(), Duration::from_secs(107) + proof);
}

#[test]
fn reports_everything_that_does_not_fit_the_inventory() {
    let mut ill = scenario(vec![
        cut(named(&[&["n1", "m2"], &["elsewhere"]]), 1),
        cut(named(&[&["n1", "n2"]]), 1),
        cut(PartitionSpec::LeaderMinority, 1),
    ]);
    ill.queue.replicas = Some(3);
    ill.cluster.nodes = Some(3);
    let misfits = plan(&ill, &nodes(2), 1).unwrap_err();
    insta::assert_snapshot!(misfits.to_string(), @r#"
        the scenario cannot be planned on these nodes:
        cluster.nodes: the scenario is written for 3 nodes, not for 2; name an inventory of 3 hosts
        queue.replicas: 3 replicas do not fit on 2 nodes; ask for at most 2, or for `all`
        schedule.0.groups: the inventory has no node `m2`; did you mean `n2`?
        schedule.0.groups: the inventory has no node `elsewhere`; known are `n1`, `n2`
        schedule.1.groups: one group holds every node, so nothing would be cut; leave out the nodes of the other side: they form a group of their own
        schedule.2.groups: this partition needs at least 3 nodes, the inventory has 2; add hosts to the inventory
        "#);
}

#[test]
fn an_empty_schedule_is_an_empty_plan() {
    assert_eq!(
        plan(&scenario(Vec::new()), &nodes(5), 1),
        Ok(Plan::default())
    );
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
        for fault in plan(&scenario(vec![cut(spec, 3)]), &nodes(count), seed).unwrap().faults() {
            let Groups::Named(sides) = groups(fault) else { unreachable!() };
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
        let Groups::Bridge { bridge, sides } = groups(planned.faults()[0]) else { unreachable!() };
        prop_assert!(sides.iter().all(|side| !side.is_empty()));
        let mut all = sides.concat();
        all.push(bridge.clone());
        all.sort();
        prop_assert_eq!(all, nodes(count));
    }

    #[test]
    fn what_is_drawn_is_within_its_range(seed: u64, count in 1_usize..=9) {
        let schedule = "- {fault: pause, on: one, duration: 10s..11s, repeat: 5, stagger: 1s}\n";
        let planned = plan(&written(schedule), &nodes(count), seed).unwrap();
        for step in &planned.steps {
            match step {
                PlannedStep::Fault(fault) => {
                    let PlannedLasts::For(length) = fault.lasts else { unreachable!() };
                    prop_assert!((10_000..=11_000).contains(&length.as_millis()));
                }
                PlannedStep::Wait(length) => prop_assert!(length.as_millis() <= 2000),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
