//! What watches the node (`remote/watch.sh`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Reading;
use super::sections::{Sections, shown};
use super::system::address;
use crate::sanitize;

/// What a control may have asked, by the word in [`super::gather::Request::watch`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// `fail2ban`; absent where it is not installed.
    pub fail2ban: Reading<Fail2ban>,
    /// `web-users`: who was logged in to the web interface from where, by pveproxy's newest log lines.
    pub web_users: Reading<BTreeMap<IpAddr, BTreeSet<String>>>,
    /// `journald`.
    #[serde(default)]
    pub journald: Reading<Journald>,
    /// `forward`: ports of other machines that rsyslogd holds a connection to.
    #[serde(default)]
    pub forward: Reading<BTreeSet<u16>>,
    /// `audit`: the kernel's audit trail; absent without auditctl.
    #[serde(default)]
    pub audit: Reading<Audit>,
}

/// The kernel's audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Auditing is on.
    pub enabled: bool,
    /// Its rules cannot change before the next boot.
    #[serde(default)]
    pub locked: bool,
    /// What a failure does: 0 nothing, 1 a line in the kernel's log, 2 a panic.
    #[serde(default)]
    pub failure: Option<u32>,
    /// How long a full queue holds up a process that makes an event; 0 not at all.
    #[serde(default)]
    pub backlog_wait: Option<u32>,
    /// Loaded rules as `auditctl -l` shows them.
    pub rules: Vec<String>,
}

/// systemd's journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journald {
    /// Settings after all files: name → value and the file that set it last.
    pub settings: BTreeMap<String, (String, String)>,
    /// This machine's journal lies on disk.
    pub on_disk: bool,
    /// Bytes that the running journald takes at most on disk, as it said at its start.
    pub max_use: Option<u64>,
    /// Its oldest entry, seconds since 1970.
    pub oldest: Option<i64>,
}

impl Journald {
    /// A setting; an empty one is as good as none (journald.conf(5)).
    pub fn value(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|(value, _)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Name of a setting with the file that has it.
    pub fn source(&self, name: &str) -> String {
        match self.settings.get(name) {
            Some((_, file)) => format!("journald {name} ({file})"),
            None => format!("journald {name}"),
        }
    }
}

/// fail2ban's configuration after all its files (`fail2ban-client -d`), and what runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fail2ban {
    /// Why its configuration does not load.
    pub problem: Option<String>,
    /// Jails that it would start.
    pub jails: BTreeMap<String, Jail>,
    /// Jails of this tool's that run, with what each of them never bans.
    pub running: BTreeMap<String, BTreeSet<IpNet>>,
}

/// One jail as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jail {
    /// Where its lines come from, e.g. `systemd`.
    pub backend: String,
    /// It is started.
    pub enabled: bool,
    /// `maxretry`, `findtime`, `bantime` and the like, as configured.
    pub settings: BTreeMap<String, String>,
    /// Addresses and networks that are never banned; a word that is none is left out.
    pub ignored: BTreeSet<IpNet>,
    /// Journal fields of which one line must have all.
    pub matches: Vec<Vec<String>>,
    /// Patterns, where the filter has one alone.
    pub patterns: Vec<String>,
    /// Names of its actions.
    pub actions: Vec<String>,
}

pub(super) fn parse(sections: Sections<'_>) -> Watch {
    Watch {
        fail2ban: sections.parse("watch.fail2ban", fail2ban),
        web_users: sections.parse("watch.web-users", web_users),
        journald: sections.parse("watch.journald", journald),
        forward: sections.parse("watch.forward", forward),
        audit: sections.parse("watch.audit", audit),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

fn fail2ban(text: &str) -> Result<Fail2ban, String> {
    let mut found = Fail2ban::default();
    for line in lines(text) {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("exit", _) => {}
            ("problem", why) => found.problem = Some(shown(why)),
            ("dump", words) => {
                let words = literals(words).ok_or_else(|| format!("no command: {}", shown(line)))?;
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                command(&mut found.jails, &words);
            }
            ("jail", name) => drop(found.running.entry(name.to_owned()).or_default()),
            ("ignored", rest) => {
                let (jail, word) = rest.split_once(' ').ok_or_else(|| format!("no address: {}", shown(line)))?;
                found.running.entry(jail.to_owned()).or_default().extend(network(word));
            }
            _ => return Err(format!("no line of fail2ban's: {}", shown(line))),
        }
    }
    Ok(found)
}

fn command(jails: &mut BTreeMap<String, Jail>, words: &[&str]) {
    match words {
        ["add", name, backend, ..] => (*backend).clone_into(&mut jails.entry((*name).to_owned()).or_default().backend),
        ["start", name] => jails.entry((*name).to_owned()).or_default().enabled = true,
        ["set", name, setting, values @ ..] => {
            let Some(jail) = jails.get_mut(*name) else { return };
            match (*setting, values) {
                ("addignoreip", values) => jail.ignored.extend(values.iter().filter_map(|word| network(word))),
                ("addjournalmatch", values) => {
                    let terms = values.split(|word| *word == "+");
                    jail.matches.extend(terms.map(|term| term.iter().map(|word| (*word).to_owned()).collect()));
                }
                ("addfailregex", [pattern]) => jail.patterns.push((*pattern).to_owned()),
                ("addaction", [name, ..]) => jail.actions.push((*name).to_owned()),
                (setting, [value]) => drop(jail.settings.insert(setting.to_owned(), (*value).to_owned())),
                _ => {}
            }
        }
        _ => {}
    }
}

/// An address, or a network whose host bits do not count.
fn network(word: &str) -> Option<IpNet> {
    let word = word.trim();
    let net = word.parse::<IpNet>().ok().or_else(|| address(word).map(IpNet::from))?;
    Some(net.trunc())
}

/// A flat list as Python prints it: texts in either quotes, numbers, `True`, `None`.
fn literals(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('[')?.strip_suffix(']')?.chars().peekable();
    let mut words = Vec::new();
    loop {
        while rest.peek().is_some_and(|c| matches!(c, ' ' | ',')) {
            rest.next();
        }
        let Some(first) = rest.next() else { return Some(words) };
        let mut word = String::new();
        if matches!(first, '\'' | '"') {
            loop {
                match rest.next()? {
                    c if c == first => break,
                    '\\' => match rest.next()? {
                        'n' => word.push('\n'),
                        't' => word.push('\t'),
                        c => word.push(c),
                    },
                    c => word.push(c),
                }
            }
        } else {
            word.push(first);
            while let Some(c) = rest.next_if(|c| *c != ',') {
                word.push(c);
            }
        }
        words.push(word);
    }
}

fn web_users(text: &str) -> Result<BTreeMap<IpAddr, BTreeSet<String>>, String> {
    let mut users: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    for line in lines(text) {
        let found = line.split_once(' ').and_then(|(client, user)| Some((address(client)?, user)));
        let (client, user) = found.ok_or_else(|| format!("no request: {}", shown(line)))?;
        users.entry(client).or_default().insert(shown(user));
    }
    Ok(users)
}

/// `set FILE NAME=VALUE`, `on-disk`, `running JSON`, `oldest SECONDS`.
fn journald(text: &str) -> Result<Journald, String> {
    let mut found = Journald::default();
    for line in lines(text) {
        let bad = || format!("no line of journald's: {}", shown(line));
        match line.split_once(' ').unwrap_or((line, "")) {
            ("set", rest) => {
                let (file, setting) = rest.split_once(' ').ok_or_else(bad)?;
                let (name, value) = setting.split_once('=').ok_or_else(bad)?;
                found.settings.insert(shown(name.trim()), (shown(value.trim()), shown(file)));
            }
            ("on-disk", _) => found.on_disk = true,
            ("running", json) => {
                let entry: serde_json::Value = serde_json::from_str(json).map_err(|_| bad())?;
                found.max_use = entry["MAX_USE"].as_str().and_then(|bytes| bytes.parse().ok());
            }
            ("oldest", seconds) => found.oldest = seconds.split('.').next().and_then(|seconds| seconds.parse().ok()),
            _ => return Err(bad()),
        }
    }
    Ok(found)
}

fn forward(text: &str) -> Result<BTreeSet<u16>, String> {
    lines(text).map(|line| line.trim().parse().map_err(|_| format!("no port: {}", shown(line)))).collect()
}

/// `enabled NUMBER` and the like, `rule RULE`.
fn audit(text: &str) -> Result<Audit, String> {
    let mut found = Audit::default();
    for line in lines(text) {
        match line.split_once(' ') {
            Some(("enabled", number)) => {
                found.enabled = matches!(number.trim(), "1" | "2");
                found.locked = number.trim() == "2";
            }
            Some(("failure", number)) => found.failure = number.trim().parse().ok(),
            Some(("backlog_wait_time", number)) => found.backlog_wait = number.trim().parse().ok(),
            // Whole: auditctl 4 writes out forty names of calls before it comes to the path.
            Some(("rule", rule)) => found.rules.push(sanitize::line(rule).into_owned()),
            _ => return Err(format!("no line of auditctl's: {}", shown(line))),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"exit 0
dump ['add', 'sshd', 'systemd']
dump ['set', 'sshd', 'maxretry', 3]
dump ['set', 'sshd', 'ignoreself', True]
dump ['set', 'sshd', 'addignoreip', '127.0.0.0/8', '::1', "10.77.0.9/24", 'host.example']
dump ['set', 'sshd', 'addjournalmatch', '_COMM=sshd', '_UID=0', '+', '_COMM=sshd-session']
dump ['set', 'proxmox', 'addfailregex', 'unknown jail']
dump ['add', 'proxmox', 'systemd']
dump ['set', 'proxmox', 'addfailregex', '^\\s*it\'s']
dump ['set', 'proxmox', 'addaction', 'nftables']
dump ['start', 'sshd']
jail sshd
ignored sshd 10.77.0.0/24
"#;

    #[test]
    fn the_dump_is_read() {
        let found = fail2ban(DUMP).unwrap();
        let sshd = &found.jails["sshd"];
        assert!(sshd.enabled && !found.jails["proxmox"].enabled);
        assert_eq!(sshd.settings["maxretry"], "3");
        let ignored: Vec<String> = sshd.ignored.iter().map(ToString::to_string).collect();
        assert_eq!(ignored, ["10.77.0.0/24", "127.0.0.0/8", "::1/128"]);
        assert_eq!(sshd.matches, [vec!["_COMM=sshd".to_owned(), "_UID=0".into()], vec!["_COMM=sshd-session".into()]]);
        assert_eq!(found.jails["proxmox"].patterns, ["^\\s*it's"]);
        assert_eq!(found.jails["proxmox"].actions, ["nftables"]);
        assert_eq!(found.running["sshd"].len(), 1);
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["dump ['a", "dump nothing", "surprise", "ignored sshd"] {
            assert!(fail2ban(text).is_err(), "{text}");
        }
        assert_eq!(fail2ban("exit 255\nproblem broken\n").unwrap().problem.as_deref(), Some("broken"));
        assert!(web_users("nobody root@pam").is_err());
        assert_eq!(web_users("::ffff:10.0.0.9 root@pam\n").unwrap().len(), 1);
    }

    #[test]
    fn of_one_setting_the_last_file_counts() {
        let text = "set /etc/systemd/journald.conf  Storage = volatile\nset /etc/systemd/journald.conf.d/a.conf Storage=auto\n\
                    set /x.conf SystemMaxUse=\non-disk\nrunning {\"MAX_USE\":\"80531456\"}\noldest 1795333791.5\n";
        let found = journald(text).unwrap();
        assert_eq!((found.value("Storage"), found.value("SystemMaxUse")), (Some("auto"), None));
        assert_eq!(found.source("Storage"), "journald Storage (/etc/systemd/journald.conf.d/a.conf)");
        assert_eq!((found.on_disk, found.max_use, found.oldest), (true, Some(80_531_456), Some(1_795_333_791)));
        for text in ["set x", "running nothing", "surprise"] {
            assert!(journald(text).is_err(), "{text}");
        }
        assert_eq!(forward("6514\n").unwrap(), [6514].into());
        assert!(forward("many").is_err());
        let long =
            format!("-a always,exit -F arch=b64 -S {} -F dir=/etc/pve -F perm=wa -F key=x", "openat,".repeat(60));
        let trail = audit(&format!("enabled 1\nrule {long}\nrule -w /etc/\u{1b}[31m\n")).unwrap();
        assert_eq!(trail.rules[0], long);
        assert!(!trail.rules[1].contains('\u{1b}'));
        let trail = audit("enabled 2\nfailure 1\nbacklog_wait_time 60000\nrule -w /etc/pve -p wa\n").unwrap();
        assert!(trail.enabled && trail.locked && trail.rules.len() == 1 && audit("surprise").is_err());
        assert_eq!((trail.failure, trail.backlog_wait), (Some(1), Some(60_000)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(text in "(\\PC|dump |\\[|'|\\\\|,|\n| |set|add|jail )*") {
            let _ = fail2ban(&text);
            let _ = web_users(&text);
            let _ = journald(&text);
            let _ = forward(&text);
            let _ = audit(&text);
        }
    }
}
