//! `updates.repositories`.

use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Reading};
use crate::profile::policy::{Policy, ProxmoxRepository};
use crate::pve::sources::{self, Source};
use crate::sanitize;

/// The control.
pub struct Repositories;
/// `updates.repositories`.
pub const REPOSITORIES: Repositories = Repositories;

const ID: &str = "updates.repositories";
const FOLDER: &str = "/etc/apt/sources.list.d";
const MAIN: &str = "/etc/apt/sources.list";

static META: Meta = Meta {
    id: ID,
    title: "Packages come from where production nodes get theirs",
    why: "A node without Proxmox' repository gets no kernel and no PVE update; one on pve-test runs what nobody has \
          tried; without Debian's security suite holes stay open.",
    checked: "Every enabled entry of sources.list and sources.list.d, one-line and deb822: which of Proxmox' components, \
              Debian's security suite, and that no entry is marked trusted.",
    naive: "PVE 9 writes deb822 files (.sources), PVE 8 one-line ones, and an upgraded node may have both: counting one \
            kind finds nothing, or everything twice. The enterprise repository answers 401 without a subscription: \
            deleting it hides that; disable it (Enabled: no) and choose no-subscription knowingly.",
    references: &[
        Reference::Guide("1.2.3"),
        Reference::Guide("1.1.7"),
        Reference::Man("sources.list(5)"),
        Reference::Source("pve-docs pve-package-repos.adoc"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Repositories {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.updates.repositories.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![MAIN.into(), FOLDER.into(), format!("{FOLDER}/*")]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn entries(facts: &Facts) -> Result<Vec<(String, Source)>, String> {
    facts.file(FOLDER).certain().map_err(|why| format!("{FOLDER}: {why}"))?;
    let inside = facts.files.keys().filter(|path| {
        path.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains(['/', '*']))
    });
    let mut found = Vec::new();
    for path in inside.map(String::as_str).chain([MAIN]) {
        let parse = match std::path::Path::new(path).extension().and_then(std::ffi::OsStr::to_str) {
            Some("list") => sources::one_line,
            Some("sources") => sources::deb822,
            _ => continue,
        };
        match facts.text(path) {
            Reading::Known(text) => found.extend(parse(&text).into_iter().map(|source| (path.to_owned(), source))),
            Reading::Absent => {}
            Reading::Unreadable(why) => return Err(format!("{path}: {why}")),
            Reading::NotAsked => return Err(format!("{path}: the capture does not contain it")),
        }
    }
    Ok(found)
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let want = policy.profile.updates.repositories.proxmox;
    let entries = entries(facts)?;
    let (mut evidence, mut advice) = (Vec::new(), Vec::new());
    let components: Vec<(&str, &str)> = entries
        .iter()
        .flat_map(|(path, source)| source.components.iter().map(move |component| (path.as_str(), component.as_str())))
        .filter(|(_, component)| component.starts_with("pve"))
        .collect();
    let found = list(components.iter().map(|(path, component)| format!("{component} ({path})")));
    evidence.push(Evidence::new(
        "Proxmox' repositories",
        found,
        wanted(policy, "updates.repositories.proxmox", word(want)),
    ));
    let has = |name: &str| components.iter().any(|(_, component)| *component == name);
    if has("pvetest") || has("pve-test") {
        advice.push("take pve-test out: its packages are not for production".to_owned());
    }
    let right = match want {
        ProxmoxRepository::Enterprise => has("pve-enterprise") && !has("pve-no-subscription"),
        ProxmoxRepository::NoSubscription => has("pve-no-subscription") && !has("pve-enterprise"),
        ProxmoxRepository::NotTest => has("pve-enterprise") || has("pve-no-subscription"),
    };
    if !right {
        advice.push(format!("use {}: pve-docs, Package Repositories", word(want)));
    }
    let security = entries.iter().any(|(_, source)| source.suites.iter().any(|suite| suite.ends_with("-security")));
    evidence.push(Evidence::new("Debian's security suite", if security { "there" } else { "missing" }, "there"));
    if !security {
        advice.push("add Debian's security suite to the sources".into());
    }
    let trusted = list(
        entries
            .iter()
            .filter(|(_, source)| source.trusted)
            .map(|(path, source)| format!("{} ({path})", source.uris.join(" "))),
    );
    if entries.iter().any(|(_, source)| source.trusted) {
        evidence.push(Evidence::new("sources without signatures", trusted, "none"));
        advice.push("take trusted=yes away: anybody between the node and the mirror becomes root".into());
    }
    Ok(Verdict::outcome(Vec::new(), (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

const fn word(want: ProxmoxRepository) -> &'static str {
    match want {
        ProxmoxRepository::Enterprise => "pve-enterprise",
        ProxmoxRepository::NoSubscription => "pve-no-subscription",
        ProxmoxRepository::NotTest => "pve-enterprise or pve-no-subscription",
    }
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.map(|word| sanitize::line(&word).into_owned()).collect();
    if words.is_empty() { "none".into() } else { words.join(", ") }
}
