//! Judges the lists of `access`: names PVE would refuse, privileges and roles no release has, entries that could do
//! nothing or too much. Whether something is there on a node is the controls' question.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::diagnostic::Diagnostic;
use super::lint::Lint;
use super::policy::{
    RealmFactor, Sink, WantedAcl, WantedGroup, WantedMembership, WantedPool, WantedRealm, WantedRole, WantedToken,
    WantedUser, end_of,
};
use super::shape::nearest;
use super::source::At;
use crate::pve::names;
use crate::pve::privileges::{Catalogue, NO_ACCESS};

/// An entry and where it stands.
struct Entry<T> {
    is: T,
    at: At,
}

/// Judges the lists.
pub fn lint(lint: &mut Lint<'_>) {
    let roles: Vec<Entry<WantedRole>> = entries(lint, "access.role");
    let groups: Vec<Entry<WantedGroup>> = entries(lint, "access.group");
    let users: Vec<Entry<WantedUser>> = entries(lint, "access.user");
    let pools: Vec<Entry<WantedPool>> = entries(lint, "access.pool");
    let acls: Vec<Entry<WantedAcl>> = entries(lint, "access.acl");
    let tokens: Vec<Entry<WantedToken>> = entries(lint, "access.token");
    let realms: Vec<Entry<WantedRealm>> = entries(lint, "access.realm");
    let mut judge = Judge { lint };
    judge.unique("role", roles.iter().map(|entry| (&entry.is.id, &entry.at)));
    judge.unique("group", groups.iter().map(|entry| (&entry.is.id, &entry.at)));
    judge.unique("user", users.iter().map(|entry| (&entry.is.id, &entry.at)));
    judge.unique("pool", pools.iter().map(|entry| (&entry.is.id, &entry.at)));
    judge.unique("token", tokens.iter().map(|entry| (&entry.is.id, &entry.at)));
    judge.unique("realm", realms.iter().map(|entry| (&entry.is.id, &entry.at)));
    for entry in &roles {
        judge.role(entry);
    }
    for entry in &groups {
        judge.group(entry);
    }
    for entry in &users {
        judge.user(entry);
    }
    for entry in &pools {
        judge.pool(entry);
    }
    for entry in &acls {
        judge.acl(entry);
    }
    for entry in &tokens {
        judge.token(entry);
    }
    for entry in &realms {
        judge.realm(entry);
    }
    judge.limits();
    judge.root_web();
}

/// Judges where the secrets of tokens go, once it is known what the site has.
pub fn sinks(lint: &mut Lint<'_>, sinks: &[Sink]) {
    let tokens: Vec<Entry<WantedToken>> = entries(lint, "access.token");
    for Entry { is: token, at } in tokens {
        let Some(name) = token.sink.as_ref().filter(|name| !sinks.iter().any(|sink| sink.name == **name)) else {
            continue;
        };
        let near = nearest(name, sinks.iter().map(|sink| sink.name.as_str()));
        let found = Diagnostic::error(format!("the site has no sink {name:?} for the secret of {}", token.id)).at(at);
        lint.push(match near {
            Some(near) => found.expected(format!("did you mean `{near}`?")),
            None => found.help("add it to the site: [[sink]]"),
        });
    }
}

/// Entries that fit their type; the others were reported by the walk already.
fn entries<T: DeserializeOwned>(lint: &Lint<'_>, key: &str) -> Vec<Entry<T>> {
    let Some(leaf) = lint.leaf(key) else { return Vec::new() };
    let items = leaf.value.as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate();
    let fit = items.filter_map(|(index, item)| Some(Entry { is: T::deserialize(item).ok()?, at: leaf.item(index) }));
    fit.collect()
}

struct Judge<'a, 'l> {
    lint: &'a mut Lint<'l>,
}

impl Judge<'_, '_> {
    fn error(&mut self, at: &At, what: impl Into<String>, expected: impl Into<String>) {
        self.lint.push(Diagnostic::error(what).at(at.clone()).expected(expected));
    }

    fn unique<'e>(&mut self, kind: &str, ids: impl Iterator<Item = (&'e String, &'e At)>) {
        let mut seen: BTreeMap<&str, &At> = BTreeMap::new();
        for (id, at) in ids {
            if let Some(first) = seen.insert(id, at) {
                self.error(at, format!("the {kind} {id:?} is listed twice"), format!("first at {first}"));
            }
        }
    }

    fn role(&mut self, Entry { is: role, at }: &Entry<WantedRole>) {
        let id = &role.id;
        if !plain(id) {
            self.error(at, format!("{id:?} is no role name"), "letters, digits, `.`, `_`, `-`, e.g. \"WebDev\"");
        } else if id.len() >= 3 && id[..3].eq_ignore_ascii_case("pve") {
            let what = format!("PVE keeps role names that begin with PVE for itself: {id}");
            self.error(at, what, "a name of your own");
        } else if built_in(id) {
            self.error(at, format!("{id} is a role of PVE, which nobody can change"), "a name of your own");
        }
        for privilege in &role.privileges {
            if !Catalogue::all().iter().any(|catalogue| catalogue.privileges.contains(privilege.as_str())) {
                let near = nearest(privilege, Catalogue::all().iter().flat_map(|all| all.privileges.iter().copied()));
                let what = format!("no release of PVE has the privilege {privilege:?}");
                let expected =
                    near.map_or_else(|| "e.g. \"VM.Audit\"".into(), |near| format!("did you mean `{near}`?"));
                self.error(at, what, expected);
            }
        }
    }

    fn group(&mut self, Entry { is: group, at }: &Entry<WantedGroup>) {
        self.group_name(&group.id, at);
        self.text("comment", group.comment.as_deref(), 2048, at);
    }

    fn group_name(&mut self, id: &str, at: &At) {
        if !plain(id) {
            self.error(at, format!("{id:?} is no group name"), "letters, digits, `.`, `_`, `-`, e.g. \"web-devs\"");
        }
    }

    fn user(&mut self, Entry { is: user, at }: &Entry<WantedUser>) {
        self.user_name(&user.id, at);
        if user.id == names::ROOT {
            let found = Diagnostic::error("root@pam is not for a list: this tool never changes it").at(at.clone());
            self.lint.push(found.help("people have accounts of their own, with the role Administrator where needed"));
        }
        self.text("comment", user.comment.as_deref(), 2048, at);
        self.text("first-name", user.first_name.as_deref(), 1024, at);
        self.text("last-name", user.last_name.as_deref(), 1024, at);
        if let Some(email) = user.email.as_deref().filter(|email| !email.is_empty() && !is_mail(email)) {
            self.error(at, format!("{email:?} is no mail address"), "name@example.com");
        }
        if let Some(Err(why)) = user.until.as_deref().map(end_of) {
            self.error(at, format!("until {:?} is no day", user.until.as_deref().unwrap_or_default()), why);
        }
        for group in &user.groups {
            self.group_name(group, at);
        }
        for WantedMembership { group, until } in &user.temporary_groups {
            self.group_name(group, at);
            self.end(until, at);
            if user.groups.contains(group) {
                self.error(at, format!("{} is in {group} for ever and for a time", user.id), "one of both");
            }
        }
    }

    fn user_name(&mut self, id: &str, at: &At) {
        if names::is_user(id) && !id.starts_with('-') && !id.contains([',', ';']) {
            return;
        }
        let expected =
            if id.contains('@') { "a name without spaces, `:`, `/`, at most 64 characters" } else { "NAME@REALM" };
        let found = Diagnostic::error(format!("{id:?} is no user name")).at(at.clone()).expected(expected);
        let found = if id.contains('@') { found } else { found.help(format!("did you mean `{id}@pve`?")) };
        self.lint.push(found);
    }

    /// A day on which something ends; "never" is no end.
    fn end(&mut self, day: &str, at: &At) {
        match end_of(day) {
            Ok(0) => self.error(at, "a right for a time ends on a day", "e.g. \"2027-03-31\""),
            Ok(_) => {}
            Err(why) => self.error(at, format!("until {day:?} is no day"), why),
        }
    }

    fn text(&mut self, key: &str, text: Option<&str>, most: usize, at: &At) {
        if text.is_some_and(|text| text.chars().count() > most || text.contains('\0')) {
            self.error(at, format!("{key} is too long for PVE"), format!("at most {most} characters"));
        }
    }

    fn pool(&mut self, Entry { is: pool, at }: &Entry<WantedPool>) {
        let id = &pool.id;
        if !names::is_pool(id) || id.starts_with('-') {
            self.error(
                at,
                format!("{id:?} is no pool name"),
                "letters, digits, `.`, `_`, `-`, up to three levels with `/`",
            );
        }
        self.text("comment", pool.comment.as_deref(), 4096, at);
        for guest in pool.guests.iter().filter(|guest| **guest < 100) {
            self.error(at, format!("{guest} is no guest number"), "100 or more");
        }
        for storage in pool.storages.iter().filter(|storage| !names::is_storage(storage)) {
            self.error(at, format!("{storage:?} is no storage name"), "e.g. \"local-zfs\"");
        }
    }

    fn acl(&mut self, Entry { is: acl, at }: &Entry<WantedAcl>) {
        let path = names::normalized(&acl.path)
            .filter(|path| Catalogue::all().iter().any(|all| names::is_acl_path(path, all.major)));
        if path.is_none() || !acl.path.starts_with('/') {
            self.bad_path(&acl.path, at);
        }
        if !plain(&acl.role) {
            self.error(at, format!("{:?} is no role name", acl.role), "one role, e.g. \"PVEAuditor\"");
        } else if acl.role.to_ascii_lowercase().starts_with("pve") && !built_in(&acl.role) {
            let near =
                nearest(&acl.role, Catalogue::all().iter().flat_map(|all| all.built_in.keys().map(String::as_str)));
            let expected = near.map_or_else(|| "a role of PVE".into(), |near| format!("did you mean `{near}`?"));
            self.error(at, format!("PVE has no role {}", acl.role), expected);
        }
        acl.groups.iter().for_each(|group| self.group_name(group, at));
        acl.users.iter().for_each(|user| self.user_name(user, at));
        acl.tokens.iter().for_each(|token| self.token_name(token, at));
        if acl.users.iter().any(|user| user == names::ROOT) {
            let what = "PVE stores no rights of root@pam: the call succeeds and nothing happens";
            self.error(at, what, "another user");
        }
        if acl.subjects().next().is_none() {
            self.error(at, "this right is for nobody", "groups = […], users = […] or tokens = […]");
        }
        if let Some(until) = &acl.until {
            self.end(until, at);
        }
        if acl.role == NO_ACCESS && acl.propagate == Some(false) {
            let found = Diagnostic::warning("NoAccess without propagation closes the path itself and nothing below it");
            self.lint.push(found.at(at.clone()));
        }
    }

    fn bad_path(&mut self, path: &str, at: &At) {
        const TOPS: [&str; 8] = ["access", "mapping", "nodes", "pool", "sdn", "storage", "vms", "access/groups"];
        let mut found = Diagnostic::error(format!("PVE takes no rights on {path:?}")).at(at.clone());
        found = found.expected("e.g. \"/vms/100\", \"/pool/web\", \"/storage/local\", \"/nodes/pve1\"");
        let mut words = path.trim_start_matches('/').splitn(2, '/');
        let first = words.next().unwrap_or_default();
        let rest = words.next().map(|rest| format!("/{rest}")).unwrap_or_default();
        let near = match first {
            "pools" => Some("pool"),
            "vm" | "qemu" | "lxc" => Some("vms"),
            _ if TOPS.contains(&first) => None,
            other => nearest(other, TOPS.into_iter()),
        };
        if let Some(near) = near {
            found = found.help(format!("did you mean `/{near}{rest}`?"));
        }
        self.lint.push(found);
    }

    fn token(&mut self, Entry { is: token, at }: &Entry<WantedToken>) {
        self.token_name(&token.id, at);
        if token.id.starts_with("root@pam!") {
            self.error(at, "no token is made for root@pam: nothing could limit it", "a token of a service account");
        }
        let most = self.lint.number("access.tokens.max-days").map(|(days, _)| days);
        if let (Some(days), Some(most)) = (token.days, most)
            && (i64::from(days) > most || days == 0)
        {
            self.error(
                at,
                format!("{days} days are no valid lifetime"),
                format!("1 to {most} (access.tokens.max-days)"),
            );
        }
        for (key, text) in [("owner", &token.owner), ("purpose", &token.purpose)] {
            if text.trim().is_empty() {
                self.error(at, format!("a token without {key} cannot be reviewed"), format!("{key} = \"…\""));
            }
            self.text(key, Some(text), 1000, at);
        }
        if token.privilege_separation == Some(false) {
            let found = Diagnostic::warning("this token has every right of its user, whatever its ACL says");
            self.lint.push(found.at(at.clone()).help("leave privilege-separation out and give it rights of its own"));
        }
    }

    fn token_name(&mut self, id: &str, at: &At) {
        if names::token(id).is_none() || id.starts_with('-') || id.contains([',', ';']) {
            self.error(at, format!("{id:?} is no token"), "USER@REALM!TOKEN, two characters or more behind the `!`");
        }
    }

    fn realm(&mut self, Entry { is: realm, at }: &Entry<WantedRealm>) {
        if !names::is_realm(&realm.id) {
            self.error(at, format!("{:?} is no realm name", realm.id), "e.g. \"pve\"");
        }
        self.text("comment", realm.comment.as_deref(), 4096, at);
        let line = |text: &String| text.contains(['\n', '\r']);
        if realm.comment.as_ref().is_some_and(line) {
            self.error(at, "the comment of a realm is one line", "a comment without line breaks");
        }
        let of_realm = |user: &str| names::is_user(user) && user.rsplit_once('@').is_some_and(|(_, of)| of == realm.id);
        for user in realm.may_refuse.iter().filter(|user| !of_realm(user)) {
            self.error(at, format!("{user:?} is no user of the realm {}", realm.id), format!("NAME@{}", realm.id));
        }
        if !realm.may_refuse.is_empty() && realm.tfa != Some(RealmFactor::Oath) {
            let found = Diagnostic::warning("may-refuse has no effect where the realm enforces nothing").at(at.clone());
            self.lint.push(found.help("add tfa = \"oath\", or take it out"));
        }
    }

    fn root_web(&mut self) {
        let enabled = self.lint.leaf("access.root-web.enabled").is_some_and(|leaf| leaf.value == true);
        let Some((name, leaf)) = self.lint.text("access.root-web.administrator") else { return };
        let at = leaf.at.clone();
        if name.is_empty() && enabled {
            self.error(
                &at,
                "nobody would administer in place of root@pam",
                "a user with the role Administrator, e.g. \"nancy@pve\"",
            );
        } else if name == names::ROOT || (!name.is_empty() && !names::is_user(name)) {
            self.error(&at, format!("{name:?} cannot administer in place of root@pam"), "another user, NAME@REALM");
        }
    }

    fn limits(&mut self) {
        let (Some((default, leaf)), Some((most, _))) =
            (self.lint.number("access.tokens.default-days"), self.lint.number("access.tokens.max-days"))
        else {
            return;
        };
        if default > most {
            let found = Diagnostic::error(format!("default-days {default} is more than max-days {most}"));
            self.lint.push(found.at(leaf.at.clone()));
        }
    }
}

/// A word that cannot pass for an option either.
fn plain(word: &str) -> bool {
    names::is_word(word) && !word.starts_with('-')
}

fn built_in(role: &str) -> bool {
    Catalogue::all().iter().any(|catalogue| catalogue.built_in.contains_key(role))
}

/// What PVE's format `email` asks for, roughly: something, an @, a name with a dot or without.
fn is_mail(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    let plain =
        |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"\\\"'`$:,;<>()".contains(c));
    text.len() <= 254 && parts.len() == 2 && parts.iter().all(plain)
}
