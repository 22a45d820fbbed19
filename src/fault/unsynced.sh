# What the broker wrote and did not sync is lost. Arguments as in process.sh: the broker is killed and kept down.
#
# The file system of its data is shut down at once, with what waits to be written thrown away, and mounted anew.
unsynced_data=/var/lib/rabbitmq
unsynced_mark=$unsynced_data/.jtest-unsynced
# How long whoever has a file open there is waited for, in seconds.
unsynced_wait=30

# A mount that does not hear of ours being taken away would keep the file system as it is.
unsynced_must_be_alone() {
  alone_device=$(mountpoint -d "$unsynced_data")
  if [ "$(findmnt --noheadings --output FSTYPE,FSROOT --mountpoint "$unsynced_data" | tr -s ' ')" != 'ext4 /' ]; then
    echo "no ext4 is mounted at $unsynced_data, as a whole and once" >&2
    return 1
  fi
  if [ "$(grep -c " $alone_device " /proc/self/mountinfo)" != 1 ] ||
    cat /proc/[0-9]*/mountinfo 2>/dev/null | grep " $alone_device " | grep -qv -e ' shared:' -e ' master:'; then
    echo "what is mounted at $unsynced_data is mounted elsewhere, too" >&2
    return 1
  fi
}

# The processes that have something open there, the broker's own left out.
unsynced_openers() {
  openers_group=/sys/fs/cgroup$(systemctl show --property ControlGroup --value rabbitmq-server.service)
  # Processes go while they are looked at.
  { find /proc/[0-9]*/fd /proc/[0-9]*/cwd -lname "$unsynced_data*" 2>/dev/null || true; } |
    cut -d / -f 3 | sort -un | while read -r openers_pid; do
    if ! grep -qsx "$openers_pid" "$openers_group/cgroup.procs"; then
      echo "$openers_pid ($(cat "/proc/$openers_pid/comm" 2>/dev/null || true))"
    fi
  done | paste -s -d ' '
}

unsynced_must_be_free() {
  free_until=$(($(jtest_now) + unsynced_wait * 100))
  while free_openers=$(unsynced_openers) && [ -n "$free_openers" ]; do
    if [ "$(jtest_now)" -gt "$free_until" ]; then
      echo "others have files open below $unsynced_data: $free_openers" >&2
      return 1
    fi
    sleep 0.5
  done
}

# Other faults of ours that have something open or mounted there.
unsynced_occupied() {
  for occupied_by in "$jtest_faults"/*/about; do
    case $(cat "$occupied_by") in slow-disk* | read-only-disk*) cat "$occupied_by" ;; esac
  done | paste -s -d ';' | sed 's/;/; /g'
}

# The file system is as it is after a loss of power. What is noted says that it is to be mounted anew.
unsynced_remount() {
  if [ ! -e "$jtest_fault/mount" ]; then return 0; fi
  if [ "$(cat "$jtest_fault/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ]; then
    remount_until=$(($(jtest_now) + unsynced_wait * 100))
    while mountpoint -q "$unsynced_data"; do
      if umount "$unsynced_data" 2>"$jtest_fault/umount"; then continue; fi
      if [ "$(jtest_now)" -gt "$remount_until" ]; then
        cat "$jtest_fault/umount" >&2
        return 1
      fi
      sleep 0.5
    done
  fi
  if ! mountpoint -q "$unsynced_data"; then
    remount_source=$(sed -n 1p "$jtest_fault/mount")
    mount -t ext4 -o "$(sed -n 2p "$jtest_fault/mount")" "$remount_source" "$unsynced_data"
  fi
  rm -f "$jtest_fault/mount"
}

look() {
  process_look "$@"
  cat "$jtest_fault/done" 2>/dev/null || true
  if look_said=$(touch "$unsynced_data/.jtest-probe" 2>&1); then
    rm -f "$unsynced_data/.jtest-probe"
    echo 'write=done'
  else
    echo "write=${look_said##*: }"
  fi
}

inject() {
  inject_occupied=$(unsynced_occupied)
  if [ -n "$inject_occupied" ]; then
    jtest_idle "the broker's data is in use, by $inject_occupied"
    return
  fi
  unsynced_must_be_alone
  unsynced_must_be_free
  findmnt --noheadings --output SOURCE --mountpoint "$unsynced_data" >"$jtest_fault/mount.new"
  findmnt --noheadings --output OPTIONS --mountpoint "$unsynced_data" >>"$jtest_fault/mount.new"
  jtest_alone process_note "$1" "$2"
  jtest_alone process_keep_down "$2" "$4"
  inject_id=$(process_id "$2" | cut -d ' ' -f 1)
  if [ -z "$inject_id" ]; then process_absent "$@"; fi
  if [ -e "$jtest_fault/idle" ]; then return; fi
  mv "$jtest_fault/mount.new" "$jtest_fault/mount"
  sync "$jtest_fault/mount" "$jtest_fault"
  cat /proc/sys/kernel/random/boot_id >"$unsynced_mark"
  # EXT4_IOC_SHUTDOWN without a flush of the journal.
  perl -e '
    my ($path, $pid) = @ARGV;
    open(my $mount, "<", $path) or die "$path: $!";
    kill("KILL", $pid) if $pid;
    ioctl($mount, 0x8004587D, my $flag = pack("L", 2)) or die "shut down $path: $!"' "$unsynced_data" "${inject_id%@*}"
  # What the killed process has started.
  systemctl kill --signal=KILL rabbitmq-server.service 2>/dev/null || true
  unsynced_remount
  if [ -e "$unsynced_mark" ]; then echo 'unsynced=there'; else echo 'unsynced=gone'; fi >"$jtest_fault/done"
}

undo() {
  unsynced_remount
  rm -f "$unsynced_mark"
  jtest_alone process_undo "$@"
}
