//! The reachability table of a plan that changes the firewall.

use std::fmt::Write as _;

use super::style::{Palette, Tone};
use crate::firewall::Verdict;
use crate::plan::reach::{Reach, Row, RowKind};
use crate::sanitize;

/// Who, to what, before → after; the rule that decides where the answer changes or is no.
pub fn table(reach: &Reach, palette: Palette) -> String {
    if reach.rows.is_empty() {
        return String::new();
    }
    let clean: Vec<(String, String, &Row)> =
        reach.rows.iter().map(|row| (sanitize::line(&row.who).into(), sanitize::line(&row.what).into(), row)).collect();
    let width = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
    let who_width = width(&mut clean.iter().map(|(who, ..)| who));
    let what_width = width(&mut clean.iter().map(|(_, what, _)| what));
    let mut text = format!("\n{}\n", palette.paint(Tone::Heading, "reachability, before → after"));
    for (who, what, row) in &clean {
        let pad = |text: &str, width: usize| format!("{text}{}", " ".repeat(width - text.chars().count()));
        let verdicts = format!("{} → {}", row.before, row.after);
        let by = if row.before == row.after && row.after == Verdict::Accept {
            String::new()
        } else {
            format!("  {}", palette.paint(Tone::Faint, &sanitize::line(&row.by.to_string())))
        };
        let verdicts = match tone(row) {
            Some(tone) => palette.paint(tone, &pad(&verdicts, 17)),
            None => pad(&verdicts, 17),
        };
        let line = format!("  {}  {}  {verdicts}{by}", pad(who, who_width), pad(what, what_width));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Bad news and good news; nothing for what stays as it should be.
fn tone(row: &Row) -> Option<Tone> {
    let passes = row.after == Verdict::Accept;
    match row.kind {
        RowKind::Operator | RowKind::Peer if !passes => Some(Tone::Bad),
        RowKind::Management | RowKind::Link | RowKind::Flow if !passes => Some(Tone::Warn),
        RowKind::Internet if passes => Some(Tone::Warn),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::RuleRef;

    #[test]
    fn the_table_names_the_rule_where_something_changes() {
        let row = |kind, who: &str, what: &str, before, after, by: RuleRef| Row {
            kind,
            who: who.into(),
            what: what.into(),
            before,
            after,
            by,
        };
        let managed = || RuleRef::Automatic { name: "SSH (22) from the management set".into() };
        let policy = || RuleRef::Policy { option: "policy_in".into(), value: "DROP".into(), line: Some(4) };
        let (accept, drop) = (Verdict::Accept, Verdict::Drop);
        let rows = vec![
            row(RowKind::Operator, "you (192.0.2.5)", "22/tcp", accept, accept, managed()),
            row(RowKind::Flow, "10.0.0.77", "2049/tcp nfsd", accept, drop, policy()),
            row(RowKind::Internet, "the Internet", "111/tcp rpcbind", accept, drop, policy()),
        ];
        insta::assert_snapshot!(table(&Reach { rows, ..Reach::default() }, Palette::PLAIN), @r"

        reachability, before → after
          you (192.0.2.5)  22/tcp           accept → accept
          10.0.0.77        2049/tcp nfsd    accept → drop      cluster.fw:4 policy_in: DROP
          the Internet     111/tcp rpcbind  accept → drop      cluster.fw:4 policy_in: DROP
        ");
    }
}
