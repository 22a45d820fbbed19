//! Waiting until the cluster itself says that it is whole.
//!
//! Whole: every node serves clients and sees every node running, none reports a partition, and every
//! queue has a leader; a quorum queue also all its replicas in step. A mirror may stay out of step for as
//! long as the queue is not empty, whatever the policy says, so that is no sign.
//!
//! That does not always come by itself, and what an operator does is done here and told. Under `ignore`
//! the documented way out is to trust one side and restart the others. After cuts that come and go quickly
//! nodes that see each other go on reporting a partition, whatever the handling of partitions; their applications
//! are restarted. And a broker that joins again after a cut can hang in its start for ever (a race in Erlang's
//! `global`), also when its application is restarted; and a plugin can stop alone (that of streams in RabbitMQ
//! 3.10, when its listener is started again and finds the port still in use). Such a broker is killed and
//! started again, with the data it has.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::Broker;
use super::status::{Answers, BROKER, NodeAnswer, QueueAnswer};
use crate::event::{Emit, Event};
use crate::inventory::NodeName;
use crate::remote::{RemoteError, Script};
use crate::scenario::{Queue, QueueType};

/// Between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Starting one node's broker again.
const RESTART_DEADLINE: Duration = Duration::from_secs(120);

/// Why the cluster is not whole.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It did not become whole in time.
    #[error("the cluster is not whole after {} s: {last}", .deadline.as_secs())]
    NotWhole {
        /// The time it had.
        deadline: Duration,
        /// What was missing at the last look.
        last: String,
    },
    /// The restart of a broker or its application failed.
    #[error(transparent)]
    Restart(#[from] RemoteError),
}

/// How long a broker may take to start again, or nodes to end a partition, before they are taken not to; at most half
/// of the time for the whole recovery.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// Since when each node is in a state that should pass.
#[derive(Default)]
struct Lasting(BTreeMap<NodeName, Instant>);

impl Lasting {
    /// Those that have been in it for so long, given those that are now; each is told once in that time.
    fn since(&mut self, now: Instant, patience: Duration, are: &[&NodeName]) -> Vec<NodeName> {
        self.0.retain(|name, _| are.contains(&name));
        let mut long = Vec::new();
        for name in are {
            let since = *self.0.entry((*name).clone()).or_insert(now);
            if now - since >= patience {
                long.push((*name).clone());
            }
        }
        for name in &long {
            self.0.remove(name);
        }
        long
    }
}

/// Those that answer so.
fn such(answers: &Answers, is: impl Fn(&NodeAnswer) -> bool) -> Vec<&NodeName> {
    let answered = answers
        .iter()
        .filter_map(|(name, answer)| Some((name, answer.as_ref().ok()?)));
    answered
        .filter(|(_, answer)| is(answer))
        .map(|(name, _)| name)
        .collect()
}

const RESTART: &str = "systemctl kill --signal=SIGKILL rabbitmq-server
systemctl reset-failed rabbitmq-server 2>/dev/null || true
exec systemctl restart rabbitmq-server";

const RESTART_APP: &str = "rabbitmqctl -q stop_app && exec rabbitmqctl -q start_app";

impl Broker {
    /// Waits until the cluster is whole, and helps those brokers that do not get there by themselves. A
    /// cluster that jtest did not make is only waited for.
    pub async fn recover(&self, deadline: Duration, emit: &dyn Emit) -> Result<(), RecoverError> {
        if self.is_existing {
            return self.await_whole(deadline).await;
        }
        let until = Instant::now() + deadline;
        let patience = HANGS_AFTER.min(deadline / 2);
        let (mut idle, mut parted) = (Lasting::default(), Lasting::default());
        loop {
            let answers = self.ask().await;
            let Some(last) = self.lacks(&answers) else {
                return Ok(());
            };
            let now = Instant::now();
            let hanging = such(&answers, |answer| !answer.is_serving());
            let hanging = idle.since(now, patience, &hanging);
            for name in &hanging {
                let answer = answers.get(name).and_then(|answer| answer.as_ref().ok());
                emit.emit(Event::Intervened {
                    node: name.clone(),
                    what: format!(
                        "{} since {} s or more: killed and started again, with its data",
                        answer.map(does_not_serve).unwrap_or_default(),
                        patience.as_secs()
                    ),
                });
            }
            self.restart(&hanging).await?;
            let all = self.members.len();
            let mut reporting = such(&answers, |answer| reports_a_past_partition(answer, all));
            if reporting.len() == all {
                // One has to be trusted.
                reporting.remove(0);
            }
            let reporting = parted.since(now, patience, &reporting);
            for name in &reporting {
                emit.emit(Event::Intervened {
                    node: name.clone(),
                    what: format!(
                        "it sees all nodes and reports a partition since {} s or more: its application is restarted",
                        patience.as_secs()
                    ),
                });
            }
            // One after the other: those that stay make a majority.
            for name in &reporting {
                self.restart_apps(std::slice::from_ref(name), emit).await?;
            }
            if now + LOOK_EVERY > until {
                return Err(RecoverError::NotWhole { deadline, last });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the cluster is whole.
    pub async fn await_whole(&self, deadline: Duration) -> Result<(), RecoverError> {
        let until = Instant::now() + deadline;
        loop {
            let missing = self.missing().await;
            let Some(last) = missing else { return Ok(()) };
            if Instant::now() + LOOK_EVERY > until {
                return Err(RecoverError::NotWhole { deadline, last });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What the cluster lacks to be whole, as its nodes say now.
    pub async fn missing(&self) -> Option<String> {
        self.lacks(&self.ask().await)
    }

    fn lacks(&self, answers: &Answers) -> Option<String> {
        let mut missing = Vec::new();
        for (name, answer) in answers {
            let lack = match answer {
                Ok(answer) => lack(answer, self.members.len(), &self.queue),
                Err(error) => Some(error.to_string()),
            };
            missing.extend(lack.map(|lack| format!("{name}: {lack}")));
        }
        (!missing.is_empty()).then(|| missing.join("; "))
    }

    /// Under `ignore`: if the nodes report partitions, restarts the application of every node
    /// outside the side that is kept, the largest one, and tells so.
    pub async fn end_ignored_partition(&self, emit: &dyn Emit) -> Result<(), RecoverError> {
        let views = self.views().await;
        if views.values().all(|view| view.partitions.is_empty()) {
            return Ok(());
        }
        let kept = views
            .values()
            .map(|view| &view.running)
            .max_by_key(|running| running.len())
            .cloned()
            .unwrap_or_default();
        let restarted: Vec<NodeName> = self
            .members
            .iter()
            .map(|member| member.name.clone())
            .filter(|name| !kept.contains(name))
            .collect();
        for name in &restarted {
            emit.emit(Event::Intervened {
                node: name.clone(),
                what: "its application is restarted, as `ignore` needs: the other side is kept"
                    .to_owned(),
            });
        }
        self.restart_apps(&restarted, emit).await
    }

    /// Restarts the applications of these nodes, all at once. A broker whose application does not come back
    /// hangs: it is killed and started again, which is told.
    async fn restart_apps(&self, names: &[NodeName], emit: &dyn Emit) -> Result<(), RecoverError> {
        let script =
            Script::new("restart the broker's application", RESTART_APP).deadline(HANGS_AFTER);
        let restarted = self.run_on(names, &script).await;
        let mut hanging = Vec::new();
        for (name, restarted) in restarted {
            match restarted {
                Err(error @ (RemoteError::Deadline { .. } | RemoteError::Failed { .. })) => {
                    emit.note(None, error.to_string());
                    emit.emit(Event::Intervened {
                        node: name.clone(),
                        what: "its application does not come back: its broker is killed and started again, with its data".to_owned(),
                    });
                    hanging.push(name);
                }
                restarted => restarted?,
            }
        }
        self.restart(&hanging).await
    }

    /// Kills the brokers of these nodes and starts them again, all at once.
    async fn restart(&self, names: &[NodeName]) -> Result<(), RecoverError> {
        let script =
            Script::new("start a hanging broker again", RESTART).deadline(RESTART_DEADLINE);
        for (_, restarted) in self.run_on(names, &script).await {
            restarted?;
        }
        Ok(())
    }

    async fn run_on(
        &self,
        names: &[NodeName],
        script: &Script,
    ) -> Vec<(NodeName, Result<(), RemoteError>)> {
        let members = self.members.iter();
        let those = members.filter(|member| names.contains(&member.name));
        join_all(those.map(async |member| {
            let ran = member.host.run(script).await;
            (member.name.clone(), ran.map(|_output| ()))
        }))
        .await
    }
}

/// Whether a node is back among all the others, and has not got over a partition from them.
fn reports_a_past_partition(answer: &NodeAnswer, members: usize) -> bool {
    let view = &answer.view;
    answer.is_serving() && view.running.len() == members && !view.partitions.is_empty()
}

/// How a node that does not serve clients is, to be told after its name.
fn does_not_serve(answer: &NodeAnswer) -> String {
    if answer.lacking.iter().any(|name| name == BROKER) {
        "its broker hangs in its start".to_owned()
    } else {
        format!("its broker lacks the plugin {}", answer.lacking.join(" "))
    }
}

fn lack(answer: &NodeAnswer, members: usize, queue: &Queue) -> Option<String> {
    let view = &answer.view;
    if !answer.is_serving() {
        return Some(does_not_serve(answer));
    }
    if view.running.len() < members {
        return Some(format!(
            "sees {} of {members} nodes running",
            view.running.len()
        ));
    }
    if !view.partitions.is_empty() {
        let names: Vec<&str> = view.partitions.iter().map(|name| name.0.as_str()).collect();
        return Some(format!("reports a partition from {}", names.join(" ")));
    }
    let queues = queue.names().into_iter().zip(&answer.queues);
    let mut lacks = queues.filter_map(|(name, answer)| {
        let lack = queue_lacks(answer, queue.kind)?;
        let name = if queue.count == 1 { "the queue" } else { &name };
        Some(format!("{name}{lack}"))
    });
    lacks.next()
}

/// What a queue lacks, to be told after its name.
fn queue_lacks(answer: &Result<QueueAnswer, String>, kind: QueueType) -> Option<String> {
    match answer {
        Err(error) => Some(format!(": {error}")),
        Ok(queue) if queue.leader.is_none() => Some(" has no leader".to_owned()),
        Ok(queue)
            if matches!(kind, QueueType::Quorum | QueueType::Stream)
                && queue.online < queue.members =>
        {
            Some(format!(
                " has {} of {} replicas in step",
                queue.online, queue.members
            ))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NodeView;

    fn answer(running: usize, partitions: usize, online: usize) -> NodeAnswer {
        let names = |count| (1..=count).map(|n| NodeName(format!("n{n}"))).collect();
        NodeAnswer {
            lacking: Vec::new(),
            view: NodeView {
                running: names(running),
                partitions: names(partitions),
                ..NodeView::default()
            },
            queues: vec![Ok(QueueAnswer {
                leader: Some(NodeName("n1".into())),
                ready: 0,
                unacknowledged: 0,
                members: 3,
                holders: names(3),
                online,
            })],
        }
    }

    #[test]
    fn what_lasts_too_long_is_told_once() {
        let mut lasting = Lasting::default();
        let begun = Instant::now();
        let name = NodeName("n1".into());
        let mut long = |is: bool, s| {
            let are: &[&NodeName] = if is { &[&name] } else { &[] };
            let now = begun + Duration::from_secs(s);
            !lasting.since(now, Duration::from_secs(60), are).is_empty()
        };
        assert!(!long(true, 0));
        assert!(!long(true, 59));
        // It passed meanwhile.
        assert!(!long(false, 60));
        assert!(!long(true, 61));
        assert!(!long(true, 120));
        assert!(long(true, 121));
        // It was helped.
        assert!(!long(true, 122));
    }

    #[test]
    fn a_partition_is_past_where_all_see_all() {
        assert!(reports_a_past_partition(&answer(5, 2, 3), 5));
        assert!(!reports_a_past_partition(&answer(5, 0, 3), 5));
        assert!(!reports_a_past_partition(&answer(4, 2, 3), 5));
        let answers = Answers::from([
            (NodeName("n1".into()), Ok(answer(5, 2, 3))),
            (NodeName("n2".into()), Ok(answer(5, 0, 3))),
        ]);
        let parted = such(&answers, |answer| reports_a_past_partition(answer, 5));
        assert_eq!(parted, [&NodeName("n1".into())]);
    }

    #[test]
    fn whole_means_all_running_no_partition_and_all_replicas_in_step() {
        let lack = |answer: &NodeAnswer, kind| super::lack(answer, 5, &Queue::new("q", kind));
        assert_eq!(lack(&answer(5, 0, 3), QueueType::Quorum), None);
        assert_eq!(lack(&answer(5, 0, 2), QueueType::Mirrored), None);
        let hanging = NodeAnswer {
            lacking: vec![BROKER.to_owned()],
            ..answer(5, 0, 3)
        };
        assert_eq!(
            lack(&hanging, QueueType::Mirrored).unwrap(),
            "its broker hangs in its start"
        );
        let without_plugin = NodeAnswer {
            lacking: vec!["rabbitmq_stream".to_owned()],
            ..answer(5, 0, 3)
        };
        assert_eq!(
            lack(&without_plugin, QueueType::Stream).unwrap(),
            "its broker lacks the plugin rabbitmq_stream"
        );
        assert_eq!(
            lack(&answer(4, 0, 3), QueueType::Quorum).unwrap(),
            "sees 4 of 5 nodes running"
        );
        assert_eq!(
            lack(&answer(5, 1, 3), QueueType::Quorum).unwrap(),
            "reports a partition from n1"
        );
        assert_eq!(
            lack(&answer(5, 0, 2), QueueType::Quorum).unwrap(),
            "the queue has 2 of 3 replicas in step"
        );
        let mut queues = Queue::new("q", QueueType::Quorum);
        queues.count = 2;
        let mut second_lacks = answer(5, 0, 3);
        second_lacks.queues.extend(answer(5, 0, 2).queues);
        assert_eq!(
            super::lack(&second_lacks, 5, &queues).unwrap(),
            "q.2 has 2 of 3 replicas in step"
        );
    }
}
