# Everything of this node that explains a run, as a compressed tar on standard output.
# $1: the moment (seconds since the epoch) from which the journals are wanted. $2: what the
# broker is asked by eval. Each part may fail alone; a dead broker still gives its files.
home=$(mktemp -d /run/jtest-collect.XXXXXX)
trap 'rm -rf "$home"' EXIT
limit=67108864
mkdir "$home/log" "$home/config"
for file in /var/log/rabbitmq/*; do
  if [ -f "$file" ]; then tail -c "$limit" "$file" >"$home/log/$(basename "$file")"; fi
done
for file in rabbitmq.conf advanced.config rabbitmq-env.conf enabled_plugins; do
  if [ -f "/etc/rabbitmq/$file" ]; then cp "/etc/rabbitmq/$file" "$home/config/$file"; fi
done
ask() { timeout 25 "$@" 2>&1 || echo "(exit status $?)"; }
ask journalctl --no-pager --output=short-iso-precise --unit=rabbitmq-server --since="@$1" | tail -c "$limit" >"$home/unit.log"
ask journalctl --no-pager --output=short-iso-precise --dmesg --since="@$1" | tail -c "$limit" >"$home/kernel.log"
if pidof -q beam.smp || pgrep -x beam.smp >/dev/null; then
  ask rabbitmqctl -q -t 20 cluster_status >"$home/cluster_status.txt"
  ask rabbitmqctl -q -t 20 eval --formatter json "$2" >"$home/status.json"
fi
tar -C "$home" -czf - .
