# shellcheck shell=bash
# One host of a lab: its disk (an overlay on the shared root file system), its identity,
# its power.

# By cgroup, and by its command line a power script that has not entered its cgroup yet.
lab_pids() {
  cgroup_pids "$control"
  pgrep -f "^bash .*/provisioning/local/power $lab_name [0-9]$" || true
}

host_running() { [ -n "$(host_pid1 "$1")" ]; }

# The host's PID 1 as this machine counts. It may be alive although systemd-nspawn is not.
host_pid1() {
  if [ "$kind" = machine ]; then
    kernel_pid1 "$1"
    return
  fi
  # Some may be gone when they are looked at.
  cgroup_pids "$control/n$1" | sed 's,.*,/proc/&/status,' | { xargs -r grep -sh '^NSpid:' || true; } |
    awk 'NF == 3 && $3 == 1 { print $2 }'
}

# Host keys belong to the lab, so that known_hosts stays right over resets.
host_keys_ensure() {
  local n=$1 keys=$state/keys/n$1 type
  mkdir -p "$keys"
  for type in ed25519 ecdsa rsa; do
    [ -s "$keys/ssh_host_${type}_key.pub" ] && continue
    rm -f "$keys/ssh_host_${type}_key"
    ssh-keygen -q -t "$type" -N '' -C "root@n$n" -f "$keys/ssh_host_${type}_key" </dev/null
  done
}

host_disk_up() {
  local n=$1 dir
  if [ "$kind" = machine ]; then
    kernel_disk_up "$n"
    return
  fi
  dir=$(host_dir "$n")
  host_disk_mounted "$n" && return
  mkdir -p "$dir/upper" "$dir/work" "$dir/root"
  mount -t overlay "$control-n$n" \
    -o "lowerdir=$rootfs,upperdir=$dir/upper,workdir=$dir/work" "$dir/root" ||
    die "cannot mount an overlay in $dir; if $lab_state_root is itself on an overlay, mount a real file system there"
  host_identify "$n" "$dir/root"
  chroot "$dir/root" chown -R jtest:jtest /home/jtest/.ssh
  host_data_up "$n"
}

# The broker's data gets a file system of its own: what fills or stalls it harms nobody else.
host_data_up() {
  host_data_make "$1"
  host_data_mount "$1"
  rmdir "$(host_dir "$1")/root/var/lib/rabbitmq/lost+found"
}

host_data_make() {
  local dir
  dir=$(host_dir "$1")
  # Sparse. RabbitMQ 3.8 sets aside half a gigabyte for each write-ahead log that it begins.
  truncate --size=2G "$dir/data.img"
  mkfs.ext4 -q -F -L "jtest-n$1" "$dir/data.img"
}

# Before each boot: a host that removed the mount point has thereby unmounted it out here. That its flushes reach the
# machine's own disk would serve nobody, since no lab outlasts a crash of the machine, and costs the processors dear.
host_data_mount() {
  local dir
  dir=$(host_dir "$1")
  if mountpoint -q "$dir/root/var/lib/rabbitmq"; then return; fi
  mkdir -p "$dir/root/var/lib/rabbitmq"
  mount -o loop,barrier=0 "$dir/data.img" "$dir/root/var/lib/rabbitmq" ||
    die "cannot mount a loop image in $dir; the lab needs loop devices (modprobe loop)"
}

host_disk_mounted() { mountpoint -q "$(host_dir "$1")/root"; }

host_identify() {
  local n=$1 root=$2
  echo "n$n" >"$root/etc/hostname"
  cat >"$root/etc/hosts" <<HOSTS
127.0.0.1 localhost
$(host_address "$n") n$n
::1 localhost ip6-localhost ip6-loopback
HOSTS
  uplink_resolv_conf >"$root/etc/resolv.conf"
  install -m 600 "$state/keys/n$n"/ssh_host_*_key "$root/etc/ssh/"
  install -m 644 "$state/keys/n$n"/ssh_host_*_key.pub "$root/etc/ssh/"
  install -d -m 700 "$root/home/jtest/.ssh"
  install -m 600 "$state/id_ed25519.pub" "$root/home/jtest/.ssh/authorized_keys"
}

# What was killed in there a moment ago may not have let go yet.
host_unmount() { wait_until 5 host_unmounted "$1" || umount "$1"; }
host_unmounted() { ! mountpoint -q "$1" || umount "$1" 2>/dev/null; }

# Leaves the host without power, its disk empty.
host_disk_down() {
  local dir
  dir=$(host_dir "$1")
  host_unmount "$dir/root/var/lib/rabbitmq"
  host_unmount "$dir/root"
  rm -rf --one-file-system "$dir"
  if [ -d "$(host_nspawn_folder "$1")" ]; then rmdir "$(host_nspawn_folder "$1")"; fi
}

# A killed systemd-nspawn leaves this folder, where mounts could be handed to the host.
host_nspawn_folder() { printf '/run/systemd/nspawn/propagate/%s-n%d' "$control" "$1"; }

# The power script outlives this one, so it gets neither its locks nor its terminal.
host_power_on() {
  local n=$1
  mkdir -p "$state/log"
  setsid "$lab_recipes/power" "$lab_name" "$n" \
    </dev/null >"$state/log/n$n.log" 2>&1 {lab_lock}>&- &
  host_power=$!
}

# As if the cable were pulled: nothing in the host gets to say goodbye.
host_power_off() {
  cgroup_kill "$control/n$1"
  host_unplug "$1"
}

host_ssh() {
  local n=$1
  shift
  ip netns exec "$control" ssh -F /dev/null -i "$state/id_ed25519" \
    -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
    -o UserKnownHostsFile="$state/known_hosts" -o GlobalKnownHostsFile=/dev/null \
    -o ConnectTimeout=5 -o LogLevel=ERROR "jtest@$(host_address "$n")" "$@"
}

# Enters the host from out here; a true machine has only its sshd.
host_root() {
  local n=$1 line=$2 pid
  if [ "$kind" = machine ]; then
    host_ssh "$n" "sudo sh -c $(printf %q "$line")"
    return
  fi
  pid=$(host_pid1 "$n")
  [ -n "$pid" ] || die "n$n is off"
  nsenter --target "$pid" --all env --ignore-environment --chdir=/root HOME=/root LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "$line"
}

host_answers() { host_probe "$1" >/dev/null 2>&1; }

host_probe() { host_ssh "$1" -n -o BatchMode=yes -o ServerAliveInterval=3 -o ServerAliveCountMax=2 true; }

# True when there is nothing left to wait for, be it that the host has gone off again.
host_settled() { host_answers "$1" || { [ -n "$host_power" ] && ! kill -0 "$host_power" 2>/dev/null; }; }

host_await() {
  local n=$1 deadline_s=$deadline_boot_s
  if [ "$kind" = machine ]; then deadline_s=$deadline_kernel_boot_s; fi
  if wait_until "$deadline_s" host_settled "$n" && host_answers "$n"; then return; fi
  tail -n 20 "$state/log/n$n.log" >&2 || true
  host_probe "$n" >&2 || true
  die "n$n does not answer on SSH (given $deadline_s s, if it has power); its console is in $state/log/n$n.log, and 'scripts/lab --name $lab_name reset' makes bare hosts again"
}
