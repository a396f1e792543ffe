//! A secret on the terminal: on a screen of its own, which leaves no trace in what can be scrolled back.

use std::io::{self, Write as _};

use crate::access::totp::Totp;
use crate::cli::output::Output;
use crate::render::qr;

/// Lines for what is said next to the picture.
const TALK: usize = 8;

/// Until it is dropped, the secret is on the screen.
#[derive(Debug)]
pub(super) struct Screen {
    own: bool,
}

impl Screen {
    /// Shows the secret as a picture and as letters. The caller knows that there is a terminal.
    pub(super) fn show(totp: &Totp, user: &str, output: Output) -> Self {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
        let (rows, columns) = size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let picture = qr::picture(totp.uri().expose(), output.stderr).unwrap_or_default();
        let wide = picture
            .lines()
            .next()
            .map_or(0, |line| line.chars().filter(|c| matches!(c, ' ' | '▀' | '▄' | '█')).count());
        let fits = wide > 0 && wide <= columns;
        let picture = if fits { picture } else { "(the terminal is too narrow for the picture)\n".into() };
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let own = !dumb && picture.lines().count() + TALK <= rows;
        let mut text = zeroize::Zeroizing::new(String::with_capacity(picture.len() + 1024));
        if own {
            text.push_str("\x1b[?1049h\x1b[H");
        }
        for part in [
            "For ",
            user,
            ": scan this with an authenticator app, or type the secret into it.\n\n",
            &picture,
            "\nsecret: ",
            totp.typed().expose(),
            "\n(time based, SHA-1, 6 digits, 30 s)\n",
        ] {
            text.push_str(part);
        }
        if !own {
            text.push_str("Clear the terminal's history afterwards: the secret stays in it.\n");
        }
        let mut terminal = io::stderr().lock();
        let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
        Self { own }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.own {
            let mut terminal = io::stderr().lock();
            let _ = terminal.write_all(b"\x1b[?1049l").and_then(|()| terminal.flush());
        }
    }
}
