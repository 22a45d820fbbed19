//! The checkers that read the history in one pass, beside each other: a line each in the table at the end.

use serde::{Deserialize, Serialize};

use super::Verdict;
use super::results::Finding;
use super::window::FaultTimes;
use super::{availability, duplicates, exclusive, fifo, latency, lock, metadata, order, stream};
use crate::event::Record;
use crate::history::operation::Entry;
use crate::inventory::NodeName;
use crate::scenario::{Checker, Scenario};

/// A checker of the history.
pub trait Check: Sized {
    /// What it finds.
    type Data;

    /// Nothing read yet.
    fn begin(known: &Known<'_>) -> Self;

    /// Takes the next entry.
    fn add(&mut self, entry: &Entry);

    /// Whether it has to see the history a second time.
    fn looks_again(&self) -> bool {
        false
    }

    /// Takes the next entry, the second time.
    fn add_again(&mut self, _entry: &Entry) {}

    /// What follows from all entries.
    fn finding(self, seen: &Seen<'_>) -> Finding<Self::Data>;
}

/// What is known of a run besides its history.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// What was to be done.
    pub scenario: &'a Scenario,
    /// The nodes that entries point to by index.
    pub nodes: &'a [NodeName],
    /// The faults that were injected, in the order of the schedule.
    pub faults: &'a [FaultTimes],
    /// Everything that happened besides operations.
    pub events: &'a [Record],
}

/// The same, once the history was read.
pub struct Seen<'a> {
    /// What was known before.
    pub known: Known<'a>,
    /// Whether there is all the evidence: load, recovery and drain came to their end, and so did the history.
    pub is_complete: bool,
}

macro_rules! checkers {
    ($($(#[$doc:meta])+ $field:ident: $check:ty => $checker:ident,)+) => {
        /// Those that look at a run of one scenario.
        pub struct Checks {
            $($field: Option<$check>,)+
        }

        impl Checks {
            /// Nothing read yet.
            pub fn begin(known: &Known<'_>) -> Self {
                let Scenario { workload, queue, .. } = known.scenario;
                Self {
                    $($field: Checker::$checker.applies(workload, queue).then(|| <$check>::begin(known)),)+
                }
            }

            /// Takes the next entry.
            pub fn add(&mut self, entry: &Entry) {
                $(if let Some(check) = &mut self.$field {
                    check.add(entry);
                })+
            }

            /// Whether one has to see the history a second time.
            pub fn look_again(&self) -> bool {
                [$(self.$field.as_ref().is_some_and(Check::looks_again),)+].contains(&true)
            }

            /// Takes the next entry, the second time.
            pub fn add_again(&mut self, entry: &Entry) {
                $(if let Some(check) = &mut self.$field {
                    check.add_again(entry);
                })+
            }

            /// What follows from all entries.
            pub fn findings(self, seen: &Seen<'_>) -> Findings {
                Findings {
                    $($field: self.$field.map(|check| check.finding(seen)),)+
                }
            }
        }

        /// What they say.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub struct Findings {
            $(
                $(#[$doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<Finding<<$check as Check>::Data>>,
            )+
        }

        impl Findings {
            /// Each without its data, in the order of the table.
            pub fn told(&self) -> Vec<(Checker, (Verdict, &str))> {
                let mut told = Vec::new();
                $(if let Some(finding) = &self.$field {
                    told.push((Checker::$checker, finding.told()));
                })+
                told
            }
        }
    };
}

checkers! {
    /// Messages that were received more than once.
    duplicates: duplicates::Receipts => Duplicates,
    /// Of a lock: whether two held it at once.
    lock: lock::Locks => Lock,
    /// Of a queue that is read while it is written: whether its order was kept.
    fifo: fifo::Order => Fifo,
    /// Whether consumers saw each producer's messages in order.
    order: order::Orders => Order,
    /// Whether one consumer at a time was active.
    exclusive: exclusive::Exclusives => Exclusive,
    /// Of a stream: whether every reader read the same, in order and whole.
    stream: stream::Streams => Stream,
    /// Of objects that are no messages: whether every node has what it should.
    metadata: metadata::Objects => Metadata,
    /// For how long each node served nobody, and how soon it served again.
    availability: availability::Confirms => Availability,
    /// How long answers took.
    latency: latency::Latencies => Latency,
}
