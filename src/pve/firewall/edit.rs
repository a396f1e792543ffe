//! Edits that leave every other line as it is.
//!
//! A rule that this tool wrote is known by its comment: `# pve-harden:ID`, and a space and words for people after it.

use super::read::{Section, What};
use super::{Backend, FirewallFile, MemberAddress, options};

const MARK: &str = "pve-harden:";

/// The comment that marks a rule or member as written by this tool for the given control.
pub fn managed_comment(id: &str, words: &str) -> String {
    if words.is_empty() { format!("{MARK}{id}") } else { format!("{MARK}{id} {words}") }
}

/// The control named by a comment that [`managed_comment`] made.
pub fn managed_id(comment: &str) -> Option<&str> {
    comment.strip_prefix(MARK)?.split(' ').next().filter(|id| !id.is_empty())
}

/// A list of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSection {
    /// `[RULES]`.
    Rules,
    /// `[group NAME]`.
    Group(String),
}

/// Where rules go in their list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before every rule.
    First,
    /// After every rule.
    Last,
    /// Before the rule on this line.
    Before(usize),
    /// After the rule on this line.
    After(usize),
}

/// Whether members that are not named stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// They stay.
    Merge,
    /// They go.
    Exact,
}

/// A member to have in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMember {
    /// Address, network or alias.
    pub address: String,
    /// `!`.
    pub nomatch: bool,
    /// Comment.
    pub comment: Option<String>,
}

impl NewMember {
    /// A member without comment.
    pub fn of(address: impl Into<String>) -> Self {
        Self { address: address.into(), nomatch: false, comment: None }
    }

    fn line(&self) -> String {
        let comment = self.comment.as_ref().map_or(String::new(), |comment| format!(" # {}", one_line(comment)));
        format!("{}{}{comment}", if self.nomatch { "!" } else { "" }, one_line(&self.address))
    }
}

/// Nothing that is put into a line may end it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl FirewallFile {
    /// Sets an option: its line, wherever it is, becomes `name: value`; further lines of the same option go, because
    /// the last one counts in pve-firewall and proxmox-firewall refuses the file.
    pub fn set_option(&mut self, name: &str, value: &str) {
        let mut lines = self.option_lines(name);
        let text = format!("{}: {}", one_line(name), one_line(value));
        match lines.pop() {
            Some(last) => {
                if self.option_text(last) != text {
                    self.replace(last, &text);
                }
            }
            None => self.append(&Section::Options, &[text]),
        }
        self.remove(&lines);
        self.read();
    }

    /// Removes every line of an option.
    pub fn unset_option(&mut self, name: &str) {
        let lines = self.option_lines(name);
        self.remove(&lines);
        self.read();
    }

    /// Sets an alias; a line that has it already, whatever its comment, stays when the address is the same.
    pub fn set_alias(&mut self, name: &str, address: &str, comment: Option<&str>) {
        let there = self.reading.config.alias(name).map(|alias| (alias.line - 1, alias.cidr.clone()));
        let comment = comment.map_or(String::new(), |comment| format!(" # {}", one_line(comment)));
        let text = format!("{} {}{comment}", one_line(name), one_line(address));
        match there {
            Some((_, cidr)) if same_address(&cidr, address) => {}
            Some((line, _)) => self.replace(line, &text),
            None => {
                // A line of this name that could not be read gives way.
                let broken = self.body_lines(&Section::Aliases, |line| {
                    line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(name))
                });
                match broken.first() {
                    Some(line) => self.replace(*line, &text),
                    None => self.append(&Section::Aliases, &[text]),
                }
            }
        }
        self.read();
    }

    /// Removes an alias.
    pub fn unset_alias(&mut self, name: &str) {
        if let Some(line) = self.reading.config.alias(name).map(|alias| alias.line - 1) {
            self.remove(&[line]);
            self.read();
        }
    }

    /// Gives a set these members, making it where it is missing. Members that cover the same and say the same stay as
    /// they are; unusable lines stay with [`Entries::Merge`] and go with [`Entries::Exact`].
    pub fn set_ipset(&mut self, name: &str, members: &[NewMember], entries: Entries) {
        let name = self.section_name(name);
        let section = Section::Ipset(name.clone());
        let there: Vec<(usize, String, bool)> = self.reading.config.ipsets.get(&name).map_or_else(Vec::new, |set| {
            let member = |member: &super::Member| {
                let address = match &member.address {
                    MemberAddress::Network(cidr, _) => cidr.clone(),
                    MemberAddress::Alias(Some(prefix), name) => format!("{}/{name}", prefix.word()),
                    MemberAddress::Alias(None, name) => name.clone(),
                };
                (member.line - 1, address, member.nomatch)
            };
            set.members.iter().map(member).collect()
        });
        let same =
            |new: &NewMember, old: &(usize, String, bool)| same_address(&old.1, &new.address) && old.2 == new.nomatch;
        // A line that PVE cannot use, e.g. with an alias that stands below it, is not written twice.
        let written: Vec<String> =
            self.body_lines(&section, |_| true).into_iter().map(|line| self.text(line).to_owned()).collect();
        let missing: Vec<String> = members
            .iter()
            .enumerate()
            .filter(|(at, new)| {
                let before = &members[..*at];
                let written = entries == Entries::Merge && written.contains(&new.line());
                !there.iter().any(|old| same(new, old))
                    && !written
                    && !before.iter().any(|other| same_address(&other.address, &new.address))
            })
            .map(|(_, new)| new.line())
            .collect();
        // The same address with the other sign would be a duplicate.
        let flipped = |old: &(usize, String, bool)| {
            members.iter().any(|new| same_address(&old.1, &new.address) && old.2 != new.nomatch)
        };
        let mut gone: Vec<usize> = there.iter().filter(|old| flipped(old)).map(|old| old.0).collect();
        if entries == Entries::Exact {
            let kept: Vec<usize> =
                there.iter().filter(|old| members.iter().any(|new| same(new, old))).map(|old| old.0).collect();
            gone = self.body_lines(&section, |_| true);
            gone.retain(|line| !kept.contains(line));
        }
        if !missing.is_empty() || !self.has_section(&section) {
            self.append(&section, &missing);
        }
        self.remove(&gone);
        self.read();
    }

    /// Removes a set with its header.
    pub fn remove_ipset(&mut self, name: &str) {
        let section = Section::Ipset(self.section_name(name));
        self.remove_section(&section);
    }

    /// Removes a security group with its header.
    pub fn remove_group(&mut self, name: &str) {
        let section = Section::Group(self.section_name(name));
        self.remove_section(&section);
    }

    /// Inserts rules, as lines without line ends.
    pub fn insert_rules(&mut self, section: &RuleSection, place: Place, rules: &[String]) {
        let section = self.rule_section(section);
        self.insert(&section, place, rules);
        self.read();
    }

    /// Makes these the rules that the control `id` manages in this list: rules with its mark that are not wanted go,
    /// missing ones come at `place`. When what is there is what is wanted, in order, nothing changes. Every rule must
    /// carry the control's mark (see [`managed_comment`]).
    pub fn set_managed_rules(&mut self, section: &RuleSection, id: &str, place: Place, rules: &[String]) {
        let section = self.rule_section(section);
        let there = self.managed_lines(&section, id);
        let texts: Vec<&str> = there.iter().map(|line| self.text(*line)).collect();
        if texts == rules.iter().map(String::as_str).collect::<Vec<_>>() {
            return;
        }
        // Rules that stay keep their line as anchor, so that what the operator put between them stays in place.
        let place = match (place, there.first()) {
            (Place::First | Place::Last, Some(first)) => Place::Before(first + 1),
            (place, _) => place,
        };
        self.insert(&section, place, rules);
        self.read();
        let new: Vec<usize> = self.managed_lines(&section, id);
        let start = new.windows(rules.len().max(1)).position(|window| {
            window.len() == rules.len() && window.iter().zip(rules).all(|(line, rule)| self.text(*line) == rule)
        });
        let fresh = start.map_or(0..0, |start| start..start + rules.len());
        let gone: Vec<usize> =
            new.iter().enumerate().filter(|(at, _)| !fresh.contains(at)).map(|(_, line)| *line).collect();
        self.remove(&gone);
        self.read();
    }

    /// Ids of the controls that have rules here.
    pub fn managed_ids(&self) -> Vec<&str> {
        let config = &self.reading.config;
        let rules = config.rules.iter().chain(config.groups.values().flat_map(|group| &group.rules));
        let mut ids: Vec<&str> = rules.filter_map(|rule| managed_id(rule.comment.as_deref()?)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Ends every line with `\n` alone.
    pub fn drop_carriage_returns(&mut self) {
        for line in &mut self.lines {
            if let Some(text) = line.strip_suffix("\r\n") {
                *line = format!("{text}\n");
            }
        }
        self.read();
    }

    fn rule_section(&self, section: &RuleSection) -> Section {
        match section {
            RuleSection::Rules => Section::Rules,
            RuleSection::Group(name) => Section::Group(self.section_name(name)),
        }
    }

    /// pve-firewall knows sections by their lower-case name.
    fn section_name(&self, name: &str) -> String {
        if self.backend() == Backend::Iptables { name.to_ascii_lowercase() } else { name.to_owned() }
    }

    fn text(&self, line: usize) -> &str {
        self.lines.get(line).map_or("", |line| line.trim())
    }

    fn option_text(&self, line: usize) -> String {
        self.text(line).to_owned()
    }

    /// Body lines of a section that satisfy a condition, by index.
    fn body_lines(&self, section: &Section, wanted: impl Fn(&str) -> bool) -> Vec<usize> {
        let body = |(index, line): (usize, &super::read::Line)| {
            let fits = line.what == What::Body && line.section.as_ref() == Some(section) && wanted(self.text(index));
            fits.then_some(index)
        };
        self.reading.lines.iter().enumerate().filter_map(body).collect()
    }

    fn option_lines(&self, name: &str) -> Vec<usize> {
        let exact = self.backend() == Backend::Nftables && options::known(name, self.scope(), Backend::Nftables);
        self.body_lines(&Section::Options, |line| {
            let key = line.split(':').next().unwrap_or_default().trim();
            if exact { key == name } else { key.eq_ignore_ascii_case(name) }
        })
    }

    fn managed_lines(&self, section: &Section, id: &str) -> Vec<usize> {
        self.body_lines(section, |line| {
            line.split_once('#').is_some_and(|(_, comment)| managed_id(comment.trim()) == Some(id))
        })
    }

    fn has_section(&self, section: &Section) -> bool {
        self.reading.lines.iter().any(|line| line.section.as_ref() == Some(section))
    }

    fn insert(&mut self, section: &Section, place: Place, rules: &[String]) {
        let bodies = self.body_lines(section, |_| true);
        let at = match place {
            Place::First => bodies.first().copied(),
            Place::Before(line) => Some(line.saturating_sub(1)).filter(|line| bodies.contains(line)),
            Place::After(line) => bodies.iter().find(|body| **body >= line).copied(),
            Place::Last => None,
        };
        match at {
            Some(at) => self.put(at, rules),
            None => self.append(section, rules),
        }
    }

    fn replace(&mut self, line: usize, text: &str) {
        let end = self.line_end(line);
        if let Some(slot) = self.lines.get_mut(line) {
            *slot = format!("{text}{end}");
        }
    }

    fn line_end(&self, line: usize) -> &'static str {
        match self.lines.get(line) {
            Some(text) if text.ends_with("\r\n") => "\r\n",
            Some(text) if text.ends_with('\n') => "\n",
            _ => "",
        }
    }

    fn remove(&mut self, lines: &[usize]) {
        let mut index = 0;
        self.lines.retain(|_| {
            index += 1;
            !lines.contains(&(index - 1))
        });
    }

    fn remove_section(&mut self, section: &Section) {
        let all = self.reading.lines.iter().enumerate();
        let lines: Vec<usize> =
            all.filter(|(_, line)| line.section.as_ref() == Some(section)).map(|(index, _)| index).collect();
        self.remove(&lines);
        self.read();
    }

    /// Puts lines before the line `at`.
    fn put(&mut self, at: usize, texts: &[String]) {
        let end = if self.backend() == Backend::Nftables && self.line_end(0) == "\r\n" { "\r\n" } else { "\n" };
        if at > 0
            && let Some(before) = self.lines.get_mut(at - 1)
            && !before.ends_with('\n')
        {
            before.push_str(end);
        }
        let lines = texts.iter().map(|text| format!("{}{end}", text.replace(['\n', '\r'], " ")));
        self.lines.splice(at..at, lines);
    }

    /// Puts lines at the end of a section, which is made where PVE would write it.
    fn append(&mut self, section: &Section, texts: &[String]) {
        let in_section = |line: &super::read::Line| line.section.as_ref() == Some(section);
        let last = self.reading.lines.iter().rposition(|line| in_section(line) && line.what != What::Blank);
        if let Some(last) = last {
            let mut texts = texts.to_vec();
            let header = self.reading.lines.get(last).is_some_and(|line| line.what == What::Header);
            if header && !texts.is_empty() {
                texts.insert(0, String::new());
            }
            // Comments at the end of a section belong to the next header.
            let comment = |line: usize| self.reading.lines.get(line).is_some_and(|line| line.what == What::Comment);
            let followed = self.reading.lines.get(last + 1).is_some_and(|line| line.what == What::Header);
            let blank = |line: usize| self.reading.lines.get(line).is_some_and(|line| line.what == What::Blank);
            let mut at = last;
            while followed && at > 0 && (comment(at) || blank(at)) {
                at -= 1;
            }
            return self.put(at + 1, &texts);
        }
        let later = self.reading.lines.iter().position(|line| {
            line.what == What::Header && line.section.as_ref().is_some_and(|s| s.rank() > section.rank())
        });
        let mut at = later.unwrap_or(self.lines.len());
        while at > 0 && later.is_some() && self.reading.lines.get(at - 1).is_some_and(|line| line.what == What::Comment)
        {
            at -= 1;
        }
        let mut new = Vec::new();
        if at > 0 && self.reading.lines.get(at - 1).is_some_and(|line| line.what != What::Blank) {
            new.push(String::new());
        }
        new.push(section.header());
        if !texts.is_empty() {
            new.push(String::new());
            new.extend(texts.iter().cloned());
        }
        if later.is_some() {
            new.push(String::new());
        }
        self.put(at, &new);
    }
}

/// Whether two addresses are the same text or cover the same.
fn same_address(one: &str, other: &str) -> bool {
    let network = |text: &str| super::cidr(text).ok().and_then(|(_, network)| network).map(|network| network.trunc());
    match (network(one), network(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => one.eq_ignore_ascii_case(other),
        _ => false,
    }
}
