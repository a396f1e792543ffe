//! The codes that somebody gives: typed at the terminal, or lines of standard input.

use std::io::BufRead as _;

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::cli::output::say;
use crate::cli::terminal::Terminal;

/// Longest line that is looked at.
const LONGEST: usize = 64;

/// One after the other.
pub(super) struct Codes {
    lines: mpsc::UnboundedReceiver<Zeroizing<String>>,
    asked: bool,
}

impl Codes {
    /// Reads from now on. Its thread ends with the program: a signal must not wait for a line.
    pub(super) fn listen() -> Self {
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            loop {
                let mut line = Zeroizing::new(String::new());
                match input.read_line(&mut line) {
                    Ok(read) if read > 0 && sender.send(line).is_ok() => {}
                    _ => return,
                }
            }
        });
        Self { lines, asked: Terminal::is_there() }
    }

    /// The next one; none when there is no further one, or nothing was typed.
    pub(super) async fn next(&mut self, prompt: &str) -> Option<Zeroizing<String>> {
        if self.asked {
            say(prompt);
        }
        let line = self.lines.recv().await?;
        let code = Zeroizing::new(crate::access::totp::digits(line.get(..line.len().min(LONGEST)).unwrap_or_default()));
        (!code.is_empty()).then_some(code)
    }
}
