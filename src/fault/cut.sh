# Stages rules, and fires them when told. $1: run id, $2: lease in seconds, $3: IPv4 rules, $4: IPv6
# rules ('' for none). The process says `ready` and waits for `go`; anything else, or the end
# of its input, aborts it. It says `fired` and the time on this host in nanoseconds.
cut_pids=

cut_stage() {
  mkfifo -m 0600 "$jtest_dir/$1"
  "$1-restore" -w 5 --noflush <"$jtest_dir/$1" 9<&- &
  cut_pids="$cut_pids $!"
}

cut_clean() {
  rm -f "$jtest_dir/iptables" "$jtest_dir/ip6tables"
}

jtest_lock 10
if ! jtest_is_held_by "$1"; then
  echo 'the hold on this host was lost' >&2
  exit 1
fi
jtest_renew "$2"
cut_clean
trap cut_clean EXIT

cut_v6=$4
if ! grep -q -v ' lo$' /proc/net/if_inet6 2>/dev/null; then
  cut_v6=
  echo 'note IPv6 is off here'
elif [ -n "$cut_v6" ] && ! command -v ip6tables-restore >/dev/null 2>&1; then
  echo 'the peers have IPv6 addresses, but ip6tables is missing here; install the package iptables' >&2
  exit 1
fi

cut_v4_text=$(firewall_transaction iptables "$3")
printf '%s\nCOMMIT\n' "$cut_v4_text" | iptables-restore -w 5 --noflush --test
if [ -n "$cut_v6" ]; then
  cut_v6_text=$(firewall_transaction ip6tables "$cut_v6")
  printf '%s\nCOMMIT\n' "$cut_v6_text" | ip6tables-restore -w 5 --noflush --test
fi
cut_stage iptables
exec 4>"$jtest_dir/iptables"
printf '%s\n' "$cut_v4_text" >&4
if [ -n "$cut_v6" ]; then
  cut_stage ip6tables
  exec 6>"$jtest_dir/ip6tables"
  printf '%s\n' "$cut_v6_text" >&6
fi

cut_ready=$(jtest_now)
echo 'ready'
read -r cut_word || cut_word=
if [ "$cut_word" = go ] && [ "$(jtest_now)" -gt "$((cut_ready + 1500))" ]; then
  cut_word=late
fi
if [ "$cut_word" = go ]; then
  echo COMMIT >&4
  if [ -n "$cut_v6" ]; then echo COMMIT >&6; fi
fi
exec 4>&- 6>&-
cut_failed=0
for cut_pid in $cut_pids; do
  wait "$cut_pid" 2>/dev/null || cut_failed=1
done
if [ "$cut_word" != go ]; then
  echo "aborted: ${cut_word:-not told to go}" >&2
  exit 1
fi
if [ "$cut_failed" != 0 ]; then exit 1; fi
echo "fired $(date +%s%N)"
