//! Whether a condition holds.

use std::time::Duration;

use tokio::time::Instant;

use super::Walk;
use super::aim::Known;
use super::world::{Answers, ask, leader};
use crate::inventory::NodeName;
use crate::scenario::step::{Condition, Leader, Whom};
use crate::schedule::words;

/// Between two questions to the brokers, which cost them processor time.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at the load.
const COUNT_EVERY: Duration = Duration::from_millis(100);

/// How things were when a step began.
#[derive(Debug, Clone)]
pub(super) struct Since {
    pub(super) instant: Instant,
    pub(super) confirms: u64,
    /// Who led the queue, where that is asked for and anybody knew.
    pub(super) leader: Option<NodeName>,
}

/// What was seen, and whether it is what is waited for.
pub(super) struct Seen {
    pub(super) holds: bool,
    pub(super) text: String,
}

impl Seen {
    fn no(text: String) -> Self {
        Self { holds: false, text }
    }
}

/// How long to do nothing between two looks.
pub(super) fn pause(condition: &Condition) -> Duration {
    match condition {
        Condition::Running { .. } | Condition::Leader(_) | Condition::Alarm { .. } => ASK_EVERY,
        Condition::Confirms(_) | Condition::Rate(_) => COUNT_EVERY,
    }
}

impl Walk<'_> {
    /// Looks once.
    pub(super) async fn look(&self, condition: &Condition, since: &Since) -> Seen {
        match condition {
            Condition::Running { nodes, by } => self.running(nodes, by).await,
            Condition::Leader(wanted) => {
                let answers = ask(self.world(), &self.nodes).await;
                is_led(leader(&answers).as_ref(), wanted, since.leader.as_ref())
            }
            Condition::Alarm { of, on } => self.alarm(&of.to_string(), on).await,
            Condition::Confirms(count) => {
                let confirms = self.world().confirms().saturating_sub(since.confirms);
                Seen {
                    holds: confirms >= *count,
                    text: format!("{confirms} confirms"),
                }
            }
            Condition::Rate(share) => match self.rates.compare(since.instant) {
                (_, None) => Seen::no("no rate is known from before a fault".to_owned()),
                (None, _) => Seen::no("the rate is not known yet".to_owned()),
                (Some(now), Some(before)) => Seen {
                    holds: now > 0.0 && now >= before * share / 100.0,
                    text: format!("{now:.1} confirms per second, {before:.1} before"),
                },
            },
        }
    }

    async fn running(&self, nodes: &Whom, by: &Whom) -> Seen {
        let asked = match self.whom(&[nodes, by]).await {
            Ok(asked) => asked,
            Err(reason) => return Seen::no(reason),
        };
        let [nodes, by] = asked.as_slice() else {
            return Seen::no("nobody is asked".to_owned());
        };
        let answers = ask(self.world(), by).await;
        each(by, &answers, |said| {
            let mut running = said.view.running.clone();
            running.sort();
            let mut expected = nodes.clone();
            expected.sort();
            (running == expected, format!("sees {}", listed(&running)))
        })
    }

    async fn alarm(&self, name: &str, on: &Whom) -> Seen {
        let on = match self.whom(&[on]).await {
            Ok(on) => on.concat(),
            Err(reason) => return Seen::no(reason),
        };
        let answers = ask(self.world(), &on).await;
        each(&on, &answers, |said| {
            let alarms = &said.view.alarms;
            let text = if alarms.is_empty() {
                "has no alarm".to_owned()
            } else {
                format!("has alarms: {}", alarms.join(", "))
            };
            (alarms.iter().any(|alarm| alarm == name), text)
        })
    }

    /// The nodes that each of these means, now.
    async fn whom(&self, whoms: &[&Whom]) -> Result<Vec<Vec<NodeName>>, String> {
        let asks = whoms.iter().any(|whom| match whom {
            Whom::Leader | Whom::LeaderSide | Whom::OtherSide => true,
            Whom::Named(_) | Whom::All | Whom::Nobody | Whom::MajoritySide | Whom::MinoritySide => {
                false
            }
        });
        let answers = if asks {
            ask(self.world(), &self.nodes).await
        } else {
            Answers::new()
        };
        let cut = self.last_cut();
        let known = Known {
            nodes: &self.nodes,
            answers: &answers,
            cut: cut.as_ref(),
        };
        whoms.iter().map(|whom| known.whom(whom)).collect()
    }
}

fn is_led(leader: Option<&NodeName>, wanted: &Leader, before: Option<&NodeName>) -> Seen {
    let Some(leader) = leader else {
        return Seen::no("no node says who leads the queue".to_owned());
    };
    let holds = match wanted {
        Leader::Any => true,
        Leader::New => Some(leader) != before,
        Leader::Named(named) => named.contains(leader),
    };
    let before = before.map_or_else(String::new, |before| format!(", {before} before"));
    Seen {
        holds,
        text: format!("{leader} leads the queue{before}"),
    }
}

/// Whether it is so on each of the nodes.
fn each(
    nodes: &[NodeName],
    answers: &Answers,
    is_so: impl Fn(&super::world::Said) -> (bool, String),
) -> Seen {
    let mut holds = !nodes.is_empty();
    let mut texts = Vec::new();
    for node in nodes {
        let (is_so, text) = match answers.get(node) {
            Some(said) => is_so(said),
            None => (false, "does not answer".to_owned()),
        };
        holds &= is_so;
        texts.push(format!("{node} {text}"));
    }
    Seen {
        holds,
        text: texts.join("; "),
    }
}

fn listed(nodes: &[NodeName]) -> String {
    if nodes.is_empty() {
        "nobody running".to_owned()
    } else {
        words(nodes)
    }
}
