# Undoes the fault $2 (all of them where it is empty) and keeps the hold of run $1. Without that hold
# they are gone, or another's.
jtest_lock 10
if ! jtest_is_held_by "$1"; then
  echo 'lost=1'
  exit 0
fi
if [ -n "$2" ]; then
  jtest_undo_fault "$2"
else
  jtest_undo_faults
fi
for lift_tool in $firewall_tools; do
  if command -v "$lift_tool-save" >/dev/null 2>&1 && firewall_has_chains "$lift_tool"; then exit 0; fi
done
jtest_compare_firewall
