# shellcheck shell=bash
# The network of a lab: a control namespace with a bridge, and a namespace for each host.
#
# Labs side by side all use the same addresses, as none of them is visible outside its
# control namespace. The only way out is the uplink (uplink.sh).

network_mtu=1400
control_address=10.77.0.1
control_address6=fd77::1

control_exists() { [ -e "/run/netns/$control" ]; }

control_up() {
  local machine_lock
  lock "$lab_machine_lock" machine_lock
  machine_record_namespaces
  ip netns add "$control"
  unlock machine_lock
  ip -n "$control" link set lo up
  ip -n "$control" link add br0 type bridge mcast_snooping 0
  ip -n "$control" link set br0 mtu "$network_mtu" up
  ip -n "$control" address add "$control_address/24" dev br0
  ip -n "$control" address add "$control_address6/64" dev br0 nodad
  control_sysctl net/ipv4/ip_forward 1
  # Frames between hosts are the bridge's own business, not that of a firewall in between.
  if [ -e /proc/sys/net/bridge ]; then
    control_sysctl net/bridge/bridge-nf-call-iptables 0
    control_sysctl net/bridge/bridge-nf-call-ip6tables 0
  fi
}

# shellcheck disable=SC2016 # expanded by the shell inside the namespace
control_sysctl() { ip netns exec "$control" sh -c 'echo "$2" >"/proc/sys/$1"' sh "$1" "$2"; }

control_down() {
  control_exists || return 0
  namespace_kill "$control"
  ip netns delete "$control"
}

# A new network namespace each time a host gets power: firewall rules do not outlive a boot.
host_plug() {
  local n=$1 ns
  ns=$(host_ns "$n")
  host_unplug "$n"
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  # The same hardware address at every boot: neighbours remember it for half a minute.
  ip -n "$control" link add "n$n" type veth peer name eth0 address "$(host_hardware_address "$n")" netns "$ns"
  ip -n "$control" link set "n$n" mtu "$network_mtu" master br0 up
  ip -n "$ns" link set eth0 mtu "$network_mtu" up
  ip -n "$ns" address add "$(host_address "$n")/24" dev eth0
  ip -n "$ns" address add "$(host_address6 "$n")/64" dev eth0 nodad
  ip -n "$ns" route add default via "$control_address"
}

host_unplug() {
  local n=$1 ns
  ns=$(host_ns "$n")
  # The kernel takes its time to empty a namespace; the cable has to be free at once.
  if control_exists; then
    ip -n "$control" link delete "n$n" 2>/dev/null || true
  fi
  [ -e "/run/netns/$ns" ] || return 0
  namespace_kill "$ns"
  ip netns delete "$ns"
}

# Ends what still runs in a namespace, else the namespace would live on without its name.
namespace_kill() {
  local ns=$1 pids
  pids=$(ip netns pids "$ns" 2>/dev/null) || return 0
  [ -n "$pids" ] || return 0
  say "ending what runs in $ns: $(printf '%s\n' "$pids" | xargs -r ps -o pid=,comm= -p | tr -s ' \n' ' ')"
  printf '%s\n' "$pids" | xargs -r kill -TERM 2>/dev/null || true
  wait_until 5 namespace_empty "$ns" && return
  ip netns pids "$ns" | xargs -r kill -KILL 2>/dev/null || true
  wait_until "$deadline_halt_s" namespace_empty "$ns" || die "processes in $ns do not end"
}

namespace_empty() { [ -z "$(ip netns pids "$1" 2>/dev/null)" ]; }
