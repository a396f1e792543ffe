//! Names that reach a node or an ssh command line: Linux accounts and groups, hosts, addresses.

use std::net::IpAddr;

/// Longest login name useradd(8) accepts.
const MAX_LOGIN: usize = 32;

/// Accounts and groups of Debian and PVE: no administrator may carry these names (useradd makes a group of the same
/// name, and fails when it exists). Sources: Debian base-passwd, systemd-sysusers, the packages of a PVE node.
const SYSTEM_NAMES: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "gnats",
    "nobody",
    "nogroup",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesync",
    "systemd-journal",
    "systemd-journal-remote",
    "systemd-coredump",
    "systemd-oom",
    "messagebus",
    "sshd",
    "postfix",
    "postdrop",
    "statd",
    "tss",
    "tcpdump",
    "ceph",
    "gluster",
    "uuidd",
    "dnsmasq",
    "polkitd",
    "frr",
    "frrvty",
    "rpc",
    "avahi",
    "ntp",
    "ntpsec",
    "chrony",
    "ftp",
    "adm",
    "tty",
    "disk",
    "kmem",
    "dialout",
    "fax",
    "voice",
    "cdrom",
    "floppy",
    "tape",
    "sudo",
    "audio",
    "dip",
    "operator",
    "src",
    "shadow",
    "utmp",
    "video",
    "sasl",
    "plugdev",
    "staff",
    "users",
    "kvm",
    "render",
    "sgx",
    "input",
    "crontab",
    "netdev",
    "ssh",
    "wheel",
    "lxc",
    "libvirt",
    "docker",
    "_apt",
    "_chrony",
    "_ssh",
    "_rpc",
];

/// What is wrong with a login name, if anything.
pub fn login_problem(name: &str) -> Option<String> {
    if let Some(problem) = linux_name_problem(name) {
        return Some(problem);
    }
    if name == "root" {
        return Some("root is no named administrator: it stays as it is, for the console".into());
    }
    SYSTEM_NAMES.contains(&name).then(|| format!("`{name}` is an account or group of Debian or PVE"))
}

/// What is wrong with the name of the administrators' group.
pub fn group_problem(name: &str) -> Option<String> {
    if let Some(problem) = linux_name_problem(name) {
        return Some(problem);
    }
    (name != "sudo" && SYSTEM_NAMES.contains(&name))
        .then(|| format!("`{name}` is a group of Debian or PVE: its other members would become administrators"))
}

/// The rule of useradd(8) and groupadd(8), without the `$` of Samba machines.
pub fn linux_name_problem(name: &str) -> Option<String> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if !first || !rest {
        return Some("a Linux name is lower-case letters, digits, `-` and `_`, and starts with a letter".into());
    }
    (name.len() > MAX_LOGIN).then(|| format!("a Linux name has at most {MAX_LOGIN} characters"))
}

/// What is wrong with a host's name in the site.
pub fn host_name_problem(name: &str) -> Option<String> {
    let starts = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !starts || !fits {
        return Some("a host's name is letters, digits, `.`, `-` and `_`, and starts with a letter or digit".into());
    }
    (name.len() > 253).then(|| "a host's name has at most 253 characters".into())
}

/// What is wrong with an address for ssh: an IP address (IPv6 with zone allowed), a DNS name or an ssh alias.
pub fn address_problem(address: &str) -> Option<String> {
    if address.parse::<IpAddr>().is_ok() || is_zoned_v6(address) {
        return None;
    }
    if address.starts_with('-') {
        return Some("ssh would read a leading `-` as an option".into());
    }
    if address.contains('@') {
        return Some("an address has no user in it: use the key `user`".into());
    }
    if address.starts_with('[') {
        return Some("write the IPv6 address without brackets, and the port in the key `port`".into());
    }
    if address.contains(':') {
        return Some("neither an IPv6 address nor a name: a port belongs in the key `port`".into());
    }
    host_name_problem(address).map(|_| "neither an IP address nor a host name".into())
}

fn is_zoned_v6(address: &str) -> bool {
    address.split_once('%').is_some_and(|(ip, zone)| {
        ip.parse::<std::net::Ipv6Addr>().is_ok()
            && !zone.is_empty()
            && zone.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    })
}

/// What is wrong with a login name given to ssh: any name an existing account may have.
pub fn ssh_user_problem(user: &str) -> Option<String> {
    let starts = user.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let fits = user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '\\' | '@'));
    (!starts || !fits).then(|| "a login name starts with a letter and has no spaces or signs".into())
}

/// What is wrong with a `ProxyJump` value. ssh puts it into a shell command, so only plain characters pass.
pub fn jump_problem(jump: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | '[' | ']' | '%' | '/');
    let hop_fits = |hop: &str| {
        let hop = hop.strip_prefix("ssh://").unwrap_or(hop);
        let host = hop.rsplit_once('@').map_or(hop, |(_, host)| host);
        !hop.is_empty() && !host.is_empty() && !hop.starts_with('-') && !host.starts_with('-') && hop.chars().all(plain)
    };
    (!jump.split(',').all(hop_fits)).then(|| "expected [user@]host[:port], several separated by commas".into())
}

/// What is wrong with a host key fingerprint.
pub fn fingerprint_problem(text: &str) -> Option<String> {
    let Some(digest) = text.strip_prefix("SHA256:") else {
        return Some("expected SHA256:… as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it".into());
    };
    let fits = digest.len() == 43 && digest.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
    (!fits).then(|| "a SHA256 fingerprint has 43 characters of base64 after `SHA256:`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_names_are_those_useradd_takes_and_no_system_account() {
        for good in ["ops", "anna-k", "_svc", "a1"] {
            assert_eq!(login_problem(good), None, "{good}");
        }
        let long = "a".repeat(33);
        for bad in ["root", "Ops", "1a", "-a", "a b", "", "www-data", "a$", "sudo", "ops\n", "ö", &long] {
            assert!(login_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(group_problem("sudo"), None);
        assert!(group_problem("shadow").is_some());
    }

    #[test]
    fn addresses_cannot_become_options_or_shell_words() {
        for good in ["192.0.2.1", "2001:db8::1", "fe80::1%eth0", "pve1.example.org", "alias_1"] {
            assert_eq!(address_problem(good), None, "{good}");
        }
        for bad in ["-oProxyCommand=x", "a b", "a\u{1b}[m", "root@a", "[::1]", "a:22", "", "a;b", "$(x)"] {
            assert!(address_problem(bad).is_some(), "{bad}");
        }
        for good in ["jump", "ops@jump:2222", "a,b@c", "ssh://ops@jump:22", "ops@[2001:db8::1]:22"] {
            assert_eq!(jump_problem(good), None, "{good}");
        }
        for bad in ["-x", "a,,b", "ops@-x", "a b", "`id`", "$(id)", "a;b"] {
            assert!(jump_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(fingerprint_problem("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"), None);
        assert!(fingerprint_problem("MD5:aa:bb").is_some());
        assert!(fingerprint_problem("SHA256:short").is_some());
    }
}
