use super::journal::bytes;
use super::logrotate::{Defaults, defaults, sections, with_rotate};
use super::retention::seconds;

const PVE: &str = "/var/log/pveproxy/access.log {\n\trotate 7\n\tdaily\n\tmissingok\n\tcompress\n\tcreate 640 www-data www-data\n\tsharedscripts\n\tpostrotate\n\t\t/bin/systemctl try-reload-or-restart pveproxy.service\n\t\tkill -0 $(cat x) && { true; }\n\tendscript\n}\n\n/var/log/pve-firewall.log { weekly\n rotate 2 \n maxage 9\n}\n/var/log/syslog\n/var/log/auth.log\n{\n  size 10M\n}\n";

const DEBIAN: Defaults = Defaults { rotate: 4, every: 7 };

#[test]
fn sections_tell_how_long_a_log_stays() {
    let found = sections(PVE, DEBIAN);
    let days: Vec<_> = found.iter().map(|section| (section.logs.join(" "), section.days())).collect();
    assert_eq!(
        days,
        [
            ("/var/log/pveproxy/access.log".to_owned(), Some(7)),
            ("/var/log/pve-firewall.log".to_owned(), Some(9)),
            ("/var/log/syslog /var/log/auth.log".to_owned(), None),
        ]
    );
    let first = with_rotate(PVE, found[0].line.unwrap(), 90);
    assert_eq!(first, PVE.replacen("rotate 7", "rotate 90", 1));
    assert_eq!(sections(&first, DEBIAN)[0].days(), Some(90));
}

#[test]
fn the_main_file_gives_defaults() {
    let debian = "# see\nweekly\nrotate 4\ncreate\ninclude /etc/logrotate.d\n/var/log/x {\n monthly\n rotate 99\n}\n";
    assert_eq!(defaults(debian), DEBIAN);
    assert_eq!(defaults(""), Defaults { rotate: 0, every: 7 });
}

#[test]
fn sizes_and_spans() {
    for (text, value) in
        [("0", Some(0)), ("64M", Some(64 << 20)), ("2G", Some(2 << 30)), ("10%", None), ("99999999999T", None)]
    {
        assert_eq!(bytes(text), value, "{text}");
    }
    for (text, value) in [
        ("0", Some(0)),
        ("30day", Some(2_592_000)),
        ("2 weeks", Some(1_209_600)),
        ("1month", Some(2_629_800)),
        ("1h 2min", None),
    ] {
        assert_eq!(seconds(text), value, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_stands_there_nothing_panics(text in "(\\PC|\n|rotate |\\{|\\}|postrotate\n|endscript\n|/var/log/syslog|daily|7)*", count in 0_u32..1000) {
        for section in sections(&text, DEBIAN) {
            if let Some(line) = section.line {
                let _ = with_rotate(&text, line, count);
            }
        }
        let _ = defaults(&text);
    }
}
