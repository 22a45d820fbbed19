//! What the test needs inside a cluster that runs: a user, the queue's policy, the queue; and
//! how to remove them again.

use std::time::Duration;

use serde::Deserialize;

use super::deploy::DeployError;
use super::evaluate::{evaluate, fill, fill_list};
use super::{Broker, Member, OWN_PREFIX, POLICY_NAME, USER, VHOST, ready};
use crate::event::Emit;
use crate::remote::RemoteError;
use crate::scenario::{Queue, QueueType, SyncMode};

const SETUP: &str = include_str!("setup.erl");
const POLICY: &str = include_str!("policy.erl");
const EFFECTIVE: &str = include_str!("effective.erl");
const CLEANUP: &str = include_str!("cleanup.erl");

const SETUP_DEADLINE: Duration = Duration::from_secs(60);

/// How long brokers that have just been started, or are not ours to start, may take to be a cluster.
pub(super) const WHOLE_DEADLINE: Duration = Duration::from_secs(180);

/// The same for brokers that were found running: starting them from nothing takes no longer.
pub(super) const FOUND_WHOLE_DEADLINE: Duration = Duration::from_secs(30);

/// What policies make of a queue.
#[derive(Deserialize)]
struct Effective {
    /// The policy that wins.
    name: String,
    /// What of it lets messages go.
    limits: Vec<String>,
}

impl Broker {
    /// The user, the policy, the empty queues; then the proof that the cluster is ready.
    pub(super) async fn set_up(
        &self,
        whole_within: Duration,
        emit: &dyn Emit,
    ) -> Result<(), DeployError> {
        let Some(first) = self.members.first() else {
            return Err(DeployError::NotReady("there is no node".to_owned()));
        };
        self.prepare(first)
            .await
            .map_err(|error| DeployError::Hosts(vec![error]))?;
        ready::declare(self).await.map_err(DeployError::NotReady)?;
        self.refuse_foreign_policies(first).await?;
        self.await_whole(whole_within).await?;
        ready::prove(self).await.map_err(DeployError::NotReady)?;
        emit.note(
            None,
            "ready: every node sees all running, and a message went in and out of each".to_owned(),
        );
        Ok(())
    }

    async fn prepare(&self, first: &Member) -> Result<(), RemoteError> {
        if !self.is_existing {
            self.forget_objects(first).await?;
        }
        if self.makes_user {
            let credentials = &self.credentials;
            let rights = if self.is_existing {
                format!("^({}.*|amq\\.default)$", escape_regex(OWN_PREFIX))
            } else {
                ".*".to_owned()
            };
            let expression = fill(
                SETUP,
                &[
                    ("USER", &credentials.user),
                    ("PASSWORD", credentials.password.expose()),
                    ("VHOST", &credentials.vhost),
                    ("RIGHTS", &rights),
                ],
            );
            let purpose = "make the user of the test";
            evaluate::<bool>(&first.host, purpose, &expression, SETUP_DEADLINE).await?;
        }
        let expression = fill(
            POLICY,
            &[
                ("VHOST", &self.credentials.vhost),
                ("POLICY", POLICY_NAME),
                ("PATTERN", &pattern(&self.queue)),
                ("DEFINITION", &self.policy()),
            ],
        );
        let purpose = "set the queue's policy";
        evaluate::<bool>(&first.host, purpose, &expression, SETUP_DEADLINE).await?;
        Ok(())
    }

    /// Policies of a cluster that goes on can let messages go that were confirmed, which is no loss, and can
    /// win over the one that makes mirrors.
    async fn refuse_foreign_policies(&self, first: &Member) -> Result<(), DeployError> {
        let names = self.queue.names();
        let vhost = [("VHOST", self.credentials.vhost.as_str())];
        let expression = fill_list(EFFECTIVE, &vhost, "QUEUES", &names);
        let purpose = "look at the queues' policies";
        let effective: Vec<Effective> = evaluate(&first.host, purpose, &expression, SETUP_DEADLINE)
            .await
            .map_err(|error| DeployError::Hosts(vec![error]))?;
        for (queue, effective) in names.iter().zip(effective) {
            self.refuse_foreign_policy(queue, &effective)?;
        }
        Ok(())
    }

    fn refuse_foreign_policy(&self, queue: &str, effective: &Effective) -> Result<(), DeployError> {
        if !effective.limits.is_empty() {
            return Err(DeployError::NotReady(format!(
                "a policy of the cluster sets {} for {queue}, so that messages go which nobody has read; \
                 make an exception for this queue, or name another one",
                effective.limits.join(", ")
            )));
        }
        if self.queue.kind == QueueType::Mirrored && effective.name != POLICY_NAME {
            return Err(DeployError::NotReady(format!(
                "the policy `{}` of the cluster wins over the one that mirrors {queue}; make an exception \
                 for this queue, or name another one",
                effective.name
            )));
        }
        Ok(())
    }

    /// The definition of the queue's policy; empty for none.
    fn policy(&self) -> String {
        if self.queue.kind != QueueType::Mirrored {
            return String::new();
        }
        let replicas = self
            .queue
            .replicas
            .map_or(self.members.len(), |count| count as usize);
        let sync_mode = self.queue.sync_mode.unwrap_or(SyncMode::Automatic);
        let mut keys = vec![
            r#""ha-mode":"exactly""#.to_owned(),
            format!(r#""ha-params":{replicas}"#),
            format!(r#""ha-sync-mode":"{}""#, sync_mode.word()),
        ];
        for (key, promotion) in [
            ("ha-promote-on-shutdown", self.queue.promote_on_shutdown),
            ("ha-promote-on-failure", self.queue.promote_on_failure),
        ] {
            keys.extend(promotion.map(|promotion| format!(r#""{key}":"{}""#, promotion.word())));
        }
        format!("{{{}}}", keys.join(","))
    }
}

/// Removes from a cluster that goes on what jtest made in it; tells what there was.
pub(super) async fn clean_up(member: &Member) -> Result<Vec<String>, RemoteError> {
    let expression = fill(
        CLEANUP,
        &[("USER", USER), ("VHOST", VHOST), ("POLICY", POLICY_NAME)],
    );
    let purpose = "remove what jtest made in the cluster";
    evaluate(&member.host, purpose, &expression, SETUP_DEADLINE).await
}

/// What the names of the queues fit, and no other.
fn pattern(queue: &Queue) -> String {
    let names: Vec<String> = queue
        .names()
        .iter()
        .map(|name| escape_regex(name))
        .collect();
    format!("^({})$", names.join("|"))
}

/// A queue's name inside a policy's pattern.
fn escape_regex(name: &str) -> String {
    let mut escaped = String::new();
    for c in name.chars() {
        if !c.is_alphanumeric() && c != '_' && c != '-' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{escape_regex, pattern};
    use crate::scenario::{Queue, QueueType};

    #[test]
    fn the_policy_is_of_all_queues_and_no_other() {
        let mut queue = Queue::new("a.b", QueueType::Mirrored);
        assert_eq!(pattern(&queue), r"^(a\.b)$");
        queue.count = 3;
        assert_eq!(pattern(&queue), r"^(a\.b|a\.b\.2|a\.b\.3)$");
    }

    #[test]
    fn a_queues_name_is_no_pattern() {
        assert_eq!(escape_regex("a.b*|c-d_e"), "a\\.b\\*\\|c-d_e");
    }
}
