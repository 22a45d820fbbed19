# Packets to the peers. $1: loss or rate, $2: the share as a probability, or bits per second, $3: the fault's key,
# $4: the peers' addresses.
packet_device() {
  for packet_address in $1; do
    ip -o route get "$packet_address" 2>/dev/null | sed -n 's/^.* dev \([^ ]*\).*$/\1/p'
  done | sort -u
}

# $1: tool, $2: share, $3: key, $4: addresses
packet_loss_rules() {
  for packet_address in $4; do
    case $1$packet_address in ip6tables*:* | iptables*.*) ;; *) continue ;; esac
    echo "-A JTEST-OUT -d $packet_address -m comment --comment jtest-$3 -m statistic --mode random --probability $2 -j DROP"
  done
}

# Bytes that our limit has let through; nothing where there is none.
packet_sent() {
  tc -s class show dev "$1" 2>/dev/null | awk '/^class htb f0:4 / { ours = 1; next } ours && /Sent/ { print $2; exit }'
}

packet_first_peer() {
  for packet_address in $1; do
    case $packet_address in *:*) ;; *) echo "$packet_address"; return ;; esac
  done
}

packet_at_most() {
  if [ "$1" -gt 8000000 ]; then echo 8000000; else echo "$1"; fi
}

look() {
  case $1 in
    loss)
      look_rules=0 look_dropped=0
      for look_tool in iptables ip6tables; do
        for look_count in $("$look_tool-save" -c 2>/dev/null | sed -n "s/^\[\([0-9]*\):[0-9]*\] -A JTEST-OUT .*jtest-$3[\" ].*-m statistic.*\$/\1/p"); do
          look_rules=$((look_rules + 1))
          look_dropped=$((look_dropped + look_count))
        done
      done
      echo "rules=$look_rules"
      echo "dropped=$look_dropped"
      ;;
    rate)
      # Twice as much as may pass in a second is offered to the first peer, for a second.
      for look_device in $(packet_device "$4"); do
        look_before=$(packet_sent "$look_device")
        if [ -z "$look_before" ]; then continue; fi
        perl -MSocket -e '
          my ($address, $bytes) = @ARGV;
          socket(my $out, AF_INET, SOCK_DGRAM, 0) or die;
          my $to = pack_sockaddr_in(9, inet_aton($address));
          for (1 .. 20) {
            send($out, "x" x 1000, MSG_DONTWAIT, $to) for 1 .. $bytes / 20_000 + 1;
            select(undef, undef, undef, 0.05);
          }' "$(packet_first_peer "$4")" "$(packet_at_most "$(($2 / 4))")"
        echo "passed=$(($(packet_sent "$look_device") - look_before))"
        # A full bucket and the time that the measurement itself takes come on top.
        echo "allowed=$(($2 / 8 * 3 / 2 + 16384))"
        break
      done
      ;;
  esac
}

inject() {
  case $1 in
    loss)
      for inject_tool in iptables ip6tables; do
        inject_rules=$(packet_loss_rules "$inject_tool" "$2" "$3" "$4")
        if [ -z "$inject_rules" ]; then continue; fi
        {
          firewall_transaction "$inject_tool" '' "$inject_rules"
          echo COMMIT
        } | "$inject_tool-restore" -w 5 --noflush
      done
      ;;
    rate)
      for inject_device in $(packet_device "$4"); do
        case $(tc qdisc show dev "$inject_device" root) in
          '' | 'qdisc noqueue '* | 'qdisc pfifo_fast '* | 'qdisc fq_codel '* | 'qdisc mq '*) ;;
          *)
            echo "$inject_device has a queueing discipline of its own already, which is not ours to replace" >&2
            return 1
            ;;
        esac
        # What no filter sends into our class passes as it did.
        tc qdisc add dev "$inject_device" root handle f0: htb default 0
        tc class add dev "$inject_device" parent f0: classid f0:4 htb rate "$2bit" burst 16kb cburst 16kb
        for inject_address in $4; do
          case $inject_address in
            *:*) tc filter add dev "$inject_device" parent f0: protocol ipv6 prio 2 u32 match ip6 dst "$inject_address/128" flowid f0:4 ;;
            *) tc filter add dev "$inject_device" parent f0: protocol ip prio 1 u32 match ip dst "$inject_address/32" flowid f0:4 ;;
          esac
        done
      done
      ;;
  esac
}

undo() {
  case $1 in
    loss) firewall_forget "$3" "$jtest_dir/firewall" ;;
    rate)
      for undo_device in $(packet_device "$4"); do
        if tc qdisc show dev "$undo_device" root | grep -q '^qdisc htb f0: '; then tc qdisc del dev "$undo_device" root; fi
      done
      ;;
  esac
}
