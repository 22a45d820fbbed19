# Packets to the peers, lost by chance. $1: the share as a probability, $2: the fault's key, $3: the peers'
# addresses.

# $1: tool, $2: share, $3: key, $4: addresses
packet_loss_rules() {
  for packet_address in $4; do
    case $1$packet_address in ip6tables*:* | iptables*.*) ;; *) continue ;; esac
    echo "-A JTEST-OUT -d $packet_address -m comment --comment jtest-$3 -m statistic --mode random --probability $2 -j DROP"
  done
}

look() {
  look_rules=0 look_dropped=0
  for look_tool in iptables ip6tables; do
    for look_count in $("$look_tool-save" -c 2>/dev/null | sed -n "s/^\[\([0-9]*\):[0-9]*\] -A JTEST-OUT .*jtest-$2[\" ].*-m statistic.*\$/\1/p"); do
      look_rules=$((look_rules + 1))
      look_dropped=$((look_dropped + look_count))
    done
  done
  echo "rules=$look_rules"
  echo "dropped=$look_dropped"
}

inject() {
  # A cut that is made ready meanwhile makes the same chains.
  jtest_lock 5
  for inject_tool in iptables ip6tables; do
    inject_rules=$(packet_loss_rules "$inject_tool" "$1" "$2" "$3")
    if [ -z "$inject_rules" ]; then continue; fi
    {
      firewall_transaction "$inject_tool" '' "$inject_rules"
      echo COMMIT
    } | "$inject_tool-restore" -w 5 --noflush
  done
}

undo() {
  firewall_forget "$2" "$jtest_dir/firewall"
}
