# What this host has that faults need, a name a line. What the kernel can do is tried in a network
# namespace of its own, which is gone at the end.
abilities_try() {
  abilities_name=$1
  shift
  if "$@" >/dev/null 2>&1; then echo "$abilities_name"; fi
}
abilities_iptables() {
  command -v iptables && command -v iptables-save && command -v iptables-restore
}
abilities_rule() {
  unshare --net -- iptables -A OUTPUT -p tcp "$@" -j DROP
}
abilities_limit() {
  unshare --net -- sh -c 'tc qdisc add dev lo root handle f0: htb && tc filter add dev lo parent f0: protocol ip u32 match ip dst 10.0.0.1/32 flowid f0:4'
}
abilities_netem() {
  unshare --net -- sh -c 'ip link set lo up && tc qdisc add dev lo root netem delay 1ms'
}
abilities_faketime() {
  ls /usr/lib/*/faketime/libfaketimeMT.so.1
}
abilities_own_filesystem() {
  [ "$(findmnt --noheadings --output TARGET --target /var/lib/rabbitmq)" = /var/lib/rabbitmq ]
}
abilities_own_ext4() {
  [ "$(findmnt --noheadings --output FSTYPE,FSROOT --mountpoint /var/lib/rabbitmq | tr -s ' ')" = 'ext4 /' ]
}
abilities_try iptables abilities_iptables
abilities_try xt_statistic abilities_rule -m statistic --mode random --probability 0.5
abilities_try xt_recent abilities_rule -m recent --name jtest --rcheck
abilities_try xt_multiport abilities_rule -m multiport --ports 1,2
abilities_try tc abilities_limit
abilities_try sch_netem abilities_netem
abilities_try systemd test -d /run/systemd/system
abilities_try perl command -v perl
abilities_try libfaketime abilities_faketime
abilities_try own-filesystem abilities_own_filesystem
abilities_try own-ext4 abilities_own_ext4
abilities_try fsfreeze command -v fsfreeze
abilities_try prlimit command -v prlimit
abilities_try own-kernel machine_has_own_kernel
abilities_try own-clock machine_has_own_clock
abilities_try sysrq machine_has_sysrq
