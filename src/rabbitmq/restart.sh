# Starts the broker from nothing: whatever data it had is gone afterwards. Standard input: the
# cookie, a new one each time, so that no broker of an earlier cluster finds its way in.
state=/var/lib/jtest
: >"$state/stale"
systemctl daemon-reload
systemctl unmask --quiet rabbitmq-server 2>/dev/null || true
rabbit_kill
systemctl reset-failed rabbitmq-server 2>/dev/null || true
rm -rf /var/lib/rabbitmq/mnesia
cookie=$(cat)
for file in "$state/cookie" /var/lib/rabbitmq/.erlang.cookie; do
  rm -f "$file"
  (umask 077 && printf '%s' "$cookie" >"$file")
  chmod 400 "$file"
done
chown rabbitmq:rabbitmq /var/lib/rabbitmq/.erlang.cookie
if ! systemctl start rabbitmq-server 2>/dev/null; then
  echo 'the broker does not start; its last words:' >&2
  {
    journalctl --unit=rabbitmq-server --no-pager --output=cat --lines=40
    for log in /var/log/rabbitmq/rabbit@*.log; do
      if [ -f "$log" ]; then tail -n 40 "$log"; fi
    done
  } 2>/dev/null | grep -v -e '^$' -e '\[info\]' | tail -n 15 | cut -c1-300 >&2
  exit 1
fi
rm -f "$state/stale"
