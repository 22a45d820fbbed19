# Tells what this host has of what jtest needs, one `key=value` a line. Changes nothing here: what
# has to be tried is tried in a network namespace of its own. $@: a word NAME/ADDRESS/PORT for
# each port of a peer that is to answer.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL

has() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ')"; }
version_in() { "$@" 2>/dev/null | head -n 1 | grep -o '[0-9][0-9.]*[0-9]' | head -n 1; }
apart() { timeout 10 unshare -n sh -c "$1" 2>&1; }

say uid "$(id -u)"
if [ -r /etc/os-release ]; then
  say os "$(. /etc/os-release && echo "${ID:-linux} ${VERSION_ID:-${VERSION_CODENAME:-}}")"
fi
say kernel "$(uname -r)"
say container "$(systemd-detect-virt --container 2>/dev/null || true)"
if [ -d /run/systemd/system ]; then say systemd "$(version_in systemctl --version)"; fi
if has apt-get; then say apt yes; fi

for tool in iptables ip6tables; do
  has "$tool" || continue
  say "$tool" "$("$tool" -V 2>/dev/null | sed 's/^ip6*tables v//; s/[()]//g')"
  if [ "$(id -u)" = 0 ] && has unshare; then
    if why=$(apart "$tool -w 5 -A INPUT -j DROP"); then say "$tool-works" yes; else say "$tool-fails" "$why"; fi
  fi
  saved=$("$tool-save" 2>/dev/null) || continue
  say "$tool-foreign" "$(printf '%s\n' "$saved" |
    grep -c -e '^-A ' -e '^:[A-Z]* \(DROP\|REJECT\)' | cat)"
  say "$tool-ours" "$(printf '%s\n' "$saved" | grep -c -e '^-A .*JTEST-' | cat)"
  say "$tool-chains" "$(printf '%s\n' "$saved" | grep -c -e '^:JTEST-' | cat)"
done
if has nft; then
  say nft-tables "$(nft list tables 2>/dev/null |
    grep -c -v -E '^table (ip|ip6) (filter|nat|mangle|raw|security)$' | cat)"
fi

if has ipset; then say ipset "$(version_in ipset --version)"; fi
if has tc; then
  say tc "$(tc -V 2>/dev/null | sed -n 's/.*iproute2-\([0-9.]*\).*/\1/p')"
  if [ "$(id -u)" = 0 ] && has unshare; then
    if why=$(apart 'ip link set lo up && tc qdisc add dev lo root netem delay 1ms'); then
      say netem yes
    else
      say netem-fails "$why"
    fi
  fi
fi
if has perl; then say perl "$(perl -e 'printf "%vd", $^V')"; fi

data=/var/lib/rabbitmq
[ -d "$data" ] || data=/var/lib
say disk-free-kib "$(df -Pk "$data" | awk 'NR == 2 { print $4 }')"
say memory-kib "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
say memory-available-kib "$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)"

if has dpkg-query; then
  say rabbitmq "$(dpkg-query -W -f '${db:Status-Status} ${Version}' rabbitmq-server 2>/dev/null | sed -n 's/^installed //p')"
fi
if has rabbitmqctl; then
  say rabbitmqctl yes
  say unit "$(systemctl is-active rabbitmq-server 2>/dev/null || true)"
  if [ "$(id -u)" = 0 ] && systemctl is-active --quiet rabbitmq-server 2>/dev/null; then
    say cluster "$(timeout 20 rabbitmqctl -q cluster_status --formatter json 2>/dev/null | tr -d '\n' || true)"
  fi
fi

if [ -d /run/jtest ]; then
  say hold "$(sed -n 's/^who=//p' /run/jtest/holder 2>/dev/null || true)"
  say hold-run "$(sed -n 's/^run_id=//p' /run/jtest/holder 2>/dev/null || true)"
fi
if [ -d /var/lib/jtest-faults ]; then
  say faults "$(cat /var/lib/jtest-faults/*/about 2>/dev/null | tr '\n' ';' || true)"
fi
if has systemctl; then
  say units "$(systemctl list-units --all --plain --no-legend 'jtest*' 2>/dev/null | awk '{ print $1 }' | tr '\n' ' ')"
fi
if grep -q '^# jtest begin' /etc/hosts; then say deployed yes; fi

reach() {
  if said=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' reach "$2" "$3" 2>&1); then
    say peer "$1 $3 open"
    return
  fi
  case $said in
    *refused*) say peer "$1 $3 refused" ;;
    *'not known'* | *'resolution'*) say peer "$1 $3 unresolved" ;;
    *) say peer "$1 $3 silent" ;;
  esac
}
for word in "$@"; do
  name=${word%%/*}
  rest=${word#*/}
  reach "$name" "${rest%/*}" "${rest##*/}" &
done
wait
