//! `[[host]]`.

use std::collections::BTreeMap;

use toml::Spanned;

use super::Reader;
use super::file::HostEntry;
use crate::profile::diagnostic::Diagnostic;
use crate::profile::names;
use crate::profile::policy::Host;
use crate::profile::secrets;

impl Reader<'_> {
    pub(super) fn hosts(&mut self, entries: &[Spanned<HostEntry>]) -> Vec<Host> {
        let (mut by_name, mut by_address, mut by_variable) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut hosts: Vec<Host> = Vec::new();
        for entry in entries {
            let entry = entry.get_ref();
            // Without a name the missing key was reported already.
            let Some(name) = &entry.name else { continue };
            let host = self.host(entry, name);
            self.unique(&mut by_name, &host.name, "host", &name.span());
            let place = format!("{} port {}", host.address, host.port.unwrap_or(22));
            let span = entry.address.as_ref().unwrap_or(name).span();
            self.unique(&mut by_address, &place, "address", &span);
            let variable = secrets::variable(&host.name);
            if let Some(other) = by_variable.insert(variable.clone(), host.name.clone()).filter(|o| *o != host.name) {
                self.warn(format!("{variable} would be the password of {other} and of this host"), &name.span());
            }
            hosts.push(host);
        }
        hosts
    }

    fn host(&mut self, entry: &HostEntry, name: &Spanned<String>) -> Host {
        self.check(Some(name), names::host_name_problem);
        self.check(entry.address.as_ref(), names::address_problem);
        self.check(entry.user.as_ref(), names::ssh_user_problem);
        self.check(entry.jump.as_ref(), names::jump_problem);
        self.check(entry.host_key.as_ref(), names::fingerprint_problem);
        for group in &entry.groups {
            self.check(Some(group), names::host_name_problem);
        }
        let text = |value: &Option<Spanned<String>>| value.as_ref().map(|v| v.get_ref().clone());
        Host {
            name: name.get_ref().clone(),
            address: text(&entry.address).unwrap_or_else(|| name.get_ref().clone()),
            user: text(&entry.user),
            port: entry.port,
            identity: entry.identity.as_ref().and_then(|path| self.identity(path)),
            jump: text(&entry.jump),
            host_key: text(&entry.host_key),
            groups: entry.groups.iter().map(|g| g.get_ref().clone()).collect(),
        }
    }

    fn identity(&mut self, text: &Spanned<String>) -> Option<std::path::PathBuf> {
        let path = self.path(text)?;
        if let Err(why) = std::fs::metadata(&path) {
            let found = Diagnostic::warning(format!("the identity {}", crate::profile::disk::cause(&why)));
            self.found.push(found.at(self.at(&text.span())).help("it is read when you use this host"));
        }
        Some(path)
    }

    pub(super) fn check(&mut self, value: Option<&Spanned<String>>, problem: fn(&str) -> Option<String>) {
        if let Some(value) = value
            && let Some(what) = problem(value.get_ref())
        {
            self.error(what, &value.span());
        }
    }
}
