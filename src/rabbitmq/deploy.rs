//! From bare hosts to a cluster that is proven ready; and back.
//!
//! What is right already is not touched: a second deploy of the same cluster only asks. As soon
//! as anything differs on any node, all brokers start from nothing, so no run inherits
//! another one's state. That wipes data, so it is refused where the inventory does not call
//! the hosts disposable, before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::config::{self, NodeFiles};
use super::recover::RecoverError;
use super::{Broker, Member, ready};
use crate::event::Emit;
use crate::inventory::{NodeName, Secret};
use crate::remote::{RemoteError, Script};
use crate::scenario::{
    BrokerVersion, Cluster, QueueType, Scenario, Source, refusals, without_effect,
};
use crate::workload::Credentials;

const SURVEY: &str = include_str!("survey.sh");
const INSTALL: &str = include_str!("install.sh");
const CONFIGURE: &str = include_str!("configure.sh");
const RESTART: &str = include_str!("restart.sh");
const SETUP: &str = include_str!("setup.sh");
const TEARDOWN: &str = include_str!("teardown.sh");

const SURVEY_DEADLINE: Duration = Duration::from_secs(240);
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
const CONFIGURE_DEADLINE: Duration = Duration::from_secs(60);
const RESTART_DEADLINE: Duration = Duration::from_secs(300);
const SETUP_DEADLINE: Duration = Duration::from_secs(120);
const TEARDOWN_DEADLINE: Duration = Duration::from_secs(300);
const WHOLE_DEADLINE: Duration = Duration::from_secs(180);

/// Bytes of all packages together.
const DEBS_BYTES_MAX: u64 = 512 << 20;

/// The user that jtest makes on the brokers.
const USER: &str = "jtest";
const VHOST: &str = "/";
/// The credentials of an existing cluster, if jtest must not make a user of its own there.
const USER_VARIABLE: &str = "JTEST_RABBITMQ_USER";
const PASSWORD_VARIABLE: &str = "JTEST_RABBITMQ_PASSWORD";

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Refused before anything was touched.
    #[error("{0}")]
    Refused(String),
    /// Hosts failed.
    #[error("{}", list(.0))]
    Hosts(Vec<RemoteError>),
    /// The packages cannot be read.
    #[error("cannot read the packages in {directory}: {error}")]
    Debs {
        /// The directory.
        directory: String,
        /// The reason.
        error: std::io::Error,
    },
    /// The brokers run and are no whole cluster.
    #[error(transparent)]
    NotWhole(#[from] RecoverError),
    /// The cluster is whole and does not do its work.
    #[error("the cluster is not ready: {0}")]
    NotReady(String),
}

fn list(errors: &[RemoteError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}

/// What of a broker is on a host before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    installed: Option<String>,
    candidate: Option<String>,
    /// The digest of the cookie, if jtest made it.
    cookie: Option<String>,
    is_active: bool,
}

impl Broker {
    /// Deploys what the scenario asks for and leaves the queue under test empty.
    pub async fn deploy(
        members: Vec<Member>,
        scenario: &Scenario,
        emit: &dyn Emit,
    ) -> Result<Self, DeployError> {
        let cluster = &scenario.cluster;
        let found = survey(&members, cluster).await?;
        refuse(&members, scenario, &found, emit)?;
        let broker = Self {
            credentials: credentials(&cluster.source)?,
            queue: scenario.queue.clone(),
            members: Arc::new(members),
        };
        if cluster.source != Source::Existing {
            broker.install(cluster, &found, emit).await?;
            if !broker.configure(cluster, &found).await? {
                emit.note(None, "the cluster is as it should be".to_owned());
                match broker.set_up(emit).await {
                    Ok(()) => return Ok(broker),
                    // What an earlier run left may look whole and hang all the same.
                    Err(error) => emit.note(None, format!("but it does not work: {error}")),
                }
            }
            broker.start_from_nothing(emit).await?;
        }
        broker.set_up(emit).await?;
        Ok(broker)
    }

    async fn install(
        &self,
        cluster: &Cluster,
        found: &BTreeMap<NodeName, Found>,
        emit: &dyn Emit,
    ) -> Result<(), DeployError> {
        let lacking: Vec<&Member> = self
            .members
            .iter()
            .filter(|member| lacks_package(found.get(&member.name), cluster))
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let (how, archive) = match &cluster.source {
            Source::Apt => ("apt", Vec::new()),
            Source::Debs(directory) => ("debs", pack_debs(directory)?),
            Source::Installed | Source::Existing => return Ok(()),
        };
        emit.note(
            None,
            format!("installing RabbitMQ on {} hosts", lacking.len()),
        );
        let script = Script::new("install RabbitMQ", INSTALL)
            .arg(how)
            .arg(cluster.version.clone().unwrap_or_default())
            .stdin(archive)
            .deadline(INSTALL_DEADLINE);
        on_all(lacking.into_iter(), async |_| script.clone()).await?;
        Ok(())
    }

    /// Gives every node its files; whether the brokers have to start from nothing then.
    async fn configure(
        &self,
        cluster: &Cluster,
        found: &BTreeMap<NodeName, Found>,
    ) -> Result<bool, DeployError> {
        let peers: Vec<(NodeName, String)> = self
            .members
            .iter()
            .map(|member| (member.name.clone(), member.peer_address.clone()))
            .collect();
        let cookie = new_cookie(found);
        let answers = on_all(self.members.iter(), async |member| {
            let files = config::render(&member.name, &peers, cluster);
            configure(&files, cookie.as_ref())
        })
        .await?;
        let is_changed = answers.iter().any(|(_, answer)| answer != "same");
        let is_down = found.values().any(|found| !found.is_active);
        Ok(is_changed || is_down || !self.is_one_cluster().await)
    }

    async fn start_from_nothing(&self, emit: &dyn Emit) -> Result<(), DeployError> {
        emit.note(
            None,
            format!("starting {} brokers from nothing", self.members.len()),
        );
        let restart = Script::new("start the broker", RESTART).deadline(RESTART_DEADLINE);
        on_all(self.members.iter(), async |_| restart.clone()).await?;
        Ok(())
    }

    /// Whether every node sees every node running and none reports a partition.
    async fn is_one_cluster(&self) -> bool {
        let (views, _) = self.views().await;
        views.len() == self.members.len()
            && views
                .values()
                .all(|view| view.running.len() == self.members.len() && view.partitions.is_empty())
    }

    /// The user, the policy, the empty queue; then the proof that the cluster is ready.
    async fn set_up(&self, emit: &dyn Emit) -> Result<(), DeployError> {
        if std::env::var_os(USER_VARIABLE).is_none() || self.credentials.user == USER {
            let script = Script::new("set up the user and the policy", SETUP)
                .arg(&self.credentials.user)
                .arg(&self.credentials.vhost)
                .arg(format!("^{}$", escape_regex(&self.queue.name)))
                .arg(self.policy())
                .stdin_secret(&self.credentials.password)
                .deadline(SETUP_DEADLINE);
            on_all(self.members.iter().take(1), async |_| script.clone()).await?;
        }
        ready::declare(self).await.map_err(DeployError::NotReady)?;
        self.await_whole(WHOLE_DEADLINE).await?;
        ready::prove(self).await.map_err(DeployError::NotReady)?;
        emit.note(
            None,
            "ready: every node sees all running, and a message went in and out of each".to_owned(),
        );
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
        format!(r#"{{"ha-mode":"exactly","ha-params":{replicas},"ha-sync-mode":"automatic"}}"#)
    }
}

/// Undoes what deploy did on every member; what was found to undo, by host.
pub async fn teardown(members: &[Member]) -> BTreeMap<NodeName, Result<Vec<String>, RemoteError>> {
    let script = Script::new("undo the deployment", TEARDOWN).deadline(TEARDOWN_DEADLINE);
    join_all(members.iter().map(async |member| {
        let undone = member.host.run(&script).await;
        let lines = undone.map(|output| output.text().lines().map(str::to_owned).collect());
        (member.name.clone(), lines)
    }))
    .await
    .into_iter()
    .collect()
}

/// Runs a script on each member, all at once; every host that failed is told.
async fn on_all<'a>(
    members: impl Iterator<Item = &'a Member>,
    script: impl AsyncFn(&'a Member) -> Script,
) -> Result<Vec<(NodeName, String)>, DeployError> {
    let mut answers = Vec::new();
    let mut errors = Vec::new();
    let runs = members.map(async |member| {
        let script = script(member).await;
        (member, member.host.run(&script).await)
    });
    for (member, outcome) in join_all(runs).await {
        match outcome {
            Ok(output) => answers.push((member.name.clone(), output.text())),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(answers)
    } else {
        Err(DeployError::Hosts(errors))
    }
}

async fn survey(
    members: &[Member],
    cluster: &Cluster,
) -> Result<BTreeMap<NodeName, Found>, DeployError> {
    let source = match cluster.source {
        Source::Apt => "apt",
        Source::Debs(_) | Source::Installed | Source::Existing => "other",
    };
    let script = Script::new("look for a broker", SURVEY)
        .arg(source)
        .deadline(SURVEY_DEADLINE);
    let answers = on_all(members.iter(), async |_| script.clone()).await?;
    Ok(answers
        .into_iter()
        .map(|(name, text)| (name, understand(&text)))
        .collect())
}

fn understand(text: &str) -> Found {
    let lines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let value = |key: &str| {
        lines
            .get(key)
            .filter(|value| !value.is_empty())
            .map(|value| (*value).to_owned())
    };
    Found {
        installed: value("installed"),
        candidate: value("candidate"),
        cookie: value("cookie"),
        is_active: value("active").as_deref() == Some("active"),
    }
}

/// Everything that speaks against the deployment, before anything is touched.
fn refuse(
    members: &[Member],
    scenario: &Scenario,
    found: &BTreeMap<NodeName, Found>,
    emit: &dyn Emit,
) -> Result<(), DeployError> {
    let cluster = &scenario.cluster;
    let mut reasons = BTreeSet::new();
    let mut remarks = BTreeSet::new();
    for member in members {
        let found = found.get(&member.name);
        if cluster.source != Source::Existing && !member.is_disposable {
            reasons.insert(format!(
                "{}: deploy wipes the broker's data, and the inventory does not allow it; set `jtest_disposable: true` for hosts that are only for tests, or use `source: existing`",
                member.name
            ));
        }
        let installed = found.and_then(|found| found.installed.clone());
        if installed.is_none() && matches!(cluster.source, Source::Installed) {
            reasons.insert(format!(
                "{}: RabbitMQ is not installed; install it, or use `source: apt`",
                member.name
            ));
        }
        let coming = match (&cluster.source, &cluster.version) {
            (Source::Apt | Source::Debs(_), Some(version)) => Some(version.clone()),
            (Source::Apt, None) => {
                installed.or_else(|| found.and_then(|found| found.candidate.clone()))
            }
            (Source::Debs(_) | Source::Installed | Source::Existing, _) => installed,
        };
        if cluster.source == Source::Apt && coming.is_none() {
            reasons.insert(format!(
                "{}: its package sources have no rabbitmq-server; add one that has, or use `source: debs`",
                member.name
            ));
        }
        if let Some(version) = coming.as_deref().and_then(BrokerVersion::parse) {
            reasons.extend(refusals(scenario, version).iter().map(ToString::to_string));
            remarks.extend(without_effect(scenario, version));
        }
    }
    for remark in remarks {
        emit.note(None, remark);
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = reasons.into_iter().collect();
    Err(DeployError::Refused(reasons.join("\n  ")))
}

fn lacks_package(found: Option<&Found>, cluster: &Cluster) -> bool {
    let Some(installed) = found.and_then(|found| found.installed.as_deref()) else {
        return true;
    };
    let wanted = cluster.version.as_deref().unwrap_or_default();
    let without_epoch = installed
        .split_once(':')
        .map_or(installed, |(_, rest)| rest);
    !(installed.starts_with(wanted) || without_epoch.starts_with(wanted))
}

/// A cookie for all, unless all have the same one of ours already.
fn new_cookie(found: &BTreeMap<NodeName, Found>) -> Option<Secret> {
    let cookies: BTreeSet<&Option<String>> = found.values().map(|found| &found.cookie).collect();
    let is_common = cookies.len() == 1 && cookies.iter().all(|cookie| cookie.is_some());
    (!is_common).then(random_secret)
}

/// 160 bits from the operating system, as hexadecimal digits.
fn random_secret() -> Secret {
    let bytes: [u8; 20] = rand::random();
    Secret::new(
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>(),
    )
}

fn configure(files: &NodeFiles, cookie: Option<&Secret>) -> Script {
    let script = Script::new("configure the broker", CONFIGURE)
        .args([
            files.rabbitmq_conf.trim_end(),
            files.advanced_config.trim_end(),
            files.env_conf.trim_end(),
            files.unit.trim_end(),
            files.hosts.trim_end(),
        ])
        .deadline(CONFIGURE_DEADLINE);
    match cookie {
        Some(cookie) => script.stdin_secret(cookie),
        None => script,
    }
}

fn credentials(source: &Source) -> Result<Credentials, DeployError> {
    let own = || Credentials {
        user: USER.to_owned(),
        password: random_secret(),
        vhost: VHOST.to_owned(),
    };
    if *source != Source::Existing {
        return Ok(own());
    }
    match (
        std::env::var(USER_VARIABLE),
        std::env::var(PASSWORD_VARIABLE),
    ) {
        (Ok(user), Ok(password)) => Ok(Credentials {
            user,
            password: Secret::new(password),
            vhost: VHOST.to_owned(),
        }),
        (Err(_), Err(_)) => Ok(own()),
        _ => Err(DeployError::Refused(format!(
            "set both {USER_VARIABLE} and {PASSWORD_VARIABLE}, or neither: then jtest makes a user of its own"
        ))),
    }
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

fn pack_debs(directory: &Path) -> Result<Vec<u8>, DeployError> {
    let failed = |error| DeployError::Debs {
        directory: directory.display().to_string(),
        error,
    };
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<_, _>>()
        })
        .map_err(failed)?;
    names.retain(|path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "deb"));
    names.sort();
    if names.is_empty() {
        return Err(failed(std::io::Error::other("there is no .deb file in it")));
    }
    let mut archive = tar::Builder::new(Vec::new());
    let mut bytes = 0;
    for path in names {
        let name = path.file_name().unwrap_or_default().to_owned();
        bytes += std::fs::metadata(&path).map_err(failed)?.len();
        if bytes > DEBS_BYTES_MAX {
            let error = format!("they are larger than {DEBS_BYTES_MAX} bytes");
            return Err(failed(std::io::Error::other(error)));
        }
        archive.append_path_with_name(&path, name).map_err(failed)?;
    }
    archive.into_inner().map_err(failed)
}
