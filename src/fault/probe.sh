# Tries to connect to the port $1 of each address $3..., each for $2 seconds, all at once, and tells
# what our rules have dropped.
probe_port=$1 probe_seconds=$2
shift 2
probe() {
  if probe_said=$(timeout "$probe_seconds" bash -c 'exec 3<>"/dev/tcp/$1/$2"' probe "$1" "$probe_port" 2>&1); then
    echo "connect $1 open"
    return
  fi
  case $probe_said in
    *refused*) echo "connect $1 refused" ;;
    *) echo "connect $1 silent" ;;
  esac
}
for probe_address in "$@"; do probe "$probe_address" & done
wait
for probe_tool in iptables ip6tables; do
  "$probe_tool-save" -c 2>/dev/null | sed -n 's/^\[\([0-9]*\):[0-9]*\] -A JTEST-\(IN\|OUT\) -[sd] \([0-9a-f.:]*\)\(\/[0-9]*\)\{0,1\} -j DROP$/dropped \2 \3 \1/p'
done
