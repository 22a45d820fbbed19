//! The language of schedules: what is read, what is refused, and that its page tells the truth.

use proptest::prelude::*;

use super::step::{Condition, Gap, Heal, Lasts, Leader, Whom};
use super::{BUILTINS, FaultStep, Scenario, Step, parse};
use crate::inventory::NodeName;
use crate::schedule::plan;

const PAGE: &str = include_str!("../../docs/scenarios.md");

fn written(schedule: &str) -> String {
    format!("name: a\nworkload: {{amount: 1h}}\nschedule:\n{schedule}")
}

fn read(schedule: &str) -> Vec<Step> {
    match parse("s.yaml", &written(schedule), &[]) {
        Ok((scenario, warnings)) if warnings.is_empty() => scenario.schedule,
        Ok((_, told)) | Err(told) => panic!("{told}"),
    }
}

fn told(schedule: &str) -> String {
    match parse("s.yaml", &written(schedule), &[]) {
        Ok((_, told)) | Err(told) => told.to_string(),
    }
}

fn nodes() -> Vec<NodeName> {
    (1..=5).map(|n| NodeName(format!("n{n}"))).collect()
}

fn fault(step: &Step) -> &FaultStep {
    match step {
        Step::Fault(fault) => fault,
        other => panic!("no fault: {other:?}"),
    }
}

#[test]
fn each_condition_is_read() {
    for (text, told) in [
        ("{running: all}", "all to see exactly all running"),
        (
            "{running: [n1, n2], by: [n3]}",
            "n3 to see exactly n1 n2 running",
        ),
        (
            "{running: majority-side}",
            "the majority's side to see exactly the majority's side running",
        ),
        (
            "{running: minority-side, by: leader}",
            "the leader to see exactly the minority's side running",
        ),
        ("{running: none, by: [n3]}", "n3 to see nobody running"),
        ("{leader: any}", "the queue to have a leader"),
        ("{leader: [n1, n2]}", "the queue to be led by n1 or n2"),
        (
            "{alarm: memory, on: leader-side}",
            "the memory alarm on the leader's side",
        ),
        ("{alarm: disk, on: [n1]}", "the disk alarm on n1"),
        ("{confirms: 500}", "500 confirms"),
        ("{rate: 90%}", "confirms at 90% of their rate before"),
    ] {
        let steps = read(&format!("- {{await: {text}, within: 60s}}\n"));
        let Step::Await(awaited) = steps[0].clone() else {
            panic!("{steps:?}")
        };
        assert_eq!(awaited.condition.to_string(), told);
        let fault = format!("- {{fault: kill, on: one, until: {text}, within: 60s}}\n");
        let steps = read(&fault);
        let Lasts::Until(until) = &self::fault(&steps[0]).lasts else {
            panic!("{fault}")
        };
        assert_eq!(until, &awaited);
    }
}

#[test]
fn a_fault_lasts_as_it_is_told() {
    for (text, lasts) in [
        ("fault: kill, on: one, duration: 10s", "for"),
        ("fault: kill, on: one, duration: 10s..30s", "for"),
        ("fault: kill, on: one", "until-healed"),
        ("fault: kill, on: one, name: first", "until-healed"),
        ("fault: restart, on: one", "moment"),
    ] {
        let steps = read(&format!("- {{{text}}}\n"));
        let written = serde_json::to_value(&fault(&steps[0]).lasts).unwrap();
        let word = written.as_str().or_else(|| {
            let entries = written.as_object()?;
            entries.keys().next().map(String::as_str)
        });
        assert_eq!(word, Some(lasts), "{text}");
    }
}

#[test]
fn steps_inside_of_steps() {
    let steps = read(
        "
- repeat: 3
  stagger: 10s
  steps:
  - parallel:
    - [{wait: 1s}, {fault: pause, on: one, name: p}]
    - [{await: {confirms: 10}, within: 1s}]
  - heal: p
- mix:
    for: 1m
    pause: 1s..2s
    choose:
    - {weight: 3, steps: [{wait: 1s}, {heal: all}]}
    - {fault: kill, on: one, duration: 1s}
    - {repeat: 2, steps: [{wait: 1s}]}
",
    );
    let Step::Repeat(repeat) = &steps[0] else {
        panic!("{steps:?}")
    };
    assert!(matches!(repeat.gap, Gap::Stagger(_)));
    assert!(matches!(&repeat.steps[1], Step::Heal(Heal::Named(name)) if name == "p"));
    let Step::Mix(mix) = &steps[1] else {
        panic!("{steps:?}")
    };
    let weights: Vec<u32> = mix.choose.iter().map(|choice| choice.weight).collect();
    assert_eq!(weights, [3, 1, 1]);
    let mut paths = Vec::new();
    Step::each_of(&steps, "schedule", &mut |path, _| {
        paths.push(path.to_owned())
    });
    assert!(paths.contains(&"schedule.0.steps.0.parallel.0.1".to_owned()));
    assert!(paths.contains(&"schedule.1.mix.choose.0.steps.1".to_owned()));
}

#[test]
fn what_is_wrong_is_told_at_once_with_a_remedy() {
    let schedule = "\
- {fault: restart, on: one, duration: 10s}
- {fault: kill, on: one, duration: 10s, until: {running: all}, within: 1m}
- {fault: kill, on: one, until: {running: all}}
- {fault: kill, on: one, name: a, duration: 10s}
- {fault: kill, on: one, name: b}
- {fault: kill, on: one, name: b}
- {fault: kill, on: one, repeat: 2, pause: 1s}
- {heal: c}
- {wait: 30s..10s}
- {await: {leader: somebody}, within: 1m}
- {await: {runing: all}, within: 1m}
- {await: {running: all, confirms: 3}, within: 1m}
- {await: {alarm: memory}, within: 1m}
- {await: {running: none}, within: 1m}
- {await: {rate: fast}, within: 1m}
- {wait: 1s, heal: all}
- {duration: 10s}
- repeat: 2
  pause: 1s
  stagger: 1s
  steps:
  - {fault: pause, on: one, at: 10s, duration: 1s}
- {repeat: 2, steps: []}
- {parallel: [[{wait: 1s}]]}
- mix: {for: 1m, choose: []}
- mix: {for: 0s, choose: [{weight: 0, wait: 1s}]}
";
    insta::assert_snapshot!(told(schedule), @r"
    error: `restart` is over when it is done: it has no `duration`
     --> s.yaml:4:39
      |
    4 | - {fault: restart, on: one, duration: 10s}
      |                                       ^
      = help: remove `duration`; `wait` after it if the next step is to come later

    error: `duration` and `until` in one step
     --> s.yaml:5:48
      |
    5 | - {fault: kill, on: one, duration: 10s, until: {running: all}, within: 1m}
      |                                                ^
      = help: keep one of them: a fault lasts so long, or until a condition holds

    error: `within` is missing
     --> s.yaml:6:3
      |
    6 | - {fault: kill, on: one, until: {running: all}}
      |   ^
      = help: add `within: 60s`

    error: the fault `a` is healed by itself, so no `heal` can name it
     --> s.yaml:7:45
      |
    7 | - {fault: kill, on: one, name: a, duration: 10s}
      |                                             ^
      = help: remove `name`, or what ends the fault

    error: a fault of the name `b` is in force already
     --> s.yaml:9:32
      |
    9 | - {fault: kill, on: one, name: b}
      |                                ^
      = help: choose another name, or heal the other one before

    error: a fault that stays in force cannot be injected again
      --> s.yaml:10:34
       |
    10 | - {fault: kill, on: one, repeat: 2, pause: 1s}
       |                                  ^
       = help: add `duration: 1m`, or repeat it with its `heal`: `{repeat: 3, steps: [...]}`

    error: no fault of the name `c` is in force here
      --> s.yaml:11:10
       |
    11 | - {heal: c}
       |          ^
       = help: in force here are `a`, `b`; or write `all`

    error: `wait` is a range that ends before it begins: `30s..10s`
      --> s.yaml:12:10
       |
    12 | - {wait: 30s..10s}
       |          ^
       = help: write the shorter time first

    error: `leader` (unless it lists nodes, as `[n1, n2]`) cannot be `somebody`
      --> s.yaml:13:20
       |
    13 | - {await: {leader: somebody}, within: 1m}
       |                    ^
       = help: known are `any`, `new`

    error: a condition that says nothing
      --> s.yaml:14:11
       |
    14 | - {await: {runing: all}, within: 1m}
       |           ^
       = help: write one of `{running: all}`, `{leader: new}`, `{alarm: memory, on: [n1]}`, `{confirms: 500}` and `{rate: 90%}`

    error: unknown key `runing`
      --> s.yaml:14:12
       |
    14 | - {await: {runing: all}, within: 1m}
       |            ^
       = help: did you mean `running`?

    error: `running` and `confirms` in one condition
      --> s.yaml:15:11
       |
    15 | - {await: {running: all, confirms: 3}, within: 1m}
       |           ^
       = help: wait for one after the other: make each a step of its own

    error: `on` is missing
      --> s.yaml:16:11
       |
    16 | - {await: {alarm: memory}, within: 1m}
       |           ^
       = help: add `on: [n1]`

    error: `running: none` does not say who sees it
      --> s.yaml:17:21
       |
    17 | - {await: {running: none}, within: 1m}
       |                     ^
       = help: add `by: [n1]`: a paused node sees nobody running

    error: `rate` cannot be `fast`
      --> s.yaml:18:18
       |
    18 | - {await: {rate: fast}, within: 1m}
       |                  ^
       = help: write a share of what it was before, such as `90%`

    error: `wait` and `heal` in one step
      --> s.yaml:19:3
       |
    19 | - {wait: 1s, heal: all}
       |   ^
       = help: make each an entry of its own: steps are done one after another

    error: a step that does nothing
      --> s.yaml:20:3
       |
    20 | - {duration: 10s}
       |   ^
       = help: write one of `fault`, `wait`, `await`, `heal`, `repeat`, `parallel` and `mix`

    error: `pause` and `stagger` in one step
      --> s.yaml:23:12
       |
    23 |   stagger: 1s
       |            ^
       = help: keep one of them: `stagger: 10s` is a pause of 0s to 20s

    error: `at` counts from the beginning of the load, and this step is done more than once
      --> s.yaml:25:33
       |
    25 |   - {fault: pause, on: one, at: 10s, duration: 1s}
       |                                 ^
       = help: write `wait` before it

    error: a list without steps
      --> s.yaml:26:3
       |
    26 | - {repeat: 2, steps: []}
       |   ^
       = help: write at least one step, such as `{wait: 10s}`

    error: `parallel` with 1 lists of steps
      --> s.yaml:27:3
       |
    27 | - {parallel: [[{wait: 1s}]]}
       |   ^
       = help: give it two lists or more: `[[{...}], [{...}]]`

    error: a mix with nothing to choose from
      --> s.yaml:28:8
       |
    28 | - mix: {for: 1m, choose: []}
       |        ^
       = help: write at least one choice, such as `{weight: 1, fault: kill, on: one, duration: 10s}`

    error: `for` is out of range: 0s
      --> s.yaml:29:14
       |
    29 | - mix: {for: 0s, choose: [{weight: 0, wait: 1s}]}
       |              ^
       = help: write 1s to 168h

    error: `weight` must be a whole number from 1 to 1000, not `0`
      --> s.yaml:29:36
       |
    29 | - mix: {for: 0s, choose: [{weight: 0, wait: 1s}]}
       |                                    ^
       = help: write a number from 1 to 1000, without quotes or unit
    ");
}

#[test]
fn a_fault_that_is_not_known_is_one_mistake() {
    let told = told("- {fault: kil, on: one, systemd_restart: false, duration: 1s}\n");
    assert_eq!(told.matches("error:").count(), 1, "{told}");
    assert!(told.contains("did you mean `kill`?"), "{told}");
    let told = self::told("- {fualt: kill, on: one, duration: 1s}\n");
    assert_eq!(told.matches("error:").count(), 2, "{told}");
    assert!(told.contains("did you mean `fault`?"), "{told}");
}

#[test]
fn steps_that_are_due_too_early_are_told() {
    let schedule = "\
- {at: 10s, fault: kill, on: one, duration: 40s..50s}
- {wait: 10s}
- {at: 50s, fault: kill, on: one, duration: 10s}
- parallel:
  - - {at: 3m, fault: kill, on: one, duration: 10s, repeat: 3, pause: 10s}
    - {at: 3m20s, fault: pause, on: one, duration: 10s}
  - - {at: 3m, fault: pause, on: one, duration: 10s}
";
    insta::assert_snapshot!(told(schedule), @r"
    error: a step is due after 50s that cannot begin before 1m, when the steps before it are over
     --> s.yaml:6:8
      |
    6 | - {at: 50s, fault: kill, on: one, duration: 10s}
      |        ^
      = help: begin at 1m or later, or let both go on at once: `parallel: [[...], [...]]`

    error: a step is due after 3m20s that cannot begin before 3m50s, when the steps before it are over
     --> s.yaml:9:12
      |
    9 |     - {at: 3m20s, fault: pause, on: one, duration: 10s}
      |            ^
      = help: begin at 3m50s or later, or let both go on at once: `parallel: [[...], [...]]`
    ");
}

#[test]
fn a_new_leader_needs_a_step_that_could_bring_one() {
    let waits = "- {wait: 10s}\n- {await: {leader: new}, within: 1m}\n";
    assert!(
        told(waits).contains("with no step before it"),
        "{}",
        told(waits)
    );
    let kills =
        "- {fault: kill, on: leader}\n- {wait: 10s}\n- {await: {leader: new}, within: 1m}\n";
    let steps = read(kills);
    let Step::Await(awaited) = &steps[2] else {
        panic!("{steps:?}")
    };
    assert_eq!(awaited.condition, Condition::Leader(Leader::New));
}

#[test]
fn nodes_of_conditions_have_to_be_there() {
    let steps = "- {fault: kill, on: one, until: {running: [n1, n7]}, within: 1m}\n\
                 - repeat: 2\n  steps: [{await: {leader: [m1]}, within: 1m}]\n";
    let (scenario, _) = parse("s.yaml", &written(steps), &[]).unwrap();
    let misfits = plan(&scenario, &nodes(), 1).unwrap_err();
    insta::assert_snapshot!(misfits.to_string(), @r"
    the scenario cannot be planned on these nodes:
    schedule.0.until: the inventory has no node `n7`; did you mean `n1`?
    schedule.1.steps.0.await: the inventory has no node `m1`; did you mean `n1`?
    ");
}

#[test]
fn short_cuts_inside_of_steps_are_warned_of() {
    let told = told(
        "- mix: {for: 10m, choose: [{wait: 1s}, {fault: partition, groups: one, duration: 1s..5s}]}\n",
    );
    assert!(
        told.contains("a cut of 1s..5s may never be noticed"),
        "{told}"
    );
    assert!(told.contains("s.yaml:4:82"), "{told}");
}

/// The schedules that the page shows, each a list of steps.
fn shown() -> Vec<String> {
    let blocks = PAGE.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let schedules = blocks.filter(|block| block.starts_with("- "));
    schedules.map(str::to_owned).collect()
}

#[test]
fn every_example_of_the_page_can_be_planned() {
    let examples = shown();
    assert!(examples.len() >= 8, "{}", examples.len());
    for example in &examples {
        let text = format!("name: a\ncluster: {{net_ticktime: 8s}}\nschedule:\n{example}");
        let (scenario, warnings) =
            parse("s.yaml", &text, &[]).unwrap_or_else(|told| panic!("{told}"));
        assert!(warnings.is_empty(), "{warnings}");
        plan(&scenario, &nodes(), 1).unwrap_or_else(|misfits| panic!("{misfits}\n{example}"));
    }
    let all = examples.concat();
    for word in [
        "fault:",
        "wait:",
        "await:",
        "heal:",
        "repeat:",
        "parallel:",
        "mix:",
        "until:",
        "within:",
        "stagger:",
        "running:",
        "leader:",
        "alarm:",
        "confirms:",
        "rate:",
    ] {
        assert!(all.contains(word), "no example of `{word}`");
    }
}

#[test]
fn the_page_lists_every_built_in_scenario() {
    for known in BUILTINS {
        assert!(
            PAGE.contains(&format!("| `{}`", known.name)),
            "{}",
            known.name
        );
    }
}

/// Any step, sound or not.
fn any_step() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "{wait: 1s}",
        "{wait: 2s..1s}",
        "{heal: all}",
        "{heal: a}",
        "{fault: kill, on: one, name: a}",
        "{fault: restart, on: leader}",
        "{fault: partition, groups: random, duration: 80s..90s}",
        "{fault: pause, on: other-side, until: {leader: new}, within: 1s}",
        "{await: {running: [n1], by: all}, within: 1s}",
        "{await: {rate: 0%}, within: 1s}",
        "{at: 1m, fault: kill, on: one, duration: 1s}",
        "{}",
        "[]",
        "~",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let list =
            prop::collection::vec(inner, 0..3).prop_map(|steps| format!("[{}]", steps.join(", ")));
        prop_oneof![
            (0..20_u32, list.clone())
                .prop_map(|(n, l)| format!("{{repeat: {n}, pause: 1s, steps: {l}}}")),
            (list.clone(), list.clone()).prop_map(|(a, b)| format!("{{parallel: [{a}, {b}]}}")),
            list.prop_map(|l| format!(
                "{{mix: {{for: 10s, choose: [{{steps: {l}}}, {{wait: 1s}}]}}}}"
            )),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_sound_is_planned_the_same_each_time(
        steps in prop::collection::vec(any_step(), 0..4),
        seed: u64,
    ) {
        let schedule: String = steps.iter().map(|step| format!("- {step}\n")).collect();
        let Ok((scenario, _)) = parse("s.yaml", &written(&schedule), &[]) else {
            return Ok(());
        };
        let json = serde_json::to_string(&scenario).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Scenario>(&json).unwrap(), &scenario);
        let planned = plan(&scenario, &nodes(), seed);
        prop_assert_eq!(&planned, &plan(&scenario, &nodes(), seed));
        let Ok(planned) = planned else { return Ok(()) };
        let ids: Vec<u32> = planned.faults().iter().map(|fault| fault.id.0).collect();
        let count = u32::try_from(ids.len()).unwrap();
        prop_assert_eq!(ids, (1..=count).collect::<Vec<_>>());
    }
}

#[test]
fn whom_a_condition_means_is_kept() {
    let steps = read("- {await: {running: other-side, by: [n2]}, within: 1s}\n");
    let Step::Await(awaited) = &steps[0] else {
        panic!("{steps:?}")
    };
    let by = Whom::Named(vec![NodeName("n2".into())]);
    let nodes = Whom::OtherSide;
    assert_eq!(awaited.condition, Condition::Running { nodes, by });
}
