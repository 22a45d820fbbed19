# shellcheck shell=bash
# The root file system that a lab's hosts share as their read-only lower layer.
#
# Kept in the cache under its suite and a hash of its recipe (this file and
# rootfs-setup), built under a temporary name and renamed when complete, so what
# bears the final name is whole.

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
  sudo
  systemd
  systemd-sysv
)

rootfs_path() {
  local hash
  hash=$(cat "$lab_recipes/rootfs.sh" "$lab_recipes/rootfs-setup" | sha256sum | cut -c1-12)
  printf '%s/%s-%s' "$lab_cache" "$suite" "$hash"
}

# Builds what is missing and removes what an older recipe left and no lab uses.
rootfs_ensure() {
  rootfs=$(rootfs_path)
  local build_lock
  lock "$lab_cache/$suite.lock" build_lock
  rootfs_remove_stale
  if [ ! -d "$rootfs" ]; then
    need_tools mmdebstrap:mmdebstrap
    say "building the $suite root file system"
    rootfs_build "$rootfs.partial"
    mv "$rootfs.partial" "$rootfs"
  fi
  unlock build_lock
}

rootfs_remove_stale() {
  local old
  for old in "$lab_cache/$suite"-*; do
    if [ ! -d "$old" ] || [ "$old" = "$rootfs" ]; then continue; fi
    grep -qsF "lowerdir=$old," /proc/self/mountinfo && continue
    grep -qsxF "rootfs=$old" "$lab_state_root"/*/lab && continue
    rm -rf --one-file-system "$old"
  done
}

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
