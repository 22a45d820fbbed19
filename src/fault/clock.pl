# Reads, sets and moves the system clock; comes after clocks.pl.
sub set {
  my ($us) = @_;
  my $seconds = POSIX::floor($us / 1_000_000);
  my $time = pack("qq", $seconds, ($us - $seconds * 1_000_000) * 1000);
  syscall($settime, $wall, $time) == 0 or die "clock_settime: $!\n";
}

my ($what, @args) = @ARGV;
if ($what eq "read") {
  my $wall_us = now($wall);
  printf "wall_us=%d\nbase_us=%d\n", $wall_us, $wall_us - now($boot);
} elsif ($what eq "set") {
  my ($base, $by) = @args;
  set(now($boot) + $base + $by);
} elsif ($what eq "shift") {
  my ($by) = @args;
  set(now($wall) + $by);
} elsif ($what eq "drift") {
  my ($factor) = @args;
  my $then = now($boot);
  while (1) {
    pause(20_000);
    my $boot_us = now($boot);
    set(now($wall) + int(($boot_us - $then) * ($factor - 1)));
    $then = $boot_us;
  }
} elsif ($what eq "strobe") {
  my ($base, $by, $period) = @args;
  while (1) {
    for my $offset ($by, 0) {
      set(now($boot) + $base + $offset);
      pause($period);
    }
  }
} else {
  die "unknown: $what\n";
}
