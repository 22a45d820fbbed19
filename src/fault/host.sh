# A host in jtest's hands: one directory with the hold record, the undo and its lease.
# Whatever arms or undoes holds the lock on the directory. Whose the host is, and until when, has a lock of its own: a
# renewal waits for no undo under its own hold, however long that takes.

jtest_dir=/run/jtest
jtest_units=/run/systemd/system

jtest_log() {
  logger -t jtest -- "$*" 2>/dev/null || true
}

# The lock is on the directory itself, so that none is left behind. $1: seconds to wait.
jtest_lock() {
  jtest_flock 9 "$jtest_dir" "$1"
}

# This one is on the hold record; where there is none, nobody has the host. Who needs both takes the other first.
# $1: seconds to wait.
jtest_lock_hold() {
  jtest_flock 7 "$jtest_dir/holder" "$1"
}

# $1: the descriptor that holds the lock, $2: what it is on, which may have been replaced while we waited,
# $3: seconds to wait
jtest_flock() {
  for jtest_try in 1 2 3 4 5 6 7 8 9 10; do
    if [ "$2" = "$jtest_dir" ]; then mkdir -p -m 0700 "$2"; elif [ ! -e "$2" ]; then return 0; fi
    # Who let go of the host at this moment has taken it along; without `command` the shell would end here.
    eval "command exec $1<\"\$2\"" || continue
    if ! flock -w "$3" "$1"; then
      echo "another process has the lock on $2, and has it still after $3 s" >&2
      return 1
    fi
    if [ "$(stat -L -c %i "/proc/self/fd/$1")" = "$(stat -c %i "$2" 2>/dev/null)" ]; then return 0; fi
  done
  echo "$2 is made and removed again and again, and cannot be locked" >&2
  return 1
}

# Hundredths of a second on the clock that nobody sets.
jtest_now() {
  read -r jtest_up jtest_rest </proc/uptime
  echo "${jtest_up%.*}${jtest_up#*.}"
}

# What is left of the lease, in hundredths of a second; 0 or less when it has run out.
jtest_left() {
  jtest_deadline=$(cat "$jtest_dir/deadline" 2>/dev/null) || jtest_deadline=0
  case $jtest_deadline in '' | *[!0-9]*) jtest_deadline=0 ;; esac
  echo $((jtest_deadline - $(jtest_now)))
}

jtest_holder() {
  sed -n 's/^run_id=//p' "$jtest_dir/holder" 2>/dev/null
}

# Who does what is logged, in words: the holder, unless $jtest_actor is another.
jtest_by() {
  if [ -n "${jtest_actor-}" ]; then
    echo "$jtest_actor"
    return
  fi
  if [ ! -e "$jtest_dir/holder" ]; then
    echo 'nobody known'
    return
  fi
  echo "$(sed -n 's/^who=//p' "$jtest_dir/holder") (run $(jtest_holder))"
}

# Whether run $1 has the hold. Where nobody has, the lock's directory goes again.
jtest_is_held_by() {
  if [ "$(jtest_holder)" = "$1" ]; then return 0; fi
  rmdir "$jtest_dir" 2>/dev/null || true
  return 1
}

# Begins the lease anew, unless it is longer by now. $1: its seconds. The deadline comes first, so that it has
# passed when the timer fires.
jtest_extend() {
  if [ "$(jtest_left)" -gt "$(($1 * 100))" ]; then
    systemctl is-active --quiet jtest-lease.timer
    return
  fi
  if ! grep -qsx "OnActiveSec=$1" "$jtest_units/jtest-lease.timer"; then
    sed -i "s/^OnActiveSec=.*/OnActiveSec=$1/" "$jtest_units/jtest-lease.timer"
    systemctl daemon-reload
  fi
  echo "$(($(jtest_now) + $1 * 100))" >"$jtest_dir/deadline.new"
  mv "$jtest_dir/deadline.new" "$jtest_dir/deadline"
  systemctl restart jtest-lease.timer
  systemctl is-active --quiet jtest-lease.timer
}

# The same for who has the other lock alone. $1: seconds
jtest_renew() {
  jtest_lock_hold 5
  jtest_extend "$1"
  exec 7<&-
}

# What is under a fault stays known over a reboot: of each fault its undo, armed before it is injected.
jtest_faults=/var/lib/jtest-faults

# Where the fault $1 keeps what it notes down: with its undo, or as long as the hold where there is none.
jtest_fault_is() {
  jtest_fault=$jtest_faults/$1
  if [ ! -d "$jtest_fault" ]; then jtest_fault=$jtest_dir/moment-$1; fi
}

# $1: the fault's key, $2: what it is, $3: its undo.
jtest_arm() {
  if [ -e "$jtest_faults/$1" ]; then
    echo "the fault $1 is in force here already" >&2
    return 1
  fi
  mkdir -p "$jtest_faults"
  chmod 700 "$jtest_faults"
  mkdir "$jtest_faults/$1"
  printf '%s\n' "$2" >"$jtest_faults/$1/about"
  printf '%s\n' "$3" >"$jtest_faults/$1/undo"
  cat /proc/sys/kernel/random/boot_id >"$jtest_faults/$1/boot"
  jtest_log "fault $1: $2; by $(jtest_by)"
}

# Sees to it that what is armed outlasts a crash. A disk may take long over it: this is for who has let go of the lock.
# $1: the fault's key.
jtest_settle() {
  sync "$jtest_faults/$1/about" "$jtest_faults/$1/undo" "$jtest_faults/$1/boot"
}

# Whether it still is. $1: the run that armed it, $2: the fault's directory.
jtest_is_armed() {
  [ "$(jtest_holder)" = "$1" ] && [ -d "$2" ]
}

# Forgets what is armed. $1: the fault's directory.
jtest_disarm() {
  rm -rf "${1:?}"
  rmdir "$jtest_faults" 2>/dev/null || true
}

# Keys of other faults that are in force here and have this note: they hold the same, unless the host has booted
# since. The newest comes first. $1: the note's name.
jtest_others() {
  # Keys are names of ours, without blanks.
  # shellcheck disable=SC2045
  for jtest_other in $(ls -1td "$jtest_faults"/*/"$1" 2>/dev/null); do
    jtest_other=${jtest_other%/*}
    if [ ! -e "$jtest_other/idle" ] && [ "$jtest_other" != "$jtest_fault" ] &&
      [ "$(cat "$jtest_other/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ]; then
      echo "${jtest_other##*/}"
    fi
  done
}

# Does something about what several faults may hold, one of them at a time. $@: what.
jtest_alone() {
  if [ ! -d "$jtest_faults" ]; then
    "$@"
    return
  fi
  (
    flock -w 60 8
    "$@" 8<&-
  ) 8<"$jtest_faults"
}

# Notes that the fault has nothing to do here. $1: why.
jtest_idle() {
  printf '%s\n' "$1" >"$jtest_fault/idle"
}

# For a process that is to act at a time: whatever else the host has to do then waits. Not everywhere may one be of
# the first class, and nothing depends on it.
jtest_urgent() {
  chrt --fifo --pid 50 $$ >/dev/null 2>&1 || renice -n -20 -p $$ >/dev/null 2>&1 || true
}

# Undoes the fault $1 and says so; what is not undone stays armed.
jtest_undo_fault() {
  if [ ! -d "$jtest_faults/$1" ]; then return 0; fi
  jtest_about=$(cat "$jtest_faults/$1/about" 2>/dev/null) || jtest_about=$1
  jtest_frozen=$(jtest_fault=$jtest_faults/$1 jtest_others frozen-broker | head -n 1)
  if [ -e "$jtest_faults/$1/needs-app" ] && [ -n "$jtest_frozen" ] && [ ! -e "$jtest_faults/$1/idle" ]; then
    mv "$jtest_faults/$1" "$jtest_faults/$jtest_frozen/then-$1"
    jtest_log "to be undone with $jtest_frozen, which keeps the broker frozen: $1: $jtest_about; by $(jtest_by)"
    echo "waits=$jtest_about"
    return 0
  fi
  jtest_run_undo "$jtest_faults/$1" || return 1
  for jtest_then in "$jtest_faults/$1"/then-*; do
    if [ -d "$jtest_then" ]; then jtest_run_undo "$jtest_then" || return 1; fi
  done
  jtest_boot=$(cat "$jtest_faults/$1/boot" 2>/dev/null) || jtest_boot=
  if [ "$jtest_boot" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then echo "rebooted=$jtest_about"; fi
  jtest_disarm "$jtest_faults/$1"
  jtest_lately "$jtest_about"
  jtest_log "undone $1: $jtest_about; by $(jtest_by)"
  echo "found=$jtest_about"
}

# $1: the directory of a fault, or of one whose undo had to wait.
jtest_run_undo() {
  if [ ! -e "$1/undo" ] || [ -e "$1/idle" ]; then return 0; fi
  jtest_fault=$1 sh "$1/undo" 7<&- 9<&- >&2 || {
    echo "this is from undoing $(cat "$1/about"), by $1/undo; \`jtest heal\` tries it again" >&2
    return 1
  }
}

# Notes what a broker may have to recover from. $1: the fault in words.
jtest_lately() {
  if [ -e "$jtest_dir/holder" ]; then echo "$(jtest_now) $1" >"$jtest_dir/lately"; fi
}

# Undoes all faults, the newest first; says which resist, and fails if any does.
jtest_undo_faults() {
  jtest_resisting=0
  # Keys are names of ours, without blanks.
  # shellcheck disable=SC2045
  for jtest_key in $(ls -1t "$jtest_faults" 2>/dev/null); do
    jtest_undo_fault "$jtest_key" || {
      echo "resists=$jtest_key"
      jtest_resisting=1
    }
  done
  return "$jtest_resisting"
}

# Says whether the firewall is as it was when the hold was taken.
jtest_compare_firewall() {
  if [ ! -s "$jtest_dir/firewall" ]; then return 0; fi
  firewall_listing >"$jtest_dir/firewall.now"
  if cmp -s "$jtest_dir/firewall" "$jtest_dir/firewall.now"; then
    echo 'firewall=same'
  else
    diff "$jtest_dir/firewall" "$jtest_dir/firewall.now" | sed -n 's/^[<>]/firewall=&/p' | head -n 20
  fi
}

# Undoes everything: the faults first, the lease only when they are gone. $1: why; the lease's own
# unit cannot stop itself, any other must, or it would go on trying what is not there.
jtest_undo() {
  jtest_undo_faults || return 1
  firewall_clean "$jtest_dir/firewall"
  jtest_compare_firewall
  if [ -e "$jtest_units/jtest-lease.timer" ]; then
    systemctl stop jtest-lease.timer
    if [ "$1" != expired ]; then systemctl stop jtest-lease.service; fi
    rm -f "$jtest_units/jtest-lease.timer" "$jtest_units/jtest-lease.service"
    echo 'found=lease'
  fi
  rm -rf "$jtest_dir"
}
