//! From what a person typed to what a control reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::disk;
use super::keys::Key;
use super::layer::{self, Leaves, nest};
use super::lint;
use super::lint_ssh;
use super::material;
use super::policy::{Digests, Host, Origin, Policy, Profile, Site};
use super::schema::{layer_shape, site_shape};
use super::secrets::{Environment, Secrets, process_environment};
use super::shape::Shape;
use super::site::{self, Purpose};
use super::source::At;
use super::stack::{Reference, Stack};

/// Profile and site, read and judged.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Merged profile.
    pub profile: Profile,
    /// The site; empty when there is no file.
    pub site: Site,
    /// Where each value of the profile was set.
    pub origins: Arc<BTreeMap<String, Origin>>,
    /// Profiles in the order they were merged.
    pub profile_names: Vec<String>,
    /// Digests of both.
    pub digests: Digests,
    /// What the author should know.
    pub warnings: Diagnostics,
    /// Passwords for logging in.
    pub secrets: Secrets,
    /// The day on which waivers are judged, UTC.
    pub today: Date,
    /// The merged profile as a tree of plain values.
    pub values: serde_json::Value,
}

impl Loaded {
    /// The policy for one node.
    pub fn policy_for(&self, host: &Host) -> Policy {
        Policy {
            profile: self.profile.clone(),
            site: self.site.clone(),
            host: host.clone(),
            origins: Arc::clone(&self.origins),
            profile_names: self.profile_names.clone(),
            digests: self.digests.clone(),
            left_out: BTreeSet::new(),
            today: self.today,
            material: material::read(&self.profile, &self.site, host, &self.secrets),
        }
    }
}

/// What to read.
#[derive(Debug)]
pub struct Request<'a> {
    /// Profiles given on the command line; empty: the site's, else `baseline`.
    pub profiles: &'a [String],
    /// The site file.
    pub site: Option<&'a Path>,
    /// To judge or to use.
    pub purpose: Purpose,
    /// The real environment.
    pub environment: Environment,
}

/// Reads profiles (those given, else the site's, else `baseline`) and the site file, to be used now.
pub fn load(profiles: &[String], site: Option<&Path>) -> Result<Loaded, Diagnostics> {
    load_with(Request { profiles, site, purpose: Purpose::Run, environment: process_environment() })
}

/// As [`load`] with the environment given.
pub fn load_with(request: Request<'_>) -> Result<Loaded, Diagnostics> {
    let mut found = Diagnostics::default();
    let secrets = Secrets::beside(request.site, request.environment, &mut found);
    let read = request.site.map(|path| site::read(path, request.purpose, &secrets, &mut found)).unwrap_or_default();
    let mut stack = Stack::of(&references(request.profiles, &read.profiles), &mut found);
    layer::lay(&mut stack.leaves, read.access.clone());
    lint::lint(&stack.leaves, &mut found);
    across(&stack.leaves, &read, &mut found);
    let mut variables = read.variables.clone();
    if let Ok(profile) = serde_json::from_value::<Profile>(nest(&stack.leaves)) {
        variables.extend(material::variables(&profile, &read.site.hosts));
    }
    for warning in secrets.unread(&read.site.hosts, &variables) {
        found.push(warning);
    }
    Loaded::from_parts(stack, read.site, secrets, found)
}

/// Judges one file, profile or site, with everything it builds on. The site's profiles are judged with it.
pub fn lint_file(path: &Path, environment: Environment) -> Diagnostics {
    let outcome = if is_site(path) {
        load_with(Request { profiles: &[], site: Some(path), purpose: Purpose::Lint, environment })
            .map(|loaded| loaded.warnings)
    } else {
        let mut found = Diagnostics::default();
        let stack = Stack::of(&[Reference::file(path)], &mut found);
        lint::lint(&stack.leaves, &mut found);
        found.sort();
        Ok(found)
    };
    outcome.unwrap_or_else(|found| found)
}

/// A site file is known by its tables; a file that cannot be read is judged as a profile, which says why.
fn is_site(path: &Path) -> bool {
    let Ok(text) = disk::read_text(path, disk::MAX_FILE) else { return false };
    let (tree, _) = toml::de::DeTable::parse_recoverable(&text);
    let (Shape::Table { keys: site, .. }, Shape::Table { keys: profile, .. }) = (site_shape(), layer_shape()) else {
        return false;
    };
    let of_site = |key: &str| site.contains_key(key) && !profile.contains_key(key);
    tree.get_ref().keys().any(|key| of_site(key.get_ref()))
}

fn references(given: &[String], of_site: &[Reference]) -> Vec<Reference> {
    if !given.is_empty() {
        return given.iter().map(Reference::typed).collect();
    }
    if of_site.is_empty() { vec![Reference::typed("baseline")] } else { of_site.to_vec() }
}

/// Judges what only site and profile together show.
fn across(leaves: &Leaves, read: &site::Read, found: &mut Diagnostics) {
    if read.site.path.is_some() {
        lint::sinks(leaves, &read.site.sinks, found);
    }
    for (control, at) in &read.waived {
        let enabled = leaves.get(&format!("{control}.enabled")).is_none_or(|leaf| leaf.value != false);
        if !enabled {
            let idle = Diagnostic::warning(format!("the profile does not ask for {control}")).at(at.clone());
            found.push(idle.help("the waiver has no effect: remove it"));
        }
    }
    let group = leaves.get("accounts.admin.group").and_then(|l| l.value.as_str());
    let mut judged: Vec<&str> = Vec::new();
    for placed in &read.keys {
        if judged.contains(&placed.admin.as_str()) {
            continue;
        }
        judged.push(&placed.admin);
        if group == Some(placed.admin.as_str()) {
            let clash = Diagnostic::error("the administrators' group has this name").at(placed.admin_at.clone());
            found.push(clash.help("useradd makes a group named like the person: change accounts.admin.group"));
        }
        let mut keys = read.keys.iter().filter(|k| k.admin == placed.admin);
        if !keys.any(|k| accepted(leaves, &k.key)) {
            let locked =
                Diagnostic::error("no key of this person would be accepted by the node").at(placed.admin_at.clone());
            found.push(locked.help("see ssh.crypto.pubkey-accepted-algorithms and required-rsa-size of the profile"));
        }
    }
}

/// Whether sshd would take a key under `[ssh.crypto]`.
fn accepted(leaves: &Leaves, key: &Key) -> bool {
    let value = |name: &str| leaves.get(&format!("ssh.crypto.{name}")).map(|l| &l.value);
    if value("enabled").is_none_or(|v| v == false) {
        return true;
    }
    let names: Vec<&str> = value("pubkey-accepted-algorithms")
        .and_then(|v| v.as_array())
        .map_or_else(Vec::new, |list| list.iter().filter_map(serde_json::Value::as_str).collect());
    let by_name = names.is_empty() || lint_ssh::signatures_of(&key.algorithm).iter().any(|s| names.contains(s));
    let least = value("required-rsa-size").and_then(serde_json::Value::as_u64).unwrap_or(0);
    by_name && key.rsa_bits.is_none_or(|bits| bits as u64 >= least)
}

impl Loaded {
    fn from_parts(stack: Stack, site: Site, secrets: Secrets, mut found: Diagnostics) -> Result<Self, Diagnostics> {
        let profile = if found.errors() == 0 { complete(&stack.leaves, &mut found) } else { None };
        found.sort();
        let Some(profile) = profile.filter(|_| found.errors() == 0) else { return Err(found) };
        let digests = Digests { profile: profile_digest(&stack.leaves), site: digest(&site::canonical(&site)) };
        Ok(Self {
            digests,
            origins: Arc::new(origins(&stack.leaves)),
            values: nest(&stack.leaves),
            profile,
            site,
            secrets,
            today: Timestamp::now().to_zoned(TimeZone::UTC).date(),
            profile_names: stack.names,
            warnings: found,
        })
    }
}

/// The typed profile, when every value is set.
fn complete(leaves: &Leaves, found: &mut Diagnostics) -> Option<Profile> {
    let missing: Vec<String> = layer_shape()
        .leaves()
        .into_iter()
        .filter(|key| !matches!(key.as_str(), "extends" | "description") && !leaves.contains_key(key))
        .collect();
    if let Some(first) = missing.first() {
        let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
        found.push(
            Diagnostic::error(format!("the profiles leave `{first}`{more} without a value"))
                .help("start your profile with: extends = \"baseline\""),
        );
        return None;
    }
    match serde_json::from_value(nest(leaves)) {
        Ok(profile) => Some(profile),
        Err(why) => {
            found.push(Diagnostic::error(format!("the merged profile cannot be used: {why}")));
            None
        }
    }
}

/// Where each value was set, and each entry of a list that has an `id` (`access.role.WebDev`).
fn origins(leaves: &Leaves) -> BTreeMap<String, Origin> {
    let origin = |at: &At| Origin { file: at.source.name.clone(), line: at.line() };
    let mut all = BTreeMap::new();
    for (key, leaf) in leaves {
        for (index, item) in leaf.value.as_array().into_iter().flatten().enumerate() {
            if let Some(id) = item["id"].as_str() {
                all.insert(format!("{key}.{id}"), origin(&leaf.item(index)));
            }
        }
        all.insert(key.clone(), origin(&leaf.at));
    }
    all
}

fn profile_digest(leaves: &Leaves) -> String {
    let values: BTreeMap<&str, &serde_json::Value> = leaves.iter().map(|(k, l)| (k.as_str(), &l.value)).collect();
    digest(&values)
}

/// SHA-256 of the JSON, hex. The caller gives types whose order is fixed.
fn digest(value: &impl serde::Serialize) -> String {
    use sha2::Digest;
    let json = serde_json::to_vec(value).unwrap_or_default();
    sha2::Sha256::digest(&json).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

impl Policy {
    /// A shipped profile with a site, for the site's first host: what tests and examples start from.
    pub fn from_embedded(name: &str, site: Site) -> Result<Self, Diagnostics> {
        let mut found = Diagnostics::default();
        let stack = Stack::of(&[Reference::typed(name)], &mut found);
        let host = site.hosts.first().cloned().unwrap_or_default();
        Ok(Loaded::from_parts(stack, site, Secrets::default(), found)?.policy_for(&host))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stack::SHIPPED;
    use super::*;

    #[test]
    fn every_shipped_profile_is_complete_and_clean() {
        for shipped in SHIPPED {
            let loaded = load(&[shipped.name.to_owned()], None);
            let loaded = loaded.unwrap_or_else(|found| panic!("{}:\n{found}", shipped.name));
            assert!(loaded.warnings.is_empty(), "{}:\n{}", shipped.name, loaded.warnings);
        }
    }
}
