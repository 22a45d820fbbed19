# Takes the hold, or says who has it; who has it already keeps it, for $3 seconds at least. $1: run id,
# $2: the record, $3: lease in seconds, $4: of a host that was held until it booted, the boot id from before;
# the undo is the standard input.
acquire_boot=$(cat /proc/sys/kernel/random/boot_id)
if [ ! -d /run/systemd/system ]; then
  echo 'systemd is not running here, and without it no lease can be armed' >&2
  exit 1
fi
jtest_lock 10
jtest_lock_hold 5
if [ -e "$jtest_dir/holder" ] && [ "$(jtest_holder)" != "$1" ] && [ "$(jtest_left)" -gt 0 ]; then
  cat "$jtest_dir/holder"
  echo "left_cs=$(jtest_left)"
  echo 'held'
  exit 0
fi
if [ "$(jtest_holder)" = "$1" ] && [ "$(jtest_left)" -gt 0 ] && [ -s "$jtest_dir/undo" ]; then
  jtest_extend "$3"
  echo "boot=$acquire_boot"
  echo 'kept'
  exit 0
fi
if [ "$4" = "$acquire_boot" ]; then
  rmdir "$jtest_dir" 2>/dev/null || true
  echo 'lost'
  exit 0
fi
# Whoever was here before is gone; what is left of it goes now.
jtest_actor="$(printf '%s\n' "$2" | sed -n 's/^who=//p') (run $1)"
if [ -z "$4" ] && ! jtest_undo_faults; then
  echo 'what an earlier fault did here cannot be undone' >&2
  exit 1
fi
firewall_clean "$jtest_dir/firewall"
rm -f "$jtest_dir/deadline" "$jtest_dir/holder"
exec 7<&-
printf '%s\n' "$2" >"$jtest_dir/holder"
jtest_log "taken by $jtest_actor: $(sed -n 's/^command=//p' "$jtest_dir/holder")"
cat >"$jtest_dir/undo"
firewall_listing >"$jtest_dir/firewall"
cat >"$jtest_units/jtest-lease.service" <<'UNIT'
[Unit]
Description=jtest undoes its faults: its lease has run out
StartLimitIntervalSec=0
[Service]
Type=oneshot
ExecStart=/bin/sh /run/jtest/undo expired
Restart=on-failure
RestartSec=2
UNIT
cat >"$jtest_units/jtest-lease.timer" <<UNIT
[Unit]
Description=The lease of jtest's faults on this host
# A renewal is a start. By default systemd refuses the sixth within ten seconds, and then there is
# no timer at all.
StartLimitIntervalSec=0
[Timer]
OnActiveSec=$3
AccuracySec=100ms
RemainAfterElapse=no
UNIT
systemctl daemon-reload
jtest_renew "$3"
echo "boot=$acquire_boot"
echo 'taken'
