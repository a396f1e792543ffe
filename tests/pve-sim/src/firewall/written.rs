//! Writing a configuration the way the API does: whole, in its own order, without what it could not read.

use std::fmt::Write as _;

use super::config::{Config, Notice, Scope};
use super::rule::{Rule, is_true};

/// The file's text and what is said on stderr. An empty text means that the file goes.
pub fn written(config: &Config) -> Result<(String, Vec<Notice>), String> {
    let mut text = String::new();
    let mut notices = Vec::new();
    if !config.options.is_empty() {
        text.push_str("[OPTIONS]\n\n");
        for name in in_any_order(config.options.keys().cloned().collect()) {
            let _ = writeln!(text, "{name}: {}", config.text(&name).unwrap_or_default());
        }
        text.push('\n');
    }
    if config.scope != Scope::Host {
        aliases(config, &mut text);
        sets(config, &mut text, &mut notices);
    }
    if !config.rules.is_empty() {
        let _ = writeln!(text, "[RULES]\n\n{}", rules(&config.rules, true)?);
    }
    for (name, group) in &config.groups {
        let _ = writeln!(text, "[group {name}]{}\n\n{}", remark(&group.comment), rules(&group.rules, false)?);
    }
    Ok((text, notices))
}

fn aliases(config: &Config, text: &mut String) {
    if config.aliases.is_empty() {
        return;
    }
    text.push_str("[ALIASES]\n\n");
    for alias in config.aliases.values() {
        let _ = writeln!(text, "{} {}{}", alias.name, alias.cidr, remark(&alias.comment));
    }
    text.push('\n');
}

fn sets(config: &Config, text: &mut String, notices: &mut Vec<Notice>) {
    for (name, set) in &config.ipsets {
        let _ = writeln!(text, "[IPSET {name}]{}\n", remark(&set.comment));
        let mut entries = std::collections::BTreeMap::new();
        for entry in &set.entries {
            if entries.contains_key(&entry.cidr) {
                notices.push(Notice::Warning(format!("ignoring duplicate ipset entry '{}'", entry.cidr)));
            } else {
                entries.insert(&entry.cidr, entry);
            }
        }
        for entry in entries.values() {
            let not = if entry.nomatch { "!" } else { "" };
            let _ = writeln!(text, "{not}{}{}", entry.cidr, remark(&entry.comment));
        }
        text.push('\n');
    }
}

fn rules(rules: &[Rule], with_iface: bool) -> Result<String, String> {
    rules.iter().map(|rule| rule.line(with_iface)).collect()
}

fn remark(comment: &str) -> String {
    if is_true(comment.trim()) { format!(" # {comment}") } else { String::new() }
}

/// Options come out of a hash: nobody may rely on their order.
fn in_any_order(mut names: Vec<String>) -> Vec<String> {
    let mut random = [0_u8; 1];
    if !names.is_empty() && openssl::rand::rand_bytes(&mut random).is_ok() {
        let turn = usize::from(random[0]) % names.len();
        names.rotate_left(turn);
    }
    names
}
