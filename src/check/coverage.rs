//! Was each scheduled fault injected, did it bite, was it undone? Did what was waited for come?
//!
//! A run whose faults were not exercised says nothing about faults, so one that is not
//! proven makes the verdict at most unknown; so does a condition that did not come, for what the
//! schedule has after it was never done.

use super::Verdict;
use super::results::{AwaitCoverage, Coverage, FaultCoverage, Finding};
use crate::event::{Event, Record};
use crate::history::operation::{Action, Entry, Nanos};
use crate::schedule::{FaultId, Plan, PlannedAwait};

/// So many shortfalls are told in a sentence; the data have all.
const TOLD_MAX: usize = 8;

/// A fault that is undone sooner is looked at for so long, for a load at a low rate is a load, too.
const LOOK_MIN: Nanos = 1_000_000_000;

/// What the events say of each fault of the plan.
pub fn faults(plan: &Plan, events: &[Record]) -> Vec<FaultCoverage> {
    let faults = plan.faults();
    faults.iter().map(|fault| cover(fault.id, events)).collect()
}

/// Counts an entry of the history for the faults that were in force at its time.
pub fn count(faults: &mut [FaultCoverage], entry: &Entry) {
    if !matches!(
        entry.action,
        Action::Publish | Action::Acquire | Action::Release | Action::Create | Action::Delete
    ) {
        return;
    }
    for fault in faults {
        let Some(from) = fault.injected_first_ns else {
            continue;
        };
        let until = fault
            .healed_ns
            .map(|until| until.max(from.saturating_add(LOOK_MIN)));
        if entry.time >= from && until.is_none_or(|until| entry.time < until) {
            fault.operations += 1;
        }
    }
}

/// Judges the events against the plan. The faults come with all that is counted of them.
pub fn check(plan: &Plan, events: &[Record], mut faults: Vec<FaultCoverage>) -> Finding<Coverage> {
    excuse_the_crowded_out(&mut faults);
    let awaits: Vec<AwaitCoverage> = plan
        .awaits()
        .into_iter()
        .map(|(awaited, fault)| cover_await(awaited, fault, events))
        .collect();
    let exercised = faults.iter().filter(|fault| is_exercised(fault)).count();
    let idle = faults.iter().filter(|fault| is_idle(fault)).count();
    let came = awaits.iter().filter(|awaited| awaited.came).count();
    let is_all = exercised + idle == faults.len() && (exercised > 0 || faults.is_empty());
    let (verdict, summary) = if !is_all || came < awaits.len() {
        (Verdict::Unknown, shortfalls(&faults, &awaits))
    } else {
        let mut summary = match faults.len() {
            0 => "no fault was scheduled".to_owned(),
            _ => format!("{exercised} of {exercised} faults proven and undone"),
        };
        if idle > 0 {
            summary.push_str(&format!(
                ", {idle} more had nothing to do while others were in force"
            ));
        }
        if came > 0 {
            summary.push_str(&format!(", {came} of {came} conditions came"));
        }
        (Verdict::Valid, summary)
    };
    Finding {
        verdict,
        summary,
        data: Coverage { faults, awaits },
    }
}

/// Brokers may be busy so long with recovering from a fault.
const RECOVERY: Nanos = 60_000_000_000;

/// Where faults overlap, one may leave the clients nothing to do during another: that one is no shortfall, as long as
/// others were in force, or brokers could be recovering from them, all the time.
fn excuse_the_crowded_out(faults: &mut [FaultCoverage]) {
    let exercised: Vec<_> = faults.iter().filter(|fault| is_exercised(fault)).collect();
    let mut spans: Vec<_> = exercised.into_iter().filter_map(in_force).collect();
    spans.sort_unstable();
    for fault in faults {
        let Some((from, until)) = in_force(fault) else {
            continue;
        };
        let overlaps = spans.iter().any(|span| span.0 <= until && from <= span.1);
        let mut covered = from;
        for span in spans.iter().filter(|span| span.1 >= from) {
            if span.0 <= covered {
                covered = covered.max(span.1.saturating_add(RECOVERY));
            }
        }
        let is_crowded = overlaps && covered >= until;
        if fault.proven && fault.operations == 0 && is_crowded {
            fault.idle = true;
            let why = "no client began or ended anything meanwhile: another fault was in force";
            fault.evidence.push(why.to_owned());
        }
    }
}

/// From its injection to its heal.
fn in_force(fault: &FaultCoverage) -> Option<(Nanos, Nanos)> {
    Some((fault.injected_first_ns?, fault.healed_ns?))
}

/// What is not as it was planned. A condition that did not come is told first, for it explains
/// what was not done after it.
fn shortfalls(faults: &[FaultCoverage], awaits: &[AwaitCoverage]) -> String {
    let not_come: Vec<String> = awaits
        .iter()
        .filter(|awaited| awaited.ended_ns.is_some() && !awaited.came)
        .map(|awaited| {
            let seen = awaited.evidence.join("; ");
            format!("{} (seen last: {seen})", awaited.description)
        })
        .collect();
    let open: Vec<String> = faults
        .iter()
        .filter(|fault| !is_exercised(fault) && !is_idle(fault))
        .map(shortfall)
        .collect();
    let mut parts = Vec::new();
    if !not_come.is_empty() {
        parts.push(format!("waited in vain for {}", some_of(&not_come)));
    }
    if !open.is_empty() {
        parts.push(format!("not all faults were exercised: {}", some_of(&open)));
    }
    if parts.is_empty() && faults.iter().any(is_idle) {
        parts.push("no fault found anything to do".to_owned());
    }
    if parts.is_empty() {
        parts.push("the schedule was not done to its end".to_owned());
    }
    parts.join("; ")
}

fn some_of(all: &[String]) -> String {
    let mut text = all
        .iter()
        .take(TOLD_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if let more @ 1.. = all.len().saturating_sub(TOLD_MAX) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn is_exercised(fault: &FaultCoverage) -> bool {
    fault.proven && fault.heal_proven && fault.operations > 0
}

fn is_idle(fault: &FaultCoverage) -> bool {
    fault.idle && fault.heal_proven
}

fn shortfall(fault: &FaultCoverage) -> String {
    let number = fault.fault.0;
    if fault.injected_last_ns.is_none() {
        format!("fault {number} was not injected")
    } else if !fault.proven && !fault.idle {
        format!("fault {number} is not proven to have bitten")
    } else if !fault.heal_proven {
        format!("fault {number} is not proven to be undone")
    } else {
        format!("no client began or ended anything during fault {number}")
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
        operations: 0,
        proven: false,
        idle: false,
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
            Event::FaultIdle { fault, evidence } if *fault == id => {
                cover.idle = true;
                cover.evidence.clone_from(evidence);
            }
            Event::FaultHealed { fault, at, proof } if *fault == id => {
                cover.healed_ns = Some(*at);
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

fn cover_await(awaited: &PlannedAwait, fault: Option<FaultId>, events: &[Record]) -> AwaitCoverage {
    let mut cover = AwaitCoverage {
        condition: awaited.id,
        description: awaited.condition.to_string(),
        fault,
        began_ns: None,
        ended_ns: None,
        came: false,
        evidence: Vec::new(),
    };
    for record in events {
        match &record.event {
            Event::AwaitBegan { condition, .. } if *condition == awaited.id => {
                cover.began_ns = Some(record.time);
            }
            Event::AwaitEnded { condition, proof } if *condition == awaited.id => {
                cover.ended_ns = Some(record.time);
                cover.came = proof.proven;
                cover.evidence.clone_from(&proof.evidence);
            }
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
    use crate::scenario::step::Condition;
    use crate::schedule::{AwaitId, Groups, PlannedFault, PlannedLasts, PlannedStep, TimedFault};

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
            at: 0,
            proof: Proof {
                proven,
                evidence: vec![],
            },
        }
    }

    fn moment(id: u32) -> PlannedStep {
        PlannedStep::Fault(TimedFault {
            id: FaultId(id),
            at: None,
            fault: PlannedFault::partition(Groups::Named(vec![])),
            lasts: PlannedLasts::Moment,
        })
    }

    fn check_events(events: Vec<Event>, verdict: Verdict, summary: &str) {
        let plan = Plan {
            steps: vec![PlannedStep::Fault(TimedFault {
                id: FaultId(1),
                at: Some(Duration::from_secs(1)),
                fault: PlannedFault::partition(Groups::Named(vec![])),
                lasts: PlannedLasts::For(Duration::from_secs(1)),
            })],
        };
        check_plan(&plan, events, verdict, summary);
    }

    fn check_plan(plan: &Plan, events: Vec<Event>, verdict: Verdict, summary: &str) {
        let records: Vec<Record> = events
            .into_iter()
            .map(|event| Record { time: 20, event })
            .collect();
        let mut faults = faults(plan, &records);
        for fault in &mut faults {
            fault.operations = 1;
        }
        let finding = check(plan, &records, faults);
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
    fn a_fault_with_nothing_to_do_is_no_shortfall_and_proves_nothing() {
        let idle = |id: u32| {
            let proof = Proof {
                proven: true,
                evidence: vec![],
            };
            let (fault, at, evidence) = (FaultId(id), 0, vec!["n1: nothing was done".into()]);
            [
                Event::FaultInjected {
                    fault,
                    first: 1,
                    last: 2,
                    spread_us: None,
                },
                Event::FaultIdle { fault, evidence },
                Event::FaultHealed { fault, at, proof },
            ]
        };
        let mut events = vec![injected(), proven(true), healed(true)];
        events.extend(idle(2));
        let plan = Plan {
            steps: vec![moment(1), moment(2)],
        };
        check_plan(
            &plan,
            events,
            Verdict::Valid,
            "1 of 1 faults proven and undone, 1 more had nothing to do while others were in force",
        );
        let alone = Plan {
            steps: vec![moment(2)],
        };
        check_plan(
            &alone,
            idle(2).into(),
            Verdict::Unknown,
            "no fault found anything to do",
        );
        check_plan(
            &alone,
            idle(2)[..2].to_vec(),
            Verdict::Unknown,
            "not all faults were exercised: fault 2 is not proven to be undone",
        );
    }

    #[test]
    fn a_fault_without_load_is_excused_by_another_in_force() {
        let plan = Plan {
            steps: [1, 2].map(moment).into(),
        };
        let spans = |spans: [(Nanos, Nanos, u64); 2]| -> Vec<FaultCoverage> {
            let faults = faults(&plan, &[]).into_iter().zip(spans);
            let covered = faults.map(|(fault, (from, until, operations))| FaultCoverage {
                injected_first_ns: Some(from),
                injected_last_ns: Some(from),
                healed_ns: Some(until),
                operations,
                proven: true,
                heal_proven: true,
                ..fault
            });
            covered.collect()
        };
        let judged = |faults| check(&plan, &[], faults);
        let beside = judged(spans([(10, 30, 5), (20, 40, 0)]));
        assert_eq!(beside.verdict, Verdict::Valid);
        assert_eq!(
            beside.summary,
            "1 of 1 faults proven and undone, 1 more had nothing to do while others were in force"
        );
        assert!(beside.data.faults[1].idle && !beside.data.faults[0].idle);
        for alone in [
            [(10, 30, 5), (31, 40, 0)],
            [(10, 30, 0), (20, 40, 0)],
            [(10, 30, 5), (20, 31 + RECOVERY, 0)],
            [(21, 30, 5), (20, 40, 0)],
        ] {
            let told = judged(spans(alone));
            assert_eq!(told.verdict, Verdict::Unknown);
            assert!(told.summary.contains("no client began or ended anything"));
        }
    }

    #[test]
    fn without_a_schedule_there_is_nothing_to_prove() {
        assert_eq!(check(&Plan::default(), &[], vec![]).verdict, Verdict::Valid);
    }

    #[test]
    fn what_is_waited_for_has_to_come() {
        let plan = Plan {
            steps: vec![PlannedStep::Await(PlannedAwait {
                id: AwaitId(1),
                condition: Condition::Confirms(500),
                within: Duration::from_secs(60),
            })],
        };
        let ended = |proven| Event::AwaitEnded {
            condition: AwaitId(1),
            proof: Proof {
                proven,
                evidence: vec!["12 confirms".into()],
            },
        };
        check_plan(
            &plan,
            vec![ended(true)],
            Verdict::Valid,
            "no fault was scheduled, 1 of 1 conditions came",
        );
        check_plan(
            &plan,
            vec![ended(false)],
            Verdict::Unknown,
            "waited in vain for 500 confirms (seen last: 12 confirms)",
        );
        check_plan(
            &plan,
            vec![],
            Verdict::Unknown,
            "the schedule was not done to its end",
        );
    }
}
