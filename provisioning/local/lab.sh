# shellcheck shell=bash
# A whole lab: made, reset, taken down. `scripts/lab` holds the lab's lock meanwhile.

each_host() {
  local n pid pids=() failed=0
  for ((n = 1; n <= nodes; n++)); do
    "$@" "$n" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return $failed
}

complete() { [ -e "$state/complete" ] && control_exists && ip link show "$uplink" >/dev/null 2>&1; }

need_complete() { complete || die "the lab '$lab_name' is not up; scripts/lab --name $lab_name up"; }

make() {
  need_namespaces
  rootfs_ensure record
  if [ "$kind" = machine ]; then kernel_image_ensure; fi
  keys_ensure
  control_up
  uplink_find_resolvers
  uplink_up
  each_host host_up
  : >"$state/complete"
}

# Also keeps the root file system from being removed as unused.
record() {
  mkdir -p "$state"
  printf 'suite=%s\nnodes=%s\nrootfs=%s\nkind=%s\n' "$suite" "$nodes" "$rootfs" "$kind" >"$state/lab"
}

keys_ensure() {
  local n
  [ -s "$state/id_ed25519.pub" ] || {
    rm -f "$state/id_ed25519"
    ssh-keygen -q -t ed25519 -N '' -C "$control" -f "$state/id_ed25519" </dev/null
  }
  each_host host_keys_ensure
  for ((n = 1; n <= nodes; n++)); do
    sed "s/^\([^ ]* [^ ]*\).*/$(host_address "$n") \1/" "$state/keys/n$n"/*.pub
  done >"$state/known_hosts"
}

host_up() {
  local n=$1 host_power=''
  if ! host_running "$n"; then
    host_power_off "$n"
    host_disk_up "$n"
    host_power_on "$n"
  fi
  host_await "$n"
}

# Gives bare hosts again: new disks, the network and the keys as they were.
remake() {
  rm -f "$state/complete"
  hosts_down
  rootfs_ensure record
  if [ "$kind" = machine ]; then kernel_image_ensure; fi
  keys_ensure
  uplink_find_resolvers
  each_host host_up
  : >"$state/complete"
}

hosts_down() {
  local n
  lab_kill
  for ((n = 1; n <= lab_nodes_max; n++)); do
    host_unplug "$n"
    host_disk_down "$n"
  done
}

# Takes down whatever bears the lab's name, in whatever state it is.
tear_down() {
  rm -f "$state/complete"
  hosts_down
  uplink_down
  control_down
  machine_restore
  rm -f "$state/lab"
}

lab_kill_round() {
  lab_pids | xargs -r kill -KILL 2>/dev/null || true
  [ -z "$(lab_pids)" ]
}

lab_kill() {
  wait_until "$deadline_halt_s" lab_kill_round || die "these do not end: $(lab_pids | tr '\n' ' ')"
  cgroup_kill "$control"
}
