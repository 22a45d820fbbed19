# Ends a broker whose data are to be removed: nothing that it could write on its way down is kept. A stop also ends
# systemd's own wish to start it again, and what the unit has for a stop only asks the dead broker: mostly the second kill ends
# that, too. A broker that systemd was faster with, and that hangs, must not hang us.
rabbit_kill() {
  systemctl kill --signal=SIGKILL rabbitmq-server 2>/dev/null || true
  systemctl stop --no-block rabbitmq-server 2>/dev/null || true
  systemctl kill --signal=SIGKILL rabbitmq-server 2>/dev/null || true
  timeout 20 systemctl stop rabbitmq-server 2>/dev/null || systemctl kill --signal=SIGKILL rabbitmq-server 2>/dev/null || true
  timeout 20 systemctl stop rabbitmq-server 2>/dev/null || true
}
