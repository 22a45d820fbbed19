# shellcheck shell=bash
# Hosts with a kernel of their own (`up --machine`): Debian's user-mode-linux boots a copy of
# the root file system. They have clocks and network disciplines of their own, and are slow.

kernel_program=linux.uml
kernel_modules=/usr/lib/uml/modules
kernel_memory_mb=768

need_kernel() {
  command -v "$kernel_program" >/dev/null && [ -d "$kernel_modules" ] && [ -c /dev/net/tun ] && return
  die "a machine lab needs $kernel_program with $kernel_modules (get them with: scripts/install-tools lab machine) and the device /dev/net/tun (modprobe tun)"
}

# Kept beside the root file system that it is made of, under a hash of both recipes.
kernel_image_path() {
  local hash
  hash=$({
    cat "$lab_recipes/rootfs.sh" "$lab_recipes/rootfs-setup" "$lab_recipes/kernel.sh" "$lab_recipes/kernel-boot"
    ls "$kernel_modules"
  } | sha256sum | cut -c1-12)
  printf '%s/machine-%s-%s.img' "$lab_cache" "$suite" "$hash"
}

kernel_image_ensure() {
  local image_lock old
  image=$(kernel_image_path)
  lock "$lab_cache/machine-$suite.lock" image_lock
  for old in "$lab_cache/machine-$suite"-*.img*; do
    [ "$old" = "$image" ] || rm -rf --one-file-system "$old"
  done
  if [ ! -e "$image" ]; then
    say "building the $suite image of hosts with kernels of their own"
    kernel_image_build "$image.partial"
    mv "$image.partial/image" "$image"
    rm -rf --one-file-system "$image.partial"
  fi
  unlock image_lock
}

kernel_image_build() {
  local work=$1 root=$1/root version folder
  version=$(ls "$kernel_modules")
  mkdir -p "$work"
  cp -a "$rootfs" "$root"
  mkdir -p "$root/usr/lib/modules/$version/kernel"
  for folder in crypto lib net; do
    cp -a "$kernel_modules/$version/kernel/$folder" "$root/usr/lib/modules/$version/kernel/"
  done
  cp "$kernel_modules/$version"/modules.{builtin,order}* "$root/usr/lib/modules/$version/"
  chroot "$root" depmod "$version"
  # This kernel refuses the rules that the other form makes.
  chroot "$root" update-alternatives --quiet --set iptables /usr/sbin/iptables-legacy
  chroot "$root" update-alternatives --quiet --set ip6tables /usr/sbin/ip6tables-legacy
  install -m 755 "$lab_recipes/kernel-boot" "$root/usr/local/sbin/kernel-boot"
  cat >"$root/etc/systemd/system/kernel-boot.service" <<'UNIT'
[Unit]
Description=Network and data of a lab's host
DefaultDependencies=no
After=systemd-remount-fs.service systemd-modules-load.service
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/kernel-boot

[Install]
WantedBy=sysinit.target
UNIT
  chroot "$root" systemctl --quiet enable kernel-boot.service
  mke2fs -q -t ext4 -L jtest-root -d "$root" "$work/image" 4G
}

# The disk is mounted where no host that gets power meanwhile can see it: such a host would keep it mounted.
kernel_disk_up() {
  local n=$1 dir
  dir=$(host_dir "$n")
  [ ! -e "$dir/identified" ] || return 0
  mkdir -p "$dir/root" "$dir/tmp" "$dir/identity/etc/ssh" "$dir/identity/home/jtest"
  cp --sparse=always "$image" "$dir/root.img"
  host_identify "$n" "$dir/identity"
  printf '%s\n' "address=$(host_address "$n")" "address6=$(host_address6 "$n")" \
    "gateway=$control_address" "mtu=$network_mtu" >"$dir/identity/etc/kernel-boot.conf"
  # shellcheck disable=SC2016
  unshare --mount sh -euc 'mount -o loop "$1/root.img" "$1/root"
    tar -C "$1/identity" -c . | tar -C "$1/root" -x --no-overwrite-dir --no-same-owner --preserve-permissions
    chroot "$1/root" chown -R jtest:jtest /home/jtest/.ssh
    umount "$1/root"' sh "$dir" || die "cannot mount a loop image in $dir; the lab needs loop devices (modprobe loop)"
  host_data_make "$n"
  : >"$dir/identified"
}

# The cable of a host that has its own network stack ends in a tap, not in a namespace.
kernel_plug() {
  local n=$1
  host_unplug "$n"
  ip -n "$control" tuntap add dev "n$n" mode tap
  ip -n "$control" link set "n$n" mtu "$network_mtu" master br0 up
}

# It may not set the clock that it shares with the machine; its own it may. To reboot it runs what it takes
# for its own name.
kernel_boot() {
  local n=$1 dir
  dir=$(host_dir "$n")
  # shellcheck disable=SC2016
  TMPDIR=$dir/tmp exec ip netns exec "$control" setpriv --bounding-set -sys_time \
    bash -c 'exec -a "$0" "$@"' "$lab_recipes/kernel-reboots" "$kernel_program" \
    "mem=${kernel_memory_mb}M" "uml_dir=$dir" umid=uml root=/dev/ubda rw "ubda=$dir/root.img" \
    "ubdb=$dir/data.img" "vec0:transport=tap,ifname=n$n,depth=128,gro=1,mac=$(host_hardware_address "$n")" con0=null,fd:1 con=null ssl=null
}

# All its processes bear the same name; the first one's parent is the power script.
kernel_pid1() {
  local pid pids parent
  pids=$(cgroup_pids "$control/n$1/boot")
  for pid in $pids; do
    parent=$(awk '$1 == "PPid:" { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
    grep -qwx "$parent" <<<"$pids" || { echo "$pid" && return; }
  done
}
