# Starts the broker from nothing: whatever data it had is gone afterwards.
systemctl unmask --quiet rabbitmq-server 2>/dev/null || true
systemctl reset-failed rabbitmq-server 2>/dev/null || true
# A broker that hangs must not hang us: asked to stop, then killed with its unit.
timeout 20 systemctl stop rabbitmq-server || systemctl kill --signal=SIGKILL rabbitmq-server || true
timeout 20 systemctl stop rabbitmq-server || true
rm -rf /var/lib/rabbitmq/mnesia
systemctl start rabbitmq-server
