# Undoes everything. $1: why (`expired`: only if the lease really has; `released`: only the hold of
# run $2; `asked`: whoever holds it, by $2; `unheld`: only what nobody holds any more, by $2). Runs from the
# lease's unit and over SSH alike.
if [ ! -e "$jtest_dir" ] && [ ! -e "$jtest_units/jtest-lease.timer" ] && [ ! -e "$jtest_faults" ]; then
  firewall_clean /dev/null
  exit 0
fi
# A holder that is stuck must not keep its faults in force.
jtest_lock 10 || jtest_log 'going on without the lock'
jtest_lock_hold 5 || jtest_log 'going on without the lock of the hold'
case $1 in
  expired)
    jtest_actor="the host itself: the lease of $(jtest_by) ran out"
    if [ "$(jtest_left)" -gt 0 ]; then
      # Renewed meanwhile, the timer waits again; else this unit is all there is, and tries again as one that failed.
      [ "$(systemctl show --property SubState --value jtest-lease.timer)" = waiting ]
      exit
    fi
    ;;
  released)
    if ! jtest_is_held_by "$2"; then
      echo 'lost=1'
      exit 0
    fi
    ;;
  unheld)
    if [ -n "$(jtest_holder)" ] && [ "$(jtest_left)" -gt 0 ]; then
      echo 'lost=1'
      exit 0
    fi
    jtest_actor=$2
    ;;
  asked) jtest_actor=$2 ;;
esac
if [ -e "$jtest_dir/holder" ]; then cat "$jtest_dir/holder"; fi
jtest_by_whom=$(jtest_by)
jtest_status=0
jtest_found=$(jtest_undo "$1") || jtest_status=1
printf '%s\n' "$jtest_found"
jtest_log "undone ($1): $(printf '%s' "$jtest_found" | tr '\n' ' '); by $jtest_by_whom"
exit "$jtest_status"
