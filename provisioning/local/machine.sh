# shellcheck shell=bash
# The two settings of the machine itself that labs need, and the last lab gives back.
# Called under the machine's lock.

machine_forward_record=$lab_state_root/.ip_forward
machine_namespaces_record=$lab_state_root/.namespaces

machine_forward() {
  [ -e "$machine_forward_record" ] || cat /proc/sys/net/ipv4/ip_forward >"$machine_forward_record"
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# The first `ip netns add` since the machine booted turns the folder into a mount.
machine_record_namespaces() { mountpoint -q /run/netns || : >"$machine_namespaces_record"; }

machine_restore() {
  local machine_lock
  lock "$lab_machine_lock" machine_lock
  if [ -z "$(machine_labs)" ]; then
    if [ -e "$machine_forward_record" ]; then
      cat "$machine_forward_record" >/proc/sys/net/ipv4/ip_forward
    fi
    if [ -e "$machine_namespaces_record" ] && [ -z "$(ls -A /run/netns 2>/dev/null)" ]; then
      mountpoint -q /run/netns && umount /run/netns
    fi
    rm -f "$machine_forward_record" "$machine_namespaces_record"
  fi
  unlock machine_lock
}

machine_labs() { find /run/netns -maxdepth 1 -name 'jtest-*' 2>/dev/null; }
