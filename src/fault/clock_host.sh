# The system clock of a host that shares it with nobody; arguments as in clock.sh. What is needed to set it
# right is in a directory that a reboot takes along: then the clock is the hardware's again.
clock_dir=/run/jtest-clock
clock_ntp='systemd-timesyncd chrony chronyd ntp ntpsec ntpd openntpd'

host_clock_look() {
  perl -e "$clock_program" read
  if [ -s "$clock_dir/base" ]; then echo "right_us=$(cat "$clock_dir/base")"; fi
  echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
}

host_clock_ready() {
  mkdir -p -m 0700 "$clock_dir"
  if [ -s "$clock_dir/base" ]; then return 0; fi
  printf '%s\n' "$clock_program" >"$clock_dir/program"
  : >"$clock_dir/ntp"
  for ready_unit in $clock_ntp; do
    if systemctl is-active --quiet "$ready_unit.service"; then
      echo "$ready_unit.service" >>"$clock_dir/ntp"
      systemctl stop "$ready_unit.service"
    fi
  done
  perl "$clock_dir/program" read | sed -n 's/^base_us=//p' >"$clock_dir/base"
}

# $1: the fault's key, $2: what, $3, $4: how. From right time on, whatever another fault has done.
host_clock_apply() {
  apply_base=$(cat "$clock_dir/base")
  case $2 in
    bump) perl "$clock_dir/program" set "$apply_base" "${3}000" ;;
    drift)
      perl "$clock_dir/program" set "$apply_base" 0
      host_clock_keep "$1" drift "$3"
      ;;
    strobe) host_clock_keep "$1" strobe "$apply_base" "${3}000" "${4}000" ;;
  esac
}

# Goes on setting the clock. $1: the fault's key, then what the program takes.
host_clock_keep() {
  keep_unit=jtest-clock-$1
  shift
  systemd-run --quiet --collect --unit="$keep_unit" -- perl "$clock_dir/program" "$@"
}

host_clock_still() {
  systemctl stop "jtest-clock-$1.service" 2>/dev/null || true
}

# The control node's time, by what was measured of it. $1: microseconds of the host's clock before it
host_clock_reset() {
  perl -e "$clock_program" shift "$((-$1))"
}

host_clock_right() {
  if [ ! -s "$clock_dir/base" ]; then return 0; fi
  perl "$clock_dir/program" set "$(cat "$clock_dir/base")" 0
  while read -r right_unit; do systemctl start "$right_unit"; done <"$clock_dir/ntp"
  rm -rf "$clock_dir"
}
