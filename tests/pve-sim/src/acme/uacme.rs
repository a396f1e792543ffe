//! Debian's `uacme`, which speaks ACME.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// The CA's directory. The server is judged by the node's authorities, as by PVE.
pub(super) fn directory(url: &str) -> anyhow::Result<Value> {
    let output = Command::new("curl").args(["-sS", "--fail", "--max-time", "20", "--", url]).output()?;
    ensure!(output.status.success(), "Error: GET to {url}\n{}", words(&output));
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
    run(command)?;
    Ok(std::fs::read_to_string(folder.path().join("private/key.pem"))?)
}

/// Orders a certificate: chain and key in PEM. `tokens` is where the answers to challenges are put.
pub(super) fn issue(url: &str, key: &str, names: &[String], tokens: &Path) -> anyhow::Result<(String, String)> {
    let first = names.first().context("no domain")?;
    let folder = tempfile::tempdir()?;
    let private = folder.path().join("private");
    std::fs::create_dir(&private)?;
    std::fs::write(private.join("key.pem"), key)?;
    let hook = folder.path().join("hook");
    let script = "#!/bin/sh\n[ \"$2\" = http-01 ] || exit 1\ncase $1 in begin) printf %s \"$5\" >\"$TOKENS/$4\" ;; *) rm -f \"$TOKENS/$4\" ;; esac\n";
    crate::files::lay_out(&hook, script.as_bytes(), 0o700)?;
    let mut command = uacme(folder.path(), url);
    command.env("TOKENS", tokens).arg("-h").arg(&hook).args(["-f", "issue"]).args(names);
    run(command)?;
    let chain = std::fs::read_to_string(folder.path().join(first).join("cert.pem"))?;
    let key = std::fs::read_to_string(private.join(first).join("key.pem"))?;
    Ok((chain, key))
}

fn uacme(folder: &Path, url: &str) -> Command {
    let mut command = Command::new("uacme");
    command.args(["-v", "-c"]).arg(folder).args(["-a", url]);
    command
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command.output().context("uacme is not installed")?;
    ensure!(output.status.success(), "{}", words(&output));
    Ok(())
}

fn words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // What the CA said, then what became of it.
    let said = lines.iter().filter(|line| line.starts_with("\"detail\""));
    said.chain(lines.last()).copied().collect::<Vec<_>>().join("\n")
}
