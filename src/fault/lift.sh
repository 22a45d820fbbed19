# Removes our rules and keeps the hold of run $1. Without that hold they are gone, or another's.
jtest_lock 10
if ! jtest_is_held_by "$1"; then
  echo 'lost=1'
  exit 0
fi
firewall_clean "$jtest_dir/firewall"
for lift_tool in $firewall_tools; do
  if command -v "$lift_tool-save" >/dev/null 2>&1 && firewall_has_chains "$lift_tool"; then
    echo "$lift_tool still has our chains" >&2
    exit 1
  fi
done
if [ ! -s "$jtest_dir/firewall" ]; then exit 0; fi
firewall_listing >"$jtest_dir/firewall.now"
if cmp -s "$jtest_dir/firewall" "$jtest_dir/firewall.now"; then
  echo 'firewall=same'
else
  diff "$jtest_dir/firewall" "$jtest_dir/firewall.now" | sed -n 's/^[<>]/firewall=&/p' | head -n 20
fi
