# Installs the broker without starting it. $1: how (apt or debs); $2: a version, or empty.
# For debs, standard input is a tar of them. What was not there before is remembered, so that a
# teardown can remove it.
state=/var/lib/jtest
mkdir -p "$state"
chmod 700 "$state"
export DEBIAN_FRONTEND=noninteractive
apt() { apt-get -qq -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"; }
packages() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u; }

# The broker must not come up with a cookie and a name that it made itself.
policy=/usr/sbin/policy-rc.d
debs=
cleanup() {
  [ -z "${ours:-}" ] || rm -f "$policy"
  [ -z "$debs" ] || rm -rf "$debs"
}
trap cleanup EXIT
if [ ! -e "$policy" ]; then
  ours=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

packages >"$state/packages.before"
case $1 in
apt)
  apt update
  if ! apt install -y --no-install-recommends "rabbitmq-server${2:+=$2*}"; then
    { echo 'versions that this host can install:'; apt-cache madison rabbitmq-server; } >&2
    exit 1
  fi
  ;;
debs)
  debs=$(mktemp -d "$state/debs.XXXXXX")
  tar -x -f - -C "$debs"
  apt install -y --no-install-recommends --no-download "$debs"/*.deb
  ;;
esac
packages >"$state/packages.after"
comm -13 "$state/packages.before" "$state/packages.after" >>"$state/packages.installed"
sort -u -o "$state/packages.installed" "$state/packages.installed"
rm -f "$state/packages.before" "$state/packages.after"
