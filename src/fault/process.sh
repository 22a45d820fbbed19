# The broker's processes. $1: what is done (KILL, TERM, stop, pause, restart), $2: broker or epmd, $3: whether the
# unit's own restart stays in force, $4: the fault's key.
#
# Several faults may keep the same process down or frozen: each notes what ran before the first of them, and
# the last to be undone brings it back.
process_unit() {
  case $1 in
    epmd) echo epmd.service ;;
    *) echo rabbitmq-server.service ;;
  esac
}

# What a fault notes about the process.
process_mark() {
  case $1 in
    pause) echo "frozen-$2" ;;
    *) echo "down-$2" ;;
  esac
}

# The broker's is the main process of its unit; epmd may have been started by whoever came first.
process_pid() {
  case $1 in
    epmd) pidof -s epmd || true ;;
    *) systemctl show --property MainPID --value rabbitmq-server.service | sed 's/^0$//' ;;
  esac
}

# A process is named by its start time, too: numbers are used again.
process_id() {
  process_found=$(process_pid "$1")
  if [ -n "$process_found" ] && [ -r "/proc/$process_found/stat" ]; then
    sed 's/^.*) //' "/proc/$process_found/stat" | cut -d ' ' -f 1,20 | {
      read -r process_state process_start
      echo "$process_found@$process_start $process_state"
    }
  fi
}

# Keys of the other faults that keep it as this one does, or down.
process_others() {
  {
    jtest_others "$(process_mark "$1" "$2")"
    jtest_others "down-$2"
  } | sort -u
}

look() {
  process_look "$@"
}

process_look() {
  look_id=$(process_id "$2")
  echo "process=${look_id%% *}"
  echo "state=${look_id##* }"
  echo "frozen=$(cat "$jtest_fault/frozen" 2>/dev/null || true)"
  echo "unit=$(systemctl show --property ActiveState --value "$(process_unit "$2")")"
  echo "others=$(process_others "$1" "$2" | paste -s -d ' ')"
}

# $1: what is done, $2: the process
process_note() {
  note_id=$(process_id "$2" | cut -d ' ' -f 1)
  if [ -z "$note_id" ]; then
    note_other=$(jtest_others "down-$2" | head -n 1)
    if [ -n "$note_other" ]; then note_id=$(cat "$jtest_faults/$note_other/down-$2"); fi
  fi
  printf '%s\n' "$note_id" >"$jtest_fault/$(process_mark "$1" "$2")"
}

# $1: the process, $2: the fault's key
process_keep_down() {
  keep_unit=$(process_unit "$1")
  mkdir -p "/run/systemd/system/$keep_unit.d"
  printf '[Service]\nRestart=no\n' >"/run/systemd/system/$keep_unit.d/jtest-$2.conf"
  systemctl daemon-reload
}

# Whoever connects to epmd's socket would start it again. With the socket goes whatever it has started.
process_close_socket() {
  if [ -n "$(jtest_others socket)" ] || systemctl is-active --quiet epmd.socket; then
    : >"$jtest_fault/socket"
    systemctl stop epmd.socket
  fi
}

# What can be done to a process that does not run, because of another fault of ours.
process_absent() {
  if [ "$1" != pause ] && [ -n "$(jtest_others "down-$2")" ]; then
    if [ "$3" = false ]; then systemctl stop "$(process_unit "$2")"; fi
    return
  fi
  if [ "$2" = broker ] && absent_why=$(broker_held process); then
    jtest_idle "$absent_why"
  elif [ -n "$(jtest_others "down-$2")" ]; then
    jtest_idle "$2 does not run, by $(jtest_others "down-$2" | paste -s -d ' ')"
  else
    echo "no $2 runs here" >&2
    return 1
  fi
}

process_freeze() {
  kill -STOP "${1%@*}"
  for freeze_try in 1 2 3 4 5 6 7 8 9 10; do
    freeze_is=$(process_id "$2")
    if [ "$freeze_is" = "$1 T" ]; then
      echo "$1" >"$jtest_fault/frozen"
      return
    fi
    sleep 0.02
  done
}

inject() {
  if [ "$1" = restart ]; then
    systemctl restart rabbitmq-server.service
    return
  fi
  jtest_alone process_note "$1" "$2"
  if [ "$1" = stop ]; then
    systemctl stop rabbitmq-server.service
    return
  fi
  if [ "$1" != pause ] && [ "$3" = false ]; then jtest_alone process_keep_down "$2" "$4"; fi
  inject_id=$(process_id "$2" | cut -d ' ' -f 1)
  if [ -z "$inject_id" ]; then
    process_absent "$@"
  elif [ "$1" = pause ]; then
    process_freeze "$inject_id" "$2"
  else
    kill "-$1" "${inject_id%@*}"
  fi
  if [ "$2" = epmd ] && [ "$1" != pause ] && [ "$3" = false ]; then jtest_alone process_close_socket; fi
}

undo() {
  jtest_alone process_undo "$@"
}

process_undo() {
  undo_others=$(jtest_others "$(process_mark "$1" "$2")")
  undo_was=$(cat "$jtest_fault/$(process_mark "$1" "$2")" 2>/dev/null) || undo_was=
  if [ "$1" = pause ]; then
    undo_is=$(process_id "$2")
    if [ -z "$undo_others" ] && [ -n "$undo_was" ] && [ "${undo_is%% *}" = "$undo_was" ]; then kill -CONT "${undo_was%@*}"; fi
    return
  fi
  undo_unit=$(process_unit "$2")
  if [ -e "/run/systemd/system/$undo_unit.d/jtest-$4.conf" ]; then
    rm -f "/run/systemd/system/$undo_unit.d/jtest-$4.conf"
    rmdir "/run/systemd/system/$undo_unit.d" 2>/dev/null || true
    systemctl daemon-reload
  fi
  if [ -e "$jtest_fault/socket" ] && [ -z "$(jtest_others socket)" ]; then systemctl start epmd.socket; fi
  # What did not run before stays down.
  if [ -z "$undo_was" ] || [ -n "$undo_others" ]; then return; fi
  if [ "$2" = epmd ]; then
    if [ -z "$(process_pid epmd)" ]; then systemctl start epmd.service 2>/dev/null || epmd -daemon; fi
  else
    # A broker that waits for its peers must not keep the undo from the others' hosts.
    systemctl reset-failed rabbitmq-server.service 2>/dev/null || true
    systemctl start --no-block rabbitmq-server.service
  fi
}
