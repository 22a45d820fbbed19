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

broker_clock_inject() {
  inject_library=$(clock_library)
  if [ ! -e "$clock_file" ]; then clock_put '+0 x1'; fi
  if ! clock_is_followed; then
    mkdir -p "${clock_unit%/*}"
    cat >"$clock_unit" <<UNIT
[Service]
Environment=LD_PRELOAD=$inject_library
Environment=FAKETIME_TIMESTAMP_FILE=$clock_file
Environment=FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
UNIT
    systemctl daemon-reload
    jtest_log 'restarting the broker, so that it follows a clock of its own'
    systemctl restart rabbitmq-server.service
  fi
  case $1 in
    bump) clock_put "$(clock_off_by "$2")" ;;
    drift)
      clock_is_followed
      clock_put "$(clock_at_speed "$2")"
      ;;
    strobe)
      systemd-run --quiet --collect --unit="jtest-strobe-$4" -- sh -c '
        while true; do
          for offset in "$1" "+0 x1"; do
            printf "%s\n" "$offset" >"$3.strobe"
            chmod 644 "$3.strobe"
            mv "$3.strobe" "$3"
            sleep "$2"
          done
        done' strobe "$(clock_off_by "$2")" "$(awk -v ms="$3" 'BEGIN { printf "%.3f", ms / 1000 }')" "$clock_file"
      ;;
  esac
}

# The broker keeps the library, and with it true time, until it is started again.
broker_clock_undo() {
  systemctl stop "jtest-strobe-$4.service" 2>/dev/null || true
  if [ -e "$clock_file" ]; then clock_put '+0 x1'; fi
  if [ -e "$clock_unit" ]; then
    rm -f "$clock_unit"
    rmdir "${clock_unit%/*}" 2>/dev/null || true
    systemctl daemon-reload
  fi
}
