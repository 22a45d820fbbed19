# Opens or closes the gates of a cut. The first argument is from which uptime on it is too late, empty for never; the
# others are FILE=LINE, and each line is put into its file when told `go`, or at the time T when told `go T`. Told
# `clock` it says what time it is, in microseconds of the wall clock. Who leaves before the time aborts it. A time that
# is too far off is that of a clock that jumped meanwhile. No single quote may be in here.
my ($late, @gates) = @ARGV;
my @lines = map {
  my ($file, $line) = split /=/, $_, 2;
  open(my $gate, ">", $file) or die "$file: $!\n";
  [$gate, "$line\n"];
} @gates;
$| = 1;
print "timed\nready\n";
my $told;
while (defined($told = <STDIN>) && $told eq "clock\n") {
  printf "clock %d\n", now($wall);
}
defined $told && $told =~ /^go(?: ([0-9]+))?$/ or die "aborted: not told to go\n";
my $at = $1;
if ($late ne "") {
  open(my $uptime, "<", "/proc/uptime") or die "/proc/uptime: $!\n";
  (split / /, <$uptime>)[0] < $late or die "aborted: too late\n";
}

# The last of the wait is short naps: a machine that has gone to sleep wakes late.
my ($naps, $nap) = (3_000, 50);
my $rest = defined $at ? $at - now($wall) : 0;
if ($rest > 0 && $rest < 500_000) {
  my $input = "";
  vec($input, fileno(STDIN), 1) = 1;
  select($input, undef, undef, $rest > $naps ? ($rest - $naps) / 1e6 : 0) == 0 or die "aborted: left alone\n";
  for (my $left = $naps / $nap; $left > 0 && now($wall) < $at; $left--) {
    pause($nap);
  }
}
for (@lines) {
  defined syswrite($_->[0], $_->[1]) or die "aborted: cannot write to its list: $!\n";
}
my $fired = now($wall);
# Where hosts share their processors, the others act before this one speaks.
pause(10_000);
print "fired ${fired}000\n";
