//! cluster.fw, host.fw and a guest's file: reading with PVE's patience, writing as its API does.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::address::{ALIAS_SCOPES, ip_or_cidr, is_name, scoped};
use super::rule::{Rule, is_true};
use super::verify::{Context, Place, verify};
use super::{Family, options};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The datacenter.
    Cluster,
    /// A node.
    Host,
    /// A guest, by its number.
    Guest(u32),
}

/// A named address or network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// As written.
    pub name: String,
    /// Address or network.
    pub cidr: String,
    /// Its family; the API stores an alias without looking.
    pub family: Option<Family>,
    /// What stood behind `#`.
    pub comment: String,
}

/// A line of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Address, network or alias.
    pub cidr: String,
    /// `!` in front.
    pub nomatch: bool,
    /// What stood behind `#`.
    pub comment: String,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// What stood behind `#` in its heading.
    pub comment: String,
    /// Its lines.
    pub entries: Vec<Entry>,
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// What stood behind `#` in its heading.
    pub comment: String,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose it is.
    pub scope: Scope,
    /// Whether there is one; an empty file is none.
    pub exists: bool,
    /// Options by name.
    pub options: BTreeMap<String, Value>,
    /// Aliases by lower-case name.
    pub aliases: BTreeMap<String, Alias>,
    /// Sets by name.
    pub ipsets: BTreeMap<String, Set>,
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// Security groups by name.
    pub groups: BTreeMap<String, Group>,
}

/// What reading says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// On stderr, whoever asks.
    Warning(String),
    /// A rule without effect: on stderr of the command line, in the journal otherwise.
    Rule(String),
    /// An entry of a set without effect: on stderr of the command line only.
    Entry(String),
}

/// Reads a file.
pub fn load(path: &Path, shown: &str, scope: Scope, cluster: Option<&Config>) -> (Config, Vec<Notice>) {
    parse(&crate::files::text(path), shown, scope, cluster, now())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

/// Reads a text; `shown` is the path that messages name.
pub fn parse(text: &str, shown: &str, scope: Scope, cluster: Option<&Config>, now: u64) -> (Config, Vec<Notice>) {
    let mut reader = Reader { config: Config::empty(scope), cluster, section: Section::None, notices: Vec::new(), now };
    reader.config.exists = !text.is_empty() && text != "0";
    if reader.config.exists {
        for (index, line) in text.split('\n').enumerate() {
            let line = line.trim_matches([' ', '\t']);
            if !line.starts_with('#') && !line.trim().is_empty() {
                reader.line(line, &format!("{shown} (line {})", index + 1));
            }
        }
    }
    (reader.config, reader.notices)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Section {
    None,
    Options,
    Aliases,
    Rules,
    Group(String),
    Set(String),
}

struct Reader<'c> {
    config: Config,
    cluster: Option<&'c Config>,
    section: Section,
    notices: Vec<Notice>,
    now: u64,
}

impl Config {
    /// Nothing configured.
    pub fn empty(scope: Scope) -> Self {
        Self {
            scope,
            exists: false,
            options: BTreeMap::new(),
            aliases: BTreeMap::new(),
            ipsets: BTreeMap::new(),
            rules: Vec::new(),
            groups: BTreeMap::new(),
        }
    }

    /// Perl's truth of an option.
    pub fn is_on(&self, option: &str) -> bool {
        self.text(option).is_some_and(|value| is_true(&value))
    }

    /// An option that is there and off.
    pub fn is_off(&self, option: &str) -> bool {
        self.options.contains_key(option) && !self.is_on(option)
    }

    /// An option as text.
    pub fn text(&self, option: &str) -> Option<String> {
        self.options.get(option).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}

/// Looks an alias up in a file of its own, then in the datacenter's. Without the latter, `own` is the datacenter's.
pub fn resolve<'c>(cluster: Option<&'c Config>, own: &'c Config, scope: &str, name: &str) -> Result<&'c Alias, String> {
    let (cluster, own) = match cluster {
        Some(cluster) => (cluster, Some(own)),
        None => (own, None),
    };
    let key = name.to_lowercase();
    let local = own.filter(|_| scope != "dc/").and_then(|config| config.aliases.get(&key));
    let found = local.or_else(|| cluster.aliases.get(&key).filter(|_| scope != "guest/"));
    found.ok_or_else(|| format!("no such alias '{name}'"))
}

impl Reader<'_> {
    fn warn(&mut self, prefix: &str, message: &str) {
        self.notices.push(Notice::Warning(format!("{prefix}: {message}")));
    }

    fn line(&mut self, line: &str, prefix: &str) {
        if self.heading(line, prefix) {
            return;
        }
        match self.section.clone() {
            Section::None => self.warn(prefix, "skip line - no section"),
            Section::Options => match options::parse(self.config.scope, line, self.now) {
                Ok((name, value)) => {
                    self.config.options.insert(name, value);
                }
                Err(message) => self.warn(prefix, &message),
            },
            Section::Aliases => self.alias(line, prefix),
            Section::Rules => {
                if let Some(rule) = self.rule(line, prefix, self.config.scope.place()) {
                    self.config.rules.push(rule);
                }
            }
            Section::Group(name) => {
                if let Some(rule) = self.rule(line, prefix, Place::Group) {
                    self.config.groups.entry(name).or_default().rules.push(rule);
                }
            }
            Section::Set(name) => self.entry(&name, line, prefix),
        }
    }

    /// Section headings take any case. One that this kind of file does not have is an ordinary line.
    fn heading(&mut self, line: &str, prefix: &str) -> bool {
        let scope = self.config.scope;
        let plain = line.to_lowercase();
        match plain.as_str() {
            "[options]" => self.section = Section::Options,
            "[rules]" => self.section = Section::Rules,
            "[aliases]" if scope != Scope::Host => self.section = Section::Aliases,
            _ => {
                let group = named_heading(line, "[group").filter(|_| scope == Scope::Cluster);
                let set = named_heading(line, "[ipset").filter(|_| scope != Scope::Host);
                return match (group, set) {
                    (Some((name, comment)), _) => self.open_group(&name, comment, prefix),
                    (None, Some((name, comment))) => self.open_set(&name, comment, prefix),
                    (None, None) => false,
                };
            }
        }
        true
    }

    fn open_group(&mut self, name: &str, comment: &str, prefix: &str) -> bool {
        if name.len() > 18 {
            self.section = Section::None;
            self.warn(prefix, "security group name too long");
        } else if is_name(name) {
            self.section = Section::Group(name.to_owned());
            let group = self.config.groups.entry(name.to_owned()).or_default();
            group.rules.clear();
            if is_true(comment) {
                comment.clone_into(&mut group.comment);
            }
        } else {
            self.section = Section::None;
            self.warn(prefix, &format!("invalid security group name '{name}'"));
        }
        true
    }

    fn open_set(&mut self, name: &str, comment: &str, prefix: &str) -> bool {
        if name.len() > 64 {
            self.section = Section::None;
            self.warn(prefix, "ipset name too long");
        } else if is_name(name) {
            self.section = Section::Set(name.to_owned());
            let set = self.config.ipsets.entry(name.to_owned()).or_default();
            set.entries.clear();
            if is_true(comment) {
                comment.clone_into(&mut set.comment);
            }
        } else {
            self.section = Section::None;
            self.warn(prefix, &format!("invalid ipset name '{name}'"));
        }
        true
    }

    fn alias(&mut self, line: &str, prefix: &str) {
        let (line, comment) = commented(line);
        let line = line.trim_end();
        // Exactly one blank between the two words; anything else is lost without a word.
        let words: Vec<&str> = line.split(char::is_whitespace).collect();
        let [name, cidr] = words.as_slice() else {
            self.notices.push(perl_at("in lc", 3545));
            return;
        };
        match ip_or_cidr(cidr) {
            Ok((cidr, family)) => {
                let alias = Alias { name: (*name).to_owned(), cidr, family: Some(family), comment };
                self.config.aliases.insert(name.to_lowercase(), alias);
            }
            Err(message) => self.warn(prefix, &message),
        }
    }

    fn rule(&mut self, line: &str, prefix: &str, place: Place) -> Option<Rule> {
        let own = (place != Place::Group).then_some(&self.config);
        let cluster = if self.config.scope == Scope::Cluster { Some(&self.config) } else { self.cluster };
        let read = Rule::parse(line).and_then(|mut rule| {
            let verified = verify(&mut rule, Context { cluster, own }, place)?;
            Ok((rule, verified.warnings))
        });
        let (rule, warnings) = match read {
            Ok(read) => read,
            Err(message) => {
                self.warn(prefix, &message);
                return None;
            }
        };
        self.notices.extend(warnings.into_iter().map(Notice::Warning));
        if !rule.errors.is_empty() {
            self.notices.push(Notice::Rule(format!("{prefix} - errors in rule parameters: {line}")));
            let lines = rule.errors.iter().map(|(name, message)| Notice::Rule(format!("  {name}: {message}")));
            self.notices.extend(lines);
        }
        Some(rule)
    }

    fn entry(&mut self, set: &str, line: &str, prefix: &str) {
        let (text, comment) = commented(line);
        let trimmed = text.trim_end();
        let (nomatch, cidr) = match trimmed.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, trimmed),
        };
        let one_word = !cidr.is_empty() && !cidr.contains(char::is_whitespace);
        let mut entry = Entry { cidr: cidr.to_owned(), nomatch, comment, error: None };
        if one_word {
            entry.error = self.entry_error(set, &mut entry.cidr).err();
        } else {
            // The real parser goes on with a value that it does not have.
            entry.cidr.clear();
            entry.error = Some(super::address::NO_ADDRESS.to_owned());
            let lines = [3577, 3398, 3401, 3592];
            self.notices.extend(lines.map(|line| perl_at("$cidr in pattern match (m//)", line)));
        }
        if entry.cidr.rsplit_once('/').is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|byte| byte == b'0')) {
            entry.error = Some("a zero prefix is not allowed in ipset entries".to_owned());
        }
        if let Some(message) = &entry.error {
            self.notices.push(Notice::Entry(format!("{prefix} - errors in ipset '{set}': {text}")));
            self.notices.push(Notice::Entry(format!("  cidr: {message}")));
        }
        if !one_word {
            self.notices.push(perl_at("$cidr in hash element", 3609));
        }
        self.config.ipsets.entry(set.to_owned()).or_default().entries.push(entry);
    }

    fn entry_error(&self, set: &str, cidr: &mut String) -> Result<(), String> {
        if let Some((scope, alias)) = scoped(cidr, &ALIAS_SCOPES) {
            resolve(self.cluster.or(Some(&self.config)), &self.config, scope, alias)?;
        } else {
            *cidr = ip_or_cidr(cidr)?.0;
        }
        let known = self.config.ipsets.get(set).is_some_and(|set| set.entries.iter().any(|one| one.cidr == *cidr));
        if known { Err(format!("duplicate ipset entry for '{cidr}'")) } else { Ok(()) }
    }
}

/// Perl's own complaint about a value that is not there.
fn perl_at(what: &str, line: u32) -> Notice {
    Notice::Warning(format!("Use of uninitialized value {what} at /usr/share/perl5/PVE/Firewall.pm line {line}."))
}

/// What stands before the first `#`, and what stands behind it.
fn commented(line: &str) -> (&str, String) {
    match line.split_once('#') {
        Some((text, comment)) => (text, comment.trim().to_owned()),
        None => (line, String::new()),
    }
}

/// `[group NAME] # comment`
fn named_heading<'l>(line: &'l str, start: &str) -> Option<(String, &'l str)> {
    let head = line.get(..start.len()).filter(|head| head.eq_ignore_ascii_case(start))?;
    let rest = &line[head.len()..];
    let inner = rest.trim_start();
    if inner.len() == rest.len() {
        return None;
    }
    // The name reaches to the last bracket that leaves only a comment behind it.
    let (name, after) =
        inner.rmatch_indices(']').map(|(at, _)| (&inner[..at], &inner[at + 1..])).find(|(name, after)| {
            let after = after.trim();
            !name.is_empty() && !name.contains(char::is_whitespace) && (after.is_empty() || after.starts_with('#'))
        })?;
    Some((name.to_lowercase(), after.trim().strip_prefix('#').unwrap_or_default().trim()))
}
