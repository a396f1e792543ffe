//! `kernel.sysctl`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::change::{Action, Change, Stage};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::gather::Request;
use crate::facts::os::Sysctl as Fact;
use crate::facts::{Facts, Reading};
use crate::profile::policy::Policy;

/// The control.
pub struct Sysctl;
/// `kernel.sysctl`.
pub const SYSCTL: Sysctl = Sysctl;

const ID: &str = "kernel.sysctl";
/// Sorts after Debian's `99-sysctl.conf`, so that it is read last.
const PATH: &str = "/etc/sysctl.d/99-zz-pve-harden.conf";
/// In the order of sysctl.d(5): of two files with one name the first folder's counts.
const FOLDERS: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];
/// Once set, only a reboot takes them back: they are written for the next boot and never set on a running node.
const ONE_WAY: [&str; 3] =
    ["kernel.kexec_load_disabled", "kernel.modules_disabled", "kernel.unprivileged_bpf_disabled=1"];

static META: Meta = Meta {
    id: ID,
    title: "Kernel settings that make attacks harder, without breaking guests",
    why: "Whoever gets a foothold in a guest or an account looks for kernel addresses, unprivileged BPF, ptrace and \
          link tricks next; redirects and source routes bend traffic.",
    checked: "Two facts per setting: the running value in /proc/sys, and the value that the files of sysctl.d(5) give at \
              the next boot, the last one counting. In a container the running value is the host's and is only \
              reported.",
    naive: "CIS and most roles set rp_filter to 1: PVE's firewall ships 2, because guests' traffic passes the bridges \
            asymmetrically. ip_forward 0 cuts routed and NAT guests, SDN and EVPN; disable_ipv6 cuts corosync where it \
            uses IPv6; kexec_load_disabled ends kdump and cannot be undone before a reboot. On PVE 9 /etc/sysctl.conf is \
            no longer read.",
    references: &[
        Reference::Cis13("1.5"),
        Reference::Cis13("3.3"),
        Reference::Cis12("1.5.1"),
        Reference::Cis12("1.5.2"),
        Reference::Cis12("3.3"),
        Reference::Man("sysctl.d(5)"),
        Reference::Source("pve-firewall src/pve-firewall-sysctl.conf"),
        Reference::Source("Linux Documentation/admin-guide/sysctl"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Sysctl {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.kernel.sysctl.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let folders = FOLDERS.iter().flat_map(|folder| [(*folder).to_owned(), format!("{folder}/*.conf")]);
        folders.chain(["/etc/sysctl.conf".to_owned()]).collect()
    }

    fn ask(&self, policy: &Policy, request: &mut Request) {
        request.sysctl.extend(settings(policy).unwrap_or_default().into_iter().map(|setting| setting.name.to_owned()));
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match settings(policy) {
            Err(why) => Verdict::refused(format!("{ID}: {why}")),
            Ok(settings) => judge(facts, policy, &settings).unwrap_or_else(Verdict::unknown),
        }
    }
}

/// One line of the policy.
struct Setting<'a> {
    name: &'a str,
    /// The first is set, any is accepted.
    accepted: Vec<&'a str>,
}

impl Setting<'_> {
    fn value(&self) -> &str {
        self.accepted.first().copied().unwrap_or_default()
    }

    fn one_way(&self) -> bool {
        let pair = format!("{}={}", self.name, self.value());
        ONE_WAY.contains(&self.name) || ONE_WAY.contains(&pair.as_str())
    }
}

fn settings(policy: &Policy) -> Result<Vec<Setting<'_>>, String> {
    policy.profile.kernel.sysctl.settings.iter().map(|line| setting(line)).collect()
}

fn setting(line: &str) -> Result<Setting<'_>, String> {
    let bad = || format!("\"{}\" is no setting; write \"name = value\"", line.escape_debug());
    let (name, values) = line.split_once('=').ok_or_else(bad)?;
    let (name, accepted) = (name.trim(), values.split('|').map(str::trim).collect::<Vec<_>>());
    let is_name = name.contains('.') && !name.contains("..") && !name.starts_with('.');
    let name_good = is_name && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let value_good = |value: &&str| {
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" -".contains(&byte))
    };
    if name_good && accepted.iter().all(value_good) { Ok(Setting { name, accepted }) } else { Err(bad()) }
}

fn judge(facts: &Facts, policy: &Policy, settings: &[Setting<'_>]) -> Result<Verdict, String> {
    let running = facts.os.sysctl.required("running kernel settings")?;
    let files = files(facts)?;
    let mut found = Found::default();
    for setting in settings {
        let fact = running.get(setting.name).ok_or_else(|| format!("{} was not asked", setting.name))?;
        found.weigh(policy, setting, fact, files.last(setting.name));
    }
    if found.evidence.iter().all(|line| line.wanted.is_none()) {
        let text = format!("{} settings run and last as wanted", found.ours.len());
        found.evidence.push(Evidence { source: "/proc/sys and sysctl.d".into(), found: text, wanted: None });
    }
    let mut changes = Vec::new();
    if found.incomplete || conf::text(facts, PATH)?.is_some() {
        changes.extend(conf::own(facts, ID, PATH, &text(&found.ours), "kernel settings from the next boot on")?);
    }
    if !found.set.is_empty() {
        changes.push(Change {
            controls: vec![ID.into()],
            stage: Stage::Services,
            summary: format!("set {} kernel settings now", found.set.len()),
            interrupts: None,
            action: Action::Sysctl { set: found.set },
        });
    }
    let later = found.later.join("; ");
    let advice = (!later.is_empty()).then(|| format!("take these lines out, they are read after ours: {later}"));
    Ok(Verdict::outcome(changes, advice, found.evidence))
}

/// What the settings add up to.
#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    /// To be set now.
    set: BTreeMap<String, String>,
    /// Lines of our file.
    ours: Vec<(String, String)>,
    /// Something does not last yet.
    incomplete: bool,
    /// Lines elsewhere that beat our file.
    later: Vec<String>,
}

impl Found {
    fn weigh(&mut self, policy: &Policy, setting: &Setting<'_>, fact: &Fact, lasting: Option<(&str, &str)>) {
        let Fact::Value { value, writable } = fact else {
            let found = "this kernel has no such setting".into();
            self.evidence.push(Evidence { source: setting.name.into(), found, wanted: None });
            return;
        };
        let kept = lasting.map(|(_, value)| value).filter(|value| setting.accepted.contains(value));
        self.ours.push((setting.name.to_owned(), kept.unwrap_or(setting.value()).to_owned()));
        self.incomplete |= kept.is_none();
        let runs = setting.accepted.contains(&value.as_str());
        let settable = *writable && !setting.one_way();
        if !runs && settable {
            self.set.insert(setting.name.to_owned(), setting.value().to_owned());
        }
        if let Some((path, value)) = lasting.filter(|(path, _)| kept.is_none() && name_of(path) > name_of(PATH)) {
            self.later.push(format!("{path}: {} = {}", setting.name, value.escape_debug()));
        }
        if runs && kept.is_some() {
            return;
        }
        let note = match (runs, settable) {
            (true, _) | (false, true) => "",
            (false, false) if setting.one_way() => ", at the next boot",
            (false, false) => ", the host's: /proc/sys cannot be written here",
        };
        let lasts = lasting.map_or_else(|| "nothing".to_owned(), |(path, value)| format!("{value} in {path}"));
        let found = format!("runs with {value}{note}; lasts: {lasts}");
        if kept.is_some() && !settable {
            self.evidence.push(Evidence { source: setting.name.into(), found, wanted: None });
        } else {
            let want = wanted(policy, "kernel.sysctl.settings", setting.accepted.join(" or "));
            self.evidence.push(Evidence::new(setting.name, found, want));
        }
    }
}

fn text(lines: &[(String, String)]) -> String {
    let mut text =
        "# Written by pve-harden (kernel.sysctl). Own settings belong into a file of another name.\n".to_owned();
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The lines of sysctl.d in the order in which systemd-sysctl reads them.
struct Files(Vec<(String, Vec<(String, String)>)>);

fn files(facts: &Facts) -> Result<Files, String> {
    let mut by_name: BTreeMap<&str, String> = BTreeMap::new();
    for folder in FOLDERS {
        match facts.file(folder) {
            Reading::Known(_) | Reading::Absent => {}
            Reading::Unreadable(why) => return Err(format!("{folder}: {why}")),
            Reading::NotAsked => return Err(format!("{folder}: the capture does not contain it")),
        }
        let inside = facts.files.iter().filter(|(path, reading)| {
            let name = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            let wanted =
                name.and_then(|name| name.strip_suffix(".conf")).is_some_and(|name| !name.contains(['/', '*']));
            wanted && !matches!(reading, Reading::Absent)
        });
        for (path, _) in inside {
            by_name.entry(name_of(path)).or_insert_with(|| path.clone());
        }
    }
    let read = |path: String| match facts.text(&path) {
        Reading::Known(text) => Ok((path, lines(&text))),
        Reading::Absent => Ok((path, Vec::new())),
        Reading::Unreadable(why) => Err(why),
        Reading::NotAsked => Err(format!("{path}: the capture does not contain it")),
    };
    by_name.into_values().map(read).collect::<Result<_, _>>().map(Files)
}

/// `key = value` lines; a dash before a key only means that a failure does not matter.
fn lines(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            let key = dotted(key.trim().trim_start_matches('-'));
            Some((key, value.split_whitespace().collect::<Vec<_>>().join(" ")))
        })
        .collect()
}

/// Where the first separator is a slash, slashes separate and dots belong to names (sysctl.d(5)).
fn dotted(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key[at..].starts_with('/') => key
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_owned(),
    }
}

impl Files {
    /// Path and value that count for a setting at boot: the last line that names it, else the last pattern.
    fn last(&self, name: &str) -> Option<(&str, &str)> {
        let all = || {
            self.0.iter().flat_map(|(path, lines)| lines.iter().map(move |(key, value)| (path.as_str(), key, value)))
        };
        let exact = all().rfind(|(_, key, _)| *key == name);
        let (path, _, value) = exact.or_else(|| all().rfind(|(_, key, _)| matches(key, name)))?;
        Some((path, value))
    }
}

/// Whether a pattern such as `net.ipv4.conf.*.rp_filter` means a setting.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), name.split('.').collect());
    pattern.len() == name.len() && pattern.iter().zip(&name).all(|(want, found)| *want == "*" || want == found)
}
