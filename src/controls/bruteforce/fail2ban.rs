//! `bruteforce.fail2ban`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::gather::Request;
use crate::facts::watch::{Fail2ban as Fact, Jail};
use crate::facts::{Facts, Reading};
use crate::profile::policy::{Fail2banPolicy, Policy};
use crate::pve::pveproxy::{self, aggregate};

use super::files::{
    FOLDERS, JAILS, SSH_FILTER, SSH_JAIL, SSH_MATCHES, WEB_FILTER, WEB_JAIL, WEB_MATCHES, WEB_PATTERN, jails,
    ssh_filter, web_filter, word,
};
use super::proxy;

/// The control.
pub struct Fail2ban;
/// `bruteforce.fail2ban`.
pub const FAIL2BAN: Fail2ban = Fail2ban;

const ID: &str = "bruteforce.fail2ban";
const UNIT: &str = "fail2ban.service";
/// The second lets fail2ban read the journal, without which neither jail starts.
const PACKAGES: [&str; 2] = ["fail2ban", "python3-systemd"];

static META: Meta = Meta {
    id: ID,
    title: "Sources of many wrong logins are shut out for a while (fail2ban)",
    why: "PVE has no rate limit for its API and never locks @pve users: a source that reaches 8006 may guess for as long \
          as it likes, three seconds a try and as many at once as it opens connections. On SSH guesses cost nothing but \
          log lines. fail2ban counts per source what pam_faillock counts per account, so a stranger cannot lock \
          anybody else out.",
    checked: "What fail2ban makes of all its files (fail2ban-client -d): both jails, what they read from the journal, limits, \
              whom they never ban; that the service is enabled and active and both jails run with the same exemptions. \
              Not covered: API tokens (random, 122 bits), and whatever comes through a reverse proxy.",
    naive: "Guides read /var/log/auth.log, which a PVE node without rsyslog does not have; Debian 12's fail2ban does not even \
            start then. Filters that look for sshd alone miss OpenSSH 9.8 and later, which logs as sshd-session. Without \
            `_UID=0` any user may write lines that ban whom he likes. With passwords off, mode `normal` sees no guesses \
            at existing users. Behind a reverse proxy every web login comes from the proxy: the first ban shuts everybody \
            out; refused unless the profile names it. An operator or a cluster member who is not exempt gets banned by \
            a script with an old password, migrations included.",
    references: &[
        Reference::Guide("2.3.3"),
        Reference::Man("jail.conf(5)"),
        Reference::Man("fail2ban-client(1)"),
        Reference::Source("pve-access-control src/PVE/API2/AccessControl.pm create_ticket"),
        Reference::Source("pve-http-server src/PVE/APIServer/AnyEvent.pm"),
    ],
    level: 2,
    severity: Severity::Medium,
};

impl Control for Fail2ban {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.bruteforce.fail2ban.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        FOLDERS.iter().chain(&[JAILS, SSH_FILTER, WEB_FILTER, pveproxy::PATH]).map(|path| (*path).to_owned()).collect()
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.watch.extend(["fail2ban", "web-users"]);
        request.units.insert(UNIT.into());
    }

    fn packages(&self) -> &'static [&'static str] {
        &PACKAGES
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Everybody who is never banned: the node itself, the cluster's members, the management networks, named others.
fn exempt(facts: &Facts, policy: &Policy) -> Result<Vec<IpNet>, String> {
    facts.cluster.certain().map_err(|why| format!("the cluster's members: {why}"))?;
    let loopback =
        [IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)), IpAddr::from(Ipv6Addr::LOCALHOST).into()];
    let want = &policy.profile.bruteforce.fail2ban;
    let named = policy.site.management.iter().chain(&want.also).chain(&want.reverse_proxies).copied();
    let members = facts.peer_addresses().into_iter().map(IpNet::from).chain(facts.peer_networks());
    Ok(aggregate(&loopback.into_iter().chain(named).chain(members).collect::<Vec<_>>()))
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let want = &policy.profile.bruteforce.fail2ban;
    let exempt = exempt(facts, policy)?;
    if policy.site.management.is_empty() {
        let advice = "name the networks you administer from in the site file, they are never banned: management = \
                      [\"192.0.2.0/24\"]";
        return Ok(Verdict::advise(advice, Vec::new()));
    }
    if let Some(why) = refused(facts, want, &exempt)? {
        return Ok(Verdict::refused(why));
    }
    let installed = installed(facts)?;
    let mut found = Found::default();
    found.evidence.push(Evidence::new(
        format!("packages {}", PACKAGES.join(", ")),
        if installed { "installed" } else { "missing" },
        "installed",
    ));
    let mut files = files(facts, policy, &exempt)?;
    let loaded = match &facts.watch.fail2ban {
        Reading::Absent if !installed => None,
        reading => Some(reading.required("fail2ban's configuration")?),
    };
    found.loaded(policy, loaded, &exempt);
    let unit = unit(facts)?;
    found.evidence.push(Evidence::new(UNIT, format!("{}, {}", unit.0, unit.1), "active, enabled"));
    found.evidence.extend(not_covered(want));
    let runs = unit == ("active", "enabled");
    if installed && runs && files.is_empty() && found.off {
        return Ok(Verdict::advise(found.advice(), found.evidence));
    }
    if !installed {
        // The package starts its daemon at once: it must find whom it never bans.
        for change in &mut files {
            change.stage = Stage::Packages;
        }
        let install = PACKAGES.map(str::to_owned).to_vec();
        files.push(change(Stage::Packages, "install fail2ban".into(), Action::Packages { install }));
    }
    let verb = if installed && runs { UnitVerb::Reload } else { UnitVerb::EnableNow };
    if !files.is_empty() || !runs || found.stale {
        let words = if verb == UnitVerb::Reload { "reads its files again" } else { "starts, now and at every boot" };
        files.push(change(Stage::Services, format!("fail2ban {words}"), Action::Unit { unit: UNIT.into(), verb }));
    }
    Ok(Verdict::outcome(files, None, found.evidence))
}

/// Why this policy would ban the wrong ones.
fn refused(facts: &Facts, want: &Fail2banPolicy, exempt: &[IpNet]) -> Result<Option<String>, String> {
    if let Some(net) = exempt.iter().find(|net| net.prefix_len() == 0) {
        return Ok(Some(format!("{ID}: {net} is every address, so that nobody would ever be banned")));
    }
    let operator = facts.session.known().and_then(|session| session.operator);
    if let Some(operator) = operator.filter(|operator| !exempt.iter().any(|net| net.contains(operator))) {
        return Ok(Some(format!(
            "you come from {operator}, which fail2ban could ban; add it to the site's management networks or to \
             {ID}.also"
        )));
    }
    if !want.detect_proxy || !want.reverse_proxies.is_empty() {
        return Ok(None);
    }
    Ok(proxy::suspected(facts, exempt)?.map(|why| {
        format!(
            "web logins seem to come through a reverse proxy ({why}): a ban would shut everybody out. Name it in \
             {ID}.reverse-proxies, then it is never banned and has to limit logins itself; if it is none, set \
             {ID}.detect-proxy = false"
        )
    }))
}

fn installed(facts: &Facts) -> Result<bool, String> {
    let packages = facts.packages.required("installed packages")?;
    Ok(PACKAGES.iter().all(|name| packages.get(*name).is_some_and(|package| package.installed)))
}

/// Active and file state; absent units are `inactive, not-found`.
fn unit(facts: &Facts) -> Result<(&str, &str), String> {
    let unit = facts.unit(UNIT)?;
    Ok((&unit.active, if unit.load == "not-found" { "not-found" } else { &unit.file_state }))
}

/// Changes that put this tool's files right.
fn files(facts: &Facts, policy: &Policy, exempt: &[IpNet]) -> Result<Vec<Change>, String> {
    let want = &policy.profile.bruteforce.fail2ban;
    let packages = facts.packages.required("installed packages")?;
    // A table of its own, whichever firewall PVE uses; without nft(8) the iptables that pve-firewall depends on.
    let nft = packages.get("nftables").is_some_and(|package| package.installed);
    let action = if nft { "nftables[type=multiport]" } else { "iptables-multiport" };
    let ports = facts.sshd.global.required("sshd's settings")?.get("port");
    let mut ports: Vec<u16> = ports.iter().flat_map(|ports| ports.lines()).filter_map(|it| it.parse().ok()).collect();
    if ports.is_empty() {
        ports.push(22);
    }
    let mut changes = Vec::new();
    for folder in FOLDERS {
        changes.extend(conf::directory(facts, ID, folder)?);
    }
    for (path, text, summary) in [
        (SSH_FILTER, ssh_filter(want), "fail2ban's filter of wrong logins on SSH"),
        (WEB_FILTER, web_filter(), "fail2ban's filter of wrong logins on port 8006"),
        (JAILS, jails(want, &ports, exempt, action), "fail2ban's jails, and whom they never ban"),
    ] {
        changes.extend(conf::own(facts, ID, path, &text, summary)?);
    }
    Ok(changes)
}

fn change(stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![ID.into()], stage, summary, interrupts: None, action }
}

fn not_covered(want: &Fail2banPolicy) -> Option<Evidence> {
    let proxies = want.reverse_proxies.iter().map(word).collect::<Vec<_>>().join(", ");
    (!proxies.is_empty()).then(|| Evidence {
        source: "reverse proxies".into(),
        found: format!("{proxies}: web logins through them are not covered, limit them there"),
        wanted: None,
    })
}

/// What is effective.
#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    /// What the files make effective is not what is wanted.
    off: bool,
    /// What runs is not what the files say.
    stale: bool,
    problem: Option<String>,
}

impl Found {
    fn loaded(&mut self, policy: &Policy, fact: Option<&Fact>, exempt: &[IpNet]) {
        let Some(fact) = fact else { return };
        if let Some(problem) = &fact.problem {
            self.off = true;
            self.problem = Some(problem.clone());
            self.evidence.push(Evidence::new("fail2ban-client -d", problem.as_str(), "a configuration that loads"));
            return;
        }
        for (name, matches) in [(SSH_JAIL, &SSH_MATCHES[..]), (WEB_JAIL, &WEB_MATCHES[..])] {
            let empty = Jail::default();
            let jail = fact.jails.get(name).unwrap_or(&empty);
            let faults = faults(name, jail, matches, &policy.profile.bruteforce.fail2ban, exempt);
            self.off |= !faults.is_empty();
            let source = format!("jail {name}");
            if faults.is_empty() {
                let found = format!(
                    "bans for {} s after {} wrong logins in {} s",
                    jail.settings["bantime"], jail.settings["maxretry"], jail.settings["findtime"]
                );
                self.evidence.push(Evidence { source: source.clone(), found, wanted: None });
            } else {
                let want = wanted(policy, "bruteforce.fail2ban.enabled", "as the profile says");
                self.evidence.push(Evidence::new(source.clone(), faults.join("; "), want));
            }
            let running = fact.running.get(name);
            // Without root's socket or while it starts nothing is told of what runs; the unit's state is judged anyway.
            let same = running.is_some_and(|ignored| *ignored == jail.ignored);
            if !same {
                self.stale = true;
                let found = if running.is_some() { "runs with other exemptions" } else { "does not run" };
                self.evidence.push(Evidence::new(format!("{source}, running"), found, "as configured"));
            }
        }
    }

    fn advice(&self) -> String {
        match &self.problem {
            Some(problem) => format!("fail2ban cannot load its configuration, repair it: {problem}"),
            None => format!("a file that is read after {JAILS} says otherwise: see `fail2ban-client -d`"),
        }
    }
}

/// In what a jail falls short.
fn faults(name: &str, jail: &Jail, matches: &[[&str; 2]], want: &Fail2banPolicy, exempt: &[IpNet]) -> Vec<String> {
    if !jail.enabled {
        return vec!["not enabled".into()];
    }
    let mut faults = Vec::new();
    if jail.backend != "systemd" {
        faults.push(format!("reads {}, not the journal", jail.backend.escape_debug()));
    }
    if jail.matches != matches {
        let found: Vec<String> = jail.matches.iter().map(|term| term.join(" ")).collect();
        faults.push(format!("reads other lines of the journal: {}", found.join(" + ").escape_debug()));
    }
    if name == WEB_JAIL && !jail.patterns.iter().all(|it| it.starts_with('^') && it.contains(WEB_PATTERN)) {
        faults.push("looks for other lines than pvedaemon's".into());
    }
    let number = |key: &str| jail.settings.get(key).and_then(|value| value.parse::<i64>().ok());
    let mut limit = |key: &str, good: bool, want: u32| {
        let found = jail.settings.get(key).map_or("not set", String::as_str);
        if !good {
            faults.push(format!("{key} is {}, not {want}", found.escape_debug()));
        }
    };
    let [retry, find, ban] = [want.max_retry, want.find_time, want.ban_time].map(i64::from);
    limit("maxretry", number("maxretry").is_some_and(|it| it <= retry && it > 0), want.max_retry);
    limit("findtime", number("findtime").is_some_and(|it| it >= find), want.find_time);
    limit("bantime", number("bantime").is_some_and(|it| it >= ban || it < 0), want.ban_time);
    let may_ban = exempt.iter().filter(|net| !jail.ignored.iter().any(|ignored| ignored.contains(*net)));
    let spares = jail.ignored.iter().filter(|net| !exempt.iter().any(|wanted| wanted.contains(*net)));
    let list = |nets: Vec<String>, words: &str| (!nets.is_empty()).then(|| format!("{words} {}", nets.join(", ")));
    faults.extend(list(may_ban.map(word).collect(), "may ban"));
    faults.extend(list(spares.map(word).collect(), "also never bans"));
    if jail.actions.is_empty() {
        faults.push("has no action".into());
    }
    faults
}
