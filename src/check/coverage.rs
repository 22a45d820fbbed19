//! Was each scheduled fault injected, did it bite, was it undone?
//!
//! A run whose faults were not exercised says nothing about faults, so one that is not
//! proven makes the verdict at most unknown.

use super::Verdict;
use super::results::{Coverage, FaultCoverage, Finding};
use crate::event::{Event, Record};
use crate::schedule::{FaultId, TimedFault};

/// Judges the events against the schedule.
pub fn check(schedule: &[TimedFault], events: &[Record]) -> Finding<Coverage> {
    let faults: Vec<FaultCoverage> = schedule
        .iter()
        .map(|fault| cover(fault.id, events))
        .collect();
    let exercised = faults.iter().filter(|fault| is_exercised(fault)).count();
    let (verdict, summary) = if faults.is_empty() {
        (Verdict::Valid, "no fault was scheduled".to_owned())
    } else if exercised == faults.len() {
        let summary = format!("{exercised} of {exercised} faults proven and undone");
        (Verdict::Valid, summary)
    } else {
        let open: Vec<String> = faults
            .iter()
            .filter(|fault| !is_exercised(fault))
            .map(|fault| format!("fault {} {}", fault.fault.0, shortfall(fault)))
            .collect();
        (
            Verdict::Unknown,
            format!("not all faults were exercised: {}", open.join(", ")),
        )
    };
    Finding {
        verdict,
        summary,
        data: Coverage { faults },
    }
}

fn is_exercised(fault: &FaultCoverage) -> bool {
    fault.proven && fault.heal_proven
}

fn shortfall(fault: &FaultCoverage) -> &'static str {
    if fault.injected_last_ns.is_none() {
        "was not injected"
    } else if !fault.proven {
        "is not proven to have bitten"
    } else {
        "is not proven to be undone"
    }
}

fn cover(id: FaultId, events: &[Record]) -> FaultCoverage {
    let mut cover = FaultCoverage {
        fault: id,
        description: None,
        injected_first_ns: None,
        injected_last_ns: None,
        spread_us: None,
        healed_ns: None,
        proven: false,
        evidence: Vec::new(),
        heal_proven: false,
        errors: Vec::new(),
    };
    for record in events {
        match &record.event {
            Event::FaultAsked {
                fault,
                kind,
                description,
                ..
            } if *fault == id => cover.description = Some(format!("{kind} {description}")),
            Event::FaultInjected {
                fault,
                first,
                last,
                spread_us,
            } if *fault == id => {
                cover.injected_first_ns = Some(*first);
                cover.injected_last_ns = Some(*last);
                cover.spread_us = *spread_us;
            }
            Event::FaultProven { fault, proof } if *fault == id => {
                cover.proven = proof.proven;
                cover.evidence.clone_from(&proof.evidence);
            }
            Event::FaultHealed { fault, proof } if *fault == id => {
                cover.healed_ns = Some(record.time);
                cover.heal_proven = proof.proven;
                if !proof.proven {
                    cover.errors.extend(proof.evidence.iter().cloned());
                }
            }
            Event::FaultFailed { fault, error } if *fault == id => cover.errors.push(error.clone()),
            _ => {}
        }
    }
    cover
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Proof;
    use crate::schedule::{Groups, PlannedFault};

    fn asked() -> Event {
        Event::FaultAsked {
            fault: FaultId(1),
            kind: "partition".into(),
            description: "n1 | n2 n3".into(),
            groups: vec![],
        }
    }

    fn injected() -> Event {
        Event::FaultInjected {
            fault: FaultId(1),
            first: 10,
            last: 12,
            spread_us: None,
        }
    }

    fn proven(proven: bool) -> Event {
        Event::FaultProven {
            fault: FaultId(1),
            proof: Proof {
                proven,
                evidence: vec![],
            },
        }
    }

    fn healed(proven: bool) -> Event {
        Event::FaultHealed {
            fault: FaultId(1),
            proof: Proof {
                proven,
                evidence: vec![],
            },
        }
    }

    fn check_events(events: Vec<Event>, verdict: Verdict, summary: &str) {
        let schedule = [TimedFault {
            id: FaultId(1),
            inject_at: Duration::from_secs(1),
            heal_at: Duration::from_secs(2),
            fault: PlannedFault::partition(Groups::Named(vec![])),
        }];
        let records: Vec<Record> = events
            .into_iter()
            .map(|event| Record { time: 20, event })
            .collect();
        let finding = check(&schedule, &records);
        assert_eq!(
            (finding.verdict, finding.summary.as_str()),
            (verdict, summary)
        );
    }

    #[test]
    fn only_a_fault_that_bit_and_is_gone_counts() {
        check_events(
            vec![asked(), injected(), proven(true), healed(true)],
            Verdict::Valid,
            "1 of 1 faults proven and undone",
        );
        check_events(
            vec![asked(), injected(), proven(false), healed(true)],
            Verdict::Unknown,
            "not all faults were exercised: fault 1 is not proven to have bitten",
        );
        check_events(
            vec![asked(), injected(), proven(true), healed(false)],
            Verdict::Unknown,
            "not all faults were exercised: fault 1 is not proven to be undone",
        );
        check_events(
            vec![asked(), injected(), proven(true)],
            Verdict::Unknown,
            "not all faults were exercised: fault 1 is not proven to be undone",
        );
        check_events(
            vec![],
            Verdict::Unknown,
            "not all faults were exercised: fault 1 was not injected",
        );
    }

    #[test]
    fn without_a_schedule_there_is_nothing_to_prove() {
        assert_eq!(check(&[], &[]).verdict, Verdict::Valid);
    }
}
