//! From what a person typed to what a control reads.

use std::path::Path;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::layer::{Leaves, nest};
use super::policy::{Digests, Host, Origin, Policy, Profile, Site};
use super::schema::layer_shape;
use super::stack::{Reference, Stack};
use std::collections::{BTreeMap, BTreeSet};

/// Profile and site, read and judged.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Merged profile.
    pub profile: Profile,
    /// The site; empty when there is no file.
    pub site: Site,
    /// Where each value of the profile was set.
    pub origins: BTreeMap<String, Origin>,
    /// Profiles in the order they were merged.
    pub profile_names: Vec<String>,
    /// Digests of both.
    pub digests: Digests,
    /// What the author should know.
    pub warnings: Diagnostics,
}

impl Loaded {
    /// The policy for one node.
    pub fn policy_for(&self, host: &Host) -> Policy {
        Policy {
            profile: self.profile.clone(),
            site: self.site.clone(),
            host: host.clone(),
            origins: self.origins.clone(),
            profile_names: self.profile_names.clone(),
            digests: self.digests.clone(),
            left_out: BTreeSet::new(),
        }
    }
}

/// Reads profiles (those given, else the site's, else `baseline`) and the site file.
pub fn load(profiles: &[String], site_path: Option<&Path>) -> Result<Loaded, Diagnostics> {
    let mut found = Diagnostics::default();
    let _ = site_path;
    let site = Site::default();
    let references: Vec<Reference> = if profiles.is_empty() {
        vec![Reference::typed("baseline")]
    } else {
        profiles.iter().map(Reference::typed).collect()
    };
    let stack = Stack::of(&references, &mut found);
    finish(stack, site, found)
}

fn finish(stack: Stack, site: Site, mut found: Diagnostics) -> Result<Loaded, Diagnostics> {
    let profile = if found.errors() == 0 { complete(&stack.leaves, &mut found) } else { None };
    found.sort();
    match profile {
        Some(profile) if found.errors() == 0 => Ok(Loaded {
            digests: Digests { profile: profile_digest(&stack.leaves), site: String::new() },
            origins: origins(&stack.leaves),
            profile,
            site,
            profile_names: stack.names,
            warnings: found,
        }),
        _ => Err(found),
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

fn origins(leaves: &Leaves) -> BTreeMap<String, Origin> {
    let origin = |leaf: &super::layer::Leaf| Origin { file: leaf.at.source.name.clone(), line: leaf.at.line() };
    leaves.iter().map(|(key, leaf)| (key.clone(), origin(leaf))).collect()
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
        Ok(finish(stack, site, found)?.policy_for(&host))
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
