//! The site file: who and where. [`file`] is what a person writes, [`super::policy::Site`] what comes out.

mod admins;
pub mod file;
mod hosts;
mod sinks;
mod waivers;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::disk;
use super::layer::{Leaves, collect, parse_tree};
use super::names;
use super::network;
use super::policy::{Admin, AdminPassword, Host, Site, Sudo, Waiver};
use super::schema::site_shape;
use super::secrets::Secrets;
use super::source::{At, Source, printable};
use super::stack::{Reference, expand_home};
use file::SiteFile;

/// Why a site file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Only judged: an environment variable that is not set here is a warning.
    Lint,
    /// To be used now.
    Run,
}

/// A site file, read.
#[derive(Debug, Default)]
pub struct Read {
    /// The site.
    pub site: Site,
    /// Its profiles.
    pub profiles: Vec<Reference>,
    /// Where each administrator's keys stand, to judge them against a profile.
    pub keys: Vec<PlacedKey>,
    /// Environment variables it names.
    pub variables: Vec<String>,
    /// Waived controls and where they are named.
    pub waived: Vec<(String, At)>,
    /// Its `[access]` lists, the last layer of the profile.
    pub access: Leaves,
}

/// An administrator's key and where it was given.
#[derive(Debug)]
pub struct PlacedKey {
    /// Login name.
    pub admin: String,
    /// Where its administrator stands.
    pub admin_at: At,
    /// The key.
    pub key: super::keys::Key,
}

/// Reads and judges a site file.
pub fn read(path: &Path, purpose: Purpose, secrets: &Secrets, found: &mut Diagnostics) -> Read {
    match disk::read_text(path, disk::MAX_FILE) {
        Ok(text) => parse(&Source::new(path.to_string_lossy(), text), path, purpose, secrets, found),
        Err(why) => {
            found.push(Diagnostic::error(format!("site {} {why}", printable(&path.to_string_lossy()))));
            Read::default()
        }
    }
}

/// Judges the text of a site file.
pub fn parse(source: &Arc<Source>, path: &Path, purpose: Purpose, secrets: &Secrets, found: &mut Diagnostics) -> Read {
    let tree = parse_tree(source, site_shape(), found);
    let mut access = Leaves::new();
    collect(source, tree.get_ref(), "", &mut access);
    access.retain(|key, _| key.starts_with("access."));
    let file = match SiteFile::deserialize(toml::de::Deserializer::from(tree)) {
        Ok(file) => file,
        Err(why) => {
            let at = At { source: Arc::clone(source), span: why.span().unwrap_or(0..0) };
            found.push(Diagnostic::error(why.message()).at(at));
            return Read::default();
        }
    };
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut reader = Reader { source, folder, purpose, secrets, variables: Vec::new(), found };
    Read { access, ..reader.read(file, path) }
}

/// What reading needs everywhere.
struct Reader<'a> {
    source: &'a Arc<Source>,
    folder: PathBuf,
    purpose: Purpose,
    secrets: &'a Secrets,
    /// Environment variables the file names.
    variables: Vec<String>,
    found: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn read(&mut self, file: SiteFile, path: &Path) -> Read {
        let management = self.management(file.management.as_ref());
        let hosts = self.hosts(&file.host);
        let (admins, keys) = self.admins(file.admin);
        let removed_admins = self.removed(&file.removed_admins, &admins);
        let contact = self.contact(file.contact);
        let emergency_contact = self.words(file.emergency_contact);
        let waivers = self.waivers(&file.waiver, &hosts);
        let waived = self.waived(&file.waiver);
        let sinks = self.sinks(&file.sink);
        let references = file.profiles.iter().map(|name| Reference {
            text: name.get_ref().clone(),
            base: self.folder.clone(),
            at: Some(self.at(&name.span())),
        });
        let profiles: Vec<Reference> = references.collect();
        Read {
            site: Site {
                path: Some(path.to_owned()),
                profiles: profiles.iter().map(|p| p.text.clone()).collect(),
                management,
                hosts,
                admins,
                removed_admins,
                contact,
                emergency_contact,
                waivers,
                sinks,
            },
            profiles,
            keys,
            variables: std::mem::take(&mut self.variables),
            waived,
            access: Leaves::new(),
        }
    }

    fn management(&mut self, written: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<IpNet> {
        const HELP: &str = "the lock-out guard compares your own address with them: management = [\"192.0.2.0/24\"]";
        let Some(list) = written else {
            self.found.push(Diagnostic::warning("no management networks are named").at(self.at(&(0..0))).help(HELP));
            return Vec::new();
        };
        if list.get_ref().is_empty() {
            let found = Diagnostic::error("the list of management networks is empty").at(self.at(&list.span()));
            self.found.push(found.help(HELP));
        }
        let mut nets = Vec::new();
        for text in list.get_ref() {
            match network::parse(text.get_ref()) {
                Ok(net) if nets.contains(&net) => self.warn("this network is named twice", &text.span()),
                Ok(net) => nets.push(net),
                Err(problem) => {
                    let mut found = Diagnostic::error(problem.what).at(self.at(&text.span()));
                    found.help.extend(problem.help);
                    self.found.push(found);
                }
            }
        }
        nets
    }

    fn removed(&mut self, names: &[Spanned<String>], admins: &[Admin]) -> Vec<String> {
        let mut removed: Vec<String> = Vec::new();
        for name in names {
            let text = name.get_ref();
            if let Some(problem) = names::login_problem(text) {
                self.error(problem, &name.span());
            } else if admins.iter().any(|a| a.name == *text) {
                self.error("this person is an administrator and removed at the same time", &name.span());
            } else if removed.contains(text) {
                self.warn("this person is named twice", &name.span());
            } else {
                removed.push(text.clone());
            }
        }
        removed
    }

    /// A mail address; PVE's own rule (`PVE::JSONSchema`, `email-opt`) is wider, and takes this.
    fn contact(&mut self, written: Option<Spanned<String>>) -> Option<String> {
        let written = written?;
        let fits = written.get_ref().split_once('@').is_some_and(|(local, domain)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
            !local.is_empty() && domain.contains('.') && local.chars().chain(domain.chars()).all(plain)
        });
        if !fits {
            self.error("this is no mail address", &written.span());
        }
        fits.then(|| written.into_inner())
    }

    /// One line for people.
    fn words(&mut self, written: Option<Spanned<String>>) -> Option<String> {
        let written = written?;
        if written.get_ref().trim().is_empty() || written.get_ref().chars().any(char::is_control) {
            self.error("one line that names somebody", &written.span());
            return None;
        }
        Some(written.into_inner())
    }

    fn at(&self, span: &Range<usize>) -> At {
        At { source: Arc::clone(self.source), span: span.clone() }
    }

    fn error(&mut self, what: impl Into<String>, span: &Range<usize>) {
        self.found.push(Diagnostic::error(what).at(self.at(span)));
    }

    fn warn(&mut self, what: impl Into<String>, span: &Range<usize>) {
        self.found.push(Diagnostic::warning(what).at(self.at(span)));
    }

    /// Reports a second use of something that must be unique.
    fn unique(&mut self, seen: &mut BTreeMap<String, Range<usize>>, value: &str, what: &str, span: &Range<usize>) {
        if let Some(first) = seen.get(value) {
            let line = self.source.line(first.start);
            let found = Diagnostic::error(format!("{what} {} is there already", printable(value)));
            self.found.push(found.at(self.at(span)).expected(format!("first in line {line}")));
        } else {
            seen.insert(value.to_owned(), span.clone());
        }
    }

    /// A path a person wrote: `~/` is home, relative ones start at the site file.
    fn path(&mut self, text: &Spanned<String>) -> Option<PathBuf> {
        let written = text.get_ref();
        if written.is_empty() || written.chars().any(char::is_control) {
            self.error("a file name is not empty and has no control characters", &text.span());
            return None;
        }
        if written.starts_with('~') && !written.starts_with("~/") {
            self.error("only ~/ is understood, not the home of another user", &text.span());
            return None;
        }
        Some(self.folder.join(expand_home(written)))
    }
}

/// What of a site counts for its digest: everything but secrets and where the file lies. Part of the digest's
/// definition: a new field changes every digest.
#[derive(Serialize)]
struct Canonical<'a> {
    profiles: &'a [String],
    management: &'a [IpNet],
    hosts: Vec<CanonicalHost<'a>>,
    admins: Vec<CanonicalAdmin<'a>>,
    removed_admins: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emergency_contact: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Waiver]>::is_empty")]
    waivers: &'a [Waiver],
}

#[derive(Serialize)]
struct CanonicalHost<'a> {
    name: &'a str,
    address: &'a str,
    user: Option<&'a str>,
    port: Option<u16>,
    jump: Option<&'a str>,
    host_key: Option<&'a str>,
    groups: &'a [String],
}

#[derive(Serialize)]
struct CanonicalAdmin<'a> {
    name: &'a str,
    full_name: &'a str,
    groups: &'a [String],
    keys: &'a [String],
    sudo: Sudo,
    password: Option<&'static str>,
}

impl<'a> From<&'a Host> for CanonicalHost<'a> {
    fn from(host: &'a Host) -> Self {
        let Host { name, address, user, port, identity: _, jump, host_key, groups } = host;
        let (user, jump, host_key) = (user.as_deref(), jump.as_deref(), host_key.as_deref());
        Self { name, address, user, port: *port, jump, host_key, groups }
    }
}

impl<'a> From<&'a Admin> for CanonicalAdmin<'a> {
    fn from(admin: &'a Admin) -> Self {
        let Admin { name, full_name, groups, keys, sudo, password } = admin;
        let password = password.as_ref().map(|source| match source {
            AdminPassword::Hash(_) => "hash",
            AdminPassword::Prompt => "prompt",
            AdminPassword::Generate(_) => "generate",
        });
        Self { name, full_name, groups, keys, sudo: *sudo, password }
    }
}

/// What the digest of a site is made from.
pub fn canonical(site: &Site) -> impl Serialize {
    Canonical {
        profiles: &site.profiles,
        management: &site.management,
        hosts: site.hosts.iter().map(CanonicalHost::from).collect(),
        admins: site.admins.iter().map(CanonicalAdmin::from).collect(),
        removed_admins: &site.removed_admins,
        contact: site.contact.as_deref(),
        emergency_contact: site.emergency_contact.as_deref(),
        waivers: &site.waivers,
    }
}
