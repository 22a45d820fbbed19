# Whether the broker cannot be had because of another fault of ours, and why.

# The kinds that take a broker away, or its application where the cluster pauses a minority.
held_kinds=' partition kill terminate stop pause restart stop-app clock-bump clock-drift clock-strobe forget reset lose-unsynced reboot power-cycle '
# How long a broker may take to come back, in hundredths of a second.
held_recovery=6000

# Says what is wrong with the broker and by which faults, if any are to blame; else it fails.
# $1: what is needed of it: `thawed` (no more than that it is not frozen), `process` or `app`.
broker_held() {
  held_pid=$(systemctl show --property MainPID --value rabbitmq-server.service | sed 's/^0$//')
  if [ -z "$held_pid" ]; then
    held_how='does not run'
    [ "$1" != thawed ] || return 1
  elif [ "$(sed 's/^.*) //' "/proc/$held_pid/stat" 2>/dev/null | cut -c 1)" = T ]; then
    held_how='is frozen'
  elif [ "$1" = app ] && [ "$(rabbit_app 2>/dev/null || true)" != running ]; then
    held_how='has its application down'
  else
    return 1
  fi
  held_causes=$(held_by)
  [ -n "$held_causes" ] || return 1
  echo "the broker $held_how, by $held_causes"
}

# The faults of ours that may have taken it away, in words: those in force, or one that was until lately.
held_by() {
  held_now=$(held_in_force)
  if [ -n "$held_now" ]; then
    printf '%s\n' "$held_now" | paste -s -d ';' | sed 's/;/; /g'
  elif [ -e "$jtest_dir/lately" ] && read -r held_when held_about <"$jtest_dir/lately" && [ "$(jtest_now)" -lt "$((held_when + held_recovery))" ]; then
    held_takes_away "$held_about (lately)"
  fi
}

held_in_force() {
  for held_fault in "$jtest_faults"/*; do
    if [ -e "$held_fault/about" ] && [ "$held_fault" != "$jtest_fault" ] && [ ! -e "$held_fault/idle" ]; then
      held_takes_away "$(cat "$held_fault/about")"
    fi
  done
}

held_takes_away() {
  case $held_kinds in *" ${1%% *} "*) echo "$1" ;; esac
}
