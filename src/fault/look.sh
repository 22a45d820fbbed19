# Looks, unless the fault has nothing to do here, or a broker that has to answer is frozen. $look_asks: whether it
# has to, then what `look` takes.
if [ -e "$jtest_fault/idle" ]; then
  echo "idle=$(cat "$jtest_fault/idle")"
elif [ "$look_asks" = true ] && look_held=$(broker_held thawed); then
  echo "held=$look_held"
else
  look "$@"
fi
