//! /etc/default/pveproxy: assignments that bash reads for pveproxy and spiceproxy
//! (pve-http-server src/PVE/APIServer/Utils.pm `read_proxy_config`).
//!
//! Only plain assignments are understood here. Whatever else bash would make of a file is told as a [`Problem`] instead
//! of guessed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

/// Where the settings lie.
pub const PATH: &str = "/etc/default/pveproxy";

/// What the file sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Name → value, the last assignment of each.
    pub values: BTreeMap<String, String>,
    /// What cannot be understood.
    pub problems: Vec<Problem>,
}

/// Something that is no plain assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Settings {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Self {
        let mut settings = Self::default();
        let mut reader = Reader { text, at: 0 };
        while let Some(start) = reader.skip_to_command() {
            let line = text[..start].matches('\n').count() + 1;
            match reader.assignment() {
                Ok((name, value)) => {
                    settings.values.insert(name, value);
                }
                Err(why) => {
                    settings.problems.push(Problem { line, why });
                    if why == UNCLOSED {
                        break;
                    }
                    reader.skip_line();
                }
            }
        }
        settings
    }

    /// A value that is not empty; an empty one is as good as none.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Who may connect.
    pub fn access(&self) -> Result<Access, String> {
        let list = |name: &str| self.value(name).map_or(Ok(Vec::new()), ranges);
        let deny_by_default = match self.value("POLICY") {
            None | Some("allow") => false,
            Some("deny") => true,
            Some(other) => return Err(format!("unknown POLICY {other:?}: pveproxy does not start")),
        };
        Ok(Access { allow: list("ALLOW_FROM")?, deny: list("DENY_FROM")?, deny_by_default })
    }

    /// A switch that is `0` or `1`; anything else keeps pveproxy from starting.
    pub fn switch(&self, name: &str) -> Result<bool, String> {
        match self.value(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(format!("{name} is {other:?}, not 0 or 1: pveproxy does not start")),
        }
    }
}

/// pveproxy's access lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `ALLOW_FROM` as networks.
    pub allow: Vec<IpNet>,
    /// `DENY_FROM` as networks.
    pub deny: Vec<IpNet>,
    /// `POLICY=deny`.
    pub deny_by_default: bool,
}

impl Access {
    /// Whether a client may connect: on both lists or on none, the policy decides.
    pub fn permits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&client));
        match (within(&self.allow), within(&self.deny)) {
            (true, false) => true,
            (false, true) => false,
            _ => !self.deny_by_default,
        }
    }

    /// Everybody who may connect, where the allow list alone tells it; `None` where others may, too.
    pub fn only(&self) -> Option<Vec<IpNet>> {
        let everybody = |nets: &[IpNet]| {
            let nets = aggregate(nets);
            nets.iter().filter(|net| net.prefix_len() == 0).count() == 2
        };
        match (self.deny_by_default, self.deny.is_empty()) {
            (true, true) => Some(aggregate(&self.allow)),
            (false, false) if everybody(&self.deny) => Some(aggregate(&self.allow)),
            _ => None,
        }
    }
}

/// Networks in order, those that others hold left out, neighbours joined.
pub fn aggregate(nets: &[IpNet]) -> Vec<IpNet> {
    let mut nets = IpNet::aggregate(&nets.iter().map(IpNet::trunc).collect());
    nets.sort();
    nets
}

/// A list in the words of `Net::IP`: addresses, networks without host bits, `FIRST-LAST`, `all`.
pub fn ranges(list: &str) -> Result<Vec<IpNet>, String> {
    let mut nets = Vec::new();
    for word in list.split(',').map(str::trim) {
        nets.extend(range(word).ok_or_else(|| format!("{:?} is no address range", short(word)))?);
    }
    Ok(nets)
}

fn short(word: &str) -> String {
    word.chars().take(64).collect()
}

fn range(word: &str) -> Option<Vec<IpNet>> {
    if word == "all" {
        return Some(vec!["0.0.0.0/0".parse().ok()?, "::/0".parse().ok()?]);
    }
    if let Some((first, last)) = word.split_once('-') {
        let (first, last): (IpAddr, IpAddr) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let nets = match (first.to_canonical(), last.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => IpSubnets::from(Ipv4Subnets::new(first, last, 0)),
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => IpSubnets::from(Ipv6Subnets::new(first, last, 0)),
            _ => return None,
        };
        return Some(nets.collect());
    }
    if word.contains('/') {
        // Net::IP refuses a prefix with host bits.
        return word.parse::<IpNet>().ok().filter(|net| net.trunc() == *net).map(|net| vec![net]);
    }
    let address: IpAddr = word.parse().ok()?;
    Some(vec![address.to_canonical().into()])
}

const UNCLOSED: &str = "a quote is never closed: bash drops this and everything below";

/// Walks over the text as bash does over simple assignments.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Over blanks, line ends and comments; the place of the next command.
    fn skip_to_command(&mut self) -> Option<usize> {
        loop {
            match self.peek()? {
                '#' => self.skip_line(),
                ' ' | '\t' | '\n' => self.at += 1,
                _ => return Some(self.at),
            }
        }
    }

    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |end| self.at + end);
    }

    fn assignment(&mut self) -> Result<(String, String), &'static str> {
        let rest = &self.text[self.at..];
        if let Some(after) = rest.strip_prefix("export").filter(|after| after.starts_with([' ', '\t'])) {
            self.at += rest.len() - after.trim_start_matches([' ', '\t']).len();
        }
        let name_end = self.text[self.at..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let name = self.text[self.at..].get(..name_end.unwrap_or(0)).unwrap_or_default().to_owned();
        let after = self.at + name.len();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !self.text[after..].starts_with('=') {
            // Whether its quotes close still decides what happens to the lines below.
            self.word()?;
            return Err("no plain assignment");
        }
        self.at = after + 1;
        let value = self.word()?;
        let rest = &self.text[self.at..];
        let behind = rest.trim_start_matches([' ', '\t']);
        match behind.chars().next() {
            None | Some('\n') => {}
            Some(';') => self.at += rest.len() - behind.len() + 1,
            Some('#') if behind.len() < rest.len() => {}
            Some(_) => return Err("a command follows the assignment, so that it does not last"),
        }
        Ok((name, value))
    }

    /// A word with its quotes taken off.
    fn word(&mut self) -> Result<String, &'static str> {
        let mut value = String::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' => break,
                '\'' | '"' => {
                    self.at += 1;
                    self.quoted(c, &mut value)?;
                }
                '\\' => {
                    self.at += 1;
                    value.extend(self.next().ok_or("the last line is not complete").map(|c| (c != '\n').then_some(c))?);
                }
                '$' | '`' | '&' | '|' | '<' | '>' | '(' | ')' => return Err("the shell would compute something here"),
                _ => {
                    self.at += 1;
                    value.push(c);
                    // Back to a character's border.
                    self.at += c.len_utf8() - 1;
                }
            }
        }
        if value.contains('\n') { Err("the value spans lines, of which only the first is read") } else { Ok(value) }
    }

    fn quoted(&mut self, quote: char, value: &mut String) -> Result<(), &'static str> {
        loop {
            match self.next().ok_or(UNCLOSED)? {
                c if c == quote => return Ok(()),
                '\\' if quote == '"' => match self.next().ok_or(UNCLOSED)? {
                    c @ ('"' | '\\' | '$' | '`') => value.push(c),
                    '\n' => {}
                    c => value.extend(['\\', c]),
                },
                '$' | '`' if quote == '"' => return Err("the shell would compute something here"),
                c => value.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_assignments_are_read_as_bash_reads_them() {
        let text = "# ALLOW_FROM=\"x\"\nALLOW_FROM=\"10.0.0.0/24,fd00::/64\"  # ours\nexport POLICY='deny'; A=b\\ c\nA=\nB=a\"b\"'c'\n";
        let settings = Settings::parse(text);
        assert_eq!(settings.problems, []);
        assert_eq!(settings.value("ALLOW_FROM"), Some("10.0.0.0/24,fd00::/64"));
        assert_eq!(
            (settings.value("POLICY"), settings.value("A"), settings.value("B")),
            (Some("deny"), None, Some("abc"))
        );
    }

    #[test]
    fn an_unclosed_quote_takes_everything_below_with_it() {
        let settings = Settings::parse("POLICY=deny\nALLOW_FROM=\"10.77.0.0/24\nLISTEN_IP=10.0.0.1\n");
        assert_eq!(settings.problems, [Problem { line: 2, why: UNCLOSED }]);
        assert_eq!(settings.value("POLICY"), Some("deny"));
        assert_eq!((settings.value("ALLOW_FROM"), settings.value("LISTEN_IP")), (None, None));
        // The quote of the next line closes this one, and opens another.
        let settings = Settings::parse("ALLOW_FROM=\"10.0.0.0/24\nDENY_FROM=\"all\"\n");
        assert_eq!(settings.problems[0], Problem { line: 1, why: UNCLOSED });
    }

    #[test]
    fn what_the_shell_would_compute_is_not_guessed() {
        for text in ["A=$(id)\n", "A=\"$B\"\n", "if true; then\n", "A=1 echo x\n", "A = 1\n", "A=\"x\ny\"\n"] {
            assert_eq!(Settings::parse(text).problems.len(), 1, "{text}");
        }
    }

    #[test]
    fn lists_are_judged_as_net_ip_does() {
        assert_eq!(ranges("all").unwrap().len(), 2);
        let nets: Vec<String> =
            ranges("10.0.0.1-10.0.0.5, ::ffff:10.0.0.9").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(nets, ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.9/32"]);
        for wrong in ["10.77.0.300", "10.0.0.1/24", "", "vmbr0", "10.0.0.5-10.0.0.1"] {
            assert!(ranges(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_table_of_the_manual_page_holds() {
        let permits =
            |text: &str, client: &str| Settings::parse(text).access().unwrap().permits(client.parse().unwrap());
        for (policy, only_allow, only_deny, none, both) in
            [("deny", true, false, false, false), ("allow", true, false, true, true)]
        {
            let text = format!("ALLOW_FROM=10.0.0.0/30\nDENY_FROM=10.0.0.2-10.0.0.9\nPOLICY={policy}\n");
            assert_eq!(permits(&text, "10.0.0.1"), only_allow);
            assert_eq!(permits(&text, "::ffff:10.0.0.9"), only_deny);
            assert_eq!(permits(&text, "192.0.2.1"), none);
            assert_eq!(permits(&text, "10.0.0.3"), both);
        }
    }

    #[test]
    fn who_alone_may_connect_is_told_in_either_spelling() {
        let only = |text: &str| Settings::parse(text).access().unwrap().only();
        let nets = Some(vec!["10.0.0.0/23".parse().unwrap()]);
        assert_eq!(only("ALLOW_FROM=10.0.0.0/24,10.0.1.0/24\nDENY_FROM=all\n"), nets);
        assert_eq!(only("ALLOW_FROM=10.0.0.0/23\nPOLICY=deny\n"), nets);
        assert_eq!(only("ALLOW_FROM=10.0.0.0/23\n"), None);
        assert_eq!(only("ALLOW_FROM=10.0.0.0/23\nDENY_FROM=0.0.0.0/0\n"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[\"'\\\\#;=$\n\t ]|ALLOW_FROM=|10\\.0\\.0\\.1|/|-|,|all)*") {
            let settings = Settings::parse(&text);
            let _ = settings.access();
            let _ = settings.switch("DISABLE_TLS_1_2");
            let _ = ranges(&text);
        }

        #[test]
        fn bash_agrees(text in "(ALLOW_FROM=|POLICY=|export |[a-c0-9.,/]|[\"'\\\\]|[ \t\n;#])*") {
            let settings = Settings::parse(&text);
            if !settings.problems.is_empty() {
                return Ok(());
            }
            let show = "\nprintf '%s\\n' \"$ALLOW_FROM\" \"$POLICY\"";
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &text).unwrap();
            let script = format!(". {};{show}", file.path().display());
            let output = std::process::Command::new("bash").env_clear().arg("-c").arg(script).output().unwrap();
            let wanted = format!(
                "{}\n{}\n", settings.value("ALLOW_FROM").unwrap_or_default(), settings.value("POLICY").unwrap_or_default()
            );
            prop_assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
        }
    }
}
