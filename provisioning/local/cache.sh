# shellcheck shell=bash
# Root file systems, kept under their suite and a hash of their recipe. They are built under
# a temporary name and renamed when complete, so what bears the final name is whole.

rootfs_path() {
  local hash
  hash=$(cat "$lab_recipes/rootfs.sh" "$lab_recipes/rootfs-setup" | sha256sum | cut -c1-12)
  printf '%s/%s-%s' "$lab_cache" "$suite" "$hash"
}

# Builds what is missing and removes what an older recipe left and no lab uses. Runs the
# command given before another lab can take the result for unused.
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
  "$@"
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
