use crate::cli::shape::assert_documented;
use crate::runs::testing::{INVALID, KILLED, VALID, runs};

use super::*;

fn directory(path: &Path) -> RunsDirArgs {
    RunsDirArgs {
        runs: path.to_owned(),
    }
}

fn all(path: &Path) -> Vec<RunSummary> {
    let mut runs = directory(path)
        .open()
        .unwrap()
        .summaries(&Filter::default())
        .unwrap();
    let versions = ["3.10.8-1.1+deb12u1".to_owned(), "3.12.1\u{1b}".to_owned()];
    runs[1].rabbitmq_versions.extend(versions);
    runs
}

#[test]
fn the_list() {
    let directory = runs();
    let runs = all(directory.path());
    insta::assert_snapshot!(listed(&runs), @r"
    time              scenario  version              verdict      lost  longest gap
    20261124T110000Z  cut                            unjudged
    20261124T105100Z  cut       3.10.8,3.12.1\u{1b}  invalid         6        1.0 s
    20261123T105100Z  cut                            valid           0        1.0 s
    20261122T000000Z  other                          damaged
    cut/20261124T110000Z: results.json is missing; `jtest check` makes it
    other/20261122T000000Z: results.json is damaged: EOF while parsing a string at line 1 column 16
    ");
    assert_documented("runs", &Listed { runs: &runs });
    assert_eq!(listed(&[]), "no runs\n");
}

#[test]
fn side_by_side_in_80_columns() {
    let directory = runs();
    let open = |run: &str| Dir::open(&directory.path().join(run)).unwrap();
    let manifest = directory.path().join(INVALID).join("run.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"seed\": 1", "\"seed\": 9")).unwrap();
    let compared = diff([(VALID, &open(VALID)), (INVALID, &open(INVALID))]).unwrap();
    insta::assert_snapshot!(side_by_side(&compared), @r"
    a  cut/20261123T105100Z
    b  cut/20261124T105100Z

    Set otherwise:
      seed                                1                           9

    What came of it (* differs):
    * verdict                             valid                       invalid
      availability.verdict                valid                       valid
      coverage.verdict                    valid                       valid
      duplicates.verdict                  valid                       valid
      duplicates.duplicates               0                           0
      duplicates.marked_first             0                           0
    * duplicates.receipts                 30                          24
      duplicates.redelivered              0                           0
      duplicates.resent                   0                           0
      duplicates.unmarked                 0                           0
      duplicates.values                   0                           0
      evidence.verdict                    valid                       valid
      evidence.drain_complete             true                        true
      evidence.history_complete           true                        true
      latency.verdict                     valid                       valid
      latency.all.count                   30                          30
      latency.all.max_ns                  1.0 s                       1.0 s
      latency.all.p50_ns                  1.0 s                       1.0 s
      latency.all.p95_ns                  1.0 s                       1.0 s
      latency.all.p999_ns                 1.0 s                       1.0 s
      latency.all.p99_ns                  1.0 s                       1.0 s
      latency.unanswered                  0                           0
    * total_queue.verdict                 valid                       invalid
      total_queue.attempts                30                          30
      total_queue.confirmed               30                          30
    * total_queue.confirmed_not_received  0                           6
      total_queue.duplicates              0                           0
      total_queue.expired                 0                           0
      total_queue.fail                    0                           0
      total_queue.foreign                 0                           0
      total_queue.info                    0                           0
    * total_queue.lost                    0                           6
      total_queue.nacked_received         0                           0
      total_queue.ok                      30                          30
    * total_queue.received                30                          24
      total_queue.recovered               0                           0
      total_queue.unexpected              0                           0
      availability.longest_gap_ns         1.0 s                       1.0 s
      coverage.faults                     1                           1
      coverage.faults_proven_and_undone   1                           1
    ");
    assert_documented("runs diff", &compared);
}

#[test]
fn times_are_in_their_unit() {
    for (name, value, text) in [
        ("gap_ns", Value::from(1_500_000_000_i64), "1.5 s"),
        ("all.p50_ns", Value::from(2_340_000), "2.3 ms"),
        ("count", Value::from(2_340_000), "2340000"),
        ("lost", Value::Null, "-"),
    ] {
        assert_eq!(value_text(name, &value), text);
    }
}

#[test]
fn what_is_removed_and_why_not() {
    let directory = runs();
    let runs = Runs::open(directory.path()).unwrap();
    let policy = Policy {
        keep_last: 1,
        older_than: None,
        keep_invalid: true,
    };
    let now = "2026-11-25T00:00:00Z".parse().unwrap();
    let mut decisions = gc::plan(&runs, &policy, now).unwrap();
    for decision in &mut decisions {
        decision.bytes = 12_345;
    }
    insta::assert_snapshot!(collected(&decisions), @r"
    keep     cut/20261124T110000Z      12.3 kB  one of the newest 1 of its scenario
    keep     cut/20261124T105100Z      12.3 kB  its verdict is invalid
    remove   cut/20261123T105100Z      12.3 kB
    keep     other/20261122T000000Z    12.3 kB  one of the newest 1 of its scenario
    1 runs with 12.3 kB would be removed; --yes removes them
    ");
    let json = Collected {
        runs: &decisions,
        bytes: removed_bytes(&decisions),
    };
    assert_documented("runs gc", &json);
    gc::carry_out(&runs, &mut decisions);
    let text = collected(&decisions);
    assert!(
        text.ends_with("1 runs with 12.3 kB are removed\n"),
        "{text}"
    );
}

#[test]
fn a_run_is_found_by_what_it_is_called() {
    let made = runs();
    let path = made.path();
    let find = |word: &str| {
        found(&directory(path), word)
            .map(|(name, _)| name)
            .map_err(|told| told.0)
    };
    assert_eq!(find(VALID).as_deref(), Ok(VALID));
    assert_eq!(find("20261123T105100Z").as_deref(), Ok(VALID));
    assert_eq!(find("latest").as_deref(), Ok(KILLED));
    let by_path = path.join(VALID).to_string_lossy().into_owned();
    assert_eq!(find(&by_path).as_deref(), Ok(by_path.as_str()));
    assert!(
        find("cut/20261123T105101Z")
            .unwrap_err()
            .contains("`jtest runs` lists them")
    );
    std::fs::create_dir_all(path.join("third/20261123T105100Z")).unwrap();
    let told = find("20261123T105100Z").unwrap_err();
    assert!(
        told.contains("several runs") && told.contains("SCENARIO/TIME"),
        "{told}"
    );
    let told = found(&directory(&path.join("none")), "latest")
        .unwrap_err()
        .0;
    assert!(told.contains("--runs DIR names another"), "{told}");
}
