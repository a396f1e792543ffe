//! Passwords from a terminal, unseen, or as lines of stdin.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::die::Die;

/// What the real program exits with when it asked something that was no terminal.
pub const ENOTTY: u8 = 25;

/// Asks for one password.
pub fn ask(question: &str) -> Result<String, Die> {
    let stdin = std::io::stdin();
    let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
    if let Some(before) = &before {
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&stdin, OptionalActions::Flush, &unseen);
        let mut out = std::io::stdout();
        let _ = out.write_all(question.as_bytes()).and_then(|()| out.flush());
    }
    let mut line = String::new();
    let length = stdin.lock().read_line(&mut line).unwrap_or(0);
    if let Some(before) = &before {
        let _ = tcsetattr(&stdin, OptionalActions::Flush, before);
        crate::console::say("");
    }
    if length == 0 {
        return Err(Die::new(255, "EOF while reading password"));
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks for a new password and once more for the same.
pub fn ask_twice() -> Result<String, Die> {
    let first = ask("Enter new password: ")?;
    let second = ask("Retype new password: ")?;
    if first == second { Ok(first) } else { Err(Die::new(ENOTTY, "passwords do not match")) }
}
