//! One line of a rule section: reading and writing it.

use std::fmt::Write as _;

use super::names::LOG_LEVELS;

/// A rule. Fields that were not given are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// 1, or 0 with `|` in front of the line.
    pub enable: u64,
    /// `in`, `out`, `forward`, `group`, or what else stood there.
    pub kind: String,
    /// `ACCEPT`, `DROP`, `REJECT`, or the group's name.
    pub action: String,
    /// Named service.
    pub macro_name: String,
    /// Interface.
    pub iface: String,
    /// Source addresses.
    pub source: String,
    /// Destination addresses.
    pub dest: String,
    /// Protocol.
    pub proto: String,
    /// Destination ports.
    pub dport: String,
    /// Source ports.
    pub sport: String,
    /// Severity of its log line.
    pub log: String,
    /// Type of ICMP packet.
    pub icmp_type: String,
    /// What stood behind `#`.
    pub comment: String,
    /// 4 or 6 where the addresses say so.
    pub ip_version: Option<u8>,
    /// What is wrong with it, by parameter. A rule with errors is kept in the file and has no effect.
    pub errors: Vec<(String, String)>,
}

/// Perl's truth: neither empty nor `0`.
pub fn is_true(text: &str) -> bool {
    !text.is_empty() && text != "0"
}

impl Rule {
    /// Reads a line; the message of a line that cannot be read.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut rule = Self::default();
        let (mut rest, comment) = match line.split_once('#') {
            Some((rest, comment)) => (rest, comment.trim()),
            None => (line, ""),
        };
        comment.clone_into(&mut rule.comment);
        rule.enable = u64::from(!rest.starts_with('|'));
        rest = rest.strip_prefix('|').unwrap_or(rest);
        let (Some((kind, after)), true) = (word(rest), rest.chars().next().is_some_and(|first| !first.is_whitespace()))
        else {
            return Err(format!("unable to parse rule: {rest}"));
        };
        let Some((action, after)) = word(after) else {
            return Err(format!("unable to parse rule: {rest}"));
        };
        rule.kind = kind.to_lowercase();
        action.clone_into(&mut rule.action);
        if matches!(rule.kind.as_str(), "in" | "out" | "forward") {
            rule.take_macro();
        }
        let left = rule.parameters(after);
        if left.is_empty() { Ok(rule) } else { Err(format!("unable to parse rule parameters: {left}")) }
    }

    /// `SSH(ACCEPT)` is a macro with an action.
    fn take_macro(&mut self) {
        let split = ["ACCEPT", "DROP", "REJECT"].iter().find_map(|action| {
            let name = self.action.strip_suffix(&format!("({action})"))?;
            (!name.is_empty()).then(|| (name.to_owned(), (*action).to_owned()))
        });
        if let Some((name, action)) = split {
            (self.macro_name, self.action) = (name, action);
        }
    }

    /// Takes parameters off the front and gives what is left.
    fn parameters<'l>(&mut self, mut line: &'l str) -> &'l str {
        loop {
            if let Some(rest) = valued(line, &["-i"], &mut self.iface) {
                line = rest;
                continue;
            }
            if self.kind == "group" {
                return line;
            }
            let fields: [(&[&str], &mut String); 6] = [
                (&["-p", "-proto", "--proto"], &mut self.proto),
                (&["-dport", "--dport"], &mut self.dport),
                (&["-sport", "--sport"], &mut self.sport),
                (&["-source", "--source"], &mut self.source),
                (&["-dest", "--dest"], &mut self.dest),
                (&["-icmp-type", "--icmp-type"], &mut self.icmp_type),
            ];
            let taken = fields.into_iter().find_map(|(names, field)| valued(line, names, field));
            let Some(rest) = taken.or_else(|| self.take_log(line)) else { return line };
            line = rest;
        }
    }

    fn take_log<'l>(&mut self, line: &'l str) -> Option<&'l str> {
        let rest = ["-log ", "--log "].iter().find_map(|name| line.strip_prefix(name))?;
        let levels = LOG_LEVELS.iter().map(|(name, _)| *name).chain(["nolog"]);
        let (level, rest) = levels.into_iter().find_map(|level| Some((level, rest.strip_prefix(level)?)))?;
        level.clone_into(&mut self.log);
        Some(rest.trim_start())
    }

    /// The line as the API writes it; security groups have no interfaces.
    pub fn line(&self, with_iface: bool) -> Result<String, String> {
        if !matches!(self.kind.as_str(), "in" | "out" | "forward" | "group") {
            return Err(format!("unknown rule type '{}'", self.kind));
        }
        let mut line = if self.enable == 0 { "|".to_owned() } else { String::new() };
        line.push_str(&self.kind.to_uppercase());
        if is_true(&self.macro_name) {
            let _ = write!(line, " {}({})", self.macro_name, self.action);
        } else {
            let _ = write!(line, " {}", self.action);
        }
        let mut add = |name: &str, value: &str| {
            if is_true(value) {
                let _ = write!(line, " -{name} {value}");
            }
        };
        if with_iface {
            add("i", &self.iface);
        }
        if self.kind != "group" {
            add("source", &self.source);
            add("dest", &self.dest);
            add("p", &self.proto);
            add("dport", &self.dport);
            add("sport", &self.sport);
            add("log", &self.log);
            add("icmp-type", &self.icmp_type);
        }
        if is_true(&self.comment) {
            let _ = write!(line, " # {}", self.comment);
        }
        Ok(line + "\n")
    }

    /// Name and value of each field that the API knows and that is set, in order of the names.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let version = self.ip_version.map(|version| version.to_string()).unwrap_or_default();
        let all = [
            ("action", &self.action),
            ("comment", &self.comment),
            ("dest", &self.dest),
            ("dport", &self.dport),
            ("enable", &self.enable.to_string()),
            ("icmp-type", &self.icmp_type),
            ("iface", &self.iface),
            ("ipversion", &version),
            ("log", &self.log),
            ("macro", &self.macro_name),
            ("proto", &self.proto),
            ("source", &self.source),
            ("sport", &self.sport),
            ("type", &self.kind),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.clone())).collect()
    }

    /// The field behind a name of the API, `enable` aside.
    pub fn field(&mut self, name: &str) -> Option<&mut String> {
        match name {
            "type" => Some(&mut self.kind),
            "action" => Some(&mut self.action),
            "macro" => Some(&mut self.macro_name),
            "iface" => Some(&mut self.iface),
            "source" => Some(&mut self.source),
            "dest" => Some(&mut self.dest),
            "proto" => Some(&mut self.proto),
            "log" => Some(&mut self.log),
            "sport" => Some(&mut self.sport),
            "dport" => Some(&mut self.dport),
            "comment" => Some(&mut self.comment),
            "icmp-type" => Some(&mut self.icmp_type),
            _ => None,
        }
    }
}

/// The first word and what follows its blanks.
fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text[end..].trim_start()))
}

/// `-name value`, with exactly one blank between.
fn valued<'l>(line: &'l str, names: &[&str], field: &mut String) -> Option<&'l str> {
    let rest = names.iter().find_map(|name| line.strip_prefix(name)?.strip_prefix(' '))?;
    let (value, rest) = word(rest)?;
    value.clone_into(field);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_and_written() {
        let line = "|in SSH(ACCEPT) -i vmbr0 --source 10.0.0.0/8 -p tcp -log info # why # not";
        let rule = Rule::parse(line).unwrap_or_default();
        assert_eq!(rule.comment, "why # not");
        assert_eq!(
            rule.line(true),
            Ok("|IN SSH(ACCEPT) -i vmbr0 -source 10.0.0.0/8 -p tcp -log info # why # not\n".to_owned())
        );
        for wrong in ["IN", "allow tcp from any", "IN ACCEPT -dport  22", "GROUP a -p tcp", "IN ACCEPT -log loud"] {
            assert!(Rule::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,60}") {
            if let Ok(rule) = Rule::parse(&line) {
                let _ = rule.line(true);
            }
        }
    }
}
