//! What is in force on a host, as the host itself tells it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::hold::Holder;
use super::script;
use crate::remote::{Host, RemoteError};

const DEADLINE: Duration = Duration::from_secs(30);

/// The broker's service.
const BROKER: &str = "rabbitmq-server.service";

/// A fault that is in force on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Its name on the hosts.
    pub key: String,
    /// Since when, in seconds of the Unix epoch by the host's clock.
    pub since: i64,
    /// What it is.
    pub about: String,
}

/// What is in force on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The state of the broker's service, or `paused`.
    pub broker: String,
    /// Who holds the host.
    pub holder: Option<Holder>,
    /// When the host undoes everything by itself; zero where nobody holds it.
    pub lease_left: Duration,
    /// The faults, the oldest first.
    pub faults: Vec<InForce>,
    /// Whose packets it drops, all or some.
    pub drops: BTreeSet<IpAddr>,
}

impl Status {
    /// Asks a host.
    pub async fn of(host: &Host) -> Result<Self, RemoteError> {
        let script = script("tell what is in force", include_str!("status.sh"))
            .arg(BROKER)
            .deadline(DEADLINE);
        Ok(Self::parse(&host.run(&script).await?.text()))
    }

    fn parse(text: &str) -> Self {
        let mut status = Self {
            holder: Holder::parse(text),
            ..Self::default()
        };
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "broker" => value.clone_into(&mut status.broker),
                "left_cs" => {
                    let hundredths = value.parse::<u64>().unwrap_or_default();
                    status.lease_left = Duration::from_millis(hundredths.saturating_mul(10));
                }
                "fault" => status.faults.extend(in_force(value)),
                "drops" => status.drops.extend(value.parse::<IpAddr>().ok()),
                _ => {}
            }
        }
        status.faults.sort_by_key(|fault| fault.since);
        status
    }
}

fn in_force(text: &str) -> Option<InForce> {
    let mut words = text.splitn(3, ' ');
    Some(InForce {
        key: words.next()?.to_owned(),
        since: words.next()?.parse().ok()?,
        about: words.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_host_tells() {
        let status = Status::parse(
            "broker=active\nbroker=paused\nrun_id=by-hand\nwho=kim@desk\npid=7\ncommand=jtest fault\n\
             since=2026-11-23T09:00:00Z\nleft_cs=5900\nfault=h2 20 pause n1\nfault=h1 10 partition n1 | n2 n3\n\
             fault=broken\ndrops=10.0.0.2\ndrops=fd77::2\n",
        );
        assert_eq!(status.broker, "paused");
        assert_eq!(status.lease_left, Duration::from_secs(59));
        let faults: Vec<_> = status
            .faults
            .iter()
            .map(|fault| (&*fault.key, &*fault.about))
            .collect();
        assert_eq!(faults, [("h1", "partition n1 | n2 n3"), ("h2", "pause n1")]);
        assert_eq!(status.drops.len(), 2);
        assert_eq!(status.holder.unwrap().who, "kim@desk");
        assert_eq!(Status::parse(""), Status::default());
    }
}
