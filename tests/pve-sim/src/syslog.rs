//! Messages to the system journal, under the identity that the real program uses.

use std::os::unix::net::UnixDatagram;

/// How serious a message is (the numbers of `syslog(3)`).
#[derive(Clone, Copy, Debug)]
pub enum Severity {
    /// Something failed.
    Error = 3,
    /// Something may be wrong.
    Warning = 4,
    /// Ordinary.
    Info = 6,
}

/// A program's voice in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Syslog {
    ident: &'static str,
}

impl Syslog {
    const DAEMON: u8 = 3 << 3;

    /// The voice of the program `ident`.
    pub const fn new(ident: &'static str) -> Self {
        Self { ident }
    }

    /// Sends one line. A node without a journal loses it, as with `syslog(3)`.
    pub fn log(&self, severity: Severity, message: &str) {
        let line = format!("<{}>{}[{}]: {message}", Self::DAEMON | severity as u8, self.ident, std::process::id());
        if let Ok(socket) = UnixDatagram::unbound() {
            let _ = socket.send_to(line.as_bytes(), "/dev/log");
        }
    }

    /// Sends a line of severity *info*.
    pub fn info(&self, message: &str) {
        self.log(Severity::Info, message);
    }
}
