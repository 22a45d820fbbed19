# shellcheck shell=bash
# A cgroup of its own for each host, in every hierarchy that this machine has mounted: the
# version 1 controllers, the named ones and the unified one. Where hosts share one, the
# systemd of one host can signal the processes of another.
#
# Layout in each hierarchy: jtest-NAME/nN/power (the script), jtest-NAME/nN/boot (the host).

cgroup_mounts() { awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) ~ /^cgroup2?$/) print $5 }' /proc/self/mountinfo; }

# Every directory in which the lab, or one host of it, may have processes.
cgroup_trees() {
  local mount
  cgroup_mounts | while read -r mount; do
    [ ! -d "$mount/$1" ] || printf '%s\n' "$mount/$1"
  done
}

# Moves process $2 into the cgroup $1, made where it is missing.
cgroup_enter() {
  local path=$1 pid=$2 mount
  while read -r mount; do
    cgroup_make "$mount" "$path"
    echo "$pid" >"$mount/$path/cgroup.procs"
  done < <(cgroup_mounts)
}

# A new cpuset has neither processors nor memory, and takes no process before it has.
cgroup_make() {
  local at=$1 part parts file
  IFS=/ read -ra parts <<<"$2"
  for part in "${parts[@]}"; do
    mkdir -p "$at/$part"
    for file in "$at/$part"/cpuset.{cpus,mems}; do
      # Version 2 needs none, and has no such file in its root to copy from.
      if [ ! -e "$at/${file##*/}" ] || [ ! -e "$file" ]; then continue; fi
      [ -n "$(cat "$file")" ] || cat "$at/${file##*/}" >"$file"
    done
    at=$at/$part
  done
}

cgroup_pids() {
  local tree
  cgroup_trees "$1" | while read -r tree; do
    find "$tree" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -nu
}

cgroup_empty() { [ -z "$(cgroup_pids "$1")" ]; }

cgroup_kill_round() {
  cgroup_pids "$1" | xargs -r kill -KILL 2>/dev/null || true
  cgroup_empty "$1"
}

# Ends all processes of a cgroup at once, then removes it.
cgroup_kill() {
  local path=$1 tree
  wait_until "$deadline_halt_s" cgroup_kill_round "$path" ||
    die "processes of $path do not end: $(cgroup_pids "$path" | tr '\n' ' ')"
  cgroup_trees "$path" | while read -r tree; do
    wait_until 5 cgroup_remove "$tree" || die "cannot remove $tree"
  done
}

cgroup_remove() { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || [ ! -d "$1" ]; }
