# shellcheck shell=bash
# What labs change on the machine itself, and the last lab to go gives back: two kernel
# settings, and the mount that the first namespace brings.

# Forwarding is for the uplink. A host's systemd takes five inotify instances, all of which
# count as root's; the kernel's default of 128 is too few for labs side by side.
machine_settings=(net/ipv4/ip_forward=1 fs/inotify/max_user_instances=1024)

machine_namespaces_record=$lab_state_root/.namespaces

machine_record() { printf '%s/.%s' "$lab_state_root" "${1##*/}"; }

# Called under the machine's lock, as the next one.
machine_raise_settings() {
  local setting key record
  for setting in "${machine_settings[@]}"; do
    key=${setting%=*}
    record=$(machine_record "$key")
    (($(<"/proc/sys/$key") < ${setting#*=})) || continue
    [ -e "$record" ] || cat "/proc/sys/$key" >"$record"
    echo "${setting#*=}" >"/proc/sys/$key"
  done
}

# The first `ip netns add` since the machine booted turns the folder into a mount.
machine_record_namespaces() { mountpoint -q /run/netns || : >"$machine_namespaces_record"; }

machine_restore() {
  local machine_lock
  lock "$lab_machine_lock" machine_lock
  if [ -z "$(machine_labs)" ]; then
    machine_restore_settings
    if [ -e "$machine_namespaces_record" ] && [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then
      if mountpoint -q /run/netns; then umount /run/netns; fi
    fi
    rm -f "$machine_namespaces_record"
  fi
  unlock machine_lock
}

machine_restore_settings() {
  local setting record
  for setting in "${machine_settings[@]}"; do
    record=$(machine_record "${setting%=*}")
    [ -e "$record" ] || continue
    cat "$record" >"/proc/sys/${setting%=*}"
    rm "$record"
  done
}

machine_labs() { find /run/netns -maxdepth 1 -name 'jtest-*' 2>/dev/null; }
