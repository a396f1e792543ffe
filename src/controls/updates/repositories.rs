//! `updates.repositories`.

use crate::change::{Change, Stage};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Reading};
use crate::profile::policy::{Policy, ProxmoxRepository};
use crate::pve::sources::Source;
use crate::pve::sources_edit::Form;
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
              Debian's security suite, and that no entry is marked trusted. With `not-test`, as shipped, it only reports; \
              with `enterprise` or `no-subscription` the other ones and pve-test are switched off where they stand, as the web \
              interface does it, and the wanted one is added where it is missing, in the form that the release writes; \
              Ceph's goes along with no-subscription.",
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

/// Path, form and text of each file of sources.
fn texts(facts: &Facts) -> Result<Vec<(&str, Form, String)>, String> {
    facts.file(FOLDER).certain().map_err(|why| format!("{FOLDER}: {why}"))?;
    let inside = facts.files.keys().filter(|path| {
        path.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains(['/', '*']))
    });
    let mut found = Vec::new();
    for path in inside.map(String::as_str).chain([MAIN]) {
        let Some(form) = Form::of(path) else { continue };
        match facts.text(path) {
            Reading::Known(text) => found.push((path, form, text)),
            Reading::Absent => {}
            Reading::Unreadable(why) => return Err(format!("{path}: {why}")),
            Reading::NotAsked => return Err(format!("{path}: the capture does not contain it")),
        }
    }
    Ok(found)
}

/// What a profile asks for by name: component, server, file of its own.
struct Channel {
    component: &'static str,
    server: &'static str,
    file: &'static str,
}

const ENTERPRISE: Channel =
    Channel { component: "pve-enterprise", server: "https://enterprise.proxmox.com", file: "pve-enterprise" };
const NO_SUBSCRIPTION: Channel =
    Channel { component: "pve-no-subscription", server: "http://download.proxmox.com", file: "pve-no-subscription" };

/// Proxmox' own components, of which a node has one.
const COMPONENTS: [&str; 4] = ["pve-enterprise", "pve-no-subscription", "pvetest", "pve-test"];

impl Channel {
    const fn of(want: ProxmoxRepository) -> Option<Self> {
        match want {
            ProxmoxRepository::Enterprise => Some(ENTERPRISE),
            ProxmoxRepository::NoSubscription => Some(NO_SUBSCRIPTION),
            ProxmoxRepository::NotTest => None,
        }
    }

    fn is_unwanted(&self, source: &Source, component: &str) -> bool {
        let other = component != self.component && COMPONENTS.contains(&component);
        other || (self.component == NO_SUBSCRIPTION.component && component == "enterprise" && ceph(source).is_some())
    }

    /// One source in the form that the release writes; PVE 8 knows its key without being told.
    fn source(&self, form: Form, path: &str, suite: &str, component: &str) -> String {
        let uri = format!("{}/debian/{path}", self.server);
        match form {
            Form::OneLine => format!("deb {uri} {suite} {component}\n"),
            Form::Deb822 => format!(
                "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {component}\nSigned-By: \
                 /usr/share/keyrings/proxmox-archive-keyring.gpg\n"
            ),
        }
    }
}

/// Ceph's folder on Proxmox' servers, e.g. `ceph-squid`.
fn ceph(source: &Source) -> Option<&str> {
    let folders = source.uris.iter().filter(|uri| uri.contains("enterprise.proxmox.com/"));
    let mut names = folders.filter_map(|uri| uri.trim_end_matches('/').rsplit('/').next());
    names
        .find(|name| name.starts_with("ceph-") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// The changes towards the channel; each file keeps everything else.
fn towards(facts: &Facts, channel: &Channel) -> Result<Vec<Change>, String> {
    let release = facts.pve.required("PVE's release")?;
    let (form, suite) = match release.major {
        8 => (Form::OneLine, "bookworm"),
        9 => (Form::Deb822, "trixie"),
        other => return Err(format!("the repositories of PVE {other} are not known")),
    };
    let (mut changes, mut there, mut storage) = (Vec::new(), false, None);
    for (path, written, text) in texts(facts)? {
        let sources = written.parse(&text);
        there |= sources.iter().any(|source| source.components.iter().any(|it| it == channel.component));
        let mut switched = sources
            .iter()
            .filter(|source| source.components.iter().any(|it| it == "enterprise" && channel.is_unwanted(source, it)));
        storage = switched.find_map(ceph).map(str::to_owned).or(storage);
        let after = written.without(&text, |source, component| channel.is_unwanted(source, component));
        let summary = format!("{path}: only {} is on", channel.component);
        changes.extend(conf::write(facts, ID, path, after, &summary)?);
    }
    let mut text = String::new();
    if !there {
        text.push_str(&channel.source(form, "pve", suite, channel.component));
    }
    if let Some(folder) = storage {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&channel.source(form, &folder, suite, "no-subscription"));
    }
    if !text.is_empty() {
        let extension = if form == Form::Deb822 { "sources" } else { "list" };
        let path = format!("{FOLDER}/pve-harden-{}.{extension}", channel.file);
        let text = format!("# Written by pve-harden ({ID}).\n{text}");
        changes.extend(conf::own(facts, ID, &path, &text, &format!("packages come from {}", channel.component))?);
    }
    // apt is asked for packages of this run, too.
    for change in &mut changes {
        change.stage = Stage::Packages;
    }
    Ok(changes)
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let want = policy.profile.updates.repositories.proxmox;
    let texts = texts(facts)?;
    let parsed = texts.iter().flat_map(|(path, form, text)| form.parse(text).into_iter().map(|source| (*path, source)));
    let entries: Vec<(&str, Source)> = parsed.collect();
    let (mut evidence, mut advice, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let components: Vec<(&str, &str)> = entries
        .iter()
        .flat_map(|(path, source)| source.components.iter().map(move |component| (*path, component.as_str())))
        .filter(|(_, component)| component.starts_with("pve"))
        .collect();
    let found = list(components.iter().map(|(path, component)| format!("{component} ({path})")));
    evidence.push(Evidence::new(
        "Proxmox' repositories",
        found,
        wanted(policy, "updates.repositories.proxmox", word(want)),
    ));
    let has = |name: &str| components.iter().any(|(_, component)| *component == name);
    let right = match want {
        ProxmoxRepository::Enterprise => has("pve-enterprise") && !has("pve-no-subscription"),
        ProxmoxRepository::NoSubscription => has("pve-no-subscription") && !has("pve-enterprise"),
        ProxmoxRepository::NotTest => has("pve-enterprise") || has("pve-no-subscription"),
    };
    let test = has("pvetest") || has("pve-test");
    let ceph = entries
        .iter()
        .any(|(_, source)| ceph(source).is_some() && source.components.iter().any(|it| it == "enterprise"));
    match Channel::of(want) {
        Some(channel) => changes = towards(facts, &channel)?,
        None if test => advice.push("take pve-test out: its packages are not for production".to_owned()),
        None => {}
    }
    if ceph && want == ProxmoxRepository::NoSubscription {
        evidence.push(Evidence::new("Ceph's repository", "enterprise", "no-subscription"));
    }
    if !right && changes.is_empty() {
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
    Ok(Verdict::outcome(changes, (!advice.is_empty()).then(|| advice.join("; ")), evidence))
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
