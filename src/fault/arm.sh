# Arms a fault and says `ready`; injects it when told `go`. Anything else, or the end of the input,
# leaves the host as it was. $1: run id, $2: lease in seconds, $3: the fault's key, $4: what it is, $5: its
# undo ('' for none), $6: what is needed of the broker, as in broker_held.sh ('' for nothing), then what `inject`
# takes.
arm_run=$1 arm_lease=$2 arm_key=$3 arm_about=$4 arm_undo=$5 arm_needs=$6
shift 6
jtest_fault=$jtest_faults/$arm_key

# Where the hold is lost, it is not there any more.
arm_abort() {
  jtest_lock 10 || true
  if jtest_is_held_by "$arm_run"; then jtest_disarm "$jtest_fault"; fi
}

# Who heals the host in mid-injection finds the undo and takes it along: then it is done again here.
arm_end() {
  trap - EXIT
  if [ -z "$arm_undo" ] || [ -d "$jtest_fault" ]; then return 0; fi
  arm_scratch=$(mktemp -d)
  jtest_fault=$arm_scratch sh -c "$arm_undo" >&2 || true
  rm -rf "$arm_scratch"
  echo 'it was healed meanwhile' >&2
  exit 1
}

# A broker on its way down is not down yet.
arm_await_held() {
  for arm_try in 1 2 3 4 5; do
    if broker_held "$arm_needs"; then return 0; fi
    sleep 1
  done
  return 1
}

# What cannot be done because another fault has the broker down has nothing to do: it is noted, and no failure.
arm_inject() {
  if [ -n "$arm_needs" ] && arm_held=$(broker_held "$arm_needs"); then
    jtest_idle "$arm_held"
    return
  fi
  # Of a function in a condition the shell would not notice a failure inside.
  arm_failed=0
  (inject "$@") &
  wait "$!" || arm_failed=$?
  if [ "$arm_failed" = 0 ]; then return; fi
  if [ -z "$arm_needs" ] || ! arm_held=$(arm_await_held); then exit "$arm_failed"; fi
  if [ -n "$arm_undo" ]; then jtest_fault=$jtest_fault sh -c "$arm_undo" >&2; fi
  jtest_idle "$arm_held"
}

jtest_lock 10
if ! jtest_is_held_by "$arm_run"; then
  echo 'the hold on this host was lost' >&2
  exit 1
fi
jtest_renew "$arm_lease"
if [ -n "$arm_undo" ]; then
  jtest_arm "$arm_key" "$arm_about" "$arm_undo"
  if [ "$arm_needs" = app ]; then : >"$jtest_fault/needs-app"; fi
else
  jtest_fault=$jtest_dir/moment-$arm_key
  rm -rf "$jtest_fault"
  mkdir "$jtest_fault"
  jtest_log "fault $arm_key: $arm_about; by $(jtest_by)"
fi
exec 9<&-
trap arm_abort EXIT
if [ -n "$arm_undo" ]; then jtest_settle "$arm_key"; fi
arm_ready=$(jtest_now)
echo 'ready'
read -r arm_word || arm_word=
if [ "$arm_word" = go ] && [ "$(jtest_now)" -gt "$((arm_ready + 1500))" ]; then arm_word=late; fi
if [ "$arm_word" = go ] && ! jtest_is_armed "$arm_run" "$jtest_fault"; then arm_word='it was undone before'; fi
if [ "$arm_word" != go ]; then
  echo "aborted: ${arm_word:-not told to go}" >&2
  exit 1
fi
trap arm_end EXIT
arm_inject "$@"
if [ -z "$arm_undo" ]; then jtest_lately "$arm_about"; fi
arm_end
echo "fired $(date +%s%N)"
