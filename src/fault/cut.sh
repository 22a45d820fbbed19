# Puts the rules of a cut in place and says `ready`; cuts when told `go`. Anything else, or the end of
# the input, leaves the host as it was. $1: run id, $2: lease in seconds, $3: the fault's key, $4: what it is,
# $5: its undo, $6 and $7: what is accepted and dropped of IPv4, $8 and $9: of IPv6 ('' for nothing), $10:
# the addresses dropped, $11: milliseconds of a flap ('' for none).
#
# Where the kernel has the match `recent`, the rules lie there beforehand and match addresses on a list
# that is still empty: the cut is then a write of some bytes and no process. Elsewhere, and where there is no perl to
# do that at a time, the rules are loaded at the signal.
cut_run=$1 cut_lease=$2 cut_key=$3 cut_about=$4 cut_undo=$5 cut_accept=$6 cut_drop=$7 cut_accept6=$8
shift 8
cut_drop6=$1 cut_addresses=$2 cut_flap=$3
cut_lists=/proc/net/xt_recent/jtest-$cut_key

# $1: tool, $2: accepted, $3: dropped, $4: the list's name, '' without one
cut_rules() {
  cut_in='' cut_out=''
  if [ -n "$4" ]; then
    cut_in="-m recent --name $4 --rcheck --rsource "
    cut_out="-m recent --name $4 --rcheck --rdest "
  fi
  firewall_transaction "$1" "$2" "$(printf '%s\n' "$3" | sed -e "s/@IN@/$cut_in/" -e "s/@OUT@/$cut_out/")"
  echo COMMIT
}

# $1: a suffix for the lists, '' without; $2: --test, or nothing
cut_load() {
  cut_rules iptables "$cut_accept" "$cut_drop" "${1:+jtest-$cut_key-4}" | iptables-restore -w 5 --noflush ${2:+"$2"} &&
    if [ -n "$cut_drop6" ]; then
      cut_rules ip6tables "$cut_accept6" "$cut_drop6" "${1:+jtest-$cut_key-6}" | ip6tables-restore -w 5 --noflush ${2:+"$2"}
    fi
}

# Who undoes it meanwhile takes all of it along.
cut_abort() {
  if jtest_lock 10 && jtest_is_held_by "$cut_run"; then jtest_undo_fault "$cut_key" >/dev/null; fi
}

jtest_lock 10
if ! jtest_is_held_by "$cut_run"; then
  echo 'the hold on this host was lost' >&2
  exit 1
fi
jtest_renew "$cut_lease"
if ! grep -q -v ' lo$' /proc/net/if_inet6 2>/dev/null; then
  cut_drop6=
  echo 'note IPv6 is off here'
elif [ -n "$cut_drop6" ] && ! command -v ip6tables-restore >/dev/null 2>&1; then
  echo 'the peers have IPv6 addresses, but ip6tables is missing here; install the package iptables' >&2
  exit 1
fi
cut_gated=1
if ! perl -e "$clocks_program" 2>/dev/null || ! cut_load lists --test 2>/dev/null; then cut_gated=; fi
if [ -z "$cut_gated" ]; then
  if [ -n "$cut_flap" ]; then
    echo 'a flapping cut needs perl, and the netfilter match `recent` of the kernel; one of them is missing here' >&2
    exit 1
  fi
  echo 'note without perl and the netfilter match `recent` the rules are loaded at the moment of the cut'
  cut_load '' --test
fi
jtest_arm "$cut_key" "$cut_about" "$cut_undo"
trap cut_abort EXIT
if [ -n "$cut_gated" ]; then cut_load lists ''; fi
exec 9<&-
jtest_settle "$cut_key"

cut_gates=
for cut_address in $cut_addresses; do
  case $cut_address in
    *:*) if [ -n "$cut_drop6" ]; then cut_gates="$cut_gates $cut_lists-6=+$cut_address"; fi ;;
    *) cut_gates="$cut_gates $cut_lists-4=+$cut_address" ;;
  esac
done
cut_ready=$(jtest_now)
if [ -n "$cut_gated" ] && [ -z "$cut_flap" ]; then
  jtest_urgent
  # shellcheck disable=SC2086
  perl -e "$gates_program" "$((cut_ready / 100 + 15))" $cut_gates
else
  echo 'ready'
  read -r cut_word || cut_word=
  # What is put in place from here on would outlast an undo that came before. The others do not wait.
  if [ "$cut_word" = go ]; then jtest_lock 2; fi
  if [ "$cut_word" = go ] && [ "$(jtest_now)" -gt "$((cut_ready + 1500))" ]; then cut_word=late; fi
  if [ "$cut_word" = go ] && ! jtest_is_armed "$cut_run" "$jtest_faults/$cut_key"; then cut_word='it was undone before'; fi
  if [ "$cut_word" != go ]; then
    echo "aborted: ${cut_word:-not told to go}" >&2
    exit 1
  fi
  if [ -n "$cut_flap" ]; then
    # shellcheck disable=SC2016,SC2086
    systemd-run --quiet --collect --unit="jtest-flap-$cut_key" -- perl -e '
      my $seconds = shift(@ARGV) / 1000;
      my @gates = map { [split /=/, $_, 2] } @ARGV;
      sub put { open(my $list, ">", $_[0]) or exit; syswrite($list, "$_[1]\n"); close $list; }
      while (1) {
        put($_->[0], $_->[1]) for @gates;
        select(undef, undef, undef, $seconds);
        put($_->[0], "/") for @gates;
        select(undef, undef, undef, $seconds);
      }' "$cut_flap" $cut_gates
  else
    cut_load '' ''
  fi
  echo "fired $(date +%s%N)"
fi
trap - EXIT
