//! One program over one pair of pipes: writes the stream, reads the frames, keeps the end of standard error.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::error::Error;
use super::frames::{Frame, Limits, Parser};
use super::program::{Nonce, Program};
use super::sanitize;
use crate::secret::Secret;

/// Characters of a node's words kept for messages.
const WORDS_SHOWN: usize = 2000;
/// Bytes of standard error kept while it is read.
const STDERR_KEPT: usize = 16 << 10;
/// How long standard error may stay open after standard output has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The three pipes of a process that runs [`super::program::command`].
pub(super) struct Pipes<I, O, E> {
    pub stdin: I,
    pub stdout: O,
    pub stderr: E,
}

/// How an exchange ended without an error of its own. `stderr` is for [`super::diagnosis`]; what a person reads of it
/// goes through [`super::diagnosis::spoken`].
#[derive(Debug)]
pub(super) enum Ending {
    /// The `end` frame came.
    Complete { code: i32, stderr: String },
    /// The caller wanted no more frames.
    Stopped,
    /// Standard output ended first.
    Cut { noise: String, started: bool, stderr: String },
}

/// Runs `program`; frames go to `on_frame` as they come.
pub(super) async fn exchange<I, O, E>(
    pipes: Pipes<I, O, E>,
    program: &Program,
    sudo: Option<&Secret>,
    limits: Limits,
    on_frame: &mut (dyn FnMut(Frame) -> ControlFlow<()> + Send),
) -> Result<Ending, Error>
where
    I: AsyncWrite + Unpin,
    O: AsyncRead + Unpin,
    E: AsyncRead + Unpin,
{
    let deadline = Instant::now() + limits.time;
    let nonce = Nonce::random().map_err(|error| Error::Internal(format!("no random numbers: {error}")))?;
    let stream = program.stream(&nonce, sudo);
    let Pipes { stdin, stdout, stderr } = pipes;
    let mut kept = Vec::new();
    let ending = {
        let mut writing = pin!(write(stdin, stream));
        let mut listening = pin!(keep_tail(stderr, &mut kept));
        let mut reading = pin!(read(stdout, Parser::new(&nonce, limits), on_frame));
        let (mut written, mut silent) = (false, false);
        loop {
            tokio::select! {
                () = &mut writing, if !written => written = true,
                () = &mut listening, if !silent => silent = true,
                ending = &mut reading => {
                    // A program that failed explains itself; one that ended well is not waited for.
                    if !silent && !matches!(ending, Ok(Ending::Complete { code: 0, .. } | Ending::Stopped)) {
                        let _ = timeout(LAST_WORDS, &mut listening).await;
                    }
                    break ending;
                }
                () = tokio::time::sleep_until(deadline) => break Err(Error::Timeout(limits.time)),
            }
        }
    };
    let said = sanitize::tail(&kept, STDERR_KEPT);
    match ending? {
        Ending::Complete { code, .. } => Ok(Ending::Complete { code, stderr: said }),
        Ending::Cut { noise, started, .. } => Ok(Ending::Cut { noise, started, stderr: said }),
        Ending::Stopped => Ok(Ending::Stopped),
    }
}

/// The stream goes as soon as it is written: of many nodes at once each would hold one until it has answered.
async fn write(mut stdin: impl AsyncWrite + Unpin, stream: Zeroizing<Vec<u8>>) {
    // A program that does not read its input to the end is no failure; if it should have, its answer says so.
    let written = stdin.write_all(&stream).await;
    drop(stream);
    if written.is_ok() {
        let _ = stdin.shutdown().await;
    }
}

async fn keep_tail(mut stderr: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        let excess = kept.len().saturating_sub(STDERR_KEPT);
        kept.drain(..excess);
    }
}

async fn read(
    mut stdout: impl AsyncRead + Unpin,
    mut parser: Parser,
    on_frame: &mut (dyn FnMut(Frame) -> ControlFlow<()> + Send),
) -> Result<Ending, Error> {
    let mut chunk = vec![0; 16 << 10];
    loop {
        let count = match stdout.read(&mut chunk).await {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Lost(error.to_string())),
        };
        if count == 0 {
            return Ok(Ending::Cut { noise: parser.noise(), started: parser.started(), stderr: String::new() });
        }
        for frame in parser.push(&chunk[..count])? {
            if frame.name == "launcher" {
                return Err(launcher_error(&frame));
            }
            if on_frame(frame).is_break() {
                return Ok(Ending::Stopped);
            }
        }
        if let Some(code) = parser.ended() {
            return Ok(Ending::Complete { code, stderr: String::new() });
        }
    }
}

/// What `remote/launcher.sh` and `remote/load.sh` say instead of running the program.
fn launcher_error(frame: &Frame) -> Error {
    let body = String::from_utf8_lossy(&frame.body);
    let (user, words) = body.split_once('\n').unwrap_or_default();
    let user = sanitize::line(user).into_owned();
    let detail = sanitize::tail(words.as_bytes(), WORDS_SHOWN);
    match frame.status {
        1 => Error::SudoMissing { user },
        2 if !sudo_forbids(&detail) => Error::SudoPassword { user },
        3 if detail.contains("incorrect password attempt") => {
            Error::SudoRefused { user, detail: WRONG_PASSWORD.into() }
        }
        2 | 3 => Error::SudoRefused { user, detail },
        4 => Error::Garbage("the program did not arrive whole; the node ran nothing of it".into()),
        other => Error::Garbage(format!("the launcher answers with the unknown status {other}")),
    }
}

/// What a refused password is called; [`Error::hint`] knows it.
pub(super) const WRONG_PASSWORD: &str = "the password is wrong";

/// sudo's words (C locale) for "no password would help".
fn sudo_forbids(words: &str) -> bool {
    [
        "not in the sudoers file",
        "not allowed",
        "may not run",
        "must have a tty",
        "must be owned by uid 0",
        "parse error",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_refusals_are_told_apart() {
        let answer = |status, body: &str| launcher_error(&Frame { name: "launcher".into(), status, body: body.into() });
        let user = || "ops".to_owned();
        assert_eq!(answer(1, "ops\n"), Error::SudoMissing { user: user() });
        assert_eq!(answer(2, "ops\nsudo: a password is required"), Error::SudoPassword { user: user() });
        let detail = "Sorry, user ops is not allowed to execute '/usr/bin/sh -c :' as root on pve1.";
        let refused = Error::SudoRefused { user: user(), detail: detail.into() };
        assert_eq!(answer(2, &format!("ops\n{detail}")), refused);
        assert_eq!(answer(3, &format!("ops\n{detail}\n")), refused);
        assert!(matches!(answer(3, "ops\nSorry, try again."), Error::SudoRefused { .. }));
        assert!(matches!(answer(4, ""), Error::Garbage(_)));
        assert!(matches!(answer(77, ""), Error::Garbage(_)));
    }
}
