//! `junit.xml`: a case for each checker, each fault and each condition, as CI systems read it.
//!
//! Unknown is an error rather than a failure: nothing is proven broken, and nothing passed. A finding that the scenario
//! only has reported is skipped where it is not valid.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::check::Verdict;
use crate::check::results::{AwaitCoverage, FaultCoverage, Part, Results};

/// The file.
pub fn text(results: &Results) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new(format!("jtest.{}", results.scenario));
    for part in results.parts() {
        suite.add_test_case(part_case(&part));
    }
    for fault in &results.coverage.data.faults {
        suite.add_test_case(fault_case(fault));
    }
    for awaited in &results.coverage.data.awaits {
        suite.add_test_case(await_case(awaited));
    }
    let mut report = Report::new("jtest");
    report.add_test_suite(suite);
    report.to_string()
}

/// A finding that changes no verdict fails nothing.
fn part_case(part: &Part<'_>) -> TestCase {
    if part.decides || part.verdict == Verdict::Valid {
        return case(part.name, part.verdict, part.summary);
    }
    let mut case = TestCase::new(part.name, TestCaseStatus::skipped());
    case.status.set_message(part.summary);
    case
}

fn case(name: &str, verdict: Verdict, summary: &str) -> TestCase {
    let status = match verdict {
        Verdict::Valid => TestCaseStatus::success(),
        Verdict::Invalid => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    let mut case = TestCase::new(name, status);
    case.status.set_message(summary);
    case
}

fn await_case(awaited: &AwaitCoverage) -> TestCase {
    let verdict = match awaited.came {
        true => Verdict::Valid,
        false => Verdict::Unknown,
    };
    let name = format!("await-{} {}", awaited.condition.0, awaited.description);
    case(&name, verdict, &awaited.evidence.join("; "))
}

fn fault_case(fault: &FaultCoverage) -> TestCase {
    let verdict = if (fault.proven || fault.idle) && fault.heal_proven {
        Verdict::Valid
    } else {
        Verdict::Unknown
    };
    let description = fault.description.as_deref().unwrap_or("never asked for");
    let name = format!("fault-{} {description}", fault.fault.0);
    let said = fault.evidence.iter().chain(&fault.errors);
    case(
        &name,
        verdict,
        &said.cloned().collect::<Vec<_>>().join("; "),
    )
}
