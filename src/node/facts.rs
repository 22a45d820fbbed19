//! What a host is and has, with its clock against ours.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock_offset::{self, ClockOffset};
use crate::manifest::NodeFacts;
use crate::remote::{Host, RemoteError, Script};

const FACTS: &str = include_str!("facts.sh");
const DEADLINE: Duration = Duration::from_secs(30);

/// Asks a host.
pub async fn gather(host: &Host) -> Result<NodeFacts, RemoteError> {
    let script = Script::new("look at the host", FACTS).deadline(DEADLINE);
    let output = host.run(&script).await?;
    let clock = clock_offset::measure(host).await?;
    Ok(facts(&output.text(), clock))
}

fn facts(text: &str, clock: Option<ClockOffset>) -> NodeFacts {
    let lines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let word = |key: &str| lines.get(key).copied().unwrap_or_default().to_owned();
    let bytes = |key: &str| word(key).parse::<u64>().unwrap_or(0).saturating_mul(1024);
    NodeFacts {
        os: word("os"),
        kernel: word("kernel"),
        container: word("container"),
        rabbitmq: Some(word("rabbitmq")).filter(|version| !version.is_empty()),
        iptables: word("iptables"),
        memory_bytes: bytes("memory_kb"),
        disk_free_bytes: bytes("disk_free_kb"),
        clock_offset_us: clock.map(|clock| clock.offset_us),
        clock_error_us: clock.map(|clock| clock.error_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_broker_has_no_version_of_it() {
        let facts = facts("rabbitmq=\nmemory_kb=2048\nos=Debian=odd", None);
        assert_eq!((facts.rabbitmq, facts.memory_bytes), (None, 2 << 20));
        assert_eq!(facts.os, "Debian=odd");
    }
}
