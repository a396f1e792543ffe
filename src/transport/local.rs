//! The same programs and frames through a shell of this machine: for a node's own console, and to try programs.

use std::ops::ControlFlow;
use std::process::Stdio;

use tokio::process::Command;

use super::error::Error;
use super::exchange::{Pipes, exchange};
use super::frames::{Frame, Limits};
use super::program::{self, Program};
use super::ssh::conclude;

/// Runs a program as the current user.
pub async fn run(program: &Program, limits: Limits) -> Result<Vec<Frame>, Error> {
    let mut shell = Command::new("sh")
        // The program's first line is the launcher's; of it the loader needs the nonce alone.
        .args(["-c", "read -r nonce _; exec sh -c \"$1\" sh \"$(id -un)\" no '' \"$nonce\"", "sh", &program::loader()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::Client(error.to_string()))?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (shell.stdin.take(), shell.stdout.take(), shell.stderr.take())
    else {
        return Err(Error::Internal("sh gives no pipes".into()));
    };
    let mut frames = Vec::new();
    let mut collect = |frame| {
        frames.push(frame);
        ControlFlow::Continue(())
    };
    conclude(exchange(Pipes { stdin, stdout, stderr }, program, None, limits, &mut collect).await?)?;
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_program_answers_without_ssh() {
        let program = Program::new("run greeting cat\npack input 0\n").payload(*b"from here");
        let frames = run(&program, Limits::default()).await.unwrap();
        let bodies: Vec<_> = frames[1..].iter().map(|frame| frame.body.as_slice()).collect();
        assert_eq!(bodies, [b"".as_slice(), b"from here"]);
    }

    #[tokio::test]
    async fn endless_and_forged_answers_are_bounded() {
        let limits = Limits { frame: 1 << 16, total: 1 << 17, ..Limits::default() };
        let endless = [
            ("yes", Error::Garbage(String::new())),
            (
                "while :; do emit again 0 0123456789012345678901234567890123456789; done",
                Error::TooLarge { what: "the whole answer".into(), limit: 1 << 17 },
            ),
            (
                "emit big 0 \"$(head -c 99999 /dev/zero | tr '\\0' x)\"",
                Error::TooLarge { what: "big".into(), limit: 1 << 16 },
            ),
            ("sleep 60", Error::Timeout(Duration::from_secs(1))),
        ];
        for (script, expected) in endless {
            let error = run(&Program::new(script), limits.within(Duration::from_secs(1))).await.unwrap_err();
            assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&expected), "{script}: {error}");
        }
    }
}
