//! Argv, prompts and files: wires the rooms, a file per verb. Nothing imports it.

mod access;
mod apply;
pub mod args;
mod capture;
mod check;
mod committed;
mod completions;
pub mod connect;
mod enroll;
mod explain;
mod fleet;
mod history;
mod incident;
pub mod init;
mod key;
mod keys;
mod man;
pub mod nodes;
pub mod output;
mod passwd;
mod passwords;
mod plan;
pub mod profile;
mod rollback;
mod rolling;
mod run;
pub mod settings;
mod task;
mod terminal;
mod together;
mod token;
mod web_login;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::Parser as _;
use rustix::fs::Mode;

use crate::error::{Error, Kind, Result};
use crate::render::message;
use args::{Cli, Verb};
use output::Output;

/// Runs a command line to its exit code; every message is printed here.
pub fn main(argv: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(usage) => {
            let _ = usage.print();
            return ExitCode::from(if usage.use_stderr() { Kind::Usage.exit_code() } else { 0 });
        }
    };
    let output = Output::new(&cli.global);
    match run(cli.verb, output) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output.say(message::error(&error, output.stderr).trim_end());
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run(verb: Verb, output: Output) -> Result<u8> {
    if !matches!(verb, Verb::Man(_)) {
        private_files();
    }
    match verb {
        Verb::Access(args) if args.changes() => on_runtime(access::run(args, output)),
        Verb::Access(args) => read_only(access::run(args, output)),
        Verb::Token(args) if args.changes() => on_runtime(token::run(args, output)),
        Verb::Token(args) => read_only(token::run(args, output)),
        Verb::Key(args) => on_runtime(key::run(args, output)),
        Verb::Plan(args) => read_only(plan::run(args, output)),
        Verb::Check(args) => read_only(check::run(args, output)),
        Verb::Capture(args) => read_only(capture::run(args, output)),
        Verb::History(args) => read_only(history::run(args, output)),
        Verb::Apply(args) => on_runtime(apply::run(args, output)),
        Verb::Rollback(args) => on_runtime(rollback::run(args, output)),
        Verb::Explain(args) => explain::run(&args, output),
        Verb::Profile(args) => profile::run(&args, output),
        Verb::Init(args) => init::run(args, output),
        Verb::Completions(args) => completions::run(&args, output),
        Verb::Man(args) => man::run(&args),
    }
}

/// Whatever a verb that may meet secrets writes is its owner's alone.
fn private_files() {
    let _ = OPERATORS_UMASK.set(rustix::process::umask(Mode::from_raw_mode(0o077)));
}

static OPERATORS_UMASK: OnceLock<Mode> = OnceLock::new();

/// The umask this process was started with.
fn operators_umask() -> Mode {
    OPERATORS_UMASK.get().copied().unwrap_or(Mode::from_raw_mode(0o077))
}

/// Runs a verb that changes no node until it ends or Ctrl-C is pressed.
fn read_only(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    on_runtime(async {
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err(interrupted()),
        }
    })
}

fn interrupted() -> Error {
    Error::msg(Kind::Unreachable, "interrupted by Ctrl-C")
        .state("nothing was changed")
        .hint("run the same command again")
}

/// A runtime for one command; a question that still waits for an answer does not keep the process.
pub fn on_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, error))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}
