# What is in force on this host, which may undo it at this moment. $1: the broker's service.
echo "broker=$(systemctl is-active "$1" 2>/dev/null || true)"
status_state=$(ps -o stat= -p "$(systemctl show --property MainPID --value "$1")" 2>/dev/null | cut -c 1) || status_state=
if [ "$status_state" = T ]; then echo 'broker=paused'; fi
status_holder=$(cat "$jtest_dir/holder" 2>/dev/null) || status_holder=
if [ -n "$status_holder" ]; then
  printf '%s\n' "$status_holder"
  echo "left_cs=$(jtest_left)"
fi
for status_fault in "$jtest_faults"/*; do
  status_since=$(stat -c %Y "$status_fault/about" 2>/dev/null) || continue
  status_about=$(cat "$status_fault/about" 2>/dev/null) || continue
  echo "fault=${status_fault##*/} $status_since $status_about"
done
for status_tool in iptables ip6tables; do
  "$status_tool-save" 2>/dev/null | sed -n 's/^-A JTEST-\(IN\|OUT\) -[sd] \([0-9a-f.:]*\)\(\/[0-9]*\)\{0,1\} .*-j DROP$/drops=\2/p'
done | sort -u
