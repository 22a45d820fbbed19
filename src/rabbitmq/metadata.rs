//! Policies, users and virtual hosts, made and removed through one node; and what each node has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;

use super::evaluate::{evaluate, fill};
use super::{Broker, Member};
use crate::history::object::{Object, ObjectKind};
use crate::inventory::NodeName;
use crate::remote::RemoteError;
use crate::workload::administration::{Administer, Change, Changed};

const CHANGE: &str = include_str!("change.erl");
const OBJECTS: &str = concat!(include_str!("vhosts.erl"), include_str!("objects.erl"));
const FORGET: &str = include_str!("forget.erl");

const OBJECTS_DEADLINE: Duration = Duration::from_secs(25);
/// Vhosts and quorum queues take their time.
const FORGET_DEADLINE: Duration = Duration::from_secs(120);

/// The broker takes whole seconds.
const PATIENCE_MIN: Duration = Duration::from_secs(1);

/// What a broker says of a change.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    Done,
    Refused,
    Unknown,
}

#[async_trait]
impl Administer for Broker {
    async fn change(
        &self,
        node: &NodeName,
        object: Object,
        change: Change,
        patience: Duration,
    ) -> Changed {
        let Some(member) = self.member(node) else {
            return Changed::Refused;
        };
        let (name, kind) = (object.name(), object.kind.word());
        let word = match change {
            Change::Create => "create",
            Change::Delete => "delete",
        };
        let words = [
            ("VHOST", self.credentials.vhost.as_str()),
            ("NAME", &name),
            ("KIND", kind),
            ("CHANGE", word),
        ];
        let purpose = format!("{word} {kind} {name}");
        let patience = patience.max(PATIENCE_MIN);
        let expression = fill(CHANGE, &words);
        let said = evaluate(&member.host, &purpose, &expression, patience);
        match said.await {
            Ok(Said::Done) => Changed::Done,
            Ok(Said::Refused) => Changed::Refused,
            Ok(Said::Unknown) => Changed::Unknown,
            Err(error) => {
                tracing::debug!("{error}");
                Changed::Unknown
            }
        }
    }

    async fn objects(&self, node: &NodeName) -> Result<BTreeSet<Object>, String> {
        let member = self.member(node).ok_or("it is not in the cluster")?;
        let words = [("VHOST", self.credentials.vhost.as_str())];
        let purpose = "ask the broker what it has";
        let question = fill(OBJECTS, &words);
        let named: BTreeMap<ObjectKind, Vec<String>> =
            evaluate(&member.host, purpose, &question, OBJECTS_DEADLINE)
                .await
                .map_err(|error| error.to_string())?;
        let mut objects = BTreeSet::new();
        for (kind, names) in named {
            objects.extend(names.iter().filter_map(|name| Object::named(kind, name)));
        }
        Ok(objects)
    }
}

impl Broker {
    /// Removes what the clients of an earlier run made and left.
    pub(super) async fn forget_objects(&self, first: &Member) -> Result<(), RemoteError> {
        let words = [("VHOST", self.credentials.vhost.as_str())];
        let (objects, forget) = (fill(OBJECTS, &words), fill(FORGET, &words));
        let expression = format!("Objects = fun() ->\n{objects}end,\n{forget}");
        let purpose = "remove the objects of an earlier run";
        let left: Vec<String> =
            evaluate(&first.host, purpose, &expression, FORGET_DEADLINE).await?;
        if left.is_empty() {
            return Ok(());
        }
        Err(RemoteError::Rejected {
            node: first.name.clone(),
            purpose: purpose.to_owned(),
            reason: format!("{} of them stay", left.len()),
        })
    }

    fn member(&self, node: &NodeName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *node)
    }
}
