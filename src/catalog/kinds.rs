//! The table of faults.

use std::time::Duration;

use super::Aim::{Groups, Nodes};
use super::Lasting::{Lasting, Moment};
use super::{Group, Kind, Need, Parameter, Takes};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn optional(name: &'static str, takes: Takes, about: &'static str) -> Parameter {
    Parameter {
        name,
        takes,
        default: None,
        is_required: false,
        about,
    }
}

const fn required(name: &'static str, takes: Takes, about: &'static str) -> Parameter {
    Parameter {
        is_required: true,
        ..optional(name, takes, about)
    }
}

const fn default(
    name: &'static str,
    takes: Takes,
    default: &'static str,
    about: &'static str,
) -> Parameter {
    Parameter {
        default: Some(default),
        ..optional(name, takes, about)
    }
}

const PROCESSES: &[&[Need]] = &[&[Need::Systemd]];

const OF: Parameter = default(
    "of",
    Takes::Word(&["broker", "epmd"]),
    "broker",
    "which process",
);
const ROLLING: Parameter = optional(
    "rolling",
    Takes::Duration(ms(100), ms(600_000)),
    "one node after another, so far apart; all at once without it",
);
const SYSTEMD_RESTART: Parameter = default(
    "systemd_restart",
    Takes::Bool,
    "true",
    "whether the unit's own restart stays in force",
);
const CLOCKS: &[&[Need]] = &[&[Need::Systemd], &[Need::Faketime]];
const FILE: Parameter = default(
    "file",
    Takes::Text(255),
    "newest",
    "a path below the broker's data directory, with shell wildcards; `newest` is the file written last",
);

const TO: Parameter = optional(
    "to",
    Takes::Text(400),
    "only those to these nodes, such as `n1,n2`; to all others without it",
);
const NETEM: &[&[Need]] = &[&[Need::Tc], &[Need::Netem], &[Need::Perl]];
const DISCIPLINE: &str = "our queueing discipline is removed, the interface has the one it had";

/// The one fault that divides nodes.
pub const PARTITION: Kind = Kind {
    name: "partition",
    group: Group::Partition,
    about: "Nodes are divided so that they cannot reach each other.",
    aim: Groups,
    lasting: Lasting,
    parameters: &[
        default(
            "direction",
            Takes::Word(&["both", "in", "out"]),
            "both",
            "what the nodes of the first group lose: all packets, those that come, those that go",
        ),
        optional(
            "ports",
            Takes::Ports,
            "only TCP from or to these ports, such as `25672` (between brokers) or `4369` (epmd)",
        ),
        optional(
            "flap",
            Takes::Duration(ms(5), ms(1000)),
            "cut for so long, whole for so long, again and again, by the nodes themselves",
        ),
    ],
    needs: &[&[Need::Iptables], &[Need::Systemd]],
    proof: "every way across the cut that was open before is silent and its packets are counted as dropped; every way within a group still connects",
    undo: "our rules are removed; the firewall is as before and every way that was open connects again",
};

/// The faults there are, by group.
pub static KINDS: &[Kind] = &[
    PARTITION,
    Kind {
        name: "loss",
        group: Group::Packet,
        about: "Packets to the other nodes are lost by chance.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required("share", Takes::Percent, "how many"), TO],
        needs: &[&[Need::Iptables], &[Need::Statistic]],
        proof: "packets counted as dropped by the rule",
        undo: "our rules are removed",
    },
    Kind {
        name: "loss-bursts",
        group: Group::Packet,
        about: "Packets to the other nodes are lost, one after another.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[
            required("share", Takes::Percent, "how many"),
            default(
                "correlation",
                Takes::Percent,
                "25%",
                "how much the fate of a packet is that of the one before",
            ),
            TO,
        ],
        needs: NETEM,
        proof: "packets counted as dropped by the discipline",
        undo: DISCIPLINE,
    },
    Kind {
        name: "delay",
        group: Group::Packet,
        about: "Packets to the other nodes are late.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[
            required("by", Takes::Duration(ms(1), ms(10_000)), "how late"),
            optional(
                "jitter",
                Takes::Duration(ms(1), ms(10_000)),
                "by so much more or less, by chance",
            ),
            default(
                "distribution",
                Takes::Word(&["normal", "pareto", "paretonormal"]),
                "normal",
                "how the jitter falls",
            ),
            TO,
        ],
        needs: NETEM,
        proof: "echoes of the peers take longer than before",
        undo: DISCIPLINE,
    },
    Kind {
        name: "duplicate",
        group: Group::Packet,
        about: "Packets to the other nodes are sent twice.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required("share", Takes::Percent, "how many"), TO],
        needs: NETEM,
        proof: "echoes of the peers come twice",
        undo: DISCIPLINE,
    },
    Kind {
        name: "corrupt",
        group: Group::Packet,
        about: "Packets to the other nodes have a bit flipped.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required("share", Takes::Percent, "how many"), TO],
        needs: NETEM,
        proof: "echoes of the peers do not come, as damaged ones are thrown away, and all came before",
        undo: DISCIPLINE,
    },
    Kind {
        name: "reorder",
        group: Group::Packet,
        about: "Packets to the other nodes overtake others, which are 20 ms late if no other delay is in force.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required("share", Takes::Percent, "how many"), TO],
        needs: NETEM,
        proof: "echoes of the peers are overtaken by later ones",
        undo: DISCIPLINE,
    },
    Kind {
        name: "rate",
        group: Group::Packet,
        about: "The bandwidth to the other nodes is limited.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required("rate", Takes::Rate, "to so much"), TO],
        needs: &[&[Need::Tc], &[Need::Perl]],
        proof: "of twice as many bytes as may pass in a second, as many as may",
        undo: DISCIPLINE,
    },
    Kind {
        name: "kill",
        group: Group::Process,
        about: "The process is killed by SIGKILL and started again at the heal.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[OF, ROLLING, SYSTEMD_RESTART],
        needs: PROCESSES,
        proof: "the process id from before is gone",
        undo: "the service is started, where it ran before",
    },
    Kind {
        name: "terminate",
        group: Group::Process,
        about: "The process is ended by SIGTERM and started again at the heal.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[OF, ROLLING, SYSTEMD_RESTART],
        needs: PROCESSES,
        proof: "the process id from before is gone",
        undo: "the service is started, where it ran before",
    },
    Kind {
        name: "stop",
        group: Group::Process,
        about: "The service is stopped in order and started again at the heal.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[ROLLING],
        needs: PROCESSES,
        proof: "the service is inactive and its process is gone",
        undo: "the service is started, where it ran before",
    },
    Kind {
        name: "pause",
        group: Group::Process,
        about: "The process is frozen by SIGSTOP.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[OF, ROLLING],
        needs: PROCESSES,
        proof: "the kernel says that the process is stopped",
        undo: "SIGCONT to the same process",
    },
    Kind {
        name: "restart",
        group: Group::Process,
        about: "The service is restarted.",
        aim: Nodes,
        lasting: Moment,
        parameters: &[ROLLING],
        needs: PROCESSES,
        proof: "the service runs as another process",
        undo: "nothing to undo",
    },
    Kind {
        name: "stop-app",
        group: Group::App,
        about: "The broker's application is stopped, its Erlang node goes on.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: PROCESSES,
        proof: "the broker says that its application does not run",
        undo: "the application is started",
    },
    Kind {
        name: "close-connections",
        group: Group::App,
        about: "The broker closes all its clients' connections.",
        aim: Nodes,
        lasting: Moment,
        parameters: &[],
        needs: PROCESSES,
        proof: "the broker says how many it closed, and that these are gone",
        undo: "nothing to undo",
    },
    Kind {
        name: "kill-queue-process",
        group: Group::App,
        about: "The Erlang process of the queue under test on that node is killed.",
        aim: Nodes,
        lasting: Moment,
        parameters: &[],
        needs: PROCESSES,
        proof: "the broker says which process it killed, and that it is gone",
        undo: "nothing to undo: the broker restarts it",
    },
    Kind {
        name: "clock-bump",
        group: Group::Clock,
        about: "The broker's clock jumps. A broker that does not run with libfaketime yet is restarted for it.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required("by", Takes::Offset, "by how much")],
        needs: CLOCKS,
        proof: "the broker's clock against the host's",
        undo: "the broker is told the true time; the library goes with its next start",
    },
    Kind {
        name: "clock-drift",
        group: Group::Clock,
        about: "The broker's clock goes too fast or too slow. A broker that does not run with libfaketime yet is restarted for it.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[required(
            "factor",
            Takes::Factor,
            "how fast, against true time",
        )],
        needs: CLOCKS,
        proof: "the broker's clock against the host's",
        undo: "as of `clock-bump`",
    },
    Kind {
        name: "clock-strobe",
        group: Group::Clock,
        about: "The broker's clock jumps and comes back, again and again. A broker that does not run with libfaketime yet is restarted for it.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[
            required("by", Takes::Offset, "by how much"),
            default(
                "period",
                Takes::Duration(ms(10), ms(60_000)),
                "1s",
                "for how long each way",
            ),
        ],
        needs: CLOCKS,
        proof: "the broker's clock against the host's, at a moment when it is astray",
        undo: "as of `clock-bump`",
    },
    Kind {
        name: "fill-disk",
        group: Group::Disk,
        about: "The file system of the broker's data is filled.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[default(
            "to",
            Takes::Percent,
            "95%",
            "to so much of it, at most 99%",
        )],
        needs: &[&[Need::OwnFilesystem]],
        proof: "what the file system says is in use",
        undo: "our file is removed",
    },
    Kind {
        name: "slow-disk",
        group: Group::Disk,
        about: "Writes to the broker's data stall, again and again.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[
            default(
                "stall",
                Takes::Duration(ms(10), ms(5000)),
                "200ms",
                "for so long",
            ),
            default(
                "pause",
                Takes::Duration(ms(10), ms(5000)),
                "50ms",
                "with so long between",
            ),
        ],
        needs: &[&[Need::OwnFilesystem], &[Need::Fsfreeze], &[Need::Perl]],
        proof: "the time that a write with fsync takes",
        undo: "the stalling process is ended and the file system thawed",
    },
    Kind {
        name: "read-only-disk",
        group: Group::Disk,
        about: "The directory of the broker's data turns read-only for whatever is opened from then on.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: &[&[Need::Systemd]],
        proof: "a new file is refused because the file system is read-only",
        undo: "what was mounted on top of it is taken away",
    },
    Kind {
        name: "flip-bits",
        group: Group::Disk,
        about: "Bits of a file of the broker are flipped.",
        aim: Nodes,
        lasting: Moment,
        parameters: &[
            FILE,
            default("bits", Takes::Number(1, 1000), "1", "how many"),
        ],
        needs: &[&[Need::Perl]],
        proof: "the file's checksum before and after",
        undo: "nothing is undone: it is the data that is tested",
    },
    Kind {
        name: "truncate-file",
        group: Group::Disk,
        about: "The end of a file of the broker is cut off.",
        aim: Nodes,
        lasting: Moment,
        parameters: &[FILE, default("by", Takes::Bytes, "1kB", "how much of it")],
        needs: &[&[Need::Perl]],
        proof: "the file's size before and after",
        undo: "nothing is undone: it is the data that is tested",
    },
    Kind {
        name: "memory-alarm",
        group: Group::Resource,
        about: "The broker believes that it uses too much memory and blocks publishers.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: PROCESSES,
        proof: "the broker's own alarms",
        undo: "the watermark is what it was",
    },
    Kind {
        name: "disk-alarm",
        group: Group::Resource,
        about: "The broker believes that its disk is full and blocks publishers.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: PROCESSES,
        proof: "the broker's own alarms",
        undo: "the limit is what it was",
    },
    Kind {
        name: "cpu-pressure",
        group: Group::Resource,
        about: "Other processes compete for the processors.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[default("processes", Takes::Number(1, 64), "2", "how many")],
        needs: &[&[Need::Systemd], &[Need::Perl]],
        proof: "the processor time that they used",
        undo: "they are ended",
    },
    Kind {
        name: "memory-pressure",
        group: Group::Resource,
        about: "Another process holds memory.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[default(
            "size",
            Takes::Bytes,
            "256MB",
            "how much, at most half of what is available",
        )],
        needs: &[&[Need::Systemd], &[Need::Perl]],
        proof: "the memory that it has resident",
        undo: "it is ended",
    },
    Kind {
        name: "file-descriptors",
        group: Group::Resource,
        about: "The broker's process may open no more files.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: &[&[Need::Prlimit]],
        proof: "the limits of the process as the kernel tells them",
        undo: "the limits are what they were",
    },
    Kind {
        name: "forget",
        group: Group::Membership,
        about: "The node is stopped and forgotten by the cluster; at the heal it joins as a new one.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: PROCESSES,
        proof: "the others do not have it among the cluster's nodes",
        undo: "it is reset and joins again",
    },
    Kind {
        name: "reset",
        group: Group::Membership,
        about: "The node is killed, its data wiped as by a lost disk; at the heal it joins as a new one.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: PROCESSES,
        proof: "its data directory is another one",
        undo: "the others forget it, and it joins again",
    },
    Kind {
        name: "shrink-queue",
        group: Group::Membership,
        about: "The node's replica of the quorum queue under test is removed, and added again at the heal.",
        aim: Nodes,
        lasting: Lasting,
        parameters: &[],
        needs: PROCESSES,
        proof: "the queue's members as its leader tells them",
        undo: "a replica is added on the node",
    },
    Kind {
        name: "transfer-leadership",
        group: Group::Membership,
        about: "The node becomes the leader of the quorum queue under test.",
        aim: Nodes,
        lasting: Moment,
        parameters: &[],
        needs: PROCESSES,
        proof: "who leads the queue before and after",
        undo: "nothing to undo",
    },
];
