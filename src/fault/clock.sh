# A clock that is wrong: the host's where it has one of its own, else the broker's. $1: bump, drift, strobe or
# reset, $2: by so many milliseconds, or how many times as fast, $3: milliseconds each way of a strobe, $4: the
# fault's key, $5: the peers, $6: microseconds of the host's clock before the control node's, where known.
#
# Of several faults of one clock the newest is in force, and when it is undone the newest of the others.
clock_whose() {
  if machine_has_own_clock; then echo host; else echo broker; fi
}

look() {
  "$(clock_whose)_clock_look"
  echo "others=$(jtest_others clock | paste -s -d ' ')"
}

inject() {
  if [ "$(clock_whose)" = broker ] && inject_held=$(broker_held app); then
    jtest_idle "$inject_held"
  elif [ "$1" = reset ]; then
    "$(clock_whose)_clock_reset" "${6:-0}"
  else
    jtest_alone clock_take "$@"
  fi
}

clock_take() {
  "$(clock_whose)_clock_ready"
  printf '%s %s %s\n' "$1" "$2" "$3" >"$jtest_fault/clock"
  clock_apply "$4" "$@"
}

# Ends what other faults do to the clock, and does this. $1: the fault's key, $2: what, $3, $4: how.
clock_apply() {
  for clock_key in $(jtest_others clock) "$1"; do "$(clock_whose)_clock_still" "$clock_key"; done
  "$(clock_whose)_clock_apply" "$@"
}

undo() {
  jtest_alone clock_give "$4"
}

# $1: the fault's key
clock_give() {
  "$(clock_whose)_clock_still" "$1"
  give_other=$(jtest_others clock | head -n 1)
  if [ -z "$give_other" ]; then
    "$(clock_whose)_clock_right"
  elif read -r give_what give_first give_second <"$jtest_faults/$give_other/clock"; then
    clock_apply "$give_other" "$give_what" "$give_first" "$give_second"
  fi
}
