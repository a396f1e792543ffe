//! Debian's `uacme`, which speaks ACME. Its words become those of `PVE::ACME`.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::authorizations;

/// What a CA issued, in PEM, and what it was asked on the way.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// The CA's directory. The server is judged by the node's authorities, as by PVE.
pub(super) fn directory(url: &str) -> anyhow::Result<Value> {
    let output = Command::new("curl").args(["-sS", "--fail", "--max-time", "20", "--", url]).output()?;
    ensure!(output.status.success(), "Error: GET to {url}\n{}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).context("the directory is no JSON")
}

/// A new account; its private key in PEM.
pub(super) fn register(url: &str, contact: &str, binding: Option<&(String, String)>) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let mut command = uacme(folder.path(), url);
    command.arg("-y");
    if let Some((id, key)) = binding {
        command.args(["-e", &format!("{id}:{key}")]);
    }
    // It takes one address.
    command.args(["new", contact.split(',').next().unwrap_or(contact)]);
    run(command, url)?;
    Ok(std::fs::read_to_string(folder.path().join("private/key.pem"))?)
}

/// Orders a certificate. `hook` answers challenges: see uacme(1).
pub(super) fn issue(url: &str, key: &str, names: &[String], hook: &Path, tokens: &Path) -> anyhow::Result<Issued> {
    let first = names.first().context("no domain")?;
    let folder = tempfile::tempdir()?;
    let private = folder.path().join("private");
    std::fs::create_dir(&private)?;
    std::fs::write(private.join("key.pem"), key)?;
    let mut command = uacme(folder.path(), url);
    command.env("TOKENS", tokens).arg("-h").arg(hook).args(["-f", "issue"]).args(names);
    run(command, url)?;
    Ok(Issued {
        chain: std::fs::read_to_string(folder.path().join(first).join("cert.pem"))?,
        key: std::fs::read_to_string(private.join(first).join("key.pem"))?,
    })
}

fn uacme(folder: &Path, url: &str) -> Command {
    let mut command = Command::new("uacme");
    command.args(["-v", "-v", "-c"]).arg(folder).args(["-a", url]);
    command
}

fn run(mut command: Command, directory: &str) -> anyhow::Result<()> {
    let output = command.output().context("uacme is not installed")?;
    let text = said(&output);
    for line in text.lines() {
        if let Some(url) = line.strip_prefix("uacme: order location: ") {
            crate::console::say(format!("Order URL: {url}"));
        } else if let Some(url) = authorization(line) {
            crate::console::say(format!("\nGetting authorization details from '{url}'"));
        } else if line.starts_with("uacme: starting challenge at ") {
            crate::console::say("Triggering validation\nSleeping for 5 seconds");
        }
    }
    if !output.status.success() {
        bail!("{}", failure(&text, directory));
    }
    Ok(())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn authorization(line: &str) -> Option<&str> {
    line.strip_prefix("uacme: retrieving authorization at ")
}

/// As `PVE::ACME` and the loop of PVE/API2/ACME.pm die. What the CA found wrong with an authorization is kept for
/// `PVE::ACME::get_authorization`.
fn failure(text: &str, directory: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if let Some(at) =
        lines.iter().position(|line| line.starts_with("uacme: challenge ") && line.contains(" failed with "))
    {
        let url = lines[..at].iter().rev().find_map(|line| authorization(line)).unwrap_or_default();
        let problem = body(lines.get(at + 2..).unwrap_or_default());
        if let Some(detail) = problem["detail"].as_str() {
            authorizations::keep(url, detail);
        }
        return format!("validating challenge '{url}' failed - status: invalid");
    }
    let refused = |line: &&str| line.starts_with("uacme: acme_post: return code ") && !line.contains("code 2");
    if let Some(at) = lines.iter().rposition(refused) {
        let url =
            lines[..at].iter().rev().find_map(|line| line.strip_prefix("uacme: acme_post: url=")?.split(' ').next());
        let problem = body(lines.get(at + 1..).unwrap_or_default());
        return format!("Error: POST to {}\n{problem:#}", url.unwrap_or_default());
    }
    let last = lines.iter().rev().find(|line| !line.trim().is_empty()).copied().unwrap_or_default();
    format!("Error: GET to {directory}\n{last}")
}

/// The JSON object that these lines begin with.
fn body(lines: &[&str]) -> Value {
    let end = lines.iter().position(|line| *line == "}").map_or(lines.len(), |end| end + 1);
    serde_json::from_str(&lines[..end].join("\n")).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_pves() {
        let text = "uacme: acme_post: url=https://ca/acct payload={\"a\":1}\nuacme: acme_post: HTTP body:\n{\n}\n\
                    uacme: acme_post: return code 400, json=\n{\n    \"detail\": \"no\"\n}\nuacme: failed\n";
        assert_eq!(failure(text, "https://ca/dir"), "Error: POST to https://ca/acct\n{\n  \"detail\": \"no\"\n}");
        assert_eq!(failure("uacme: x\n", "https://ca/dir"), "Error: GET to https://ca/dir\nuacme: x");
    }
}
