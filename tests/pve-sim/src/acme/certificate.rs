//! The certificate that replaces the node's own.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use openssl::pkey::PKey;
use openssl::x509::X509;

use super::{Given, account, dns01, http01, plugin, task, uacme};
use crate::console::say;
use crate::files::{text, write_atomic};
use crate::host::Host;

const THIRTY_DAYS: u32 = 30;

/// A name of the certificate, and how it is proved.
struct Domain {
    name: String,
    /// `standalone` or the id of a DNS plugin.
    plugin: String,
}

/// Account and names, as the node's configuration has them (`get_acme_conf`).
fn configured(host: &Host) -> anyhow::Result<(String, Vec<Domain>)> {
    let (mut account, mut domains) = ("default".to_owned(), Vec::new());
    for line in text(&host.own("config")).lines() {
        let Some((key, value)) = line.split_once(':').filter(|_| !line.starts_with('#')) else { continue };
        let parts = value.trim().split(',').map(|part| part.split_once('=').unwrap_or(("domain", part)));
        if key == "acme" {
            for (name, value) in parts {
                match name {
                    "account" => value.clone_into(&mut account),
                    _ => domains.extend(
                        value.split(';').map(|name| Domain { name: name.to_lowercase(), plugin: "standalone".into() }),
                    ),
                }
            }
        } else if key.starts_with("acmedomain") {
            let mut domain = Domain { name: String::new(), plugin: "standalone".into() };
            for (name, value) in parts {
                match name {
                    "domain" => domain.name = value.to_lowercase(),
                    "plugin" => value.clone_into(&mut domain.plugin),
                    _ => bail!("'{name}' of a domain is not played"),
                }
            }
            if domain.plugin != "standalone" && plugin::find(host, &domain.plugin).is_none() {
                bail!("plugin '{}' for domain '{}' not found!", domain.plugin, domain.name);
            }
            domains.push(domain);
        }
    }
    ensure!(!domains.is_empty(), "400 ACME domain list in node configuration is missing!");
    Ok((account, domains))
}

pub(super) fn order(host: &Host, given: &Given, renew: bool) -> anyhow::Result<u8> {
    let file = host.own("pveproxy-ssl.pem");
    if renew {
        ensure!(file.exists(), "No current (custom) certificate found, please order a new certificate!");
        let current = X509::from_pem(text(&file).as_bytes())?;
        let soon = openssl::asn1::Asn1Time::days_from_now(THIRTY_DAYS)?;
        ensure!(
            given.flag("force") || *current.not_after() < *soon,
            "400 Parameter verification failed.\nforce: Certificate does not expire within the next 30 days, and 'force' is not set."
        );
    } else {
        ensure!(
            given.flag("force") || !file.exists(),
            "400 Parameter verification failed.\nforce: Custom certificate exists but 'force' is not set."
        );
    }
    let (account, domains) = configured(host)?;
    Ok(task(place(host, &account, &domains)))
}

fn place(host: &Host, name: &str, domains: &[Domain]) -> anyhow::Result<()> {
    ensure!(host.pve("priv/acme").join(name).is_file(), "ACME account config file '{name}' does not exist.");
    say("Loading ACME account details");
    let account = account::load(host, name)?;
    let (url, key) = (account["directory"].as_str().unwrap_or_default(), account["key"].as_str().unwrap_or_default());
    say("Placing ACME order");
    let work = tempfile::tempdir()?;
    let tokens = work.path().join("http");
    std::fs::create_dir(&tokens)?;
    for domain in domains.iter().filter(|domain| domain.plugin != "standalone") {
        let plugin = plugin::find(host, &domain.plugin).context("the plugin is gone")?;
        dns01::prepare(work.path(), &domain.name, &plugin)?;
    }
    let hook = dns01::hook(work.path())?;
    let server = domains.iter().any(|domain| domain.plugin == "standalone").then(|| http01::Server::start(&tokens));
    let server = server.transpose()?;
    let names: Vec<String> = domains.iter().map(|domain| domain.name.clone()).collect();
    let issued = uacme::issue(url, key, &names, &hook, &tokens);
    drop(server);
    let uacme::Issued { chain, key } = issued?;
    say("\nAll domains validated!\n\nDownloading certificate\nSetting pveproxy certificate and key");
    install(host, &chain, &key)?;
    restart()
}

fn install(host: &Host, chain: &str, key: &str) -> anyhow::Result<()> {
    let certificate = X509::from_pem(chain.as_bytes())?;
    let private = PKey::private_key_from_pem(key.as_bytes())?;
    ensure!(
        certificate.public_key()?.public_eq(&private),
        "Setting certificate files failed - key does not match the certificate (chain)"
    );
    write_atomic(&host.own("pveproxy-ssl.pem"), chain.as_bytes(), 0o640)?;
    write_atomic(&host.own("pveproxy-ssl.key"), key.as_bytes(), 0o640)
}

fn restart() -> anyhow::Result<()> {
    say("Restarting pveproxy");
    let status = Command::new("systemctl").args(["reload-or-restart", "pveproxy"]).status()?;
    ensure!(status.success(), "command 'systemctl reload-or-restart pveproxy' failed");
    Ok(())
}

pub(super) fn upload(host: &Host, given: &Given) -> anyhow::Result<u8> {
    let read = |index: usize| -> anyhow::Result<String> {
        let path = given.place(index).context("400 not enough arguments")?;
        std::fs::read_to_string(path).with_context(|| format!("can't open '{path}'"))
    };
    let (chain, key) = (read(0)?, read(1)?);
    ensure!(
        given.flag("force") || !host.own("pveproxy-ssl.pem").exists(),
        "Custom certificate file exists but force flag is not set."
    );
    install(host, &chain, &key)?;
    if given.flag("restart") {
        restart()?;
    }
    Ok(0)
}

pub(super) fn delete(host: &Host) -> anyhow::Result<u8> {
    for name in ["pveproxy-ssl.pem", "pveproxy-ssl.key"] {
        let path = host.own(name);
        if path.exists() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(0)
}
