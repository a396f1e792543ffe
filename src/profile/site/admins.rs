//! `[[admin]]`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use super::file::{AdminEntry, PasswordEntry};
use super::{PlacedKey, Purpose, Reader};
use crate::profile::diagnostic::Diagnostic;
use crate::profile::keys::{self, Key};
use crate::profile::policy::{Admin, AdminPassword, Sudo};
use crate::profile::source::{At, Source, printable};
use crate::profile::{disk, names, password};
use crate::secret::Secret;

/// Largest file of public keys.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Keys by material: whose, and the line.
type Seen = BTreeMap<String, (String, At)>;

impl Reader<'_> {
    pub(super) fn admins(&mut self, entries: Vec<Spanned<AdminEntry>>) -> (Vec<Admin>, Vec<PlacedKey>) {
        if entries.is_empty() {
            let found = Diagnostic::warning("no administrators are named: root's SSH cannot be closed without one");
            self.found.push(found.at(self.at(&(0..0))).help("add [[admin]] with name, keys and sudo"));
        }
        let (mut names, mut seen) = (BTreeMap::new(), Seen::new());
        let (mut admins, mut placed) = (Vec::new(), Vec::new());
        for entry in entries {
            let table = entry.span();
            let entry = entry.into_inner();
            let Some(name) = entry.name.clone() else { continue };
            self.check(Some(&name), names::login_problem);
            self.unique(&mut names, name.get_ref(), "administrator", &name.span());
            let keys = self.keys(&entry, name.get_ref(), &mut seen);
            let admin_at = self.at(&name.span());
            placed.extend(keys.iter().map(|key| PlacedKey {
                admin: name.get_ref().clone(),
                admin_at: admin_at.clone(),
                key: key.clone(),
            }));
            if let Some(admin) = self.admin(entry, name.get_ref(), keys, &table) {
                admins.push(admin);
            }
        }
        (admins, placed)
    }

    fn admin(&mut self, entry: AdminEntry, name: &str, keys: Vec<Key>, table: &Range<usize>) -> Option<Admin> {
        if let Some(full) = &entry.full_name {
            let unfit = full.get_ref().chars().any(|c| matches!(c, ':' | ',') || c.is_control());
            if unfit {
                self.error("a full name has no `:`, `,` or control characters (passwd(5))", &full.span());
            }
        }
        let mut groups: Vec<String> = Vec::new();
        for group in &entry.groups {
            self.check(Some(group), names::linux_name_problem);
            if matches!(group.get_ref().as_str(), "root" | "shadow" | "disk" | "docker" | "kmem" | "lxd") {
                self.warn("members of this group are root without sudo, and without a trace", &group.span());
            }
            groups.push(group.get_ref().clone());
        }
        let wrote_password = entry.password.is_some();
        let password = entry.password.and_then(|p| self.password(p));
        // A missing `sudo` was reported by the walk.
        let sudo = entry.sudo?;
        if *sudo.get_ref() == Sudo::Password && !wrote_password {
            let found = Diagnostic::error(format!("{} has to type a password for sudo and has none", printable(name)));
            self.found.push(found.at(self.at(&sudo.span())).expected("sudo = \"nopasswd\", or a password").help(
                "password = { prompt = true }, { hash = \"$y$…\" }, { hash-env = \"VAR\" } or { generate = \"FILE\" }",
            ));
        }
        if keys.is_empty() && entry.keys.is_empty() && entry.key_files.is_empty() {
            let found =
                Diagnostic::warning(format!("{} has no key: only the console is left to log in", printable(name)));
            self.found.push(
                found
                    .at(self.at(table))
                    .help("keys = [\"ssh-ed25519 AAAA… name\"] or key-files = [\"~/.ssh/id_ed25519.pub\"]"),
            );
        }
        let full_name = entry.full_name.map(Spanned::into_inner).unwrap_or_default();
        let keys = keys.into_iter().map(|k| k.line).collect();
        Some(Admin { name: name.to_owned(), full_name, groups, keys, sudo: sudo.into_inner(), password })
    }

    fn keys(&mut self, entry: &AdminEntry, admin: &str, seen: &mut Seen) -> Vec<Key> {
        let mut out = Vec::new();
        for line in &entry.keys {
            let at = self.at(&line.span());
            self.key(line.get_ref(), at, admin, seen, &mut out);
        }
        for file in &entry.key_files {
            let before = out.len();
            if let Some(clean) = self.key_file(file, admin, seen, &mut out)
                && clean
                && out.len() == before
            {
                self.error("no key is in this file", &file.span());
            }
        }
        out
    }

    /// Reads a file of key lines; `Some(true)` when nothing in it was reported.
    fn key_file(&mut self, file: &Spanned<String>, admin: &str, seen: &mut Seen, out: &mut Vec<Key>) -> Option<bool> {
        let path = self.path(file)?;
        let text = match disk::read_text(&path, MAX_KEY_FILE) {
            Ok(text) => text,
            Err(why) => {
                let shown = printable(&path.to_string_lossy());
                self.error(format!("key file {shown} {why}"), &file.span());
                return None;
            }
        };
        if keys::is_private(&text) {
            let found = Diagnostic::error("this file holds a private key").at(self.at(&file.span()));
            let written = file.get_ref();
            let help = if path.extension().is_some_and(|e| e == "pub") {
                "a private key under this name may have been copied around: make a new pair".to_owned()
            } else {
                format!("did you mean {}.pub?", printable(written))
            };
            self.found.push(found.help(help));
            return None;
        }
        let source = Source::new(path.to_string_lossy(), text);
        let before = self.found.iter().count();
        let mut offset = 0;
        for line in source.text.split_inclusive('\n') {
            let words = line.trim();
            if !words.is_empty() && !words.starts_with('#') {
                let at = At { source: Arc::clone(&source), span: offset..offset + line.trim_end().len() };
                self.key(words, at, admin, seen, out);
            }
            offset += line.len();
        }
        Some(self.found.iter().count() == before)
    }

    fn key(&mut self, line: &str, at: At, admin: &str, seen: &mut Seen, out: &mut Vec<Key>) {
        let key = match keys::parse(line) {
            Ok(key) => key,
            Err(problem) => {
                self.found.push(Diagnostic::error(problem.what).at(at).help(problem.help));
                return;
            }
        };
        match seen.get(&key.material) {
            Some((owner, first)) if owner == admin => {
                self.found
                    .push(Diagnostic::warning("this key is named twice").at(at).help(format!("first at {first}")));
            }
            Some((owner, first)) => {
                let found = Diagnostic::error(format!("this key belongs to {} already", printable(owner))).at(at);
                self.found.push(found.help(format!("first at {first}; two people with one key cannot be told apart")));
            }
            None => {
                seen.insert(key.material.clone(), (admin.to_owned(), at));
                out.push(key);
            }
        }
    }

    fn password(&mut self, entry: Spanned<PasswordEntry>) -> Option<AdminPassword> {
        let span = entry.span();
        let entry = entry.into_inner();
        let named = [entry.hash.is_some(), entry.prompt.is_some(), entry.generate.is_some(), entry.hash_env.is_some()];
        if named.iter().filter(|n| **n).count() != 1 {
            let found = Diagnostic::error("a password has exactly one source").at(self.at(&span));
            self.found.push(found.expected("one of hash, hash-env, prompt, generate"));
            return None;
        }
        if let Some(hash) = entry.hash {
            let at = self.at(&hash.span());
            return self.hash(hash.into_inner(), &at);
        }
        if let Some(variable) = entry.hash_env {
            return self.hash_from_environment(&variable);
        }
        if let Some(file) = entry.generate {
            return self.path(&file).map(AdminPassword::Generate);
        }
        if entry.prompt == Some(false) {
            self.error("prompt = false is no source of a password", &span);
            return None;
        }
        Some(AdminPassword::Prompt)
    }

    fn hash(&mut self, hash: Secret, at: &At) -> Option<AdminPassword> {
        if let Some(problem) = password::hash_problem(hash.expose()) {
            let found = Diagnostic::error(format!("not a hash that is taken: {problem}")).at(at.clone());
            self.found
                .push(found.expected("$y$… or $6$…").help("make one: mkpasswd -m yescrypt (Debian package whois)"));
            return None;
        }
        Some(AdminPassword::Hash(hash))
    }

    fn hash_from_environment(&mut self, variable: &Spanned<String>) -> Option<AdminPassword> {
        let name = variable.get_ref();
        let at = self.at(&variable.span());
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.error("not the name of an environment variable", &variable.span());
            return None;
        }
        self.variables.push(name.clone());
        if let Some(hash) = self.secrets.get(name) {
            return self.hash(hash, &at);
        }
        let message = format!("{name} is set neither in the environment nor in .env");
        let found = match self.purpose {
            Purpose::Lint => Diagnostic::warning(message),
            Purpose::Run => Diagnostic::error(message),
        };
        self.found.push(found.at(at).help("it holds a hash, in .env in single quotes"));
        None
    }
}
