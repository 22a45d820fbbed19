# What of a broker is on this host, as lines of KEY=VALUE. $1: where the broker comes from.
# $2: the version that is wanted, or empty. $3: this host's address for its peers, or its name.
# Reads only, but for apt's package lists where they do not have what is wanted.
installed() { dpkg-query -W -f '${db:Status-Status} ${Version}' rabbitmq-server 2>/dev/null | sed -n 's/^installed //p'; }
candidate() { apt-cache policy rabbitmq-server 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '^(none)$'; }
versions() { apt-cache madison rabbitmq-server 2>/dev/null | cut -d '|' -f 2 | tr -d ' ' | tr '\n' ' '; }
installed=$(installed || true)
candidate=
versions=
trouble=
if [ "$1" = apt ]; then
  candidate=$(candidate || true)
  versions=$(versions || true)
  case "$installed $versions" in
  ' ') lacks=yes ;;
  *"$2"*) lacks= ;;
  *) lacks=yes ;;
  esac
  if [ -n "$lacks" ]; then
    # It succeeds also where nothing could be fetched.
    trouble=$(apt-get -qq -o DPkg::Lock::Timeout=180 update 2>&1 >/dev/null | sed -n 's/^[EW]: *//p' | head -n 1)
    candidate=$(candidate || true)
    versions=$(versions || true)
  fi
fi
printf 'installed=%s\n' "$installed"
printf 'candidate=%s\n' "$candidate"
printf 'versions=%s\n' "$versions"
printf 'trouble=%s\n' "$trouble"
# A cookie counts only where jtest made it, and is never told, only its digest.
if [ -f /var/lib/jtest/cookie ] && cmp -s /var/lib/jtest/cookie /var/lib/rabbitmq/.erlang.cookie; then
  printf 'cookie=%s\n' "$(sha256sum </var/lib/jtest/cookie | cut -c1-64)"
fi
printf 'active=%s\n' "$(systemctl is-active rabbitmq-server 2>/dev/null || true)"
# /etc/hosts wants addresses. A host may know its own name by a loopback address, which is none for its peers.
{ getent ahostsv4 "$3"; getent ahosts "$3"; } 2>/dev/null |
  awk '$1 !~ /^127\./ && $1 != "::1" && $1 !~ /^fe80:/ { print "address=" $1; exit }'
