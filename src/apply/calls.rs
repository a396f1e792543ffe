//! Calls of PVE's API outside a run: those that give or carry a secret, which cannot be shown before or undone after.
//!
//! A word of such a call may be a secret, so that none is ever an argument of a process (`remote/calls.sh`).
//!
//! ```text
//! let words = Words::new("set /access/password").option("userid", user).secret("password", &password);
//! let answers = Calls::new().pvesh("password", words).run(&connection).await?;
//! answers.done("password")?;
//! ```

use std::time::Duration;

use super::access::odd_name;
use crate::change::access::AccessCall;
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::secret::Secret;
use crate::transport::{Connection, Frame, Limits, Program, quote};

/// PVE waits 10 s for a lock and for quorum; a few calls come one after the other.
const LIMIT: Duration = Duration::from_secs(300);
/// What is kept of a complaint.
const SAID: usize = 400;

/// The words of one call, some of them secret.
#[derive(Clone, Debug, Default)]
pub struct Words {
    words: Vec<Word>,
    odd: Option<String>,
}

#[derive(Clone, Debug)]
enum Word {
    Plain(String),
    Secret { option: String, value: Secret },
}

impl Words {
    /// Constant words, separated by blanks.
    pub fn new(constant: &str) -> Self {
        Self { words: constant.split(' ').map(|word| Word::Plain(word.to_owned())).collect(), odd: None }
    }

    /// A call of a plan.
    pub fn of(call: &AccessCall) -> Self {
        let odd = call.names().into_iter().find(|name| odd_name(name)).map(str::to_owned);
        Self { words: call.words().into_iter().map(Word::Plain).collect(), odd }
    }

    /// A name that stands for itself: never an option.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        if odd_name(name) {
            self.odd.get_or_insert_with(|| name.to_owned());
        }
        self.words.push(Word::Plain(name.to_owned()));
        self
    }

    /// An API path below a constant one, e.g. `/access/users` and a user.
    #[must_use]
    pub fn path(mut self, above: &str, names: &[&str]) -> Self {
        let mut path = above.to_owned();
        for name in names {
            if odd_name(name) || name.contains('/') {
                self.odd.get_or_insert_with(|| (*name).to_owned());
            }
            path.push('/');
            path.push_str(name);
        }
        self.words.push(Word::Plain(path));
        self
    }

    /// `--NAME=VALUE`.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.words.push(Word::Plain(format!("--{name}={value}")));
        self
    }

    /// `--NAME=VALUE` with a value that nobody may see.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &Secret) -> Self {
        self.words.push(Word::Secret { option: name.to_owned(), value: value.clone() });
        self
    }

    /// The words as PVE gets them, for tests against its schema; secrets are `***`.
    pub fn shown(&self) -> Vec<String> {
        let shown = |word: &Word| match word {
            Word::Plain(word) => word.clone(),
            Word::Secret { option, value } => format!("--{option}={value}"),
        };
        self.words.iter().map(shown).collect()
    }

    fn line(&self) -> String {
        let quoted = |word: &Word| match word {
            Word::Plain(word) => quote::shell(word),
            Word::Secret { option, value } => quote::shell(&format!("--{option}={}", value.expose())),
        };
        self.words.iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// Calls in their order. The first that fails is the last one, except where [`Calls::tries`] stands before it.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    lines: Vec<Line>,
    tries: bool,
}

#[derive(Clone, Debug)]
enum Line {
    Call { name: &'static str, module: &'static str, words: Words, tries: bool },
    Script(Secret),
}

impl Calls {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `pveum`; the name is that of its answer.
    #[must_use]
    pub fn pveum(self, name: &'static str, words: Words) -> Self {
        self.call(name, "PVE::CLI::pveum", words)
    }

    /// `pvesh`.
    #[must_use]
    pub fn pvesh(self, name: &'static str, words: Words) -> Self {
        self.call(name, "PVE::CLI::pvesh", words)
    }

    /// The next call may fail.
    #[must_use]
    pub const fn tries(mut self) -> Self {
        self.tries = true;
        self
    }

    fn call(mut self, name: &'static str, module: &'static str, words: Words) -> Self {
        self.lines.push(Line::Call { name, module, words, tries: self.tries });
        self.tries = false;
        self
    }

    /// Constant shell text, with its parameters as assignments; a value may be a secret.
    #[must_use]
    pub fn script(mut self, parameters: &[(&str, &Secret)], text: &str) -> Self {
        let mut script = String::new();
        for (name, value) in parameters {
            script.extend([*name, "=", &quote::shell(value.expose()), "\n"]);
        }
        self.lines.push(Line::Script(Secret::new(script + text)));
        self
    }

    /// A line for the node's history, once everything before it ended well.
    #[must_use]
    pub fn record(self, event: &str) -> Self {
        self.script(&[("EVENT", &Secret::new(event))], "record \"$EVENT\"")
    }

    /// Words of every call, for tests against PVE's schema.
    pub fn words(&self) -> Vec<(&'static str, Vec<String>)> {
        let words = |line: &Line| match line {
            Line::Call { module, words, .. } => Some((module.rsplit(':').next().unwrap_or(module), words.shown())),
            Line::Script(_) => None,
        };
        self.lines.iter().filter_map(words).collect()
    }

    fn program(&self) -> Result<Program> {
        let mut text = include_str!("remote/calls.sh").to_owned();
        text.push_str("ready\n");
        for line in &self.lines {
            match line {
                Line::Call { name, module, words, tries } => {
                    if let Some(odd) = &words.odd {
                        return Err(Error::msg(Kind::Refused, format!("{odd:?} is not a name this tool hands to PVE")));
                    }
                    let function = if *tries { "tries" } else { "call" };
                    text.extend([function, " ", name, " ", module, " ", &words.line(), "\n"]);
                }
                Line::Script(script) => {
                    text.push_str(script.expose());
                    text.push('\n');
                }
            }
        }
        Ok(Program::new(&text))
    }

    /// Makes the calls, one program over an open connection. An error is the connection's: what was done before it is
    /// not known.
    pub async fn run(&self, connection: &Connection) -> Result<Answers> {
        let program = self.program()?;
        let frames = connection.run(&program, Limits::default().within(LIMIT)).await?;
        Answers::of(&frames, &self.secrets())
    }

    fn secrets(&self) -> Vec<Secret> {
        let calls = self.lines.iter().filter_map(|line| match line {
            Line::Call { words, .. } => Some(&words.words),
            Line::Script(_) => None,
        });
        let secret = |word: &Word| match word {
            Word::Secret { value, .. } => Some(value.clone()),
            Word::Plain(_) => None,
        };
        calls.flatten().filter_map(secret).collect()
    }
}

/// What one call said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its name.
    pub name: String,
    /// Exit status.
    pub status: i32,
    /// Standard output, which may be a secret.
    pub out: Secret,
    /// What it complained about, without the secrets it was given.
    pub said: String,
}

/// What the calls said, in their order; those after a failed one are not there.
#[derive(Clone, Debug)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    pub(super) fn of(frames: &[Frame], secrets: &[Secret]) -> Result<Self> {
        let text = |frame: &Frame| String::from_utf8_lossy(&frame.body).into_owned();
        let ready = frames.iter().find(|frame| frame.name == "ready");
        match ready {
            Some(frame) if frame.status == 0 => {}
            Some(frame) => {
                let kind = if frame.status == 2 { Kind::Busy } else { Kind::Refused };
                return Err(Error::msg(kind, sanitize::line(text(frame).trim()).into_owned()));
            }
            None => return Err(Error::msg(Kind::Unreadable, "the node did not say whether it is ready")),
        }
        let clean = |said: &str| {
            let mut said = said.to_owned();
            for secret in secrets.iter().filter(|secret| secret.expose().len() > 3) {
                said = said.replace(secret.expose(), "***");
            }
            let kept = said.lines().filter(|line| !line.starts_with("user config - ignore "));
            sanitize::tail(kept.collect::<Vec<_>>().join("\n").as_bytes(), SAID)
        };
        let mut said = String::new();
        let mut answers = Vec::new();
        for frame in frames {
            if frame.name.rsplit_once('.').is_some_and(|(_, kind)| kind == "said") {
                said = clean(&text(frame));
            } else if !matches!(frame.name.as_str(), "ready" | "login" | "end" | "history") {
                let (name, status) = (frame.name.clone(), frame.status);
                answers.push(Answer { name, status, out: Secret::new(text(frame)), said: std::mem::take(&mut said) });
            }
        }
        Ok(Self(answers))
    }

    /// The answer of that name.
    pub fn get(&self, name: &str) -> Option<&Answer> {
        self.0.iter().find(|answer| answer.name == name)
    }

    /// The answer of a call that ended well; an error with PVE's own words otherwise.
    pub fn done(&self, name: &str) -> Result<&Answer> {
        match self.get(name) {
            Some(answer) if answer.status == 0 => Ok(answer),
            Some(answer) if answer.said.is_empty() => {
                Err(Error::msg(Kind::Refused, format!("PVE ended with status {}", answer.status)))
            }
            Some(answer) => Err(Error::msg(Kind::Refused, format!("PVE says: {}", answer.said))),
            None => {
                let failed = self.0.iter().rev().find(|answer| answer.status != 0);
                let why = failed.map_or_else(|| "it was not reached".to_owned(), |failed| failed.said.clone());
                Err(Error::msg(Kind::Refused, format!("PVE was not asked: {why}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, status: i32, body: &str) -> Frame {
        Frame { name: name.into(), status, body: body.into() }
    }

    #[test]
    fn secrets_are_in_no_output_of_ours() {
        let words =
            Words::new("set /access/password").option("userid", "a@pve").secret("password", &Secret::new("hunter2"));
        let calls = Calls::new().pvesh("password", words);
        assert!(!format!("{calls:?}").contains("hunter2"));
        assert_eq!(
            calls.words(),
            [("pvesh", ["set", "/access/password", "--userid=a@pve", "--password=***"].map(String::from).to_vec())]
        );
        let said = [
            frame("ready", 0, ""),
            frame("password.said", 255, "password: 'hunter2' is bad\x1b[1m"),
            frame("password", 255, ""),
        ];
        let answers = Answers::of(&said, &calls.secrets()).unwrap();
        assert_eq!(answers.done("password").unwrap_err().to_string(), "PVE says: password: '***' is bad\\x1b[1m");
    }

    #[test]
    fn what_was_not_asked_is_said() {
        let said = [frame("ready", 0, ""), frame("one.said", 2, "no quorum"), frame("one", 2, "")];
        let answers = Answers::of(&said, &[]).unwrap();
        assert_eq!(answers.done("two").unwrap_err().to_string(), "PVE was not asked: no quorum");
        let busy = Answers::of(&[frame("ready", 2, "another run\n")], &[]).unwrap_err();
        assert_eq!((busy.kind, busy.to_string().as_str()), (Kind::Busy, "another run"));
        assert_eq!(Answers::of(&[], &[]).unwrap_err().kind, Kind::Unreadable);
    }

    #[test]
    fn names_that_pass_for_options_are_refused() {
        for name in ["-x@pve", "", "a\nb"] {
            assert!(Calls::new().pveum("x", Words::new("user delete").name(name)).program().is_err(), "{name:?}");
        }
        let path = Words::new("create").path("/access/tfa", &["a/b@pve"]);
        assert!(Calls::new().pvesh("x", path).program().is_err());
    }

    #[test]
    fn perl_hands_every_word_on_and_no_process_shows_one() {
        // A module of the name, that tells what it was given and what the kernel shows of its process.
        let folder = tempfile::tempdir().unwrap();
        let module = folder.path().join("PVE/CLI");
        std::fs::create_dir_all(&module).unwrap();
        let tell = "package PVE::CLI::pvesh; sub run_cli_handler { local $/; open(my $f, '<', '/proc/self/cmdline'); my $c = <$f>; die 'seen' if $c =~ /hunter2/; print join('|', @ARGV); print STDERR 'complaint'; exit 3; } 1;";
        std::fs::write(module.join("pvesh.pm"), tell).unwrap();
        let words = Words::new("set").name("it's $(x)\\").secret("password", &Secret::new("hunter2"));
        let calls = Calls::new().pvesh("one", words.clone()).pvesh("two", words);
        let program = calls.program().unwrap();
        let debug = format!("{program:?}");
        assert!(debug.contains("call one"), "{debug:.40}");
        let stub = "emit() { printf '%s %s %s\\n' \"$1\" \"$2\" \"$3\"; }\nready() { :; }\n";
        let text = include_str!("remote/calls.sh").split("ready() {").next().unwrap().to_owned()
            + "call() {"
            + include_str!("remote/calls.sh").split("\ncall() {").nth(1).unwrap();
        let lines: String = calls
            .lines
            .iter()
            .map(|line| match line {
                Line::Call { name, module, words, .. } => format!("call {name} {module} {}\n", words.line()),
                Line::Script(_) => String::new(),
            })
            .collect();
        let output = std::process::Command::new("sh")
            .env("PERL5LIB", folder.path())
            .arg("-c")
            .arg(format!("{stub}{text}{lines}"))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "one.said 3 complaint\none 3 set|it's $(x)\\|--password=hunter2\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
