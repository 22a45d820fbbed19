# shellcheck shell=bash
# The way out of a lab, so that its hosts can install packages: a veth pair between the
# control namespace and the machine's own, in a subnet of its own, and a firewall table
# that bears the lab's name.
#
# The table lets the lab reach the resolver, and ports 80 and 443 of public addresses;
# the machine itself, private networks and other labs stay out of its reach. Deleting
# the table and the link leaves the machine's rules and routes as they were.

uplink_mtu=1400

uplink_up() {
  local machine_lock subnet
  lock "$lab_machine_lock" machine_lock
  subnet=$(uplink_free_subnet) || die "10.78.0.0/16 is in use: no subnet is left for the uplink"
  uplink_connect "${subnet% *}" "${subnet#* }"
  uplink_firewall "${subnet#* }" | nft -f -
  uplink_pass_foreign_firewall
  machine_raise_settings
  unlock machine_lock
}

# Prints the machine's and the lab's address of a /30 that no route of the machine knows.
uplink_free_subnet() {
  local routes i third fourth
  routes=$(ip -4 route show table all)
  for ((i = 0; i < 256 * 64; i++)); do
    third=$((i / 64)) fourth=$((i % 64 * 4))
    [[ $routes == *"10.78.$third.$fourth/30"* ]] && continue
    printf '10.78.%d.%d 10.78.%d.%d' $third $((fourth + 1)) $third $((fourth + 2))
    return
  done
  return 1
}

uplink_connect() {
  local here=$1 there=$2
  ip link add "$uplink" type veth peer name uplink netns "$control"
  if [ -e "/proc/sys/net/ipv6/conf/$uplink/disable_ipv6" ]; then
    echo 1 >"/proc/sys/net/ipv6/conf/$uplink/disable_ipv6"
  fi
  ip link set "$uplink" alias "$control"
  ip link set "$uplink" mtu "$uplink_mtu" up
  ip address add "$here/30" dev "$uplink"
  ip -n "$control" link set uplink mtu "$uplink_mtu" up
  ip -n "$control" address add "$there/30" dev uplink
  ip -n "$control" route add default via "$here"
  ip netns exec "$control" nft -f - <<RULES
table ip uplink {
  chain source {
    type nat hook postrouting priority srcnat
    oifname "uplink" masquerade
  }
}
RULES
}

# A resolver on the loopback address serves nobody but the machine; systemd-resolved tells
# which ones it asks itself.
uplink_find_resolvers() {
  local file resolver
  uplink_resolvers=()
  for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do
    [ -r "$file" ] || continue
    while read -r resolver; do
      uplink_resolvers+=("$resolver")
    done < <(awk '$1 == "nameserver" && $2 ~ /^[0-9]+(\.[0-9]+)+$/ && $2 !~ /^127\./ { print $2 }' "$file")
    ((${#uplink_resolvers[@]} == 0)) || return 0
  done
  say "no name server that hosts could reach in /etc/resolv.conf: they will not be able to install packages"
}

uplink_resolv_conf() { printf 'nameserver %s\n' "${uplink_resolvers[@]}"; }

uplink_firewall() {
  local there=$1 dns='' resolvers
  if ((${#uplink_resolvers[@]} > 0)); then
    resolvers=$(IFS=, && printf %s "${uplink_resolvers[*]}")
    dns="ip daddr { $resolvers } meta l4proto { tcp, udp } th dport 53 accept"
  fi
  cat <<RULES
table inet $control {
  chain input {
    type filter hook input priority filter
    iifname != "$uplink" accept
    $dns
    drop
  }
  chain forward {
    type filter hook forward priority filter
    oifname "$uplink" ct state established,related accept
    oifname "$uplink" drop
    iifname != "$uplink" accept
    ct state established,related accept
    $dns
    ip daddr { 0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/3 } reject
    ip protocol tcp tcp dport { 80, 443 } accept
    reject
  }
  chain source {
    type nat hook postrouting priority srcnat
    ip saddr $there masquerade
  }
}
RULES
}

# Another firewall may drop what it does not know (Docker's does); its word is final, so the
# lab asks it too.
uplink_pass_foreign_firewall() {
  command -v iptables-save >/dev/null || return 0
  iptables-save -t filter 2>/dev/null | grep -q '^:FORWARD DROP' || return 0
  iptables -w 10 -I FORWARD -i "$uplink" -m comment --comment "$control" -j ACCEPT
  iptables -w 10 -I FORWARD -o "$uplink" -m comment --comment "$control" -j ACCEPT
}

uplink_foreign_rules() {
  command -v iptables-save >/dev/null || return 0
  iptables-save -t filter 2>/dev/null | grep -e "-[io] $uplink " || true
}

uplink_down() {
  local machine_lock rule
  lock "$lab_machine_lock" machine_lock
  uplink_foreign_rules | while read -r rule; do
    # shellcheck disable=SC2086 # iptables-save prints words for a shell; ours have no quotes in them
    iptables -w 10 ${rule/#-A/-D}
  done
  if nft list table inet "$control" >/dev/null 2>&1; then nft delete table inet "$control"; fi
  # It may be going by itself, with its peer's namespace.
  ip link delete "$uplink" 2>/dev/null || true
  unlock machine_lock
}
