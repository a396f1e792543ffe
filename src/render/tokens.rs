//! The list of tokens.

use std::fmt::Write as _;

use serde_json::json;

use super::permissions::cell;
use super::style::{Palette, Tone};
use crate::access::day;
use crate::access::lifetime::{Listed, end};
use crate::sanitize;

/// A block per token.
pub fn text(node: &str, tokens: &[Listed], palette: Palette) -> String {
    let mut text = format!("{}\n", palette.paint(Tone::Heading, &format!("{node}: {} tokens", tokens.len())));
    for token in tokens {
        let status = status(token);
        let status = if status.is_empty() { "in order".to_owned() } else { status };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {status}", palette.paint(Tone::Heading, &sanitize::line(&token.id)));
        let known = |day: &Option<String>| day.clone().unwrap_or_else(|| "unknown".into());
        let rotated = token.rotated.clone().unwrap_or_else(|| "never by this tool".into());
        let until = end(token.expires);
        let _ = writeln!(text, "  created {}, rotated {rotated}, ends {until}", known(&token.created));
        let purpose = if token.purpose.is_empty() { "no purpose" } else { &token.purpose };
        let listed = if token.listed { "" } else { "; not listed" };
        let sink = token.sink.as_ref().map(|sink| format!("; sink {sink}")).unwrap_or_default();
        let _ = writeln!(text, "  {}", sanitize::line(&format!("{purpose}{listed}{sink}")));
        let _ = writeln!(text, "  {}", sanitize::line(&scope(token)));
    }
    text
}

fn status(token: &Listed) -> String {
    token.status.iter().map(|status| status.words()).collect::<Vec<_>>().join(", ")
}

fn scope(token: &Listed) -> String {
    let grants: Vec<String> = token.scope.iter().map(|held| format!("{} on {}", held.role, held.path)).collect();
    if grants.is_empty() { "no rights".into() } else { grants.join(", ") }
}

const COLUMNS: &str = "id,user,created,expires,rotated,purpose,scope,privilege-separation,listed,sink,status\r\n";

/// A row per token (RFC 4180).
pub fn csv(tokens: &[Listed]) -> String {
    let mut text = COLUMNS.to_owned();
    for token in tokens {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let cells = [
            token.id.clone(),
            token.user.clone(),
            token.created.clone().unwrap_or_default(),
            token.expires.map(day).unwrap_or_default(),
            token.rotated.clone().unwrap_or_default(),
            token.purpose.clone(),
            scope(token),
            yes(token.separated),
            yes(token.listed),
            token.sink.clone().unwrap_or_default(),
            status(token),
        ];
        text.push_str(&cells.map(|value| cell(&value)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// One versioned JSON document.
pub fn json(node: &str, tokens: &[Listed]) -> String {
    format!("{:#}\n", json!({ "version": 1, "node": node, "tokens": tokens }))
}
