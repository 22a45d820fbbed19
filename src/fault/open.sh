# Says `timed` and `ready`, and opens the gates of a cut when told `go`: it is over at that moment, though its
# rules lie there still. $1: run id, $2: the fault's key.
if ! jtest_is_held_by "$1"; then
  echo 'the hold on this host was lost' >&2
  exit 1
fi
echo 'timed'
echo 'ready'
# shellcheck disable=SC2016
exec bash -c 'fds=()
  for list in /proc/net/xt_recent/jtest-"$1"-[46]; do
    if [ -e "$list" ]; then exec {fd}>"$list"; fds+=("$fd"); fi
  done
  '"$jtest_told$jtest_timed"'
  for fd in "${fds[@]}"; do echo / >&"$fd"; done
  now=$EPOCHREALTIME
  echo "fired ${now/[.,]/}000"' open "$2"
