# shellcheck shell=bash
# The proof that a lab has gone: everything on the machine that bears its name.

leftovers() {
  leftover_processes
  sed -n "s|^[^ ]* [^ ]* [^ ]* [^ ]* \($state/[^ ]*\) .*|mount \1|p" /proc/self/mountinfo
  losetup --noheadings --output NAME,BACK-FILE | grep -F " $state/" | sed 's/^/loop device /' || true
  find /run/netns -maxdepth 1 -regextype posix-extended -regex ".*/$control(-n[0-9]+)?" -printf 'namespace %f\n' 2>/dev/null || true
  find /run/systemd/nspawn -maxdepth 2 -regextype posix-extended -regex ".*/$control-n[0-9]+" -printf 'folder %p\n' 2>/dev/null || true
  ip -o link show | awk -F': ' -v link="$uplink" 'index($2, link "@") == 1 || $2 == link { print "link " $2 }'
  ip route show table all | awk -v link="$uplink" '{ for (i = 1; i < NF; i++) if ($i == "dev" && $(i + 1) == link) print "route " $0 }'
  cgroup_trees "$control" | sed 's/^/cgroup /'
  nft list tables 2>/dev/null | awk -v name="$control" '$3 == name { print "firewall " $0 }'
  uplink_foreign_rules | sed 's/^/firewall rule /'
}

leftover_processes() { lab_pids | sed 's/^/process /'; }

nothing_left() { [ -z "$(leftovers)" ]; }
