# Everything of this node that explains a run, as a compressed tar on standard output.
# $1: the moment (seconds since the epoch) from which the journals are wanted. Each part may fail
# alone, and no part waits for another; a dead broker still gives its files.
home=$(mktemp -d /run/jtest-collect.XXXXXX)
trap 'rm -rf "$home"' EXIT
trap 'exit 1' HUP INT TERM
limit=67108864
mkdir "$home/log" "$home/config"
ask() { timeout 25 "$@" 2>&1 </dev/null || echo "(exit status $?)"; }
journal() { ask journalctl --no-pager --output=short-iso-precise --since="@$1" "$2" | tail -c "$limit"; }
ctl() { if pgrep -x beam.smp >/dev/null; then ask rabbitmqctl -q -t 20 "$@"; else echo '(no broker runs)'; fi; }
# Passwords in the usual places: `x_password = y`, `{password, "y"}`, `scheme://user:y@host`.
masked() {
  sed -E -e 's/^([^#=]*(pass|secret|cookie)[^=]*=).*/\1 ***/I' \
    -e 's/((pass|secret|cookie)[a-z_]*[[:space:]]*,[[:space:]]*)(<<)?"[^"]*"(>>)?/\1"***"/Ig' \
    -e 's/(setcookie[[:space:]]+)[^[:space:]"]+/\1***/g' \
    -e 's#(://[^:/@[:space:]]*:)[^@/[:space:]]*@#\1***@#g' "$1"
}
# A crash dump holds every term of its broker, the secrets too, in many encodings. What stays says why it fell and
# what its processes, tables and connections were at.
without_terms() {
  LC_ALL=C awk '/^=/ { kept = /^=(erl_crash_dump|scheduler|memory|proc|port|ets|(visible_|hidden_)?node|not_connected|end)(:|$)/ }
    kept && !/^[[:space:]]/' "$1"
}

journal "$1" --unit=rabbitmq-server >"$home/unit.log" &
journal "$1" --dmesg >"$home/kernel.log" &
ctl cluster_status >"$home/cluster_status.txt" &
for file in /var/log/rabbitmq/*; do
  [ -f "$file" ] || continue
  if head -c 15 "$file" | grep -qx '=erl_crash_dump'; then
    without_terms "$file" | head -c "$limit"
  else
    tail -c "$limit" "$file"
  fi >"$home/log/$(basename "$file")" || true
done
for file in rabbitmq.conf advanced.config rabbitmq-env.conf enabled_plugins; do
  if [ -f "/etc/rabbitmq/$file" ]; then masked "/etc/rabbitmq/$file" >"$home/config/$file" || true; fi
done
wait
# Wherever else the cookie stands. One shorter than that may be a word that logs are full of.
cookie=$(cat /var/lib/rabbitmq/.erlang.cookie 2>/dev/null || true)
if [ "${#cookie}" -ge 12 ]; then
  pattern=$(printf '%s' "$cookie" | sed 's/[].*^$/\\[]/\\&/g')
  find "$home" -type f -exec env LC_ALL=C sed -i "s/$pattern/***/g" {} +
fi
tar -C "$home" -czf - .
