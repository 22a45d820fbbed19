//! What a host must have for a fault.

use std::fmt;

/// One thing that a host has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// A packet filter.
    Iptables,
    /// Its match by chance.
    Statistic,
    /// Its match by a list that a single write changes.
    Recent,
    /// Its match of several ports at once.
    Multiport,
    /// Queueing by classes, with filters.
    Tc,
    /// Its discipline that makes a network bad.
    Netem,
    /// A service manager.
    Systemd,
    /// A small programming language, on every Debian host.
    Perl,
    /// The library by which a process can be told another time.
    Faketime,
    /// A file system that holds the broker's data and nothing else.
    OwnFilesystem,
    /// The same, and of a kind that can be shut down with what waits to be written.
    OwnExt4,
    /// Freezing a file system.
    Fsfreeze,
    /// Changing the limits of a running process.
    Prlimit,
    /// A kernel that it shares with nobody.
    OwnKernel,
    /// A system clock that it shares with nobody, and that may be set.
    OwnClock,
    /// A kernel that resets when told to.
    Sysrq,
}

impl Need {
    /// All of them, in the order in which people are told.
    pub const ALL: [Self; 16] = [
        Self::Iptables,
        Self::Statistic,
        Self::Recent,
        Self::Multiport,
        Self::Tc,
        Self::Netem,
        Self::Systemd,
        Self::Perl,
        Self::Faketime,
        Self::OwnFilesystem,
        Self::OwnExt4,
        Self::Fsfreeze,
        Self::Prlimit,
        Self::OwnKernel,
        Self::OwnClock,
        Self::Sysrq,
    ];

    /// As hosts and files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Statistic => "xt_statistic",
            Self::Recent => "xt_recent",
            Self::Multiport => "xt_multiport",
            Self::Tc => "tc",
            Self::Netem => "sch_netem",
            Self::Systemd => "systemd",
            Self::Perl => "perl",
            Self::Faketime => "libfaketime",
            Self::OwnFilesystem => "own-filesystem",
            Self::OwnExt4 => "own-ext4",
            Self::Fsfreeze => "fsfreeze",
            Self::Prlimit => "prlimit",
            Self::OwnKernel => "own-kernel",
            Self::OwnClock => "own-clock",
            Self::Sysrq => "sysrq",
        }
    }

    /// How a host comes to have it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Iptables => "apt-get install iptables",
            Self::Statistic | Self::Recent | Self::Multiport => {
                "a kernel with this netfilter module (Debian's own has it)"
            }
            Self::Tc => {
                "apt-get install iproute2, and a kernel with sch_htb and cls_u32 (Debian's own has them)"
            }
            Self::Netem => "a kernel with the module sch_netem (Debian's own has it)",
            Self::Systemd => "a host that is run by systemd",
            Self::Perl => "apt-get install perl-base",
            Self::Faketime => "apt-get install libfaketime",
            Self::OwnFilesystem => {
                "a file system of its own, mounted at /var/lib/rabbitmq, so that nothing else suffers"
            }
            Self::OwnExt4 => "an ext4 file system of its own, mounted at /var/lib/rabbitmq",
            Self::Fsfreeze | Self::Prlimit => "apt-get install util-linux",
            Self::OwnKernel => "a real or virtual machine: a container shares its kernel",
            Self::OwnClock => {
                "a real or virtual machine whose clock may be set: a container shares its clock"
            }
            Self::Sysrq => {
                "a real or virtual machine with /proc/sysrq-trigger: a container shares its kernel"
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_are_listed_once_and_in_order() {
        assert!(Need::ALL.is_sorted());
        let names: BTreeSet<_> = Need::ALL.iter().map(|need| need.name()).collect();
        assert_eq!(names.len(), Need::ALL.len());
    }
}
