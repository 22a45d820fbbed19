# The host goes down and comes back. $1: order or power.
reboot_unsynced=/var/tmp/jtest-unsynced

look() {
  echo "boot=$(cat /proc/sys/kernel/random/boot_id)"
  echo "unsynced=$(cat "$reboot_unsynced" 2>/dev/null || true)"
  echo "broker=$(systemctl is-active rabbitmq-server.service || true)"
}

# It waits until this shell has told that it is done.
inject() {
  case $1 in
    order) inject_down='exec systemctl reboot' ;;
    power) inject_down='cat /proc/sys/kernel/random/boot_id >"$2"; echo b >/proc/sysrq-trigger' ;;
  esac
  systemd-run --quiet --collect --unit=jtest-reboot -- sh -c '
    tries=0
    while [ -e "/proc/$1" ] && [ "$tries" -lt 40 ]; do
      sleep 0.05
      tries=$((tries + 1))
    done
    sleep 0.1
    '"$inject_down" reboot "$$" "$reboot_unsynced"
}
