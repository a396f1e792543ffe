//! sshd's version, effective settings and the head of its main file.

use std::collections::BTreeMap;
use std::net::IpAddr;

use globset::GlobBuilder;

use super::sections::{Sections, shown};
use super::{CaseKind, FileFact, Reading, Sshd, SshdCase, SshdSettings};

const MAIN_FILE: &str = "/etc/ssh/sshd_config";
/// A name that an Include of the drop-in folder must match.
const DROPIN: &str = "/etc/ssh/sshd_config.d/00-example.conf";

pub(super) fn parse(
    sections: Sections<'_>,
    files: &BTreeMap<String, Reading<FileFact>>,
    notes: &mut Vec<String>,
) -> Sshd {
    Sshd {
        version: sections.parse("sshd.version", version),
        global: sections.parse("sshd.global", settings),
        cases: cases(sections, notes),
        includes_dropins: super::text_of(files, MAIN_FILE).and_then(|text| includes_dropins(&text)),
        algorithms: algorithms(sections),
        peer_versions: peer_versions(sections),
        host_keys: host_keys(files),
    }
}

/// `OpenSSH_10.0p2 Debian-7, OpenSSL …` on some line of `sshd -V`.
fn version(text: &str) -> Result<(u32, u32), String> {
    let parse = |line: &str| {
        let rest = line.split_once("OpenSSH_")?.1;
        let (major, rest) = rest.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    text.lines().find_map(parse).ok_or_else(|| format!("no OpenSSH version in {}", shown(text)))
}

/// `sshd.peers`: ADDRESS VERSION lines; what is neither says nothing.
fn peer_versions(sections: Sections<'_>) -> BTreeMap<IpAddr, (u32, u32)> {
    let line = |line: &str| {
        let (address, banner) = line.split_once(' ')?;
        Some((address.parse().ok()?, version(banner).ok()?))
    };
    let text = sections.text("sshd.peers");
    text.known().map(|text| text.lines().filter_map(line).collect()).unwrap_or_default()
}

/// `sshd -T`: `keyword value` lines; repeated keywords are joined by newlines.
pub fn settings(text: &str) -> Result<SshdSettings, String> {
    let mut settings = SshdSettings::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        if keyword.is_empty() || !keyword.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(format!("no setting: {}", shown(line)));
        }
        settings
            .entry(keyword.to_owned())
            .and_modify(|known: &mut String| {
                known.push('\n');
                known.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    if settings.contains_key("port") { Ok(settings) } else { Err("sshd printed no settings".into()) }
}

/// `sshd.cases` names the question that each `sshd.case.N` answers: KIND USER ADDRESS.
fn cases(sections: Sections<'_>, notes: &mut Vec<String>) -> BTreeMap<SshdCase, Reading<SshdSettings>> {
    let Reading::Known(index) = sections.text("sshd.cases") else { return BTreeMap::new() };
    let mut cases = BTreeMap::new();
    for (number, line) in index.lines().filter(|line| !line.is_empty()).enumerate() {
        let Some(case) = case(line) else {
            notes.push(format!("sshd was not asked about {}", shown(line)));
            continue;
        };
        let answer = match sections.parse(&format!("sshd.case.{number}"), settings) {
            Reading::NotAsked => Reading::Unreadable(format!("sshd -T -C {} is not in the capture", case.spec())),
            answer => answer,
        };
        cases.insert(case, answer);
    }
    cases
}

fn case(line: &str) -> Option<SshdCase> {
    let mut words = line.split_whitespace();
    let who = CaseKind::from_name(words.next()?)?;
    let user = words.next()?.to_owned();
    let address: IpAddr = words.next()?.parse().ok()?;
    words.next().is_none().then_some(SshdCase { who, user, address })
}

fn algorithms(sections: Sections<'_>) -> BTreeMap<String, std::collections::BTreeSet<String>> {
    let asked = sections.0.sections.keys().filter_map(|name| Some((name, name.strip_prefix("algorithms.")?)));
    asked
        .filter_map(|(section, kind)| {
            let text = *sections.text(section).known()?;
            let words = text.lines().map(str::trim).filter(|word| !word.is_empty() && !word.contains(' '));
            Some((kind.to_owned(), words.map(str::to_owned).collect()))
        })
        .collect()
}

/// Public host keys, path of the private key → `SHA256:…`.
fn host_keys(files: &BTreeMap<String, Reading<FileFact>>) -> BTreeMap<String, String> {
    let public = files.keys().filter_map(|path| {
        let private = path.strip_suffix("_key.pub").filter(|path| path.starts_with("/etc/ssh/ssh_host_"))?;
        let text = super::text_of(files, path).known()?.clone();
        let key = ssh_key::PublicKey::from_openssh(text.trim()).ok()?;
        Some((format!("{private}_key"), key.fingerprint(ssh_key::HashAlg::Sha256).to_string()))
    });
    public.collect()
}

/// A directive of `sshd_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Line, from 1.
    pub line: usize,
    /// Keyword, lower case.
    pub keyword: String,
    /// Arguments without quotes.
    pub arguments: Vec<String>,
    /// Below a Match line, or one itself.
    pub in_match: bool,
}

/// Reads `sshd_config(5)` text as servconf.c does: keywords in any case, `=` or blanks after the keyword, quoted
/// arguments, comments. `Match all` does not end a Match block here: what follows it is still "in a match".
pub fn directives(text: &str) -> Result<Vec<Directive>, String> {
    let mut found = Vec::new();
    let mut in_match = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{c}');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
        let keyword = line[..end].trim_matches('"').to_ascii_lowercase();
        let rest = line[end..].trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        let arguments = words(rest).ok_or_else(|| format!("line {}: a quote is not closed", index + 1))?;
        in_match |= keyword == "match";
        found.push(Directive { line: index + 1, keyword, arguments, in_match });
    }
    Ok(found)
}

/// `argv_split` of OpenSSH's misc.c: quotes group, a backslash escapes quotes, blanks and itself, `#` starts a comment.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(char::is_ascii_whitespace).is_some() {}
        match characters.peek() {
            None | Some('#') => return Some(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        loop {
            match (characters.next(), quote) {
                (None, None) => break,
                (None, Some(_)) => return None,
                (Some('\\'), _) if characters.peek().is_some_and(|next| matches!(next, '"' | '\'' | '\\' | ' ')) => {
                    word.extend(characters.next());
                }
                (Some(c), Some(open)) if c == open => quote = None,
                (Some(c @ ('"' | '\'')), None) => quote = Some(c),
                (Some(c), None) if c.is_ascii_whitespace() => break,
                (Some(c), _) => word.push(c),
            }
        }
        words.push(word);
    }
}

/// Whether the drop-in folder is included before anything else is set: sshd keeps the first value it meets.
pub fn includes_dropins(text: &str) -> Result<bool, String> {
    let directives = directives(text).map_err(|why| format!("{MAIN_FILE} {why}"))?;
    let head = directives.iter().take_while(|directive| directive.keyword == "include" && !directive.in_match);
    Ok(head.flat_map(|directive| &directive.arguments).any(|pattern| covers_dropins(pattern)))
}

fn covers_dropins(pattern: &str) -> bool {
    let absolute = if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/ssh/{pattern}") };
    let glob = GlobBuilder::new(&absolute).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(DROPIN))
}
