# What this host is, as lines of KEY=VALUE.
os=$(. /etc/os-release && printf '%s' "${PRETTY_NAME:-unknown}")
container=$(systemd-detect-virt --container 2>/dev/null || true)
case $(iptables --version 2>/dev/null || true) in
*nf_tables*) iptables=nf_tables ;;
*legacy*) iptables=legacy ;;
*) iptables=missing ;;
esac
data=/var/lib/rabbitmq
[ -d "$data" ] || data=/var/lib
printf 'os=%s\n' "$os"
printf 'kernel=%s\n' "$(uname -r)"
printf 'container=%s\n' "${container:-none}"
printf 'rabbitmq=%s\n' "$(dpkg-query -W -f '${db:Status-Status} ${Version}' rabbitmq-server 2>/dev/null | sed -n 's/^installed //p')"
printf 'iptables=%s\n' "$iptables"
printf 'memory_kb=%s\n' "$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)"
printf 'disk_free_kb=%s\n' "$(df -Pk "$data" | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p')"
