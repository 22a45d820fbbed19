//! From bare hosts to a cluster that is proven ready; and back.
//!
//! What is right already is not touched: a second deploy of the same cluster only asks. As soon
//! as anything differs on any node, all brokers start from nothing, so no run inherits
//! another one's state. That wipes data, so it is refused where the inventory does not call
//! the hosts disposable, before anything is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::config::{self, NodeFiles, Peer};
use super::packages::Packages;
use super::recover::RecoverError;
use super::setup::{FOUND_WHOLE_DEADLINE, WHOLE_DEADLINE};
use super::survey::{Coming, Found, judge, survey};
use super::{Broker, Member, USER, VHOST, setup};
use crate::event::Emit;
use crate::inventory::{NodeName, Secret};
use crate::remote::{RemoteError, Script};
use crate::scenario::{Cluster, Scenario, Source};
use crate::workload::Credentials;

const INSTALL: &str = include_str!("install.sh");
const CONFIGURE: &str = include_str!("configure.sh");
const RESTART: &str = concat!(include_str!("kill.sh"), include_str!("restart.sh"));
const TEARDOWN: &str = concat!(include_str!("kill.sh"), include_str!("teardown.sh"));

const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
const CONFIGURE_DEADLINE: Duration = Duration::from_secs(60);
/// Brokers take a minute to start where all is slow; now and then one hangs in it for ever.
const RESTART_DEADLINE: Duration = Duration::from_secs(180);
const TEARDOWN_DEADLINE: Duration = Duration::from_secs(300);

/// What the teardown's script says of a broker that jtest did not configure.
const FOREIGN_BROKER: &str = "broker";

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
    /// The packages cannot be used.
    #[error("cannot use the packages in {directory}: {error}")]
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

impl Broker {
    /// Deploys what the scenario asks for and leaves the queue under test empty.
    pub async fn deploy(
        members: Vec<Member>,
        scenario: &Scenario,
        emit: &dyn Emit,
    ) -> Result<Self, DeployError> {
        let cluster = &scenario.cluster;
        let packages = match &cluster.source {
            Source::Debs(directory) => Some(Packages::find(directory)?),
            Source::Apt | Source::Installed | Source::Existing => None,
        };
        let found = survey(&members, cluster).await?;
        let coming = judge(&members, scenario, &found, packages.as_ref(), emit)?;
        let (credentials, makes_user) = credentials(&cluster.source)?;
        let is_existing = cluster.source == Source::Existing;
        let broker = Self {
            erlang_names: Arc::new(erlang_names(&members, &found)),
            credentials,
            makes_user,
            is_existing,
            limits_deliveries: coming.values().any(Coming::limits_deliveries),
            queue: scenario.queue.clone(),
            members: Arc::new(members),
        };
        if !is_existing {
            broker
                .install(cluster, &coming, packages.as_ref(), emit)
                .await?;
            if broker.configure(cluster, &found, &coming).await? {
                emit.note(None, "the cluster is as it should be".to_owned());
                match broker.set_up(FOUND_WHOLE_DEADLINE, emit).await {
                    Ok(()) => return Ok(broker),
                    // What an earlier run left may look whole and hang all the same.
                    Err(error) => emit.note(None, format!("but it does not work: {error}")),
                }
            }
            broker.start_from_nothing(emit).await?;
        }
        broker.set_up(WHOLE_DEADLINE, emit).await?;
        Ok(broker)
    }

    async fn install(
        &self,
        cluster: &Cluster,
        coming: &BTreeMap<NodeName, Coming>,
        packages: Option<&Packages>,
        emit: &dyn Emit,
    ) -> Result<(), DeployError> {
        let lacking: Vec<(&Member, &str)> = self
            .members
            .iter()
            .filter_map(|member| Some((member, coming.get(&member.name)?)))
            .filter(|(_, coming)| !coming.is_there)
            .map(|(member, coming)| (member, coming.version.as_deref().unwrap_or_default()))
            .collect();
        let Some((_, version)) = lacking.first() else {
            return Ok(());
        };
        emit.note(
            None,
            format!("installing RabbitMQ {version} on {} hosts", lacking.len()),
        );
        let (how, archive) = match (&cluster.source, packages) {
            (Source::Debs(directory), Some(packages)) => ("debs", packages.pack(directory)?),
            _ => ("apt", Vec::new()),
        };
        let versions: BTreeMap<_, _> = lacking
            .iter()
            .map(|(member, version)| (&member.name, *version))
            .collect();
        on_all(lacking.iter().map(|(member, _)| *member), |member| {
            Script::new("install RabbitMQ", INSTALL)
                .arg(how)
                .arg(versions.get(&member.name).copied().unwrap_or_default())
                .stdin(archive.clone())
                .deadline(INSTALL_DEADLINE)
        })
        .await?;
        Ok(())
    }

    /// Gives every node its files; whether all was right already and the brokers may stay as they are.
    async fn configure(
        &self,
        cluster: &Cluster,
        found: &BTreeMap<NodeName, Found>,
        coming: &BTreeMap<NodeName, Coming>,
    ) -> Result<bool, DeployError> {
        let peers = self.peers(found);
        let discovers_under_lock = coming.values().all(Coming::discovers_under_lock);
        let answers = on_all(self.members.iter(), |member| {
            let files = config::render(
                &self.erlang_name(&member.name),
                &peers,
                cluster,
                self.queue.kind,
                discovers_under_lock,
            );
            configure(&files)
        })
        .await?;
        let is_changed = answers.iter().any(|(_, answer)| answer != "same");
        let is_down = found.values().any(|found| !found.is_active);
        Ok(!is_changed && !is_down && is_cookie_common(found) && self.is_one_cluster().await)
    }

    async fn start_from_nothing(&self, emit: &dyn Emit) -> Result<(), DeployError> {
        emit.note(
            None,
            format!("starting {} brokers from nothing", self.members.len()),
        );
        match self.start().await {
            Err(DeployError::Hosts(errors)) if errors.iter().any(RemoteError::is_timeout) => {
                emit.note(None, format!("once more: {}", list(&errors)));
                self.start().await
            }
            outcome => outcome,
        }
    }

    async fn start(&self) -> Result<(), DeployError> {
        let cookie = random_secret();
        on_all(self.members.iter(), |_| {
            Script::new("start the broker", RESTART)
                .stdin_secret(&cookie)
                .deadline(RESTART_DEADLINE)
        })
        .await?;
        Ok(())
    }

    fn peers(&self, found: &BTreeMap<NodeName, Found>) -> Vec<Peer> {
        self.members
            .iter()
            .filter_map(|member| {
                Some(Peer {
                    erlang_name: self.erlang_name(&member.name),
                    address: found.get(&member.name)?.address?,
                })
            })
            .collect()
    }

    /// Whether every node serves clients, sees every node running and reports no partition.
    async fn is_one_cluster(&self) -> bool {
        let all = self.members.len();
        let answers = self.ask().await;
        answers.len() == all
            && answers.values().all(|answer| {
                answer.as_ref().is_ok_and(|answer| {
                    answer.is_serving()
                        && answer.view.running.len() == all
                        && answer.view.partitions.is_empty()
                })
            })
    }
}

/// Undoes what deploy did on every member; what was found to undo, by host.
pub async fn teardown(members: &[Member]) -> BTreeMap<NodeName, Result<Vec<String>, RemoteError>> {
    let script = Script::new("undo the deployment", TEARDOWN).deadline(TEARDOWN_DEADLINE);
    let undoing = members.iter().map(async |member| {
        let undone = member.host.run(&script).await;
        let lines = undone.map(|output| output.text().lines().map(str::to_owned).collect());
        (member, lines)
    });
    let mut all = BTreeMap::new();
    // One after the other: the nodes of an existing cluster all have the same to remove.
    for (member, lines) in join_all(undoing).await {
        let lines = match lines {
            Ok(lines) => without_foreign(member, lines).await,
            Err(error) => Err(error),
        };
        all.insert(member.name.clone(), lines);
    }
    all
}

async fn without_foreign(
    member: &Member,
    mut lines: Vec<String>,
) -> Result<Vec<String>, RemoteError> {
    let count = lines.len();
    lines.retain(|line| line != FOREIGN_BROKER);
    if lines.len() < count {
        lines.extend(setup::clean_up(member).await?);
    }
    Ok(lines)
}

/// Runs a script on each member, all at once; every host that failed is told.
pub(super) async fn on_all<'a>(
    members: impl Iterator<Item = &'a Member>,
    script: impl Fn(&'a Member) -> Script,
) -> Result<Vec<(NodeName, String)>, DeployError> {
    let mut answers = Vec::new();
    let mut errors = Vec::new();
    let runs = members.map(|member| {
        let script = script(member);
        async move { (member, member.host.run(&script).await) }
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

/// What an existing broker calls itself, and what jtest calls the others.
fn erlang_names(
    members: &[Member],
    found: &BTreeMap<NodeName, Found>,
) -> BTreeMap<NodeName, String> {
    let names: Vec<&NodeName> = members.iter().map(|member| &member.name).collect();
    let mut all = config::erlang_names(&names);
    for (name, found) in found {
        if let Some(existing) = &found.existing {
            all.insert(name.clone(), existing.node.clone());
        }
    }
    all
}

/// Whether all have the same cookie, made by jtest.
fn is_cookie_common(found: &BTreeMap<NodeName, Found>) -> bool {
    let cookies: BTreeSet<&Option<String>> = found.values().map(|found| &found.cookie).collect();
    cookies.len() == 1 && cookies.iter().all(|cookie| cookie.is_some())
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

fn configure(files: &NodeFiles) -> Script {
    Script::new("configure the broker", CONFIGURE)
        .args([
            files.rabbitmq_conf.trim_end(),
            files.advanced_config.trim_end(),
            files.env_conf.trim_end(),
            files.unit.trim_end(),
            files.hosts.trim_end(),
            files.plugins.trim_end(),
        ])
        .deadline(CONFIGURE_DEADLINE)
}

/// How clients log in, and whether jtest makes that user.
fn credentials(source: &Source) -> Result<(Credentials, bool), DeployError> {
    let own = || Credentials {
        user: USER.to_owned(),
        password: random_secret(),
        vhost: VHOST.to_owned(),
    };
    if *source != Source::Existing {
        return Ok((own(), true));
    }
    match (
        std::env::var(USER_VARIABLE),
        std::env::var(PASSWORD_VARIABLE),
    ) {
        (Ok(user), Ok(password)) => {
            let given = Credentials {
                user,
                password: Secret::new(password),
                vhost: VHOST.to_owned(),
            };
            Ok((given, false))
        }
        (Err(_), Err(_)) => Ok((own(), true)),
        _ => Err(DeployError::Refused(format!(
            "set both {USER_VARIABLE} and {PASSWORD_VARIABLE}, or neither: then jtest makes a user of its own"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::remote::fake::Fake;
    use crate::scenario::QueueType;
    use crate::scenario::testing::scenario;

    struct Ignored;

    impl Emit for Ignored {
        fn emit(&self, _: Event) {}
    }

    /// Hosts whose package sources have this version, which cannot be installed.
    fn hosts(version: &str) -> Vec<Arc<Fake>> {
        let survey = |n| format!("candidate={version}\nversions={version}\naddress=192.0.2.{n}\n");
        (1..=3)
            .map(|n| Fake::new(format!("n{n}")).on("look for a broker", survey(n)))
            .map(|fake| Arc::new(fake.fails("install RabbitMQ", 100, "no space left")))
            .collect()
    }

    async fn deploy(hosts: &[Arc<Fake>], kind: QueueType) -> DeployError {
        let mut scenario = scenario();
        scenario.queue.kind = kind;
        let members = (1..).zip(hosts).map(|(n, host)| Member {
            name: NodeName(format!("n{n}")),
            host: host.clone(),
            address: format!("192.0.2.{n}"),
            peer_address: format!("192.0.2.{n}"),
            is_disposable: true,
        });
        let deployed = Broker::deploy(members.collect(), &scenario, &Ignored).await;
        deployed.expect_err("an error")
    }

    fn purposes(host: &Fake) -> Vec<String> {
        let scripts = host.scripts().into_iter();
        scripts.map(|script| script.purpose).collect()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_the_coming_broker_has_not_is_refused_before_anything_is_touched() {
        let modern = hosts("4.0.5-8");
        let error = deploy(&modern, QueueType::Mirrored).await;
        assert!(matches!(error, DeployError::Refused(_)), "{error}");
        assert!(
            error.to_string().contains("has no mirrored queues"),
            "{error}"
        );
        for host in &modern {
            assert_eq!(purposes(host), ["look for a broker"]);
            assert_eq!(host.files(), []);
        }
        let fitting = hosts("3.10.8-1.1+deb12u1");
        let error = deploy(&fitting, QueueType::Mirrored).await;
        assert!(matches!(error, DeployError::Hosts(_)), "{error}");
        for host in &fitting {
            assert_eq!(purposes(host), ["look for a broker", "install RabbitMQ"]);
        }
    }
}
