//! What is there before anything is touched, and everything that speaks against going on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;

use super::deploy::{DeployError, on_all};
use super::evaluate::{evaluate, fill};
use super::packages::Packages;
use super::{Member, OWN_PREFIX};
use crate::event::Emit;
use crate::inventory::NodeName;
use crate::remote::Script;
use crate::scenario::{
    BrokerVersion, Cluster, PartitionHandling, Scenario, Source, refusals, without_effect,
};

const SURVEY: &str = include_str!("survey.sh");
const INSPECT: &str = include_str!("inspect.erl");
const SURVEY_DEADLINE: Duration = Duration::from_secs(240);
const INSPECT_DEADLINE: Duration = Duration::from_secs(20);

/// What of a broker is on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The version of the package, where it is installed.
    pub installed: Option<String>,
    /// The version that its package sources would install.
    pub candidate: Option<String>,
    /// All versions of its package sources.
    pub versions: Vec<String>,
    /// Why its package sources could not be read, in apt's words.
    pub trouble: Option<String>,
    /// The digest of the cookie, if jtest made it.
    pub cookie: Option<String>,
    /// Whether the broker's unit runs.
    pub is_active: bool,
    /// Where its peers reach it.
    pub address: Option<IpAddr>,
    /// What the broker says of itself, if it is not jtest's.
    pub existing: Option<Existing>,
}

/// A broker that jtest did not configure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Existing {
    /// Its Erlang name.
    pub node: String,
    version: String,
    partition_handling: String,
    net_ticktime: u32,
}

/// Looks at every host.
pub(super) async fn survey(
    members: &[Member],
    cluster: &Cluster,
) -> Result<BTreeMap<NodeName, Found>, DeployError> {
    let source = match cluster.source {
        Source::Apt => "apt",
        Source::Debs(_) | Source::Installed | Source::Existing => "other",
    };
    let version = cluster.version.clone().unwrap_or_default();
    let answers = on_all(members.iter(), |member| {
        Script::new("look for a broker", SURVEY)
            .args([source, version.as_str(), member.peer_address.as_str()])
            .deadline(SURVEY_DEADLINE)
    })
    .await?;
    let mut all: BTreeMap<_, _> = answers
        .into_iter()
        .map(|(name, text)| (name, understand(&text)))
        .collect();
    if cluster.source == Source::Existing {
        inspect(members, &mut all).await?;
    }
    Ok(all)
}

async fn inspect(
    members: &[Member],
    all: &mut BTreeMap<NodeName, Found>,
) -> Result<(), DeployError> {
    let expression = fill(INSPECT, &[]);
    let asked = members.iter().map(async |member| {
        let purpose = "ask the existing broker who it is";
        let answer =
            evaluate::<Existing>(&member.host, purpose, &expression, INSPECT_DEADLINE).await;
        (member.name.clone(), answer)
    });
    let mut errors = Vec::new();
    for (name, answer) in join_all(asked).await {
        match answer {
            Ok(existing) => all.entry(name).or_default().existing = Some(existing),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(DeployError::Hosts(errors))
    }
}

fn understand(text: &str) -> Found {
    let lines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let value = |key: &str| lines.get(key).filter(|value| !value.is_empty()).copied();
    let owned = |key: &str| value(key).map(str::to_owned);
    Found {
        installed: owned("installed"),
        candidate: owned("candidate"),
        versions: value("versions")
            .into_iter()
            .flat_map(str::split_whitespace)
            .map(str::to_owned)
            .collect(),
        trouble: owned("trouble"),
        cookie: owned("cookie"),
        is_active: value("active") == Some("active"),
        address: value("address").and_then(|address| address.parse().ok()),
        existing: None,
    }
}

/// Whether a package's version is the one that is wanted: the whole of it, or its beginning up
/// to the end of a number; its epoch may be left out.
pub(super) fn is_version(version: &str, wanted: &str) -> bool {
    let without_epoch = version.split_once(':').map_or(version, |(_, rest)| rest);
    [version, without_epoch].iter().any(|version| {
        version
            .strip_prefix(wanted)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    })
}

/// What will run on a host, and what has to be installed for that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Coming {
    /// The version, where it can be known before.
    pub version: Option<String>,
    /// Whether that is there already.
    pub is_there: bool,
}

impl Coming {
    fn parsed(&self) -> Option<BrokerVersion> {
        self.version.as_deref().and_then(BrokerVersion::parse)
    }

    /// Whether a quorum queue of this version has a delivery limit by default, and takes -1 for none.
    pub fn limits_deliveries(&self) -> bool {
        self.parsed().is_some_and(|version| version.major >= 4)
    }

    /// Whether only one broker at a time looks for a cluster to join, so that two cannot begin one each. Most
    /// earlier ones have no lock for it, and later ones take it after they have chosen whom to join.
    pub fn discovers_under_lock(&self) -> bool {
        self.parsed()
            .is_some_and(|version| version.major == 3 && (9..13).contains(&version.minor))
    }
}

/// What a host would come to, or why it cannot.
pub(super) fn coming(
    found: &Found,
    cluster: &Cluster,
    packages: Option<&Packages>,
) -> Result<Coming, String> {
    let is_wanted = |version: &&String| {
        cluster
            .version
            .as_deref()
            .is_none_or(|wanted| is_version(version, wanted))
    };
    let there = |version: Option<String>| Coming {
        version,
        is_there: true,
    };
    let new = |version: String| Coming {
        version: Some(version),
        is_there: false,
    };
    let installed = found.installed.as_ref();
    match &cluster.source {
        Source::Existing => {
            let version = found
                .existing
                .as_ref()
                .map(|existing| existing.version.clone());
            Ok(there(version))
        }
        Source::Installed => match installed {
            None => Err("RabbitMQ is not installed; install it, or use `source: apt`".to_owned()),
            Some(version) if !is_wanted(&version) => Err(format!(
                "RabbitMQ {version} is installed, another version than the scenario wants; `source: apt` would install that one"
            )),
            Some(version) => Ok(there(Some(version.clone()))),
        },
        Source::Apt => {
            if let Some(version) = installed.filter(is_wanted) {
                return Ok(there(Some(version.clone())));
            }
            let candidate = found.candidate.as_ref().filter(is_wanted);
            match candidate.or_else(|| found.versions.iter().find(is_wanted)) {
                Some(version) => Ok(new(version.clone())),
                None => Err(not_in_sources(found, cluster)),
            }
        }
        Source::Debs(directory) => {
            let Some(packages) = packages else {
                return Err(format!("{} was not read", directory.display()));
            };
            if !is_wanted(&&packages.version) {
                return Err(format!(
                    "{} holds RabbitMQ {}, another version than the scenario wants",
                    directory.display(),
                    packages.version
                ));
            }
            Ok(Coming {
                version: Some(packages.version.clone()),
                is_there: installed == Some(&packages.version),
            })
        }
    }
}

fn not_in_sources(found: &Found, cluster: &Cluster) -> String {
    let wanted = cluster.version.as_deref().unwrap_or_default();
    let lack = if found.versions.is_empty() {
        "its package sources have no rabbitmq-server".to_owned()
    } else {
        let have = found.versions.join(", ");
        format!("its package sources have no RabbitMQ {wanted}; they have {have}")
    };
    match &found.trouble {
        Some(trouble) => format!(
            "{lack}, and could not be read anew ({trouble}); for a host that cannot reach them use `source: {{debs: DIR}}`"
        ),
        None => format!("{lack}; add one that has, or use `source: {{debs: DIR}}`"),
    }
}

/// What will run on each host; or everything that speaks against it.
pub(super) fn judge(
    members: &[Member],
    scenario: &Scenario,
    found: &BTreeMap<NodeName, Found>,
    packages: Option<&Packages>,
    emit: &dyn Emit,
) -> Result<BTreeMap<NodeName, Coming>, DeployError> {
    let cluster = &scenario.cluster;
    let mut reasons = BTreeSet::new();
    let mut remarks = BTreeSet::new();
    let mut all = BTreeMap::new();
    if cluster.source == Source::Existing && !scenario.queue.name.starts_with(OWN_PREFIX) {
        reasons.insert(format!(
            "the queue under test is deleted and declared afresh; on an existing cluster its name has to begin with `{OWN_PREFIX}`, not `{}`",
            scenario.queue.name
        ));
    }
    for member in members {
        let name = &member.name;
        let Some(found) = found.get(name) else {
            continue;
        };
        if cluster.source != Source::Existing {
            if !member.is_disposable {
                reasons.insert(format!(
                    "{name}: deploy wipes the broker's data, and the inventory does not allow it; set `jtest_disposable: true` for hosts that are only for tests, or use `source: existing`"
                ));
            }
            if found.address.is_none() {
                reasons.insert(format!(
                    "{name}: its peers cannot know its address, {} is not one; set `jtest_peer_address`",
                    member.peer_address
                ));
            }
        }
        let coming = match coming(found, cluster, packages) {
            Ok(coming) => coming,
            Err(reason) => {
                reasons.insert(format!("{name}: {reason}"));
                continue;
            }
        };
        if let Some(version) = coming.parsed() {
            reasons.extend(refusals(scenario, version).iter().map(ToString::to_string));
            remarks.extend(without_effect(scenario, version));
        }
        if let Some(existing) = &found.existing {
            remarks.extend(differences(existing, cluster).map(|text| format!("{name}: {text}")));
        }
        all.insert(name.clone(), coming);
    }
    if !reasons.is_empty() {
        let reasons: Vec<String> = reasons.into_iter().collect();
        return Err(DeployError::Refused(reasons.join("\n  ")));
    }
    for remark in remarks {
        emit.note(None, remark);
    }
    Ok(all)
}

/// Where an existing broker is set otherwise than the scenario says: it is left as it is.
fn differences(existing: &Existing, cluster: &Cluster) -> impl Iterator<Item = String> {
    let handling = match cluster.partition_handling {
        PartitionHandling::Ignore => "ignore",
        PartitionHandling::PauseMinority => "pause_minority",
        PartitionHandling::Autoheal => "autoheal",
    };
    let differs = |what: &str, is: &str, wanted: &str| {
        (is != wanted).then(|| {
            format!("its {what} is {is}, the scenario says {wanted}; an existing cluster is left as it is")
        })
    };
    [
        differs("partition handling", &existing.partition_handling, handling),
        differs(
            "net_ticktime",
            &format!("{} s", existing.net_ticktime),
            &format!("{} s", cluster.net_ticktime_s),
        ),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_by_the_version() {
        let found = [
            "3.8.9-3",
            "3.9.0",
            "3.10.8-1.1+deb12u1",
            "3.12.14",
            "3.13.0",
            "4.0.5-6",
        ]
        .map(|version| {
            let coming = Coming {
                version: Some(version.to_owned()),
                is_there: false,
            };
            coming.discovers_under_lock()
        });
        assert_eq!(found, [false, true, true, true, false, false]);
    }
}
