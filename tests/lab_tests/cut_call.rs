//! A program of PVE's that stands still before or after one of its calls, so that a test can cut just there.

/// A script for the node: from now on the N-th call of `program` (`pvesh`, `pveum`) hangs, before or after it acts.
///
/// N and `before` or `after` are the two lines of /run/count, without which calls are left alone. What hangs writes its
/// process number to /run/cut, and is killed by it.
pub fn wrapped(program: &str) -> String {
    format!("f=/usr/share/perl5/PVE/CLI/{program}.pm\n{WRAP}")
}

const WRAP: &str = r#"
sed -i '$d' $f
cat >>$f <<'PERL'
{
    no warnings;
    my $real = \&run_cli_handler;
    my $hang = sub { open(my $m, '>', '/run/cut'); print {$m} $$; close($m); sleep(600); };
    *run_cli_handler = sub {
        open(my $c, '+<', '/run/count') or return $real->();
        chomp(my $left = <$c>); chomp(my $when = <$c>);
        $left--; seek($c, 0, 0); print {$c} "$left\n$when\n"; truncate($c, tell($c)); close($c);
        $hang->() if $left == 0 && $when eq 'before';
        my $child = fork();
        $real->() if !$child;
        waitpid($child, 0);
        my $code = $? >> 8;
        $hang->() if $left == 0 && $when eq 'after';
        exit($code);
    };
}
1;
PERL
"#;
