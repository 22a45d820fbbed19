use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::check::Verdict;
use crate::check::judge::judge;
use crate::check::results::Results;

const SHAPES: [Shape; 4] = [Shape::Queue, Shape::Lock, Shape::Fifo, Shape::Stream];

fn judged(synth: Synth) -> (Results, Vec<Planted>) {
    let directory = tempfile::tempdir().unwrap();
    let planted = synth.write(directory.path()).unwrap();
    (judge(directory.path()).unwrap(), planted)
}

/// The checkers that found something, by their words.
fn found(results: &Results) -> BTreeSet<&'static str> {
    let mut parts = results.parts();
    // Synthetic clients leave no gap worth a word.
    parts.retain(|part| part.verdict != Verdict::Valid);
    parts.iter().map(|part| part.name).collect()
}

fn values(planted: &[Planted]) -> BTreeSet<Value> {
    planted.iter().map(|planted| planted.value).collect()
}

#[test]
fn a_legal_history_is_valid_and_no_checker_says_otherwise() {
    for shape in SHAPES {
        for seed in 0..5 {
            let (results, planted) = judged(Synth {
                shape,
                operations: 3000,
                defect: None,
                seed,
            });
            assert_eq!(results.verdict, Verdict::Valid, "{:?}", results.reasons);
            assert!(found(&results).is_empty(), "{:?}", found(&results));
            assert!(planted.is_empty());
        }
    }
}

/// Each defect, so often in so many operations, is found by the checkers that it concerns and by no other, in the right messages.
fn is_found(defect: Defect, count: u64, operations: u64, seed: u64) {
    let (results, planted) = judged(Synth {
        shape: defect.shape(),
        operations,
        defect: Some((defect, count)),
        seed,
    });
    let (expected, verdict): (&[&str], _) = match defect {
        Defect::Lost | Defect::Invented | Defect::Returned | Defect::Damaged => {
            (&["total-queue"], Verdict::Invalid)
        }
        Defect::Duplicated => (&["duplicates"], Verdict::Valid),
        Defect::Overlap => (&["lock"], Verdict::Invalid),
        Defect::Overtaken | Defect::FalseEmpty => (&["fifo"], Verdict::Invalid),
        Defect::Unstored => (&["stream", "total-queue"], Verdict::Invalid),
        Defect::StoredTwice | Defect::Lacking | Defect::Rewritten => {
            (&["stream"], Verdict::Invalid)
        }
        Defect::Torn => (&["evidence"], Verdict::Unknown),
    };
    assert!(!planted.is_empty());
    assert_eq!(results.verdict, verdict, "{defect:?} {:?}", results.reasons);
    let found = found(&results);
    assert!(
        found.iter().eq(expected) || (defect == Defect::Torn && found.contains("evidence")),
        "{defect:?}: {found:?}"
    );
    let queue = &results.total_queue.data;
    let planted_values = values(&planted);
    match defect {
        Defect::Lost | Defect::Damaged => {
            let lost = queue.lost_values.iter().map(|lost| lost.value);
            assert_eq!(lost.collect::<BTreeSet<_>>(), planted_values);
            let foreign = if defect == Defect::Damaged {
                planted.len()
            } else {
                0
            };
            assert_eq!(queue.foreign, foreign as u64);
        }
        Defect::Invented | Defect::Returned => {
            let unexpected = queue.unexpected_values.iter().copied();
            assert_eq!(unexpected.collect::<BTreeSet<_>>(), planted_values);
        }
        Defect::Duplicated => {
            let duplicates = results.findings.duplicates.unwrap().data;
            assert_eq!(duplicates.unmarked, planted.len() as u64);
            let again = duplicates.examples.iter().map(|example| example.value);
            assert_eq!(again.collect::<BTreeSet<_>>(), planted_values);
        }
        Defect::Overlap => {
            let lock = results.findings.lock.unwrap().data;
            assert_eq!(lock.overlaps, planted.len() as u64);
        }
        Defect::Overtaken => {
            let fifo = results.findings.fifo.unwrap().data;
            let overtaken = fifo.overtaken.iter().map(|overtaking| overtaking.value);
            assert_eq!(overtaken.collect::<BTreeSet<_>>(), planted_values);
        }
        Defect::FalseEmpty => {
            let fifo = results.findings.fifo.unwrap().data;
            assert_eq!(fifo.false_empties, planted.len() as u64);
        }
        Defect::Unstored | Defect::StoredTwice | Defect::Lacking | Defect::Rewritten => {
            let stream = results.findings.stream.unwrap().data;
            let missing = &stream.missing;
            let found = match defect {
                Defect::Unstored => missing.prefix + missing.middle + missing.tail,
                Defect::StoredTwice => stream.repeated,
                Defect::Lacking => stream.short.iter().map(|short| short.lacks).sum(),
                _ => stream.differing,
            };
            assert_eq!(found, planted.len() as u64);
            match defect {
                Defect::Unstored => {
                    let missing = missing.examples.iter().copied();
                    assert_eq!(missing.collect::<BTreeSet<_>>(), planted_values);
                }
                Defect::StoredTwice => {
                    let repeated = stream.repeated_examples.iter();
                    let repeated = repeated.map(|repeated| repeated.value);
                    assert_eq!(repeated.collect::<BTreeSet<_>>(), planted_values);
                }
                Defect::Lacking => assert_eq!(stream.short.len(), 1),
                _ => {
                    let differing = stream.differing_examples.iter();
                    let first = differing.filter_map(|differing| differing.first.value);
                    assert_eq!(first.collect::<BTreeSet<_>>(), planted_values);
                }
            }
        }
        Defect::Torn => assert_eq!(queue.lost, None),
    }
}

#[test]
fn every_defect_is_found_and_named_once_rarely_and_often() {
    for defect in Defect::ALL {
        for (count, operations) in [(1, 4000), (2, 200_000), (40, 4000)] {
            is_found(defect, count, operations, 7);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_defect_is_found_wherever_it_is(seed: u64, defect in prop::sample::select(Defect::ALL.to_vec())) {
        is_found(defect, 1, 4000, seed);
    }
}

#[test]
fn a_seed_gives_the_same_history() {
    for shape in SHAPES {
        let entries = |seed| {
            let mut entries = Vec::new();
            let synth = Synth {
                shape,
                operations: 500,
                defect: None,
                seed,
            };
            synth.entries(&mut |entry| entries.push(entry));
            entries
        };
        assert_eq!(entries(3), entries(3));
        assert_ne!(entries(3), entries(4));
    }
}
