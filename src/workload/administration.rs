//! What clients have done in a broker besides messages: by whom, and what became of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::{Endpoint, Record};
use crate::clock::RunClock;
use crate::history::object::Object;
use crate::history::operation::{Action, Entry, Phase};
use crate::inventory::NodeName;

/// The logical processes of those who look at objects begin here, above the drain's.
const FIRST_PROCESS: u32 = 3 << 30;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    Create,
    /// It is removed.
    Delete,
}

impl Change {
    /// As it stands in the history.
    pub fn action(self) -> Action {
        match self {
            Self::Create => Action::Create,
            Self::Delete => Action::Delete,
        }
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// The broker says that it is done.
    Done,
    /// It did not begin with it.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// The brokers, as far as they are administered.
#[async_trait]
pub trait Administer: Send + Sync {
    /// Changes a policy, a user or a virtual host through one node.
    async fn change(
        &self,
        node: &NodeName,
        object: Object,
        change: Change,
        patience: Duration,
    ) -> Changed;

    /// Everything of this run that a node says it has.
    async fn objects(&self, node: &NodeName) -> Result<BTreeSet<Object>, String>;
}

/// The brokers, and what was touched in them.
#[derive(Clone)]
pub struct Administration {
    brokers: Arc<dyn Administer>,
    touched: Arc<Mutex<BTreeSet<Object>>>,
}

impl Administration {
    /// Nothing touched yet.
    pub fn of(brokers: Arc<dyn Administer>) -> Self {
        Self {
            brokers,
            touched: Arc::default(),
        }
    }

    /// The brokers.
    pub(super) fn brokers(&self) -> &dyn Administer {
        self.brokers.as_ref()
    }

    /// Somebody is about to change this object.
    pub(super) fn touch(&self, object: Object) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.insert(object);
    }

    fn touched(&self) -> BTreeSet<Object> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.clone()
    }

    /// Asks every node for every object that was touched and records what it says; those that do
    /// not answer come back with the reason.
    pub async fn observe(
        &self,
        endpoints: &[Endpoint],
        recorder: &dyn Record,
        clock: RunClock,
    ) -> Vec<(NodeName, String)> {
        let asked = endpoints.iter().map(async |endpoint| {
            let there = self.brokers.objects(&endpoint.name).await;
            (endpoint, there)
        });
        let touched = self.touched();
        let mut silent = Vec::new();
        for (endpoint, there) in join_all(asked).await {
            let there = match there {
                Ok(there) => there,
                Err(error) => {
                    silent.push((endpoint.name.clone(), error));
                    continue;
                }
            };
            for object in &touched {
                let is_there = there.contains(object);
                recorder.record(Entry {
                    time: clock.now(),
                    process: FIRST_PROCESS + u32::from(endpoint.index),
                    node: endpoint.index,
                    phase: if is_there { Phase::Ok } else { Phase::Fail },
                    action: Action::Observe,
                    producer: object.client,
                    sequence: object.number,
                    queue: object.kind.number(),
                    ..Entry::default()
                });
            }
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::object::ObjectKind;

    struct Brokers;

    #[async_trait]
    impl Administer for Brokers {
        async fn change(&self, _: &NodeName, _: Object, _: Change, _: Duration) -> Changed {
            Changed::Done
        }

        async fn objects(&self, node: &NodeName) -> Result<BTreeSet<Object>, String> {
            match node.0.as_str() {
                "n1" => Ok(BTreeSet::from([policy(0)])),
                "n2" => Ok(BTreeSet::new()),
                _ => Err("no answer".to_owned()),
            }
        }
    }

    struct Memory(Mutex<Vec<Entry>>);

    impl Record for Memory {
        fn record(&self, entry: Entry) {
            self.0.lock().unwrap().push(entry);
        }
    }

    fn policy(number: u64) -> Object {
        Object {
            kind: ObjectKind::Policy,
            client: 2,
            number,
        }
    }

    #[tokio::test]
    async fn every_node_is_asked_for_everything_that_was_touched() {
        let administration = Administration::of(Arc::new(Brokers));
        administration.touch(policy(0));
        administration.touch(policy(1));
        let endpoints = ["n1", "n2", "n3"].into_iter().zip(0..);
        let endpoints: Vec<Endpoint> = endpoints
            .map(|(name, index)| Endpoint {
                index,
                name: NodeName(name.to_owned()),
                address: String::new(),
                port: 0,
            })
            .collect();
        let memory = Memory(Mutex::default());
        let silent = administration
            .observe(&endpoints, &memory, RunClock::start())
            .await;
        let n3 = NodeName("n3".to_owned());
        assert_eq!(silent, [(n3, "no answer".to_owned())]);
        let entries = memory.0.into_inner().unwrap();
        let seen = entries.iter().map(|entry| {
            assert_eq!(entry.action, Action::Observe);
            (entry.node, Object::of(entry).unwrap(), entry.phase)
        });
        assert_eq!(
            seen.collect::<Vec<_>>(),
            [
                (0, policy(0), Phase::Ok),
                (0, policy(1), Phase::Fail),
                (1, policy(0), Phase::Fail),
                (1, policy(1), Phase::Fail),
            ]
        );
    }
}
