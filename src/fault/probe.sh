# Tries to connect to each port of the list $1 (`25672,22`) at each address $3..., each for $2 seconds, all
# at once, and tells what our rules have dropped.
probe_ports=$1 probe_seconds=$2
shift 2
probe() {
  if probe_said=$(timeout "$probe_seconds" bash -c 'exec 3<>"/dev/tcp/$1/$2"' probe "$1" "$2" 2>&1); then
    echo "connect $1 $2 open"
    return
  fi
  case $probe_said in
    *refused*) echo "connect $1 $2 refused" ;;
    *) echo "connect $1 $2 silent" ;;
  esac
}
for probe_address in "$@"; do
  for probe_port in $(echo "$probe_ports" | tr , ' '); do probe "$probe_address" "$probe_port" & done
done
wait
for probe_tool in iptables ip6tables; do
  "$probe_tool-save" -c 2>/dev/null | sed -n -e '/-m statistic/d' \
    -e 's/^\[\([0-9]*\):[0-9]*\] -A JTEST-\(IN\|OUT\) -[sd] \([0-9a-f.:]*\)\(\/[0-9]*\)\{0,1\} .*--comment "\{0,1\}jtest-\([^ "]*\)"\{0,1\} .*-j DROP$/dropped \5 \2 \3 \1/p'
done
