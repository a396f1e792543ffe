//! fail2ban's files of this tool's own.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::profile::policy::Fail2banPolicy;

/// Jails. `jail.d/*.local` is read last of all (jail.conf(5)), and of those this one.
pub const JAILS: &str = "/etc/fail2ban/jail.d/zz-pve-harden.local";
/// Filter of sshd's lines.
pub const SSH_FILTER: &str = "/etc/fail2ban/filter.d/pve-harden-sshd.conf";
/// Filter of pvedaemon's lines.
pub const WEB_FILTER: &str = "/etc/fail2ban/filter.d/pve-harden-web.conf";
/// Folders of the above, outermost first.
pub const FOLDERS: [&str; 3] = ["/etc/fail2ban", "/etc/fail2ban/filter.d", "/etc/fail2ban/jail.d"];
/// Jails by name: Debian's own name, and the one that Proxmox' wiki gives.
pub const SSH_JAIL: &str = "sshd";
/// See [`SSH_JAIL`].
pub const WEB_JAIL: &str = "proxmox";

/// Journal fields of lines that only root can have written: anybody may call a program sshd. Since OpenSSH 9.8 the lines
/// come from sshd-session (release notes).
pub const SSH_MATCHES: [[&str; 2]; 3] =
    [["_COMM=sshd", "_UID=0"], ["_COMM=sshd-session", "_UID=0"], ["_COMM=sshd-auth", "_UID=0"]];
/// The same for pvedaemon.
pub const WEB_MATCHES: [[&str; 2]; 1] = [["_SYSTEMD_UNIT=pvedaemon.service", "_UID=0"]];
/// What pvedaemon's line must begin with (pve-access-control, src/PVE/API2/AccessControl.pm `create_ticket`).
pub const WEB_PATTERN: &str = "authentication failure; rhost=";

const HEAD: &str = "# Written by pve-harden (bruteforce.fail2ban).";

fn journal_match(terms: &[[&str; 2]]) -> String {
    terms.iter().map(|term| term.join(" ")).collect::<Vec<_>>().join(" + ")
}

/// Debian's filter for sshd with every name that its processes have had.
pub fn ssh_filter(want: &Fail2banPolicy) -> String {
    format!(
        "{HEAD}\n[INCLUDES]\nbefore = sshd.conf\n\n[DEFAULT]\n_daemon = sshd(?:-session|-auth)?\n\n[Definition]\n\
         mode = {}\njournalmatch = {}\n",
        want.ssh_mode.word(),
        journal_match(&SSH_MATCHES)
    )
}

/// The user's name is the guesser's own text, so the address is taken from before it.
pub fn web_filter() -> String {
    format!(
        "{HEAD}\n[INCLUDES]\nbefore = common.conf\n\n[Definition]\n_daemon = pvedaemon\n\
         failregex = ^%(__prefix_line)s{WEB_PATTERN}<ADDR> user=<F-USER>\\S*</F-USER> msg=\nignoreregex =\n\
         journalmatch = {}\n",
        journal_match(&WEB_MATCHES)
    )
}

/// Both jails. What decides whom they ban stands in each of them, because a jail's own value beats `[DEFAULT]`.
pub fn jails(want: &Fail2banPolicy, ssh_ports: &[u16], exempt: &[IpNet], action: &str) -> String {
    let ports = ssh_ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let exempt = exempt.iter().map(word).collect::<Vec<_>>().join(" ");
    let jail = |name: &str, filter: &str, matches: &[[&str; 2]], port: &str| {
        format!(
            "\n[{name}]\nenabled = true\nfilter = {filter}\nbackend = systemd\njournalmatch = {}\nport = {port}\n\
             maxretry = {}\nfindtime = {}\nbantime = {}\nusedns = no\nbanaction = {action}\nignoreip = {exempt}\n",
            journal_match(matches),
            want.max_retry,
            want.find_time,
            want.ban_time
        )
    };
    format!(
        "{HEAD} Never banned: management networks, members of the cluster, the node.\n{}{}",
        jail(SSH_JAIL, "pve-harden-sshd", &SSH_MATCHES, &ports),
        jail(WEB_JAIL, "pve-harden-web", &WEB_MATCHES, "8006")
    )
}

/// A network as fail2ban shows it.
pub fn word(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// What each jail of the text of [`JAILS`] never bans.
pub fn never_banned(text: &str) -> BTreeMap<&str, Vec<IpNet>> {
    let mut jails: BTreeMap<&str, Vec<IpNet>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = Some(name);
            jails.entry(name).or_default();
        } else if let (Some(name), Some(("ignoreip", words))) =
            (current, line.split_once('=').map(|(key, value)| (key.trim(), value)))
        {
            let nets = words.split_whitespace().filter_map(|word| {
                word.parse::<IpNet>().ok().or_else(|| word.parse::<std::net::IpAddr>().ok().map(IpNet::from))
            });
            jails.insert(name, nets.collect());
        }
    }
    jails
}
