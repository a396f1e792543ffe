# shellcheck shell=sh
# Calls of PVE's API one by one, each with a frame of its own. Evaluated after prelude.sh; the words follow as quoted
# lines, `call NAME MODULE WORD...` or `tries NAME MODULE WORD...`. MODULE is PVE::CLI::pveum or PVE::CLI::pvesh.
#
# A word may be a secret, so that no word is ever an argument of a process: perl reads them from standard input and
# hands them to PVE's own command line after it has been loaded, as /usr/bin/pvesh does with its arguments.

# shellcheck disable=SC2016
CALLER='
use strict;
use warnings;
my $class = shift @ARGV;
die "no such module\n" if $class !~ m/^PVE::CLI::(?:pvesh|pveum)$/;
local $/ = "\0";
my @words = <STDIN>;
chomp @words;
$/ = "\n";
open(STDIN, "<", "/dev/null") or die "no /dev/null\n";
$ENV{PATH} = "/sbin:/bin:/usr/sbin:/usr/bin";
(my $file = "$class.pm") =~ s|::|/|g;
require $file;
@ARGV = @words;
$0 = lc($class =~ s/.*:://r);
$class->run_cli_handler();
'

exec 4>&1

# PVE's files are ordinary ones while pmxcfs is down; a run that is open may put files back at any moment.
ready() {
    mountpoint -q /etc/pve || {
        emit ready 1 '/etc/pve is not mounted'
        exit 0
    }
    exec 9>>/run/pve-harden.lock
    flock -w 15 9 || {
        emit ready 2 'another run of pve-harden is open on this node'
        exit 0
    }
    emit ready 0 ''
}

# record EVENT: a line "TIME LOGIN EVENT" in the node's history; one that cannot be written undoes nothing.
record() {
    install -d -m 0700 /var/lib/pve-harden &&
        printf '%s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$PVH_USER" "$1" >>/var/lib/pve-harden/events &&
        sync -d /var/lib/pve-harden/events || emit history 1 ''
}

# call NAME MODULE WORD...: a frame NAME with status and standard output; what it complained about is in a frame
# NAME.said before it. The first call that fails is the last one.
call() {
    called "$@" || exit 0
}

# tries NAME MODULE WORD...: as call, and the next one follows whatever it says.
tries() {
    called "$@" || :
}

called() {
    _call=$1
    _class=$2
    shift 2
    _out=$(
        {
            _said=$(printf '%s\0' "$@" | timeout 90 perl -e "$CALLER" "$_class" 2>&1 >&3 3>&- 4>&- 9>&-)
            _code=$?
            [ -z "$_said" ] || emit "$_call.said" "$_code" "$_said" >&4
            exit "$_code"
        } 3>&1
    )
    _code=$?
    emit "$_call" "$_code" "$_out"
    return "$_code"
}
