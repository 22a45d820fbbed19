# Renews the lease of run $1 by $2 seconds.
jtest_lock_hold 10
if [ "$(jtest_holder)" != "$1" ]; then
  cat "$jtest_dir/holder" 2>/dev/null || true
  echo 'lost'
  exit 0
fi
jtest_extend "$2"
echo 'renewed'
