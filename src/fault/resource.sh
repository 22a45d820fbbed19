# What the broker shares with others on its host. $1: memory-alarm, disk-alarm, cpu, memory or descriptors;
# $2: how many processes, or how many bytes; $3: the fault's key.
resource_unit() {
  echo "jtest-pressure-$1.service"
}

resource_alarm() {
  rabbit_eval "case [N || {{resource_limit, $1, N}, _} <- rabbit_alarm:get_alarms(), N =:= node()] of [] -> \"off\"; _ -> \"on\" end" ||
    echo unknown
}

# A monitor that does not run, and a broker, have lost the setting; one that does not answer is asked again.
# $1: the monitor, $2: what it is told.
resource_restore() {
  if ! rabbit_runs; then return 0; fi
  rabbit_eval "case whereis($1) of undefined -> \"gone\"; _ -> $1:$2, \"set\" end" >/dev/null
}

resource_pid() {
  systemctl show --property MainPID --value "$1" | sed 's/^0$//'
}

# How many files a process may open: the soft limit, which its own user may lower and raise again.
resource_files() {
  sed -n 's/^Max open files  *\([0-9a-z]*\) .*$/\1/p' "/proc/$1/limits"
}

# $1: the process, $2: how many
resource_set_files() {
  setpriv --reuid "$(stat -c %u "/proc/$1")" --regid "$(stat -c %g "/proc/$1")" --clear-groups \
    prlimit --pid "$1" --nofile="$2:"
}

look() {
  case $1 in
    memory-alarm) echo "alarm=$(resource_alarm memory)" ;;
    disk-alarm) echo "alarm=$(resource_alarm disk)" ;;
    cpu)
      look_pid=$(resource_pid "$(resource_unit "$3")")
      if [ -z "$look_pid" ]; then return; fi
      echo "processes=$(ps -o pid= --ppid "$look_pid" | grep -c .)"
      echo "seconds=$(ps -o cputimes= --ppid "$look_pid" | awk '{ all += $1 } END { print all + 0 }')"
      ;;
    memory)
      look_pid=$(resource_pid "$(resource_unit "$3")")
      if [ -z "$look_pid" ]; then return; fi
      echo "resident_kib=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$look_pid/status")"
      ;;
    descriptors)
      look_pid=$(resource_pid rabbitmq-server.service)
      if [ -z "$look_pid" ]; then return; fi
      echo "limit=$(resource_files "$look_pid")"
      ;;
  esac
}

inject() {
  case $1 in
    memory-alarm)
      rabbit_eval 'lists:flatten(io_lib:format("~w", [vm_memory_monitor:get_vm_memory_high_watermark()]))' >"$jtest_fault/before" || return 1
      rabbit_eval 'vm_memory_monitor:set_vm_memory_high_watermark(0.000001), "set"' >/dev/null
      ;;
    disk-alarm)
      rabbit_eval 'lists:flatten(io_lib:format("~w", [rabbit_disk_monitor:get_disk_free_limit()]))' >"$jtest_fault/before" || return 1
      rabbit_eval 'rabbit_disk_monitor:set_disk_free_limit(1000000000000000), "set"' >/dev/null
      ;;
    cpu)
      # An hour at most, whatever becomes of everybody else.
      systemd-run --quiet --collect --unit="$(resource_unit "$3")" --property=RuntimeMaxSec=3600 -- perl -e '
        for (1 .. $ARGV[0]) { if (!fork) { while (1) {} } }
        sleep' "$2"
      ;;
    memory)
      inject_free=$(sed -n 's/^MemAvailable:[[:space:]]*\([0-9]*\) kB$/\1/p' /proc/meminfo)
      if [ "$2" -gt "$((inject_free * 512))" ]; then
        echo "$2 bytes are more than half of what is available here: $((inject_free * 512)) bytes" >&2
        return 1
      fi
      systemd-run --quiet --collect --unit="$(resource_unit "$3")" --property=RuntimeMaxSec=3600 -- perl -e '
        my $held = "x" x $ARGV[0];
        sleep' "$2"
      ;;
    descriptors)
      inject_pid=$(resource_pid rabbitmq-server.service)
      if [ -z "$inject_pid" ]; then
        echo 'no broker runs here' >&2
        return 1
      fi
      echo "$inject_pid $(resource_files "$inject_pid")" >"$jtest_fault/before"
      # What is open stays open.
      resource_set_files "$inject_pid" "$(find "/proc/$inject_pid/fd" -mindepth 1 | wc -l)"
      ;;
  esac
}

undo() {
  case $1 in
    cpu | memory) systemctl stop "$(resource_unit "$3")" 2>/dev/null || true; return ;;
  esac
  undo_before=$(cat "$jtest_fault/before" 2>/dev/null) || undo_before=
  if [ -z "$undo_before" ]; then return; fi
  case $1 in
    memory-alarm) resource_restore vm_memory_monitor "set_vm_memory_high_watermark($undo_before)" ;;
    disk-alarm) resource_restore rabbit_disk_monitor "set_disk_free_limit($undo_before)" ;;
    descriptors)
      if [ "$(resource_pid rabbitmq-server.service)" = "${undo_before% *}" ]; then
        resource_set_files "${undo_before% *}" "${undo_before#* }"
      fi
      ;;
  esac
}
