# shellcheck shell=bash
# The recipe of the root file system that a lab's hosts share: what is in it, how it is
# built. A change in this file or in rootfs-setup makes the cache (cache.sh) build it anew.

rootfs_packages=(
  ca-certificates
  dbus
  ipset
  iptables
  iproute2
  iputils-ping
  kmod
  netbase
  openssh-server
  procps
  python3
  sudo
  systemd
  systemd-sysv
)

rootfs_build() {
  local target=$1 log=$lab_cache/$suite.log options=()
  # A suite in preparation has a Release file that may be older than the clock allows.
  [ "$suite" = forky ] && options+=(--aptopt='Acquire::Check-Valid-Until "false"')
  # shellcheck disable=SC2016 # $1 is for mmdebstrap's own shell
  SETUP=$lab_recipes/rootfs-setup timeout "$deadline_build_s" mmdebstrap \
    --mode=root --variant=minbase --format=directory \
    --include="$(IFS=, && printf %s "${rootfs_packages[*]}")" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt=path-exclude='/usr/share/doc/*' \
    --dpkgopt=path-exclude='/usr/share/man/*' \
    --dpkgopt=path-exclude='/usr/share/locale/*' \
    --dpkgopt=force-unsafe-io \
    "${options[@]}" \
    --customize-hook='"$SETUP" "$1"' \
    "$suite" "$target" </dev/null >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "could not build the $suite root file system; the whole log is $log"
  }
}
