# What jtest did here in the last $1 seconds: a time in UTC and a text a line.
journalctl --identifier=jtest --since="-${1}s" --output=short-unix --no-pager --quiet | while read -r time host text; do
  printf '%s.%s %s\n' "$(date -u -d "@${time%.*}" +%FT%T)" "$(printf '%s' "${time#*.}" | cut -c 1-3)Z" "${text#*: }"
done
