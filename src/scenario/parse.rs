//! From a scenario's YAML to a [`Scenario`], or to everything that is wrong with it.
//!
//! A value that is wrong is reported and its default stands in, so that reading goes on to
//! the end of the file; the scenario comes out only if nothing was wrong.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Amount, Cluster, Consumers, PartitionHandling, Protocol, Scenario, Source, Workload,
    WorkloadKind, checking, checks, consumers, limits, overrides, queue, steps,
};
use crate::diagnostic::{Collector, Diagnostics, quoted};
use crate::duration;
use crate::yaml::{self, Fields, Kind, Value, parse_duration};

/// A scenario that can be used, with the warnings about it.
pub type Parsed = (Scenario, Diagnostics);

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const LOAD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads a scenario. `overrides` are dotted paths with the values that replace what the file
/// says, such as `schedule.0.duration` with `30s`; of the same path the last counts.
///
/// All mistakes are reported together; those in an override name it instead of the file.
pub fn parse(
    file: &str,
    text: &str,
    overrides: &[(String, String)],
) -> Result<Parsed, Diagnostics> {
    let mut to = Collector::new(file, text);
    let scenario = yaml::parse(text, &mut to).and_then(|mut tree| {
        overrides::apply(&mut tree, overrides, &mut to);
        let scenario = scenario(&tree, &mut to)?;
        if !to.has_errors() {
            checks::check(&scenario, &tree, &mut to);
        }
        Some(scenario)
    });
    let mut found = to.finish();
    let (Ok(told) | Err(told)) = &mut found;
    overrides::name_overrides(told, overrides);
    match (scenario, found) {
        (Some(scenario), Ok(warnings)) => Ok((scenario, warnings)),
        (_, Ok(mistakes) | Err(mistakes)) => Err(mistakes),
    }
}

fn scenario(tree: &Value, to: &mut Collector<'_>) -> Option<Scenario> {
    let mut fields = tree.fields("the scenario", to)?;
    let workload = workload(fields.mapping("workload", to), to);
    let queue = queue::parse(fields.mapping("queue", to), to);
    let mut scenario = Scenario {
        name: name(&mut fields, to),
        description: text(&mut fields, "description", "", 0..=200, to),
        cluster: cluster(fields.mapping("cluster", to), to),
        schedule: steps::schedule(fields.sequence("schedule", to), to),
        checks: checking::parse(fields.mapping("checks", to), &workload, &queue, to),
        workload,
        queue,
        recovery_timeout: length(
            &mut fields,
            "recovery_timeout",
            180 * SECOND,
            SECOND..=DAY,
            to,
        ),
        drain_timeout: length(&mut fields, "drain_timeout", 180 * SECOND, SECOND..=DAY, to),
    };
    fields.finish(to);
    limits::complete(&mut scenario);
    Some(scenario)
}

fn name(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> String {
    let place = fields
        .require("name", "my-scenario", to)
        .map(|value| value.place);
    let name = text(fields, "name", "", 1..=64, to);
    let first = name
        .bytes()
        .next()
        .is_none_or(|b| b.is_ascii_alphanumeric());
    let all = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !first || !all {
        to.error(
            place,
            format!(
                "{} cannot be the name of a directory under `runs/`",
                quoted(&name)
            ),
            "use letters, digits, `-`, `_` and `.`, and begin with a letter or digit",
        );
    } else if name == "latest" {
        to.error(
            place,
            "`latest` cannot be a scenario's name: `runs/latest` is the newest run",
            "choose another name",
        );
    }
    name
}

fn cluster(fields: Option<Fields<'_>>, to: &mut Collector<'_>) -> Cluster {
    let mut cluster = Cluster {
        source: Source::Apt,
        version: None,
        nodes: None,
        partition_handling: PartitionHandling::PauseMinority,
        net_ticktime_s: 60,
        systemd_restart: true,
        deploy_timeout: 600 * SECOND,
    };
    let Some(mut fields) = fields else {
        return cluster;
    };
    if let Some(value) = fields.take("source") {
        cluster.source = source(value, to);
    }
    if fields.take("version").is_some() {
        cluster.version = Some(text(&mut fields, "version", "", 1..=100, to));
    }
    let nodes = fields.u64("nodes", 1..=99, to);
    cluster.nodes = nodes.and_then(|nodes| usize::try_from(nodes).ok());
    let handling = fields.choice(
        "partition_handling",
        &[
            ("ignore", PartitionHandling::Ignore),
            ("pause_minority", PartitionHandling::PauseMinority),
            ("autoheal", PartitionHandling::Autoheal),
        ],
        to,
    );
    cluster.partition_handling = handling.unwrap_or(cluster.partition_handling);
    cluster.net_ticktime_s = ticktime_s(&mut fields, to);
    cluster.systemd_restart = fields.bool("systemd_restart", to).unwrap_or(true);
    cluster.deploy_timeout = length(
        &mut fields,
        "deploy_timeout",
        cluster.deploy_timeout,
        SECOND..=DAY,
        to,
    );
    fields.finish(to);
    cluster
}

fn source(value: &Value, to: &mut Collector<'_>) -> Source {
    if value.entries().is_none() {
        let sources = [
            ("apt", Source::Apt),
            ("installed", Source::Installed),
            ("existing", Source::Existing),
        ];
        return value
            .choice("`source`", &sources, to)
            .unwrap_or(Source::Apt);
    }
    let Some(mut fields) = value.fields("`source`", to) else {
        return Source::Apt;
    };
    fields.require("debs", "DIR", to);
    let directory = text(&mut fields, "debs", "", 1..=4096, to);
    fields.finish(to);
    Source::Debs(PathBuf::from(directory))
}

/// `net_ticktime` in the whole seconds that the broker takes.
fn ticktime_s(fields: &mut Fields<'_>, to: &mut Collector<'_>) -> u32 {
    let length = length(fields, "net_ticktime", 60 * SECOND, SECOND..=HOUR, to);
    if length.subsec_millis() != 0 {
        to.error(
            fields.take("net_ticktime").map(|value| value.place),
            format!(
                "`net_ticktime` is no whole number of seconds: {}",
                duration::show(length)
            ),
            "the broker takes whole seconds only, such as `8s`",
        );
    }
    u32::try_from(length.as_secs()).unwrap_or(u32::MAX)
}

fn workload(fields: Option<Fields<'_>>, to: &mut Collector<'_>) -> Workload {
    let mut workload = Workload {
        kind: WorkloadKind::Queue,
        protocol: Protocol::default(),
        amount: Amount::Schedule,
        rate: None,
        window: 100,
        confirm_timeout: 10 * SECOND,
        resends: 0,
        reconnects: 1000,
        reconnect_pause: SECOND,
        body_bytes: 128,
        hold: Duration::ZERO,
        producers: 1,
        consumers: Consumers::new(0),
    };
    let Some(mut fields) = fields else {
        return workload;
    };
    let kind = fields.choice("kind", &WorkloadKind::WORDS, to);
    workload.kind = kind.unwrap_or(workload.kind);
    if !workload.kind.publishes_as_queue() {
        for key in ["window", "resends", "producers", "consumers"] {
            if let Some(value) = fields.take(key) {
                to.error(
                    value.place,
                    format!("the workload `{}` has no `{key}`", workload.kind.word()),
                    "remove it: each of its clients does one thing at a time, and nothing twice",
                );
            }
        }
        workload.window = 1;
    } else if workload.kind.is_read() {
        let consumers = fields.mapping("consumers", to);
        workload.consumers = consumers::parse(consumers, workload.kind, to);
    } else if let Some(value) = fields.take("consumers") {
        to.error(
            value.place,
            format!("the workload `{}` has no `consumers`", workload.kind.word()),
            "remove it, or choose `queue`, `order` or `stream`: what consumers took would not be told from what the queue let go",
        );
    }
    if workload.kind.has_protocols() {
        let protocol = fields.choice("protocol", &Protocol::WORDS, to);
        workload.protocol = protocol.unwrap_or_default();
    } else if let Some(value) = fields.take("protocol") {
        to.error(
            value.place,
            format!("the workload `{}` has no `protocol`", workload.kind.word()),
            "remove it, or choose `queue`, `order`, `dead-letter` or `transient`: this one needs the protocol that it speaks",
        );
    }
    if workload.kind == WorkloadKind::Lock {
        workload.hold = length(
            &mut fields,
            "hold",
            Duration::ZERO,
            Duration::ZERO..=HOUR,
            to,
        );
    }
    if let Some(value) = fields.take("amount") {
        workload.amount = amount(value, to);
    }
    workload.rate = fields.take("rate").and_then(|value| rate(value, to));
    workload.confirm_timeout = length(
        &mut fields,
        "confirm_timeout",
        workload.confirm_timeout,
        SECOND / 10..=HOUR,
        to,
    );
    workload.reconnect_pause = length(
        &mut fields,
        "reconnect_pause",
        workload.reconnect_pause,
        SECOND / 100..=HOUR,
        to,
    );
    for (key, target, range) in [
        ("window", &mut workload.window, 1..=65_535),
        ("resends", &mut workload.resends, 0..=10_000),
        ("reconnects", &mut workload.reconnects, 0..=1_000_000),
        ("body_bytes", &mut workload.body_bytes, 64..=1_048_576),
        (
            "producers",
            &mut workload.producers,
            1..=consumers::CLIENTS_MAX,
        ),
    ] {
        let given = fields.u64(key, range, to);
        *target = given
            .and_then(|given| u32::try_from(given).ok())
            .unwrap_or(*target);
    }
    fields.finish(to);
    workload
}

fn amount(value: &Value, to: &mut Collector<'_>) -> Amount {
    let Some(text) = value.text("`amount`", to) else {
        return Amount::Schedule;
    };
    if text == "schedule" {
        return Amount::Schedule;
    }
    if let Some(length) = parse_duration(text).filter(|length| *length > Duration::ZERO) {
        within("`amount`", value, length, &(SECOND..=LOAD_MAX), to);
        return Amount::Duration(length);
    }
    let count = text
        .strip_suffix(" messages")
        .filter(|number| number.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|number| number.parse().ok())
        .filter(|count| (1..=1_000_000_000).contains(count));
    if let Some(count) = count {
        return Amount::Messages(count);
    }
    to.error(
        value.place,
        format!("`amount` cannot be {}", quoted(text)),
        "write `schedule` (as long as the faults take), a duration such as `3m`, or a number \
         for each producer such as `5000 messages` (at most 1000000000)",
    );
    Amount::Schedule
}

fn rate(value: &Value, to: &mut Collector<'_>) -> Option<f64> {
    if is_word(value, "closed-loop") {
        return None;
    }
    let rate = value.f64("`rate` (unless it is `closed-loop`)", to)?;
    if rate <= 0.0 || rate > 1_000_000.0 {
        to.error(
            value.place,
            format!("`rate` is out of range: {rate} messages per second"),
            "write a number above 0, up to 1000000, or `closed-loop` for as fast as confirms come",
        );
    }
    Some(rate)
}

pub(super) fn is_word(value: &Value, word: &str) -> bool {
    matches!(&value.kind, Kind::Scalar { text, .. } if text == word)
}

/// A text of so many characters.
pub(super) fn text(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: &str,
    chars: RangeInclusive<usize>,
    to: &mut Collector<'_>,
) -> String {
    let place = fields.take(key).map(|value| value.place);
    let Some(text) = fields.text(key, to) else {
        return default.to_owned();
    };
    let count = text.chars().count();
    if !chars.contains(&count) {
        to.error(
            place,
            format!("`{key}` has {count} characters"),
            format!("give it {} to {}", chars.start(), chars.end()),
        );
    }
    text.to_owned()
}

/// A duration in a range.
pub(super) fn length(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: Duration,
    range: RangeInclusive<Duration>,
    to: &mut Collector<'_>,
) -> Duration {
    let value = fields.take(key);
    let Some((value, length)) = value.zip(fields.duration(key, to)) else {
        return default;
    };
    within(&format!("`{key}`"), value, length, &range, to);
    length
}

pub(super) fn within(
    what: &str,
    value: &Value,
    length: Duration,
    range: &RangeInclusive<Duration>,
    to: &mut Collector<'_>,
) {
    if !range.contains(&length) {
        to.error(
            value.place,
            format!("{what} is out of range: {}", duration::show(length)),
            format!(
                "write {} to {}",
                duration::show(*range.start()),
                duration::show(*range.end())
            ),
        );
    }
}
