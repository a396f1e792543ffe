package PVE::Notify;

# Stand-in for libpve-notify-perl and the Rust behind it (proxmox-notify): what it refuses, the templates it wants, and the
# mail of its built-in target. Matchers and targets of other kinds are not played.

use strict;
use warnings;

my $SENDMAIL = '/usr/sbin/sendmail';
my @FOLDERS = ('/etc/pve/notification-templates/default', '/usr/share/pve-manager/templates/default');

sub slurp {
    my ($path) = @_;
    open(my $file, '<', $path) or return undef;
    local $/;
    return scalar <$file>;
}

sub render {
    my ($template, $suffix, $data, $escape) = @_;
    for my $folder (@FOLDERS) {
        my $text = slurp("$folder/$template-$suffix") // next;
        $text =~ s/\{\{\s*([\w-]+)\s*\}\}/$escape->($data->{$1} \/\/ '')/ge;
        return $text;
    }
    return undef;
}

# Mail addresses of the built-in target's users, which is root@pam.
sub addresses {
    for my $line (split /\n/, slurp('/etc/pve/user.cfg') // '') {
        my @part = split /:/, $line;
        return ($part[6]) if $line =~ /^user:root\@pam:/ && length($part[6] // '');
    }
    return;
}

sub notify {
    my ($severity, $template, $data, $fields, $config) = @_;
    die "invalid severity $severity\n" if ($severity // '') !~ /^(?:info|notice|warning|error|unknown)$/;
    die "missing template name\n" if ref($template) || !length($template // '');
    die "invalid type: template data\n" if defined($data) && ref($data) ne 'HASH';
    die "invalid type: fields\n" if ref($fields) ne 'HASH' || grep { !defined($_) || ref($_) } values %$fields;
    my $same = sub { $_[0] };
    my $subject = render($template, 'subject.txt.hbs', $data, $same);
    my $body = render($template, 'body.txt.hbs', $data, $same);
    # A target that fails, or a template that is missing, is a line in the journal there, and no error of the call.
    if (!defined($subject) || !defined($body)) {
        warn "could not notify via target `mail-to-root`: failed to render notification template\n";
        return;
    }
    $subject =~ s/\s*\n\s*/ /g;
    my @to = addresses();
    if (!@to || !-x $SENDMAIL) {
        warn "could not notify via target `mail-to-root`\n";
        return;
    }
    open(my $mail, '|-', $SENDMAIL, '-B', '8BITMIME', '-f', 'root', '--', @to) or return;
    print $mail "Subject: $subject\nFrom: Proxmox VE <root>\nTo: @to\nX-Fields: "
        . join(' ', map { "$_=$fields->{$_}" } sort keys %$fields)
        . "\nX-Severity: $severity\nAuto-Submitted: auto-generated;\n\n$body\n";
    close($mail) or warn "could not notify via target `mail-to-root`\n";
    return;
}

1;
