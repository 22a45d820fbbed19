# Arms a fault and says `ready`; injects it when told `go`. Anything else, or the end of the input,
# leaves the host as it was. $1: run id, $2: lease in seconds, $3: the fault's key, $4: what it is, $5: its
# undo ('' for none), then what `inject` takes.
arm_run=$1 arm_lease=$2 arm_key=$3 arm_about=$4 arm_undo=$5
shift 5
jtest_fault=$jtest_faults/$arm_key

# Who heals the host in mid-injection finds the undo and takes it along: then it is done again here.
arm_end() {
  if [ -z "$arm_undo" ] || [ -d "$jtest_fault" ]; then return 0; fi
  arm_scratch=$(mktemp -d)
  jtest_fault=$arm_scratch sh -c "$arm_undo" >&2 || true
  rm -rf "$arm_scratch"
  echo 'it was healed meanwhile' >&2
  exit 1
}

jtest_lock 10
if ! jtest_is_held_by "$arm_run"; then
  echo 'the hold on this host was lost' >&2
  exit 1
fi
jtest_renew "$arm_lease"
if [ -n "$arm_undo" ]; then
  jtest_arm "$arm_key" "$arm_about" "$arm_undo"
else
  jtest_fault=$jtest_dir/moment-$arm_key
  rm -rf "$jtest_fault"
  mkdir "$jtest_fault"
  jtest_log "fault $arm_key: $arm_about"
fi
exec 9<&-
trap arm_end EXIT
arm_ready=$(jtest_now)
echo 'ready'
read -r arm_word || arm_word=
if [ "$arm_word" = go ] && [ "$(jtest_now)" -gt "$((arm_ready + 1500))" ]; then arm_word=late; fi
if [ "$arm_word" = go ] && [ ! -d "$jtest_fault" ]; then arm_word='the lease ran out before'; fi
if [ "$arm_word" != go ]; then
  trap - EXIT
  rm -rf "$jtest_fault"
  echo "aborted: ${arm_word:-not told to go}" >&2
  exit 1
fi
inject "$@"
echo "fired $(date +%s%N)"
