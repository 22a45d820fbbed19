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
# $1: the monitor, $2: what it is told, $3: with which value
resource_restore() {
  if ! rabbit_runs; then return 0; fi
  rabbit_eval "case whereis($1) of undefined -> \"gone\"; _ -> $1:$2($3), \"set\" end" >/dev/null
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

# Sets what several faults may set: each notes what it was before the first of them, and the last to be undone
# sets it so. $1: the note's name, $2: what tells how it is, then what sets it.
resource_take() {
  take_other=$(jtest_others "$1" | head -n 1)
  if [ -n "$take_other" ]; then
    cp "$jtest_faults/$take_other/$1" "$jtest_fault/$1.new"
  else
    "$2" >"$jtest_fault/$1.new"
  fi
  mv "$jtest_fault/$1.new" "$jtest_fault/$1"
  shift 2
  "$@"
}

# $1: the note's name, then what sets it and is given what it was
resource_give() {
  give_was=$(cat "$jtest_fault/$1" 2>/dev/null) || give_was=
  if [ -z "$give_was" ] || [ -n "$(jtest_others "$1")" ]; then return 0; fi
  shift
  "$@" "$give_was"
}

resource_watermark() {
  rabbit_eval 'lists:flatten(io_lib:format("~w", [vm_memory_monitor:get_vm_memory_high_watermark()]))'
}

resource_free_limit() {
  rabbit_eval 'lists:flatten(io_lib:format("~w", [rabbit_disk_monitor:get_disk_free_limit()]))'
}

resource_limit() {
  limit_pid=$(resource_pid rabbitmq-server.service)
  if [ -z "$limit_pid" ]; then
    echo 'no broker runs here' >&2
    return 1
  fi
  echo "$limit_pid $(resource_files "$limit_pid")"
}

# What is open stays open.
resource_open_no_more() {
  more_pid=$(resource_pid rabbitmq-server.service)
  resource_set_files "$more_pid" "$(find "/proc/$more_pid/fd" -mindepth 1 | wc -l)"
}

resource_open_as_before() {
  if [ "$(resource_pid rabbitmq-server.service)" = "${1% *}" ]; then resource_set_files "${1% *}" "${1#* }"; fi
}

resource_call() {
  rabbit_eval "$1, \"set\"" >/dev/null
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
      echo "noted=$(cut -d ' ' -f 2 "$jtest_fault/descriptors" 2>/dev/null || true)"
      ;;
  esac
  echo "others=$(jtest_others "$1" | paste -s -d ' ')"
}

inject() {
  case $1 in
    memory-alarm) jtest_alone resource_take "$1" resource_watermark resource_call 'vm_memory_monitor:set_vm_memory_high_watermark(0.000001)' ;;
    disk-alarm) jtest_alone resource_take "$1" resource_free_limit resource_call 'rabbit_disk_monitor:set_disk_free_limit(1000000000000000)' ;;
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
    descriptors) jtest_alone resource_take "$1" resource_limit resource_open_no_more ;;
  esac
}

undo() {
  case $1 in
    cpu | memory) systemctl stop "$(resource_unit "$3")" 2>/dev/null || true ;;
    memory-alarm) jtest_alone resource_give "$1" resource_restore vm_memory_monitor set_vm_memory_high_watermark ;;
    disk-alarm) jtest_alone resource_give "$1" resource_restore rabbit_disk_monitor set_disk_free_limit ;;
    descriptors) jtest_alone resource_give "$1" resource_open_as_before ;;
  esac
}
