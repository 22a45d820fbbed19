# Where the broker keeps its data. $1: fill, slow, read-only, flip or truncate; the rest by each.
disk_data=/var/lib/rabbitmq

disk_mount() {
  findmnt --noheadings --output TARGET --target "$disk_data"
}

# Of a fault that could reach beyond the broker's data.
disk_must_be_own() {
  if [ "$(disk_mount)" != "$disk_data" ]; then
    echo "$disk_data is no file system of its own here: what fills or stalls it would reach everybody" >&2
    return 1
  fi
}

# The file that a pattern names, below the data directory; the one written last where several fit.
disk_file() {
  case $1 in
    newest) find "$disk_data/mnesia" -type f -size +0 -printf '%T@ %p\n' ;;
    /* | *..*)
      echo "$1 is no path below $disk_data" >&2
      return 1
      ;;
    *) find "$disk_data" -type f -size +0 -path "$disk_data/$1" -printf '%T@ %p\n' ;;
  esac | sort -n | tail -n 1 | cut -d ' ' -f 2-
}

# Adds to the file of the fault in directory $1 what is missing of what that fault fills the disk to.
disk_top_up() {
  top_missing=$(df --block-size=1 --output=size,avail "$disk_data" | awk -v to="$(cat "$1/fill")" 'NR == 2 { printf "%d", $1 * to / 100 - ($1 - $2) }')
  if [ "$top_missing" -le 0 ]; then return 0; fi
  top_file=$disk_data/.jtest-fill-${1##*/}
  top_has=$(stat -c %s "$top_file" 2>/dev/null || echo 0)
  fallocate --length "$((top_has + top_missing))" "$top_file"
}

disk_fill() {
  echo "$1" >"$jtest_fault/fill"
  disk_top_up "$jtest_fault"
  if [ ! -e "$disk_data/.jtest-fill-${jtest_fault##*/}" ] && [ -z "$(jtest_others fill)" ]; then
    echo "$(disk_used_percent) % are in use already" >&2
    return 1
  fi
}

# What the other faults still fill stays full. $1: the fault's key
disk_empty() {
  rm -f "$disk_data/.jtest-fill-$1"
  for empty_other in $(jtest_others fill); do disk_top_up "$jtest_faults/$empty_other"; done
}

# One mount for all faults that need it: a second one on top would come down with the first.
disk_cover() {
  if [ -z "$(jtest_others mounted)" ]; then mount --bind "$disk_data" "$disk_data"; fi
  : >"$jtest_fault/mounted"
  mount -o remount,bind,ro "$disk_data"
}

disk_uncover() {
  if [ -e "$jtest_fault/mounted" ] && [ -z "$(jtest_others mounted)" ]; then umount --lazy "$disk_data"; fi
  rm -f "$jtest_fault/mounted"
}

disk_used_percent() {
  df --block-size=1 --output=size,avail "$disk_data" | awk 'NR == 2 { printf "%.1f", ($1 - $2) * 100 / $1 }'
}

look() {
  case $1 in
    fill)
      echo "used=$(disk_used_percent)"
      echo "target=$2"
      echo "file=$(if [ -e "$disk_data/.jtest-fill-$4" ]; then echo there; else echo gone; fi)"
      ;;
    slow)
      echo "stall=$(systemctl show --property ActiveState --value "jtest-stall-$4.service")"
      look_worst=0
      for look_try in 1 2 3 4 5; do
        look_began=$(date +%s%3N)
        dd if=/dev/zero of="$disk_data/.jtest-probe" bs=1 count=1 conv=fsync 2>/dev/null
        look_took=$(($(date +%s%3N) - look_began))
        if [ "$look_took" -gt "$look_worst" ]; then look_worst=$look_took; fi
      done
      rm -f "$disk_data/.jtest-probe"
      echo "write_ms=$look_worst"
      ;;
    read-only)
      if look_said=$(touch "$disk_data/.jtest-probe" 2>&1); then
        rm -f "$disk_data/.jtest-probe"
        echo 'write=done'
      else
        echo "write=${look_said##*: }"
      fi
      ;;
    flip | truncate) cat "$jtest_fault/done" 2>/dev/null || true ;;
  esac
  echo "others=$(jtest_others mounted | paste -s -d ' ')"
}

inject() {
  case $1 in
    fill)
      disk_must_be_own
      jtest_alone disk_fill "$2"
      ;;
    slow)
      disk_must_be_own
      # Of the two ioctls the first freezes and the second thaws; another fault may have frozen it already.
      systemd-run --quiet --collect --unit="jtest-stall-$4" -- perl -e '
        my ($path, $stall, $gap) = @ARGV;
        open(my $mount, "<", $path) or die "$path: $!";
        while (1) {
          ioctl($mount, 0xC0045877, 0) or $!{EBUSY} or die "freeze $path: $!";
          select(undef, undef, undef, $stall / 1000);
          ioctl($mount, 0xC0045878, 0);
          select(undef, undef, undef, $gap / 1000);
        }' "$disk_data" "$2" "$3"
      ;;
    read-only)
      jtest_alone disk_cover
      ;;
    flip | truncate)
      inject_file=$(disk_file "$2")
      if [ -z "$inject_file" ]; then
        echo "no file with anything in it fits $2 below $disk_data" >&2
        return 1
      fi
      inject_before=$(stat -c %s "$inject_file")
      if [ "$1" = truncate ]; then
        truncate --size="-$3" "$inject_file"
        printf 'file=%s\nbefore=%s bytes\nafter=%s bytes\n' "$inject_file" "$inject_before" "$(stat -c %s "$inject_file")" >"$jtest_fault/done"
        return
      fi
      inject_sum=$(sha256sum "$inject_file" | cut -c 1-16)
      # Evenly over the file, so that the same is done every time.
      perl -e '
        my ($path, $bits) = @ARGV;
        open(my $file, "+<", $path) or die "$path: $!";
        my $size = -s $file;
        for my $n (1 .. $bits) {
          my $at = int($size * $n / ($bits + 1));
          seek($file, $at, 0);
          read($file, my $byte, 1) or die "$path: $!";
          seek($file, $at, 0);
          print $file chr(ord($byte) ^ 1);
        }
        close($file) or die "$path: $!"' "$inject_file" "$3"
      printf 'file=%s\nbefore=%s\nafter=%s\n' "$inject_file" "$inject_sum" "$(sha256sum "$inject_file" | cut -c 1-16)" >"$jtest_fault/done"
      ;;
  esac
}

undo() {
  case $1 in
    fill) jtest_alone disk_empty "$4" ;;
    slow)
      systemctl stop "jtest-stall-$4.service" 2>/dev/null || true
      if systemctl is-active --quiet "jtest-stall-$4.service"; then return 1; fi
      fsfreeze --unfreeze "$disk_data" 2>/dev/null || true
      ;;
    read-only)
      jtest_alone disk_uncover
      ;;
  esac
}
