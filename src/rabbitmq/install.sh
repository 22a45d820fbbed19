# Installs the broker without starting it. $1: how (apt or debs); $2: its version, or empty.
# For debs, standard input is a tar of them. Which packages were not there before is remembered,
# also after a failure, so that a teardown can remove them.
state=/var/lib/jtest
mkdir -p "$state"
chmod 700 "$state"
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -qq -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"; }
packages() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u; }

# The broker must not come up with a cookie and a name that it made itself.
policy=/usr/sbin/policy-rc.d
mark='# Written by jtest, for as long as it installs a broker.'
debs=
finish() {
  if grep -qxF "$mark" "$policy" 2>/dev/null; then rm -f "$policy"; fi
  if [ -n "$debs" ]; then rm -rf "$debs"; fi
  packages | comm -13 "$state/packages.before" - >>"$state/packages.installed"
  sort -u -o "$state/packages.installed" "$state/packages.installed"
  rm -f "$state/packages.before"
}
[ -e "$state/packages.before" ] || packages >"$state/packages.before"
trap finish EXIT
trap 'exit 1' HUP INT TERM
if ! getent passwd rabbitmq >/dev/null; then : >"$state/user.none"; fi
[ -e "$policy" ] || printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"

case $1 in
apt)
  apt install -y --no-install-recommends --allow-downgrades "rabbitmq-server${2:+=$2}" ||
    { apt update && apt install -y --no-install-recommends --allow-downgrades "rabbitmq-server${2:+=$2}"; }
  ;;
debs)
  debs=$(mktemp -d "$state/debs.XXXXXX")
  tar -x --no-same-owner -f - -C "$debs"
  # Only these packages: nothing is fetched from anywhere.
  apt install -y --no-install-recommends --allow-downgrades -o Dir::Etc::SourceList=/dev/null \
    -o Dir::Etc::SourceParts=/dev/null "$debs"/*.deb
  ;;
esac >/dev/null
