# The system clock against the one that nobody sets, in microseconds.
use strict;
use warnings;
use POSIX ();

# As the kernel numbers clock_gettime and clock_settime.
my %numbers = (x86_64 => [228, 227], aarch64 => [113, 112], riscv64 => [113, 112], ppc64le => [246, 245], s390x => [260, 259]);
my $cpu = (POSIX::uname())[4];
my $known = $numbers{$cpu} or die "the system calls of $cpu are not known here\n";
my ($gettime, $settime) = @$known;
my ($wall, $boot) = (0, 7);

sub now {
  my ($clock) = @_;
  my $time = pack("qq", 0, 0);
  syscall($gettime, $clock, $time) == 0 or die "clock_gettime: $!\n";
  my ($seconds, $nanos) = unpack("qq", $time);
  return $seconds * 1_000_000 + int($nanos / 1000);
}

sub set {
  my ($us) = @_;
  my $seconds = POSIX::floor($us / 1_000_000);
  my $time = pack("qq", $seconds, ($us - $seconds * 1_000_000) * 1000);
  syscall($settime, $wall, $time) == 0 or die "clock_settime: $!\n";
}

sub pause {
  my ($us) = @_;
  select(undef, undef, undef, $us / 1_000_000);
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
