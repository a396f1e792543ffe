//! `pvenode acme account`.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{Given, folder, task, uacme};
use crate::console::{put, say};
use crate::files::{text, write_atomic};
use crate::host::Host;

/// The account's file.
pub(super) fn load(host: &Host, name: &str) -> anyhow::Result<Value> {
    let file = host.pve("priv/acme").join(name);
    ensure!(file.is_file(), "ACME account config file '{name}' does not exist.");
    serde_json::from_str(&text(&file)).context("the account's file is damaged")
}

fn store(host: &Host, name: &str, account: &Value) -> anyhow::Result<()> {
    write_atomic(&folder(host)?.join(name), account.to_string().as_bytes(), 0o600)
}

pub(super) fn register(host: &Host, given: &Given) -> anyhow::Result<u8> {
    let (name, contact) = match given.places.as_slice() {
        [name, contact] => (name.as_str(), contact.as_str()),
        [contact] => ("default", contact.as_str()),
        _ => bail!("400 not enough arguments\npvenode acme account register [<name>] {{<contact>}} [OPTIONS]"),
    };
    let url = given.option("directory").context("no directory")?;
    say(format!("\nAttempting to fetch Terms of Service from '{url}'.."));
    let directory = uacme::directory(url)?;
    let meta = &directory["meta"];
    match meta["termsOfService"].as_str() {
        Some(terms) => {
            say(format!("Terms of Service: {terms}"));
            let agreed = ask("Do you agree to the above terms? [y|N]: ")?;
            ensure!(agreed.eq_ignore_ascii_case("y"), "Cannot continue without agreeing to ToS, aborting.");
        }
        None => say("No Terms of Service found, proceeding."),
    }
    let mut binding = None;
    if meta["externalAccountRequired"] == true {
        say("The CA requires external account binding.\nYou should have received a key id and a key from your CA.");
        binding = Some((ask("Enter EAB key id: ")?, ask("Enter EAB key: ")?));
    }
    ensure!(
        !host.pve("priv/acme").join(name).exists(),
        "400 Parameter verification failed.\nname: ACME account config file '{name}' already exists."
    );
    say(format!("\nAttempting to register account with '{url}'.."));
    say("Generating ACME account key..\nRegistering ACME account..");
    let registered = uacme::register(url, contact, binding.as_ref()).and_then(|key| {
        let contact: Vec<String> = contact.split(',').map(|one| format!("mailto:{one}")).collect();
        let account = json!({ "contact": contact, "status": "valid" });
        store(host, name, &json!({ "account": account, "directory": url, "location": format!("{url}/1"), "key": key }))
    });
    Ok(task(registered.context("Registration failed")))
}

/// A line of standard input, after the question.
fn ask(question: &str) -> anyhow::Result<String> {
    say(question);
    // One byte at a time: what follows is for the next question.
    let mut line = String::new();
    let mut byte = [0];
    while std::io::Read::read(&mut std::io::stdin(), &mut byte)? == 1 && byte[0] != b'\n' {
        line.push(char::from(byte[0]));
    }
    Ok(line)
}

pub(super) fn update(host: &Host, given: &Given) -> anyhow::Result<u8> {
    let name = given.place(0).unwrap_or("default");
    let mut account = load(host, name)?;
    if let Some(contact) = given.option("contact") {
        let contact: Vec<String> = contact.split(',').map(|one| format!("mailto:{one}")).collect();
        account["account"]["contact"] = json!(contact);
    }
    Ok(task(store(host, name, &account)))
}

pub(super) fn list(host: &Host) -> anyhow::Result<u8> {
    for entry in std::fs::read_dir(host.pve("priv/acme")).into_iter().flatten() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.contains('.') {
            say(name);
        }
    }
    Ok(0)
}

pub(super) fn info(host: &Host, given: &Given) -> anyhow::Result<u8> {
    let mut account = load(host, given.place(0).unwrap_or("default"))?;
    if let Some(account) = account.as_object_mut() {
        account.remove("key");
    }
    put(format!("{account}\n"));
    Ok(0)
}
