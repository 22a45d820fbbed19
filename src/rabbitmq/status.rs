//! What each node says of the cluster and of the queues under test.
//!
//! Everything wanted of a node is asked in one question, so that its parts fit each other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::evaluate::{evaluate, fill_list, list};
use super::{Broker, Member};
use crate::event::NodeView;
use crate::inventory::NodeName;
use crate::remote::RemoteError;
use crate::scenario::{Queue, QueueType};
use crate::workload::drain::{Counts, NodeCounts};

const PURPOSE: &str = "ask the broker for its view of the cluster";
const STATUS: &str = concat!(include_str!("cluster.erl"), include_str!("status.erl"));

/// For one node's answer; a cut or paused one must not hold up the others for long.
const ASK_DEADLINE: Duration = Duration::from_secs(25);

/// The same where somebody waits for a condition and asks again soon. A quorum queue without a majority
/// takes 8 s to say so.
const ASK_AGAIN_DEADLINE: Duration = Duration::from_secs(12);

/// What one node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAnswer {
    /// Of the applications that clients need, those that do not run; [`BROKER`] also while it starts.
    pub lacking: Vec<String>,
    /// Its view of the cluster.
    pub view: NodeView,
    /// Its view of each queue, or why it has none; the first is the one that faults mean.
    pub queues: Vec<Result<QueueAnswer, String>>,
}

impl NodeAnswer {
    /// Whether clients can use it.
    pub fn is_serving(&self) -> bool {
        self.lacking.is_empty()
    }

    /// Its view of the first queue.
    pub fn queue(&self) -> Option<&QueueAnswer> {
        self.queues.first()?.as_ref().ok()
    }

    /// What is left in all queues; an error of any is an error.
    fn counts(&self) -> Result<NodeCounts, String> {
        let mut counts = NodeCounts::default();
        for queue in &self.queues {
            let queue = queue.as_ref().map_err(Clone::clone)?;
            counts.ready += queue.ready;
            counts.unacknowledged += queue.unacknowledged;
        }
        Ok(counts)
    }
}

/// What clients of any queue need.
pub const BROKER: &str = "rabbit";
/// What clients of streams need besides.
const STREAM_PLUGIN: &str = "rabbitmq_stream";

/// What one node says of a queue, having asked the queue's leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueAnswer {
    /// The node that leads it; `None` for a node that is not of the inventory.
    pub leader: Option<NodeName>,
    /// Messages that nobody has.
    pub ready: u64,
    /// Messages that a consumer has and has not acknowledged.
    pub unacknowledged: u64,
    /// How many nodes hold it.
    pub members: usize,
    /// Those of them that are of the inventory.
    pub holders: Vec<NodeName>,
    /// How many of them are in step.
    pub online: usize,
}

/// What every node answered, or why it did not.
pub type Answers = BTreeMap<NodeName, Result<NodeAnswer, RemoteError>>;

/// Any part of an answer may be an error in place of what was asked for, and must not spoil the others.
#[derive(Deserialize)]
struct RawAnswer {
    lacking: serde_json::Value,
    running: serde_json::Value,
    partitions: serde_json::Value,
    alarms: serde_json::Value,
    queues: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawQueue {
    leader: Option<String>,
    ready: Option<u64>,
    unacknowledged: Option<u64>,
    members: Option<Vec<String>>,
    online: Option<Vec<String>>,
    absent: Option<bool>,
    error: Option<String>,
}

/// The question as Erlang.
pub(super) fn question(vhost: &str, queue: &Queue) -> String {
    let mut needed = vec![BROKER.to_owned()];
    needed.extend((queue.kind == QueueType::Stream).then(|| STREAM_PLUGIN.to_owned()));
    let with_queues = fill_list(STATUS, &[("VHOST", vhost)], "QUEUES", &queue.names());
    with_queues.replace("NEEDED", &list(&needed))
}

impl Broker {
    /// Asks every node, all at once. A node that did not answer has an error.
    pub async fn ask(&self) -> Answers {
        let question = question(&self.credentials.vhost, &self.queue);
        let names = self.by_erlang_name();
        join_all(self.members.iter().map(async |member| {
            let answer: Result<RawAnswer, _> = ask_member(member, &question).await;
            (
                member.name.clone(),
                answer.map(|answer| understand(answer, &names)),
            )
        }))
        .await
        .into_iter()
        .collect()
    }

    /// Asks one node; `None` where it does not answer soon.
    pub async fn ask_node(&self, name: &NodeName) -> Option<NodeAnswer> {
        let member = self.members.iter().find(|member| member.name == *name)?;
        let question = question(&self.credentials.vhost, &self.queue);
        let answer = evaluate(&member.host, PURPOSE, &question, ASK_AGAIN_DEADLINE).await;
        let answer = answer.ok()?;
        Some(understand(answer, &self.by_erlang_name()))
    }

    /// Every answering node's view of the cluster.
    pub(super) async fn views(&self) -> BTreeMap<NodeName, NodeView> {
        let answers = self.ask().await.into_iter();
        answers
            .filter_map(|(name, answer)| Some((name, answer.ok()?.view)))
            .collect()
    }

    /// What every node says is left in all queues.
    pub async fn counts(&self) -> Counts {
        let answers = self.ask().await.into_iter();
        answers
            .map(|(name, answer)| {
                let counts = answer
                    .map_err(|error| error.to_string())
                    .and_then(|answer| answer.counts());
                (name, counts)
            })
            .collect()
    }
}

/// One node's raw answer.
pub(super) async fn ask_member<T: DeserializeOwned>(
    member: &Member,
    question: &str,
) -> Result<T, RemoteError> {
    evaluate(&member.host, PURPOSE, question, ASK_DEADLINE).await
}

fn understand(raw: RawAnswer, names: &BTreeMap<String, NodeName>) -> NodeAnswer {
    NodeAnswer {
        lacking: match &raw.lacking {
            serde_json::Value::Array(_) => texts(&raw.lacking).map(str::to_owned).collect(),
            _ => vec![BROKER.to_owned()],
        },
        view: NodeView {
            running: nodes(&raw.running, names),
            partitions: nodes(&raw.partitions, names),
            alarms: texts(&raw.alarms).map(str::to_owned).collect(),
            leader: None,
        },
        queues: {
            let queues = raw.queues.into_iter();
            queues.map(|raw| queue(raw, names)).collect()
        },
    }
}

/// An application that is stopped answers with an error in place of the list: it sees nobody.
pub(super) fn nodes(
    value: &serde_json::Value,
    names: &BTreeMap<String, NodeName>,
) -> Vec<NodeName> {
    let known = texts(value).filter_map(|name| names.get(name).cloned());
    let mut nodes: Vec<NodeName> = known.collect();
    nodes.sort();
    nodes
}

pub(super) fn texts(value: &serde_json::Value) -> impl Iterator<Item = &str> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(serde_json::Value::as_str)
}

fn queue(
    raw: serde_json::Value,
    names: &BTreeMap<String, NodeName>,
) -> Result<QueueAnswer, String> {
    // A queue that is down has empty words for counts.
    let told = raw.to_string();
    let raw: RawQueue =
        serde_json::from_value(raw).map_err(|error| format!("it says {told} ({error})"))?;
    if raw.absent == Some(true) {
        return Err("it knows no such queue".to_owned());
    }
    let reason = raw.error.unwrap_or_else(|| "no counts".to_owned());
    let (Some(ready), Some(unacknowledged)) = (raw.ready, raw.unacknowledged) else {
        return Err(reason);
    };
    Ok(QueueAnswer {
        leader: raw.leader.and_then(|name| names.get(&name).cloned()),
        ready,
        unacknowledged,
        members: raw.members.as_ref().map_or(0, Vec::len),
        holders: {
            let members = raw.members.iter().flatten();
            members
                .filter_map(|name| names.get(name).cloned())
                .collect()
        },
        online: raw.online.map_or(0, |online| online.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeMap<String, NodeName> {
        ["n1", "n2", "n3"]
            .map(|name| (format!("rabbit@{name}"), NodeName(name.into())))
            .into()
    }

    #[test]
    fn answers_of_a_whole_a_stopped_and_a_broken_node() {
        let whole = r#"{"alarms":[],"partitions":[],"queues":[{"leader":"rabbit@n1","members":["rabbit@n1","rabbit@n2"],"online":["rabbit@n1"],"ready":3,"unacknowledged":1},{"leader":"rabbit@n2","ready":4,"unacknowledged":2}],"running":["rabbit@n3","rabbit@n1"],"lacking":[]}"#;
        let answer = understand(serde_json::from_str(whole).unwrap(), &names());
        assert!(answer.is_serving());
        assert_eq!(
            answer.view.running,
            [NodeName("n1".into()), NodeName("n3".into())]
        );
        assert_eq!(
            answer.counts(),
            Ok(NodeCounts {
                ready: 7,
                unacknowledged: 3
            })
        );
        let queue = answer.queue().unwrap();
        assert_eq!(
            (
                queue.ready,
                queue.unacknowledged,
                queue.members,
                queue.online
            ),
            (3, 1, 2, 1)
        );
        assert_eq!(queue.leader, Some(NodeName("n1".into())));

        let down = r#"{"alarms":[],"partitions":[],"queues":[{"leader":"rabbit@n2","ready":0,"unacknowledged":0},{"leader":"rabbit@n1","ready":"","unacknowledged":""}],"running":["rabbit@n1"],"lacking":["rabbitmq_stream"]}"#;
        let answer = understand(serde_json::from_str(down).unwrap(), &names());
        assert_eq!(answer.lacking, [STREAM_PLUGIN]);
        assert!(!answer.view.running.is_empty());
        assert!(answer.counts().unwrap_err().contains(r#""ready":"""#));
        assert_eq!(answer.queue().unwrap().ready, 0);

        let stopped = r#"{"alarms":[],"partitions":[],"queues":[{"error":"{exit,noproc}"}],"running":{"error":"x"},"lacking":{"error":"x"}}"#;
        let answer = understand(serde_json::from_str(stopped).unwrap(), &names());
        assert_eq!(answer.lacking, [BROKER]);
        assert!(answer.view.running.is_empty());
        assert_eq!(answer.queues, [Err("{exit,noproc}".into())]);
    }
}
