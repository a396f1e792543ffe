//! One-time codes (RFC 6238) as every authenticator app makes them: SHA-1, six digits, a step of 30 seconds.

use std::fmt::{self, Write as _};

use data_encoding::BASE32_NOPAD;
use totp_rs::{Algorithm, Builder};
use zeroize::Zeroizing;

use crate::secret::Secret;

const STEP: i64 = 30;
/// How far from now a clock is looked for whose code was given, in steps: ten minutes.
const FAR: i64 = 20;

/// A secret that an app and PVE share.
pub struct Totp {
    codes: totp_rs::Totp,
    uri: Secret,
    typed: Secret,
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Totp(***)")
    }
}

/// What a code is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Of this step, the one before or the one after, which is what PVE takes.
    Right,
    /// Of another time, so many seconds from now.
    Off(i64),
    /// Of another secret.
    Wrong,
    /// Not six digits.
    NoCode,
}

impl Totp {
    /// From 160 random bits; none when the library refuses them. Issuer and user are what an app shows.
    pub fn new(secret: &[u8; 20], issuer: &str, user: &str) -> Option<Self> {
        let codes = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_skew(1)
            .with_step_duration(STEP.unsigned_abs())
            .with_secret(totp_rs::Secret::new_stack(*secret))
            .build()
            .ok()?;
        let text = Zeroizing::new(BASE32_NOPAD.encode(secret));
        // What is left out is every app's default, and PVE's (proxmox-tfa `totp.rs`): a smaller picture.
        let (issuer, user) = (encoded(issuer), encoded(user));
        let mut uri = Zeroizing::new(String::with_capacity(256));
        for part in ["otpauth://totp/", &issuer, ":", &user, "?secret=", &text, "&issuer=", &issuer] {
            uri.push_str(part);
        }
        let mut typed = Zeroizing::new(String::with_capacity(64));
        for (at, letter) in text.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                typed.push(' ');
            }
            typed.push(letter);
        }
        Some(Self { codes, uri: Secret::new(uri.as_str()), typed: Secret::new(typed.as_str()) })
    }

    /// `otpauth://totp/…`, as PVE stores it and as the picture shows it.
    pub const fn uri(&self) -> &Secret {
        &self.uri
    }

    /// Base32 in groups of four, for an app without a camera.
    pub const fn typed(&self) -> &Secret {
        &self.typed
    }

    /// Judges a code by a clock, in seconds since 1970.
    pub fn judge(&self, code: &str, now: i64) -> Judged {
        if code.len() != 6 || !code.bytes().all(|c| c.is_ascii_digit()) {
            return Judged::NoCode;
        }
        if self.codes.check(code, time(now)).is_some() {
            return Judged::Right;
        }
        let of = |seconds: &i64| self.codes.generate(time(now.saturating_add(*seconds))).to_string() == code;
        let nearest_first = (2..=FAR).flat_map(|steps| [-steps * STEP, steps * STEP]);
        nearest_first.into_iter().find(of).map_or(Judged::Wrong, Judged::Off)
    }
}

fn time(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

/// What a person typed as the six digits: apps show them in groups.
pub fn digits(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace()).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn totp() -> Totp {
        Totp::new(b"12345678901234567890", "PVE lab:1", "nancy@pve").unwrap()
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, without the first two of its eight digits.
        for (now, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(totp().judge(code, now), Judged::Right);
            assert_eq!(totp().judge(code, now + 30), Judged::Right);
            assert_eq!(totp().judge(code, now + 90), Judged::Off(-90));
            assert_eq!(totp().judge(code, now + 3600), Judged::Wrong);
        }
        assert_eq!(totp().judge("353130", 20_000_000_000 - 240), Judged::Off(240));
    }

    #[test]
    fn the_uri_is_short_and_shows_in_no_debug_output() {
        let totp = totp();
        assert_eq!(
            totp.uri().expose(),
            "otpauth://totp/PVE%20lab%3A1:nancy@pve?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=PVE%20lab%3A1"
        );
        assert_eq!(totp.typed().expose(), "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ");
        assert_eq!(format!("{totp:?}"), "Totp(***)");
    }

    proptest! {
        #[test]
        fn any_text_is_judged(typed in "\\PC{0,10}", now in any::<i64>()) {
            let judged = totp().judge(&digits(&typed), now);
            prop_assert!(judged == Judged::NoCode || digits(&typed).len() == 6);
        }
    }
}
