# What is in force on this host. $1: the broker's service.
echo "broker=$(systemctl is-active "$1" 2>/dev/null || true)"
status_state=$(ps -o stat= -p "$(systemctl show --property MainPID --value "$1")" 2>/dev/null | cut -c 1) || status_state=
if [ "$status_state" = T ]; then echo 'broker=paused'; fi
if [ -e "$jtest_dir/holder" ]; then
  cat "$jtest_dir/holder"
  echo "left_cs=$(jtest_left)"
fi
for status_fault in "$jtest_faults"/*; do
  if [ -e "$status_fault/about" ]; then
    echo "fault=${status_fault##*/} $(stat -c %Y "$status_fault/about") $(cat "$status_fault/about")"
  fi
done
for status_tool in iptables ip6tables; do
  "$status_tool-save" 2>/dev/null | sed -n 's/^-A JTEST-\(IN\|OUT\) -[sd] \([0-9a-f.:]*\)\(\/[0-9]*\)\{0,1\} .*-j DROP$/drops=\2/p'
done | sort -u
