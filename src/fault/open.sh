# Says `timed` and `ready`, and opens the gates of a cut when told `go`: it is over at that moment, though its
# rules lie there still. $1: run id, $2: the fault's key.
if ! jtest_is_held_by "$1"; then
  echo 'the hold on this host was lost' >&2
  exit 1
fi
open_key=$2
set --
for open_list in /proc/net/xt_recent/jtest-"$open_key"-[46]; do
  if [ -e "$open_list" ]; then set -- "$@" "$open_list=/"; fi
done
jtest_urgent
exec perl -e "$gates_program" '' "$@"
