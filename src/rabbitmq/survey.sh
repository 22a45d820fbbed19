# What of a broker is on this host, as lines of KEY=VALUE. $1: where the broker comes from.
# Reads only, but for the package lists where apt has never fetched any.
installed() { dpkg-query -W -f '${db:Status-Status} ${Version}' rabbitmq-server 2>/dev/null | sed -n 's/^installed //p'; }
candidate() { apt-cache policy rabbitmq-server 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '^(none)$'; }
installed=$(installed || true)
candidate=
if [ "$1" = apt ] && [ -z "$installed" ]; then
  candidate=$(candidate || true)
  if [ -z "$candidate" ]; then
    apt-get -qq -o DPkg::Lock::Timeout=180 update >/dev/null
    candidate=$(candidate || true)
  fi
fi
printf 'installed=%s\n' "$installed"
printf 'candidate=%s\n' "$candidate"
# A cookie counts only where jtest made it, and is never told, only its digest.
if [ -f /var/lib/jtest/cookie ] && cmp -s /var/lib/jtest/cookie /var/lib/rabbitmq/.erlang.cookie; then
  printf 'cookie=%s\n' "$(sha256sum </var/lib/jtest/cookie | cut -c1-64)"
else
  printf 'cookie=\n'
fi
printf 'active=%s\n' "$(systemctl is-active rabbitmq-server 2>/dev/null || true)"
