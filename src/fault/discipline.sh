# What a queueing discipline of ours does to the packets to the peers. $1: kind, $2: what tc is told of it, $3: the
# fault's key, $4: the peers' addresses.
#
# All faults of these kinds on a host are one tree, which is made anew whenever one comes or goes: a class
# for the addresses that the same faults are about, with all of them in it. What is in no class passes as it did.
discipline_state=$jtest_dir/discipline

discipline_devices() {
  for discipline_address in $1; do
    ip -o route get "$discipline_address" 2>/dev/null | sed -n 's/^.* dev \([^ ]*\).*$/\1/p'
  done | sort -u
}

discipline_remove() {
  if tc qdisc show dev "$1" root | grep -q '^qdisc htb f0: '; then tc qdisc del dev "$1" root; fi
}

# Whether the device has nothing that somebody chose. What the kernel gives by itself, be it by a default of the
# host's, has no handle and comes back by itself.
discipline_is_free() {
  case $(tc qdisc show dev "$1" root) in
    '' | 'qdisc '*' 0: root '* | 'qdisc htb f0: '*) ;;
    *)
      echo "$1 has a queueing discipline of its own already, which is not ours to replace" >&2
      return 1
      ;;
  esac
}

# What the netem of the faults with these keys is told.
discipline_netem() {
  discipline_words=
  for discipline_key in $1; do
    read -r discipline_kind discipline_spec <"$discipline_state/$discipline_key.spec"
    if [ "$discipline_kind" != rate ]; then discipline_words="$discipline_words $discipline_spec"; fi
  done
  # Only what is delayed can be overtaken.
  case $discipline_words in
    *' delay '*) ;;
    *' reorder '*) discipline_words="delay 20ms $discipline_words" ;;
  esac
  echo "$discipline_words"
}

discipline_rate() {
  discipline_least=10000000000
  for discipline_key in $1; do
    read -r discipline_kind discipline_spec <"$discipline_state/$discipline_key.spec"
    if [ "$discipline_kind" = rate ] && [ "$discipline_spec" -lt "$discipline_least" ]; then discipline_least=$discipline_spec; fi
  done
  echo "$discipline_least"
}

# Makes the tree of a device of what there is to be. $1: the device
discipline_make() {
  discipline_remove "$1"
  ls "$discipline_state"/*.spec >/dev/null 2>&1 || return 0
  tc qdisc add dev "$1" root handle f0: htb default 0
  discipline_class=3
  discipline_last=
  cat "$discipline_state"/*.to | sort -u | while read -r discipline_to; do
    discipline_keys=$(cd "$discipline_state" && grep -lxF "$discipline_to" ./*.to | sed 's:^\./\(.*\)\.to$:\1:' | tr '\n' ' ')
    printf '%s\t%s\n' "$discipline_keys" "$discipline_to"
  done | sort | while IFS='	' read -r discipline_keys discipline_to; do
    if [ "$discipline_keys" != "$discipline_last" ]; then
      discipline_last=$discipline_keys
      discipline_class=$((discipline_class + 1))
      tc class add dev "$1" parent f0: classid "f0:$discipline_class" htb rate "$(discipline_rate "$discipline_keys")bit" \
        burst 16kb cburst 16kb quantum 60000
      discipline_told=$(discipline_netem "$discipline_keys")
      # What tc is told is several words.
      # shellcheck disable=SC2086
      if [ -n "$discipline_told" ]; then tc qdisc add dev "$1" parent "f0:$discipline_class" netem limit 100000 $discipline_told; fi
    fi
    case $discipline_to in
      *:*) tc filter add dev "$1" parent f0: protocol ipv6 prio 2 u32 match ip6 dst "$discipline_to/128" flowid "f0:$discipline_class" ;;
      *) tc filter add dev "$1" parent f0: protocol ip prio 1 u32 match ip dst "$discipline_to/32" flowid "f0:$discipline_class" ;;
    esac
    for discipline_key in $discipline_keys; do echo "f0:$discipline_class" >"$discipline_state/$discipline_key.class"; done
  done
}

# Bytes and packets that a class has let through and what its netem has dropped. $1: device, $2: class
discipline_counts() {
  tc -s class show dev "$1" 2>/dev/null | awk -v class="$2" \
    '/^class/ { ours = ($3 == class) } ours && /Sent/ { print "bytes=" $2; exit }'
  tc -s qdisc show dev "$1" 2>/dev/null | awk -v class="$2" \
    '/^qdisc/ { ours = ($2 == "netem" && $5 == class) } ours && /Sent/ { sub(/,/, "", $7); print "dropped=" $7; exit }'
}

discipline_first() {
  for discipline_address in $1; do
    case $discipline_address in *:*) ;; *) echo "$discipline_address"; return ;; esac
  done
}

# Echoes to the peers: how many were sent and answered, twice or not in their order, and how long that took.
discipline_echoes() {
  perl -MSocket -e "$clocks_program"'
    socket(my $icmp, AF_INET, SOCK_RAW, 1) or die;
    my (%sent, %last, $sent, $got, $twice, $late, $sum) = ();
    ($sent, $got, $twice, $late, $sum) = (0) x 5;
    my ($id, %answered) = ($$ & 0xffff);
    my $take = sub {
      my $until = shift;
      while ((my $left = $until - now($wall)) > 0) {
        my $set = ""; vec($set, fileno $icmp, 1) = 1;
        next unless select($set, undef, undef, $left / 1e6);
        my $from = recv($icmp, my $packet, 2048, 0) or next;
        my ($type, $code, undef, $its, $number) = unpack "C2 n3", substr $packet, 4 * (ord($packet) & 15);
        next unless defined $number && $type == 0 && $its == $id && $sent{$number};
        if ($answered{$number}++) { $twice++; next }
        my $host = (unpack_sockaddr_in($from))[1];
        $late++ if ($last{$host} // 0) > $number;
        $last{$host} = $number if $number > ($last{$host} // 0);
        $got++; $sum += now($wall) - $sent{$number};
      }
    };
    for my $number (1 .. 100) {
      my $to = $ARGV[$number % @ARGV];
      my $echo = pack "C2 n3 a56", 8, 0, 0, $id, $number, "jtest";
      my $check = 0; $check += $_ for unpack "n*", $echo;
      $check = ($check >> 16) + ($check & 0xffff) while $check >> 16;
      substr($echo, 2, 2) = pack "n", ~$check & 0xffff;
      $sent{$number} = now($wall);
      send($icmp, $echo, 0, pack_sockaddr_in(0, inet_aton($to))) and $sent++;
      $take->(now($wall) + 10_000);
    }
    my $end = now($wall) + 3_000_000;
    $take->(now($wall) + 100_000) while now($wall) < $end && $got < $sent;
    $take->(now($wall) + 200_000);
    printf "sent=%d\ngot=%d\ntwice=%d\nlate=%d\nrtt_us=%d\n", $sent, $got, $twice, $late, $got ? $sum / $got : 0;
  ' "$@"
}

look() {
  look_devices=$(discipline_devices "$4")
  for look_device in $look_devices; do
    if [ ! -e "$discipline_state/$3.spec" ] || ! tc qdisc show dev "$look_device" root | grep -q '^qdisc htb f0: '; then continue; fi
    echo 'tree=yes'
    look_class=$(cat "$discipline_state/$3.class" 2>/dev/null)
    discipline_counts "$look_device" "$look_class" >"$discipline_state/counts"
    grep '^dropped=' "$discipline_state/counts" || true
    if [ "$1" = rate ]; then
      # Twice as much as may pass in a second is offered to the first peer, for a second.
      look_before=$(sed -n 's/^bytes=//p' "$discipline_state/counts")
      look_offered=$(($2 / 4))
      if [ "$look_offered" -gt 8000000 ]; then look_offered=8000000; fi
      perl -MSocket -e '
        my ($address, $bytes) = @ARGV;
        socket(my $out, AF_INET, SOCK_DGRAM, 0) or die;
        my $to = pack_sockaddr_in(9, inet_aton($address));
        for (1 .. 20) {
          send($out, "x" x 1000, MSG_DONTWAIT, $to) for 1 .. $bytes / 20_000 + 1;
          select(undef, undef, undef, 0.05);
        }' "$(discipline_first "$4")" "$look_offered"
      look_after=$(discipline_counts "$look_device" "$look_class" | sed -n 's/^bytes=//p')
      echo "passed=$((look_after - look_before))"
      # A full bucket and the time that the measurement itself takes come on top.
      echo "allowed=$(($2 / 8 * 3 / 2 + 16384))"
    fi
    break
  done
  if [ "$1" != rate ]; then
    look_peers=
    for look_address in $4; do
      case $look_address in *:*) ;; *) look_peers="$look_peers $look_address" ;; esac
    done
    # shellcheck disable=SC2086
    if [ -n "$look_peers" ]; then discipline_echoes $look_peers; fi
  fi
}

inject() {
  inject_devices=$(discipline_devices "$4")
  for inject_device in $inject_devices; do discipline_is_free "$inject_device"; done
  mkdir -p "$discipline_state"
  for inject_other in "$discipline_state"/*.spec; do
    inject_key=$(basename "$inject_other" .spec)
    if grep -qs "^$1 " "$inject_other" && printf '%s\n' "$4" | tr ' ' '\n' | grep -qxF -f "$discipline_state/$inject_key.to"; then
      echo "a $1 is in force here already, to the same nodes" >&2
      return 1
    fi
  done
  printf '%s\n' "$4" | tr ' ' '\n' >"$discipline_state/$3.to"
  printf '%s %s\n' "$1" "$2" >"$discipline_state/$3.spec"
  for inject_device in $inject_devices; do discipline_make "$inject_device"; done
}

undo() {
  rm -f "$discipline_state/$3.spec" "$discipline_state/$3.to" "$discipline_state/$3.class"
  for undo_device in $(discipline_devices "$4"); do discipline_make "$undo_device"; done
}
