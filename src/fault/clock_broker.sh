# The broker's clock alone, by libfaketime, its monotonic clock excepted; arguments as in clock.sh.
clock_file=/run/jtest-faketime
clock_unit=/run/systemd/system/rabbitmq-server.service.d/jtest-clock.conf

clock_library() {
  for clock_path in /usr/lib/*/faketime/libfaketimeMT.so.1; do
    if [ -e "$clock_path" ]; then
      echo "$clock_path"
      return
    fi
  done
  echo 'libfaketime is missing here: apt-get install libfaketime' >&2
  return 1
}

# Milliseconds of the broker's clock before the host's.
broker_clock_look() {
  echo "wall_us=$(date +%s%6N)"
  look_before=$(date +%s%3N)
  look_broker=$(rabbit_eval 'integer_to_list(os:system_time(millisecond))') || look_broker=
  look_after=$(date +%s%3N)
  if [ -n "$look_broker" ]; then
    echo "offset_ms=$((look_broker - (look_before + look_after) / 2))"
    echo "error_ms=$(((look_after - look_before) / 2 + 1))"
  fi
}

# Whether the broker runs with the library, and so follows the file.
clock_is_followed() {
  clock_pid=$(systemctl show --property MainPID --value rabbitmq-server.service)
  tr '\0' '\n' <"/proc/$clock_pid/environ" 2>/dev/null | grep -q "^FAKETIME_TIMESTAMP_FILE=$clock_file\$"
}

clock_put() {
  printf '%s\n' "$1" >"$clock_file.new"
  chmod 644 "$clock_file.new"
  mv "$clock_file.new" "$clock_file"
}

# The clock so many milliseconds off, at its true speed. $1: milliseconds
clock_off_by() {
  awk -v ms="$1" 'BEGIN { printf "%+.3f x1", ms / 1000 }'
}

# The clock so many times as fast from now on: the library counts from the start of the process. $1: the factor
clock_at_speed() {
  clock_start=$(sed 's/^.*) //' "/proc/$clock_pid/stat" | cut -d ' ' -f 20)
  read -r clock_up clock_rest </proc/uptime
  awk -v up="$clock_up" -v start="$clock_start" -v factor="$1" \
    'BEGIN { printf "%+.3f x%s", (up - start / 100) * (1 - factor), factor }'
}

broker_clock_ready() {
  ready_library=$(clock_library)
  if [ ! -e "$clock_file" ]; then clock_put '+0 x1'; fi
  if clock_is_followed; then return 0; fi
  mkdir -p "${clock_unit%/*}"
  cat >"$clock_unit" <<UNIT
[Service]
Environment=LD_PRELOAD=$ready_library
Environment=FAKETIME_TIMESTAMP_FILE=$clock_file
Environment=FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
UNIT
  systemctl daemon-reload
  jtest_log 'restarting the broker, so that it follows a clock of its own'
  systemctl restart rabbitmq-server.service
}

# $1: the fault's key, $2: what, $3, $4: how
broker_clock_apply() {
  case $2 in
    bump) clock_put "$(clock_off_by "$3")" ;;
    drift)
      if ! clock_is_followed; then return 0; fi
      clock_put "$(clock_at_speed "$3")"
      ;;
    strobe)
      systemd-run --quiet --collect --unit="jtest-strobe-$1" -- sh -c '
        while true; do
          for offset in "$1" "+0 x1"; do
            printf "%s\n" "$offset" >"$3.strobe"
            chmod 644 "$3.strobe"
            mv "$3.strobe" "$3"
            sleep "$2"
          done
        done' strobe "$(clock_off_by "$3")" "$(awk -v ms="$4" 'BEGIN { printf "%.3f", ms / 1000 }')" "$clock_file"
      ;;
  esac
}

broker_clock_still() {
  systemctl stop "jtest-strobe-$1.service" 2>/dev/null || true
}

# The control node's time. The host's own clock stays as it is: it is not the host's alone. $1: microseconds of the
# host's clock before the control node's
broker_clock_reset() {
  if [ "$1" = 0 ] && [ ! -e "$clock_file" ]; then return 0; fi
  broker_clock_ready
  clock_put "$(clock_off_by "$((-$1 / 1000))")"
}

# The broker keeps the library, and with it true time, until it is started again.
broker_clock_right() {
  if [ -e "$clock_file" ]; then clock_put '+0 x1'; fi
  if [ -e "$clock_unit" ]; then
    rm -f "$clock_unit"
    rmdir "${clock_unit%/*}" 2>/dev/null || true
    systemctl daemon-reload
  fi
}
