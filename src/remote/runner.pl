# Runs scripts side by side for the other end of one channel, so that none needs a channel, a login shell and sudo of
# its own.
#
# A message is a letter, the number of a script, a length, and so many bytes. To here come H (are you there?), R (run:
# the words of a command, and its input) and K (keep what it still writes). From here go H (yes), O and E (what it
# wrote) and X (its exit status, after all that it wrote).
use strict;
use warnings;
use IO::Handle;
use POSIX qw(WNOHANG);

# For a child that a script left behind and that holds its output open; seconds without any.
my $leftover_deadline = 2;
# Between looks at a script of which nothing is heard, and at one that has closed its output; seconds.
my ($lull, $moment) = (0.25, 0.002);

my $ticks = POSIX::sysconf(POSIX::_SC_CLK_TCK());
my %running;

# Seconds of a clock that nobody sets.
sub now {
  return (POSIX::times())[0] / $ticks;
}

sub report {
  my ($letter, $number, $bytes) = @_;
  my $message = pack("a N N/a*", $letter, $number, $bytes);
  my $sent = 0;
  while ($sent < length $message) {
    my $count = syswrite(STDOUT, $message, length($message) - $sent, $sent);
    next if !defined $count && $!{EINTR};
    defined $count or exit 1;
    $sent += $count;
  }
}

sub run {
  my ($number, $bytes) = @_;
  my @words = unpack("N/(N/a*) a*", $bytes);
  my $input = pop @words;
  my ($in, $out, $err, $pid);
  if (pipe(my $its_in, $in) && pipe($out, my $its_out) && pipe($err, my $its_err) && defined($pid = fork)) {
    if ($pid == 0) {
      @SIG{qw(PIPE CHLD)} = ("DEFAULT") x 2;
      open(STDIN, "<&", $its_in) && open(STDOUT, ">&", $its_out) && open(STDERR, ">&", $its_err) || POSIX::_exit(126);
      no warnings "exec";
      exec { $words[0] } @words or print STDERR "$words[0]: $!\n";
      POSIX::_exit(127);
    }
    $in->blocking(0);
    $running{$number} = {pid => $pid, in => $in, input => $input, out => $out, err => $err, heard => now()};
  } else {
    report("E", $number, "it cannot be started: $!\n");
    report("X", $number, 126);
  }
}

# Takes the messages that have arrived whole.
my $arrived = "";
sub obey {
  while (length $arrived >= 9) {
    my ($letter, $number, $length) = unpack("a N N", $arrived);
    last if length $arrived < 9 + $length;
    my $bytes = substr($arrived, 9, $length);
    substr($arrived, 0, 9 + $length) = "";
    if ($letter eq "H") {
      report("H", $number, "");
    } elsif ($letter eq "R") {
      run($number, $bytes);
    } elsif ($running{$number}) {
      delete @{$running{$number}}{qw(in out err)};
    }
  }
}

# Its input goes in as it takes it, and ends.
sub feed {
  my ($script) = @_;
  my $count = length $script->{input} ? syswrite($script->{in}, $script->{input}) : 0;
  if (defined $count) {
    substr($script->{input}, 0, $count) = "";
  } elsif (!$!{EAGAIN} && !$!{EINTR}) {
    $script->{input} = "";
  }
  delete $script->{in} if !length $script->{input};
}

sub pass_on {
  my ($number, $script, $stream, $letter) = @_;
  my $count = sysread($script->{$stream}, my $bytes, 65536);
  return if !defined $count && $!{EINTR};
  if ($count) {
    report($letter, $number, $bytes);
    $script->{heard} = now();
  } else {
    delete $script->{$stream};
  }
}

# Whether it is over: it has ended, and nothing more is to come.
sub is_over {
  my ($script) = @_;
  if (!defined $script->{status} && waitpid($script->{pid}, WNOHANG) == $script->{pid}) {
    $script->{status} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    $script->{heard} = now();
  }
  my $is_closed = !$script->{out} && !$script->{err};
  return defined $script->{status} && ($is_closed || now() - $script->{heard} > $leftover_deadline);
}

binmode STDIN;
binmode STDOUT;
$SIG{PIPE} = "IGNORE";
# It ends the wait.
$SIG{CHLD} = sub { };
while (1) {
  my ($reads, $writes, $patience) = ("", "", undef);
  vec($reads, fileno(STDIN), 1) = 1;
  for my $script (values %running) {
    vec($reads, fileno($_), 1) = 1 for grep { $_ } @$script{qw(out err)};
    vec($writes, fileno($script->{in}), 1) = 1 if $script->{in};
    $patience //= $lull;
    $patience = $moment if !$script->{out} && !$script->{err} && !defined $script->{status} && ++$script->{looks} < 50;
  }
  my $found = select($reads, $writes, undef, $patience);
  ($reads, $writes) = ("", "") if $found < 0;
  if (vec($reads, fileno(STDIN), 1)) {
    sysread(STDIN, $arrived, 65536, length $arrived) or exit 0;
    obey();
  }
  while (my ($number, $script) = each %running) {
    feed($script) if $script->{in} && vec($writes, fileno($script->{in}), 1);
    for (["out", "O"], ["err", "E"]) {
      my ($stream, $letter) = @$_;
      pass_on($number, $script, $stream, $letter) if $script->{$stream} && vec($reads, fileno($script->{$stream}), 1);
    }
    if (is_over($script)) {
      report("X", $number, $script->{status});
      delete $running{$number};
    }
  }
}
