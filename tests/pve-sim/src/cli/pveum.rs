//! `pveum`: users, groups, roles, permissions, realms, tokens.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::options::{Format, read};
use super::pveum_commands::{ALIASES, COMMANDS, Command};
use super::table::draw;
use super::{connect, fail, output, passwords};
use crate::access::user_cfg::ROOT;
use crate::api::{ApiError, Call, Parameters, schema, tfa};
use crate::applet::Arguments;
use crate::console::{complain, put, say};
use crate::host::Host;

/// Runs `pveum`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    connect(&host)?;
    Ok(run_on(&host, arguments))
}

/// Runs `pveum` on a node.
pub fn run_on(host: &Host, arguments: &[String]) -> u8 {
    let mut words: Vec<String> = arguments.to_vec();
    for (old, new) in ALIASES {
        if words.len() >= old.len() && words.iter().zip(*old).all(|(word, part)| word == part) {
            words.splice(..old.len(), new.iter().map(|part| (*part).to_owned()));
            break;
        }
    }
    if words.first().is_some_and(|word| word == "help") {
        put(usage(&[]));
        return 0;
    }
    let all = COMMANDS.iter().flat_map(|group| group.iter());
    let found = all.filter(|command| starts_with(&words, command.words)).max_by_key(|command| command.words.len());
    match found {
        Some(command) => execute(host, command, &words[command.words.len()..]),
        None => unknown(&words),
    }
}

fn starts_with(words: &[String], parts: &[&str]) -> bool {
    words.len() >= parts.len() && words.iter().zip(parts).all(|(word, part)| word == part)
}

fn execute(host: &Host, command: &Command, words: &[String]) -> u8 {
    let line = format!("pveum {} {}", command.words.join(" "), command.usage);
    let mut properties = schema::properties(command.path, command.method, host.release).unwrap_or_default();
    for (name, _) in command.fixed {
        properties.remove(*name);
    }
    if command.words == ["user", "tfa", "delete"] {
        properties.insert("id".to_owned(), json!({"type": "string", "optional": 1}));
    }
    if matches!(command.words, ["passwd" | "ticket"]) {
        properties.remove("password");
    }
    let (mut given, format) = match read(words, &properties, command.places, command.optional, command.format) {
        Ok(read) => read,
        Err(misuse) => {
            complain(format!("{}\n{line}", misuse.text()));
            return 255;
        }
    };
    for (name, value) in command.fixed {
        given.insert((*name).to_owned(), json!(value));
    }
    if let ["passwd" | "ticket"] = command.words {
        return with_password(host, command, given, &line);
    }
    if command.words == ["user", "token", "permissions"] {
        join_token(&mut given);
    }
    match call(host, command, given) {
        Ok(answer) => {
            print(command, &answer, &format);
            0
        }
        Err(error) => fail(&error, &line),
    }
}

/// Permissions are asked with the full id of a token.
fn join_token(given: &mut Parameters) {
    let part = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let (user, token) = (part(given.remove("userid")), part(given.remove("tokenid")));
    given.insert("userid".to_owned(), json!(format!("{user}!{token}")));
}

fn call(host: &Host, command: &Command, given: Parameters) -> Result<Value, ApiError> {
    let call = Call { host, user: ROOT, remote: None };
    let word = |name: &str| given.get(name).and_then(Value::as_str);
    match command.words {
        ["user", "tfa", "list"] => return Ok(json!(tfa::listing(host, word("userid")))),
        ["user", "tfa", "delete"] => {
            tfa::delete(&call, word("userid").unwrap_or_default(), word("id"))?;
            return Ok(Value::Null);
        }
        _ => {}
    }
    call.run_pattern(command.method, command.path, given)
}

fn with_password(host: &Host, command: &Command, mut given: Parameters, line: &str) -> u8 {
    let changes = command.words == ["passwd"];
    let password = if changes { passwords::ask_twice() } else { passwords::ask("Enter password: ") };
    let password = match password {
        Ok(password) => password,
        Err(refused) => {
            complain(&refused.message);
            return refused.code;
        }
    };
    given.insert("password".to_owned(), json!(password));
    match call(host, command, given) {
        Ok(answer) => {
            if let Some(ticket) = answer.get("ticket").and_then(Value::as_str) {
                say(ticket);
            }
            0
        }
        Err(error) => {
            fail(&error, line);
            passwords::ENOTTY
        }
    }
}

fn print(command: &Command, answer: &Value, format: &Format) {
    let is_text = matches!(format.kind.as_str(), "" | "text");
    match command.words {
        ["user", "permissions"] | ["user", "token", "permissions"] if is_text => put(permissions(answer, format)),
        ["user", "tfa", "list"] => put(answer.as_str().unwrap_or_default()),
        _ if command.format => output::print(command.path, answer, format),
        _ => {}
    }
}

fn permissions(answer: &Value, format: &Format) -> String {
    let rows: Vec<Vec<String>> = answer
        .as_object()
        .into_iter()
        .flatten()
        .map(|(path, privileges)| {
            let names = privileges.as_object().into_iter().flatten();
            let lines: Vec<String> = names
                .map(|(name, spread)| if *spread == json!(1) { format!("{name} (*)") } else { name.clone() })
                .collect();
            vec![path.clone(), lines.join("\n")]
        })
        .collect();
    let table = draw(&[("ACL path", false), ("Permissions", false)], &rows, format, true);
    format!("{table}Permissions marked with '(*)' have the 'propagate' flag set.\n")
}

fn unknown(words: &[String]) -> u8 {
    let groups: Vec<&str> = COMMANDS.iter().filter_map(|group| group.first()?.words.first().copied()).collect();
    let plain: Vec<&str> = words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    let within: Vec<&str> = plain
        .iter()
        .enumerate()
        .take_while(|(index, _)| {
            COMMANDS.iter().flat_map(|group| group.iter()).any(|command| command.words.starts_with(&plain[..=*index]))
        })
        .map(|(_, word)| *word)
        .collect();
    let message = match (plain.len(), within.len()) {
        (0, _) => "ERROR: no command specified".to_owned(),
        (all, known) if all == known => format!("ERROR: incomplete command 'pveum {}'", plain.join(" ")),
        (_, known) => format!("ERROR: unknown command 'pveum {}'", plain[..=known].join(" ")),
    };
    let shown =
        if plain.len() == within.len() && groups.contains(plain.first().unwrap_or(&"")) { &within[..] } else { &[] };
    complain(format!("{message}\n{}", usage(shown).trim_end()));
    255
}

fn usage(below: &[&str]) -> String {
    let mut text = "USAGE: pveum <COMMAND> [ARGS] [OPTIONS]\n".to_owned();
    for group in COMMANDS {
        let fitting: Vec<&Command> = group.iter().filter(|command| command.words.starts_with(below)).collect();
        if !fitting.is_empty() {
            text.push('\n');
        }
        for command in fitting {
            let _ = writeln!(text, "       pveum {} {}", command.words.join(" "), command.usage);
        }
    }
    if below.is_empty() {
        text.push_str("\n       pveum help [<extra-args>] [OPTIONS]\n");
    }
    text
}
