# The broker's processes. $1: what is done (KILL, TERM, stop, pause, restart), $2: broker or epmd, $3: whether the
# unit's own restart stays in force.
process_unit() {
  case $1 in
    epmd) echo epmd.service ;;
    *) echo rabbitmq-server.service ;;
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

look() {
  look_id=$(process_id "$2")
  echo "process=${look_id%% *}"
  echo "state=${look_id##* }"
  echo "unit=$(systemctl show --property ActiveState --value "$(process_unit "$2")")"
}

process_keep_down() {
  mkdir -p "/run/systemd/system/rabbitmq-server.service.d"
  printf '[Service]\nRestart=no\n' >/run/systemd/system/rabbitmq-server.service.d/jtest-fault.conf
  systemctl daemon-reload
}

inject() {
  process_id "$2" | cut -d ' ' -f 1 >"$jtest_fault/process"
  inject_pid=$(process_pid "$2")
  case $1 in
    restart) systemctl restart rabbitmq-server.service; return ;;
    stop) systemctl stop rabbitmq-server.service; return ;;
  esac
  if [ -z "$inject_pid" ]; then
    echo "no $2 runs here" >&2
    return 1
  fi
  if [ "$1" = pause ]; then
    kill -STOP "$inject_pid"
    return
  fi
  if [ "$3" = false ]; then process_keep_down; fi
  kill "-$1" "$inject_pid"
}

undo() {
  if [ "$1" = pause ]; then
    undo_was=$(cat "$jtest_fault/process" 2>/dev/null) || undo_was=
    undo_is=$(process_id "$2")
    if [ -n "$undo_was" ] && [ "${undo_is%% *}" = "$undo_was" ]; then kill -CONT "${undo_was%@*}"; fi
    return
  fi
  if [ -e /run/systemd/system/rabbitmq-server.service.d/jtest-fault.conf ]; then
    rm -f /run/systemd/system/rabbitmq-server.service.d/jtest-fault.conf
    rmdir /run/systemd/system/rabbitmq-server.service.d 2>/dev/null || true
    systemctl daemon-reload
  fi
  # What did not run before stays down.
  if [ ! -s "$jtest_fault/process" ]; then return; fi
  if [ "$2" = epmd ]; then
    if [ -z "$(process_pid epmd)" ]; then systemctl start epmd.service 2>/dev/null || epmd -daemon; fi
  else
    # A broker that waits for its peers must not keep the undo from the others' hosts.
    systemctl reset-failed rabbitmq-server.service 2>/dev/null || true
    systemctl start --no-block rabbitmq-server.service
  fi
}
