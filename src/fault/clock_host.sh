# The system clock of a host that shares it with nobody; arguments as in clock.sh. What is needed to set it
# right is in a directory that a reboot takes along: then the clock is the hardware's again.
clock_dir=/run/jtest-clock
clock_ntp='systemd-timesyncd chrony chronyd ntp ntpsec ntpd openntpd'

host_clock_look() {
  perl -e "$clock_program" read
  echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
}

host_clock_inject() {
  mkdir -p -m 0700 "$clock_dir/faults"
  if [ ! -s "$clock_dir/base" ]; then
    printf '%s\n' "$clock_program" >"$clock_dir/program"
    : >"$clock_dir/ntp"
    for inject_unit in $clock_ntp; do
      if systemctl is-active --quiet "$inject_unit.service"; then
        echo "$inject_unit.service" >>"$clock_dir/ntp"
        systemctl stop "$inject_unit.service"
      fi
    done
    perl "$clock_dir/program" read | sed -n 's/^base_us=//p' >"$clock_dir/base"
  fi
  : >"$clock_dir/faults/$4"
  inject_base=$(cat "$clock_dir/base")
  case $1 in
    bump) perl "$clock_dir/program" set "$inject_base" "${2}000" ;;
    drift) host_clock_keep "$4" drift "$2" ;;
    strobe) host_clock_keep "$4" strobe "$inject_base" "${2}000" "${3}000" ;;
  esac
}

# Goes on setting the clock. $1: the fault's key, then what the program takes.
host_clock_keep() {
  keep_unit=jtest-clock-$1
  shift
  systemd-run --quiet --collect --unit="$keep_unit" -- perl "$clock_dir/program" "$@"
}

host_clock_undo() {
  systemctl stop "jtest-clock-$4.service" 2>/dev/null || true
  if [ ! -s "$clock_dir/base" ]; then return 0; fi
  perl "$clock_dir/program" set "$(cat "$clock_dir/base")" 0
  rm -f "$clock_dir/faults/$4"
  if [ -n "$(ls "$clock_dir/faults")" ]; then return 0; fi
  while read -r undo_unit; do systemctl start "$undo_unit"; done <"$clock_dir/ntp"
  rm -rf "$clock_dir"
}
