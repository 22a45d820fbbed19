//! The table of the faults on nodes: a line each, from the name in the [catalog](crate::catalog) to how
//! it is done.

use super::recipe::Recipe;
use super::{
    FaultError, Field, app, clock, discipline, disk, membership, packet, process, reboot, resource,
    unsynced,
};
use crate::catalog::Settings;
use crate::schedule::PlannedFault;

/// Makes a recipe of what is set; the field tells of the broker, the key names the fault on the hosts.
type Make = fn(&Settings, &Field, &str) -> Recipe;

const RECIPES: &[(&str, Make)] = &[
    ("loss", packet::loss),
    ("loss-bursts", discipline::loss_bursts),
    ("delay", discipline::delay),
    ("duplicate", discipline::duplicate),
    ("corrupt", discipline::corrupt),
    ("reorder", discipline::reorder),
    ("rate", discipline::rate),
    ("kill", process::kill),
    ("terminate", process::terminate),
    ("stop", process::stop),
    ("pause", process::pause),
    ("restart", process::restart),
    ("stop-app", app::stop_app),
    ("close-connections", app::close_connections),
    ("kill-queue-process", app::kill_queue_process),
    ("clock-bump", clock::bump),
    ("clock-drift", clock::drift),
    ("clock-strobe", clock::strobe),
    ("clock-reset", clock::reset),
    ("fill-disk", disk::fill),
    ("slow-disk", disk::slow),
    ("read-only-disk", disk::read_only),
    ("lose-unsynced", unsynced::lose),
    ("flip-bits", disk::flip),
    ("truncate-file", disk::truncate),
    ("memory-alarm", resource::memory_alarm),
    ("disk-alarm", resource::disk_alarm),
    ("cpu-pressure", resource::cpu),
    ("memory-pressure", resource::memory),
    ("file-descriptors", resource::descriptors),
    ("forget", membership::forget),
    ("reset", membership::reset),
    ("shrink-queue", membership::shrink_queue),
    ("grow-queue", membership::grow_queue),
    ("transfer-leadership", membership::transfer_leadership),
    ("reboot", reboot::reboot),
    ("power-cycle", reboot::power_cycle),
];

/// How a planned fault is done.
pub(super) fn of(planned: &PlannedFault, key: &str, field: &Field) -> Result<Recipe, FaultError> {
    let name = planned.kind.name;
    let found = RECIPES.iter().find(|(known, _)| *known == name);
    let unknown = || FaultError::Refused(format!("there is no recipe for the fault {name}"));
    let (_, make) = found.ok_or_else(unknown)?;
    Ok(make(&planned.settings, field, key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::catalog::{Aim, KINDS};

    #[test]
    fn every_fault_of_the_catalog_has_its_recipe() {
        let known = KINDS.iter().filter(|kind| kind.aim == Aim::Nodes);
        let known: BTreeSet<_> = known.map(|kind| kind.name).collect();
        let made: BTreeSet<_> = RECIPES.iter().map(|(name, _)| *name).collect();
        assert_eq!(made, known);
    }
}
