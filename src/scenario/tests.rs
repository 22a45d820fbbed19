use std::time::Duration;

use proptest::prelude::*;

use super::{
    AimSpec, Amount, BUILTINS, BrokerVersion, DEFAULT, FaultStep, PartitionSpec, Protocol,
    Scenario, Source, Step, builtin, is_path, parse, refusals, testing,
};
use crate::inventory::NodeName;
use crate::schedule::plan;

fn read(text: &str) -> Scenario {
    match parse("s.yaml", text, &[]) {
        Ok((scenario, warnings)) if warnings.is_empty() => scenario,
        Ok((_, told)) | Err(told) => panic!("{told}"),
    }
}

/// What is told about a file, mistakes or warnings.
fn told(text: &str, overrides: &[(&str, &str)]) -> String {
    let overrides: Vec<(String, String)> = overrides
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    match parse("s.yaml", text, &overrides) {
        Ok((_, warnings)) => warnings.to_string(),
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason: {text}");
            mistakes.to_string()
        }
    }
}

fn fault(step: &Step) -> &FaultStep {
    match step {
        Step::Fault(fault) => fault,
        other => panic!("no fault: {other:?}"),
    }
}

const SMALL: &str = "name: small\nworkload: {amount: 1m}\n";

#[test]
fn built_in_scenarios_are_sound() {
    let nodes: Vec<NodeName> = (1..=5).map(|n| NodeName(format!("n{n}"))).collect();
    for known in BUILTINS {
        let nodes = match known.name.starts_with("pato") {
            true => &nodes[..3],
            false => &nodes[..],
        };
        let (scenario, warnings) = known.parse(&[]).unwrap_or_else(|told| panic!("{told}"));
        assert!(warnings.is_empty(), "{warnings}");
        assert_eq!(scenario.name, known.name);
        assert!((20..=120).contains(&scenario.description.chars().count()));
        let planned = plan(&scenario, nodes, 1).unwrap_or_else(|told| panic!("{told}"));
        assert!(!planned.faults().is_empty());
        let bookworm = BrokerVersion::parse("3.10.8").unwrap();
        assert_eq!(refusals(&scenario, bookworm), []);
        assert!(!is_path(known.name));
    }
    assert!(builtin(DEFAULT).is_some());
    assert!(builtin("nothing").is_none());
    assert!(is_path("./partitions") && is_path("partitions.yaml"));
}

#[test]
fn the_default_scenario_suits_every_broker() {
    let (scenario, _) = builtin(DEFAULT).unwrap().parse(&[]).unwrap();
    for version in ["3.8.9", "3.10.8", "4.0.5", "4.3.6"] {
        assert_eq!(
            refusals(&scenario, BrokerVersion::parse(version).unwrap()),
            []
        );
    }
}

#[test]
fn producers_have_a_choice_of_protocols_where_they_have_one() {
    let protocol = |text: &str| read(&format!("name: a\n{text}")).workload.protocol;
    assert_eq!(protocol("workload: {amount: 1m}"), Protocol::Amqp091);
    let asked = "workload: {kind: order, amount: 1m, protocol: amqp-1.0}";
    assert_eq!(protocol(asked), Protocol::Amqp10);
    for (text, said) in [
        (
            "workload: {kind: stream, amount: 1m, protocol: amqp-1.0}\nqueue: {type: stream}",
            "the workload `stream` has no `protocol`",
        ),
        (
            "workload: {amount: 1m, protocol: amqp-2.0}",
            "`protocol` cannot be `amqp-2.0`",
        ),
    ] {
        let told = told(&format!("name: a\n{text}"), &[]);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn simonovic_is_as_he_published_it() {
    let (scenario, _) = builtin("simonovic-2016").unwrap().parse(&[]).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&scenario).unwrap(), @r#"
    {
      "name": "simonovic-2016",
      "description": "5 producers x 5,000 messages through five cuts of a minute, pause_minority (Simonovic 2016)",
      "cluster": {
        "source": "apt",
        "version": null,
        "partition_handling": "pause_minority",
        "net_ticktime_s": 30,
        "systemd_restart": true,
        "deploy_timeout": 600000
      },
      "queue": {
        "name": "jtest.queue",
        "count": 1,
        "type": "mirrored",
        "replicas": 3,
        "delivery_limit": null,
        "single_active_consumer": false,
        "sync_mode": null,
        "promote_on_shutdown": null,
        "promote_on_failure": null,
        "limits": {
          "message_ttl_ms": null,
          "max_length": null,
          "lazy": false,
          "max_priority": null
        },
        "dead_letters": false
      },
      "workload": {
        "kind": "queue",
        "protocol": "amqp-0-9-1",
        "amount": {
          "messages": 5000
        },
        "rate": 10.0,
        "window": 1,
        "confirm_timeout": 10000,
        "resends": 10,
        "reconnects": 50,
        "reconnect_pause": 10000,
        "body_bytes": 128,
        "hold": 0,
        "producers": 1,
        "consumers": {
          "count": 0,
          "by": "push",
          "prefetch": 100,
          "ack_batch": 1
        }
      },
      "schedule": [
        {
          "fault": {
            "at": 10000,
            "name": null,
            "fault": {
              "kind": "partition",
              "aim": {
                "groups": "minority"
              },
              "settings": {
                "direction": {
                  "word": "both"
                }
              }
            },
            "lasts": {
              "for": {
                "min": 60000,
                "max": 60000
              }
            },
            "repeat": 5,
            "gap": {
              "pause": {
                "min": 60000,
                "max": 60000
              }
            }
          }
        }
      ],
      "checks": {
        "total-queue": "decides",
        "duplicates": "reported",
        "availability": "reported",
        "latency": "reported"
      },
      "recovery_timeout": 180000,
      "drain_timeout": 300000
    }
    "#);
}

#[test]
fn a_small_file_gets_the_documented_defaults() {
    let expected = Scenario {
        name: "small".to_owned(),
        cluster: super::Cluster {
            net_ticktime_s: 60,
            deploy_timeout: Duration::from_secs(600),
            ..testing::scenario().cluster
        },
        workload: super::Workload {
            amount: Amount::Duration(Duration::from_secs(60)),
            rate: None,
            ..testing::scenario().workload
        },
        ..testing::scenario()
    };
    assert_eq!(read(SMALL), expected);
}

#[test]
fn the_example_in_the_documentation_is_sound() {
    let page = include_str!("../../docs/scenarios.md");
    let yaml = page.split("```yaml\n").nth(1).unwrap();
    let yaml = yaml.split("```").next().unwrap();
    assert_eq!(fault(&read(yaml).schedule[0]).repeat, 2);
}

#[test]
fn as_resolved_it_can_be_read_back() {
    let sources = "name: all\ncluster: {source: {debs: packages/here}, version: '3.10.8-1'}\n\
        schedule:\n- {at: 1m, fault: partition, groups: [[n1, n2], [n3]], duration: 2m}\n";
    let mut scenarios = vec![read(SMALL), read(sources)];
    scenarios.extend(BUILTINS.iter().map(|known| known.parse(&[]).unwrap().0));
    assert_eq!(
        scenarios[1].cluster.source,
        Source::Debs("packages/here".into())
    );
    assert_eq!(
        fault(&scenarios[1].schedule[0]).fault.aim,
        AimSpec::Groups(PartitionSpec::Groups(vec![
            vec!["n1".to_owned(), "n2".to_owned()],
            vec!["n3".to_owned()]
        ]))
    );
    for scenario in scenarios {
        let json = serde_json::to_string(&scenario).unwrap();
        assert_eq!(serde_json::from_str::<Scenario>(&json).unwrap(), scenario);
    }
}

#[test]
fn amounts_and_rates() {
    for (written, amount) in [
        ("schedule", Amount::Schedule),
        ("90s", Amount::Duration(Duration::from_secs(90))),
        ("1 messages", Amount::Messages(1)),
        ("5000 messages", Amount::Messages(5000)),
    ] {
        let text = format!(
            "name: a\nworkload: {{amount: {written}}}\n\
             schedule: [{{at: 1s, fault: partition, groups: one, duration: 75s}}]\n"
        );
        assert_eq!(read(&text).workload.amount, amount);
    }
    for (written, rate) in [
        ("50", Some(50.0)),
        ("0.5", Some(0.5)),
        ("closed-loop", None),
    ] {
        let text = format!("name: a\nworkload: {{amount: 1m, rate: {written}}}\n");
        assert_eq!(read(&text).workload.rate, rate);
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "\
name: two words
descripton: misspelt
cluster:
  source: atp
  partition_handling: pause-minority
  net_ticktime: 8500ms
  systemd_restart: maybe
queue: {name: amq.mine, type: qorum, replicas: 0}
workload:
  amount: 5000
  rate: 0
  window: 70000
  confirm_timeout: 10
  reconnect_pause: 2 seconds
schedule:
  - at: 10s
    fault: partitoin
    groups: minorty
    duration: 30s
    repeat: 3
  - fault: partition
    groups: [[n1, n2], [], [n2]]
    duration: 1d1h
  - 30s
recovery_timeout: 3m
";
    insta::assert_snapshot!(told(text, &[]), @r"
    error: `two words` cannot be the name of a directory under `runs/`
     --> s.yaml:1:7
      |
    1 | name: two words
      |       ^
      = help: use letters, digits, `-`, `_` and `.`, and begin with a letter or digit

    error: unknown key `descripton`
     --> s.yaml:2:1
      |
    2 | descripton: misspelt
      | ^
      = help: did you mean `description`?

    error: `source` cannot be `atp`
     --> s.yaml:4:11
      |
    4 |   source: atp
      |           ^
      = help: did you mean `apt`?

    error: `partition_handling` cannot be `pause-minority`
     --> s.yaml:5:23
      |
    5 |   partition_handling: pause-minority
      |                       ^
      = help: did you mean `pause_minority`?

    error: `net_ticktime` is no whole number of seconds: 8s500ms
     --> s.yaml:6:17
      |
    6 |   net_ticktime: 8500ms
      |                 ^
      = help: the broker takes whole seconds only, such as `8s`

    error: `systemd_restart` must be `true` or `false`, not `maybe`
     --> s.yaml:7:20
      |
    7 |   systemd_restart: maybe
      |                    ^
      = help: write `true` or `false`

    error: `amq.mine` cannot be the name of a queue
     --> s.yaml:8:15
      |
    8 | queue: {name: amq.mine, type: qorum, replicas: 0}
      |               ^
      = help: names that begin with `amq.` are the broker's own, and control characters hide

    error: `type` cannot be `qorum`
     --> s.yaml:8:31
      |
    8 | queue: {name: amq.mine, type: qorum, replicas: 0}
      |                               ^
      = help: did you mean `quorum`?

    error: `replicas` (unless it is `all`) must be a whole number from 1 to 99, not `0`
     --> s.yaml:8:48
      |
    8 | queue: {name: amq.mine, type: qorum, replicas: 0}
      |                                                ^
      = help: write a number from 1 to 99, without quotes or unit

    error: `amount` cannot be `5000`
      --> s.yaml:10:11
       |
    10 |   amount: 5000
       |           ^
       = help: write `schedule` (as long as the faults take), a duration such as `3m`, or a number for each producer such as `5000 messages` (at most 1000000000)

    error: `rate` is out of range: 0 messages per second
      --> s.yaml:11:9
       |
    11 |   rate: 0
       |         ^
       = help: write a number above 0, up to 1000000, or `closed-loop` for as fast as confirms come

    error: `window` must be a whole number from 1 to 65535, not `70000`
      --> s.yaml:12:11
       |
    12 |   window: 70000
       |           ^
       = help: write a number from 1 to 65535, without quotes or unit

    error: `confirm_timeout` must be a duration, not `10`
      --> s.yaml:13:20
       |
    13 |   confirm_timeout: 10
       |                    ^
       = help: add the unit: `10s` or `10ms`

    error: `reconnect_pause` must be a duration, not `2 seconds`
      --> s.yaml:14:20
       |
    14 |   reconnect_pause: 2 seconds
       |                    ^
       = help: write whole numbers with units: `250ms`, `10s`, `1m30s`, `2h`

    error: `pause` is missing
      --> s.yaml:16:5
       |
    16 |   - at: 10s
       |     ^
       = help: add `pause: 1m`

    error: `fault` cannot be `partitoin`
      --> s.yaml:17:12
       |
    17 |     fault: partitoin
       |            ^
       = help: did you mean `partition`?

    error: `groups` (unless it lists nodes, as `[[n1, n2], [n3]]`) cannot be `minorty`
      --> s.yaml:18:13
       |
    18 |     groups: minorty
       |             ^
       = help: did you mean `minority`?

    error: a group without nodes
      --> s.yaml:22:24
       |
    22 |     groups: [[n1, n2], [], [n2]]
       |                        ^
       = help: name at least one node in it, or leave the group out

    error: the node `n2` is here twice
      --> s.yaml:22:29
       |
    22 |     groups: [[n1, n2], [], [n2]]
       |                             ^
       = help: name each node once: it can be on one side only

    error: `duration` is out of range: 25h
      --> s.yaml:23:15
       |
    23 |     duration: 1d1h
       |               ^
       = help: write 100ms to 24h

    error: a step of the schedule must be a mapping (`key: value`, indented), not a plain value
      --> s.yaml:24:5
       |
    24 |   - 30s
       |     ^
       = help: write a mapping (`key: value`, indented) here, or remove the key
    ");
}

#[test]
fn what_only_shows_together_is_told_when_all_else_is_right() {
    let text = "\
name: together
cluster: {net_ticktime: 30s}
queue: {type: quorum, replicas: 4}
workload: {amount: 1000 messages, rate: 10}
schedule:
  - {at: 2m, fault: partition, groups: one, duration: 1m}
  - {at: 10s, fault: partition, groups: halves, duration: 40s, repeat: 3, pause: 1m}
  - {at: 50s, fault: partition, groups: one, duration: 20s}
";
    insta::assert_snapshot!(told(text, &[]), @r"
    error: a step is due after 10s that cannot begin before 3m, when the steps before it are over
     --> s.yaml:7:10
      |
    7 |   - {at: 10s, fault: partition, groups: halves, duration: 40s, repeat: 3, pause: 1m}
      |          ^
      = help: begin at 3m or later, or let both go on at once: `parallel: [[...], [...]]`

    error: a step is due after 50s that cannot begin before 7m, when the steps before it are over
     --> s.yaml:8:10
      |
    8 |   - {at: 50s, fault: partition, groups: one, duration: 20s}
      |          ^
      = help: begin at 7m or later, or let both go on at once: `parallel: [[...], [...]]`

    warning: 4 replicas survive no more than 3 do
     --> s.yaml:3:33
      |
    3 | queue: {type: quorum, replicas: 4}
      |                                 ^
      = help: choose an odd number

    warning: the load ends after 1m40s, before the last fault is injected after 7m
     --> s.yaml:4:20
      |
    4 | workload: {amount: 1000 messages, rate: 10}
      |                    ^
      = help: let it last longer, or write `amount: schedule`

    warning: a cut of 20s may never be noticed by the brokers: with a net_ticktime of 30s that takes up to 37s500ms
     --> s.yaml:8:56
      |
    8 |   - {at: 50s, fault: partition, groups: one, duration: 20s}
      |                                                        ^
      = help: let the cut last longer or lower `cluster.net_ticktime`, unless that is what is to be tested
    ");
    insta::assert_snapshot!(
        told("name: idle\nqueue: {type: classic, replicas: 2}\n", &[]),
        @r"
    error: the load is to last as long as the schedule, which has no step
     --> s.yaml:1:1
      |
    1 | name: idle
      | ^
      = help: give a duration (`amount: 1m`), or a fault in `schedule`

    error: a classic queue has one replica only
     --> s.yaml:2:34
      |
    2 | queue: {type: classic, replicas: 2}
      |                                  ^
      = help: remove `replicas`, or choose `type: quorum`
    "
    );
}

#[test]
fn files_that_are_no_scenario() {
    for (text, expected) in [
        ("", "the scenario must be a mapping"),
        ("- a\n- b\n", "the scenario must be a mapping"),
        (
            "name: [a]\nworkload: {amount: 1m}\n",
            "`name` must be a single value",
        ),
        (
            "name: latest\nworkload: {amount: 1m}\n",
            "`latest` cannot be",
        ),
        (
            "name: ../up\nworkload: {amount: 1m}\n",
            "cannot be the name of a directory",
        ),
        (
            "name: a\nname: b\nworkload: {amount: 1m}\n",
            "already on line 1",
        ),
        ("name: a\n\tqueue: {}\n", "s.yaml:2"),
        ("workload: {amount: 1m}\n", "`name` is missing"),
        (
            "name: a\nworkload: {amount: 0s}\n",
            "`amount` cannot be `0s`",
        ),
        (
            "name: a\nworkload: {amount: 0 messages}\n",
            "`amount` cannot be",
        ),
        ("name: a\nworkload: {amount: 200h}\n", "out of range: 200h"),
        ("name: a\nworkload: {amount: 1m, rate: -1}\n", "`rate`"),
        ("name: a\nworkload: {amount: 1m, rate: nan}\n", "`rate`"),
        ("name: a\nworkload: {amount: 1m, rate: inf}\n", "`rate`"),
        ("name: a\nworkload: {amount: 1m, window: 0}\n", "`window`"),
        (
            "name: a\ncluster: {source: {debs: ''}}\nworkload: {amount: 1m}\n",
            "`debs` has 0 characters",
        ),
        (
            "name: a\ncluster: {source: {deb: x}}\nworkload: {amount: 1m}\n",
            "did you mean `debs`?",
        ),
        (
            "name: a\nqueue: {name: \"a\\u001bb\"}\nworkload: {amount: 1m}\n",
            "\\u{1b}",
        ),
    ] {
        let told = told(text, &[]);
        assert!(told.contains(expected), "{text:?} told:\n{told}");
        assert!(!told.contains('\u{1b}'));
    }
}

#[test]
fn overrides_replace_what_the_file_says() {
    let overrides = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let (scenario, warnings) = builtin("partitions")
        .unwrap()
        .parse(&overrides(&[
            ("workload.rate", "200"),
            ("workload.rate", "closed-loop"),
            ("cluster.source.debs", "packages"),
            ("cluster.version", "3.10"),
            ("queue.replicas", "3"),
            ("schedule.0.duration", "25s"),
            ("schedule.1.groups", "[[n1], [n2, n3]]"),
            (
                "schedule.3",
                "{at: 5m, fault: partition, groups: one, duration: 20s}",
            ),
            ("description", ""),
        ]))
        .unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(scenario.workload.rate, None);
    assert_eq!(scenario.cluster.source, Source::Debs("packages".into()));
    assert_eq!(scenario.cluster.version.as_deref(), Some("3.10"));
    assert_eq!(scenario.queue.replicas, Some(3));
    assert_eq!(
        fault(&scenario.schedule[0]).lasts.least(),
        Duration::from_secs(25)
    );
    assert_eq!(scenario.schedule.len(), 4);
    let (scenario, _) = builtin("partitions")
        .unwrap()
        .parse(&overrides(&[
            ("schedule", "[]"),
            ("workload.amount", "10s"),
        ]))
        .unwrap();
    assert_eq!(scenario.schedule, []);
}

#[test]
fn mistakes_in_overrides_name_the_override() {
    let told = told(
        "name: a\nworkload:\n  amount: 1m\n  window: 0\n",
        &[
            ("workload.rate", "-3"),
            ("wrokload.rate", "3"),
            ("queue.type", "[unclosed"),
            ("schedule.4.at", "1s"),
            ("cluster..source", "apt"),
            ("schedule.0", "{at: 1s, fault: partition, groups: one}"),
        ],
    );
    insta::assert_snapshot!(told, @r#"
        error: `window` must be a whole number from 1 to 65535, not `0`
         --> s.yaml:4:11
          |
        4 |   window: 0
          |           ^
          = help: write a number from 1 to 65535, without quotes or unit

        error: `rate` (unless it is `closed-loop`) must be a number, not `-3`
          --> --set workload.rate=-3
          = help: write a number such as `50` or `0.5`

        error: unknown key `wrokload`
          --> --set wrokload.rate=3
          = help: did you mean `workload`?

        error: this is not YAML: unclosed bracket '['
          --> --set queue.type=[unclosed
          = help: close every `{` by `}` and every `[` by `]`

        error: `schedule` must be a list (`[a, b]`), not a mapping
          --> --set schedule.4.at=1s
          = help: write a list (`[a, b]`) here, or remove the key

        error: `cluster..source` is no path to a value
          --> --set cluster..source=apt
          = help: write keys with dots between them: `workload.rate`, `schedule.0.duration`
        "#);
}

#[test]
fn a_short_cut_set_on_the_command_line_is_warned_of() {
    let told = told(
        "name: a\nschedule: [{at: 1s, fault: partition, groups: one, duration: 2m}]\n",
        &[("schedule.0.duration", "5s")],
    );
    insta::assert_snapshot!(told, @r#"
        warning: a cut of 5s may never be noticed by the brokers: with a net_ticktime of 1m that takes up to 1m15s
          --> --set schedule.0.duration=5s
          = help: let the cut last longer or lower `cluster.net_ticktime`, unless that is what is to be tested
        "#);
}

#[test]
fn a_cluster_that_goes_on_gets_no_users_and_vhosts() {
    let text = "name: a\ncluster: {source: existing}\nworkload: {kind: metadata, amount: 1m}\n";
    insta::assert_snapshot!(told(text, &[]), @r"
        error: `metadata` makes users, policies and virtual hosts in a cluster that is not jtest's
         --> s.yaml:3:18
          |
        3 | workload: {kind: metadata, amount: 1m}
          |                  ^
          = help: choose another `cluster.source`, or another workload
        ");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,80}", path in "[a-z.0-9]{0,20}", value in "\\PC{0,20}") {
        let _ = parse("s.yaml", &text, &[(path, value)]);
    }

    #[test]
    fn no_damage_makes_it_panic(
        which in 0..BUILTINS.len(),
        from in 0_usize..1200,
        length in 0_usize..40,
        instead in "[ :\\-\\[\\]{}a-z0-9\n&*]{0,12}",
    ) {
        let mut text: Vec<char> = BUILTINS[which].yaml.chars().collect();
        let from = from.min(text.len());
        text.splice(from..(from + length).min(text.len()), instead.chars());
        let _ = parse("s.yaml", &text.iter().collect::<String>(), &[]);
    }

    #[test]
    fn no_override_makes_it_panic(
        section in prop::sample::select(vec!["cluster", "queue", "workload", "schedule", "schedule.0", "schedule.1.groups"]),
        key in prop::sample::select(vec!["", ".source", ".type", ".amount", ".rate", ".at", ".groups", ".0", ".9"]),
        value in prop::sample::select(vec!["", "~", "0", "-1", "1e400", "99999999999999999999", "1ms", "168h", "[]", "{}", "[[]]", "[[n1],[n1]]", "{debs: x}", "5 messages"]),
    ) {
        let _ = BUILTINS[0].parse(&[(format!("{section}{key}"), value.to_owned())]);
    }
}
