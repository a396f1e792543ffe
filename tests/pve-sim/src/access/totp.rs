//! One-time codes (RFC 6238) and their `otpauth` URI, read and written as proxmox-tfa's `totp.rs` does.

use data_encoding::BASE32_NOPAD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::percent::decode;

/// A secret and how codes are made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totp {
    secret: Vec<u8>,
    digits: u32,
    algorithm: String,
    period: u64,
    issuer: Option<String>,
    account: String,
}

impl Totp {
    /// Reads an URI; the error is PVE's.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let rest = uri.strip_prefix("otpauth://totp/").ok_or("not an otpauth uri")?;
        let (label, query) = rest.split_once('?').ok_or("missing '?' in otp uri")?;
        let (issuer, account) = match label.split_once(':') {
            Some((issuer, account)) => (Some(decode(issuer)), decode(account)),
            None => (None, decode(label)),
        };
        let mut totp =
            Self { secret: Vec::new(), digits: 6, algorithm: "SHA1".to_owned(), period: 30, issuer, account };
        for part in query.split('&') {
            let (key, value) = part.split_once('=').ok_or("bad value in otpauth uri")?;
            let value = decode(value);
            match decode(key).as_str() {
                "secret" => {
                    let secret = BASE32_NOPAD.decode(value.to_ascii_uppercase().as_bytes());
                    totp.secret = secret.map_err(|_| "failed to decode otp secret in otpauth url")?;
                }
                "digits" => totp.digits = value.parse().map_err(|_| "invalid digit found in string")?,
                "period" => totp.period = value.parse().map_err(|_| "invalid digit found in string")?,
                "algorithm" if matches!(value.as_str(), "SHA1" | "SHA256" | "SHA512") => totp.algorithm = value,
                "algorithm" => return Err(format!("unsupported algorithm: {value}")),
                "issuer" => totp.issuer = Some(value),
                other => return Err(format!("unrecognized otpauth uri parameter: {other}")),
            }
        }
        if totp.secret.is_empty() {
            return Err("missing secret in otpauth url".to_owned());
        }
        if totp.period == 0 || !(1..=9).contains(&totp.digits) {
            return Err("invalid digit found in string".to_owned());
        }
        Ok(totp)
    }

    /// The URI as PVE stores it.
    pub fn uri(&self) -> String {
        let issuer = self.issuer.as_deref().map(encode);
        let before = issuer.as_ref().map(|issuer| format!("{issuer}:")).unwrap_or_default();
        let after = issuer.map(|issuer| format!("&issuer={issuer}")).unwrap_or_default();
        format!(
            "otpauth://totp/{before}{}?secret={}&digits={}&algorithm={}&period={}{after}",
            encode(&self.account),
            BASE32_NOPAD.encode(&self.secret),
            self.digits,
            self.algorithm,
            self.period
        )
    }

    /// The step of time whose code this is: now, the one before, or the one after.
    pub fn step(&self, code: &str, now: u64) -> Option<u64> {
        let current = now / self.period;
        (current.saturating_sub(1)..=current + 1).find(|step| self.code(*step).as_deref() == Some(code))
    }

    fn code(&self, step: u64) -> Option<String> {
        let digest = match self.algorithm.as_str() {
            "SHA256" => MessageDigest::sha256(),
            "SHA512" => MessageDigest::sha512(),
            _ => MessageDigest::sha1(),
        };
        let key = PKey::hmac(&self.secret).ok()?;
        let mut signer = Signer::new(digest, &key).ok()?;
        signer.update(&step.to_be_bytes()).ok()?;
        let mac = signer.sign_to_vec().ok()?;
        let at = usize::from(mac.last()? & 0xf);
        let word: [u8; 4] = mac.get(at..at + 4)?.try_into().ok()?;
        let value = (u32::from_be_bytes(word) & 0x7fff_ffff) % 10_u32.pow(self.digits);
        Some(format!("{value:0width$}", width = self.digits as usize))
    }
}

/// Everything but letters and digits as `%XX`.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str =
        "otpauth://totp/PVE:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=PVE&digits=6&period=30&algorithm=SHA1";

    #[test]
    fn a_recorded_enrolment_is_understood() {
        let totp = Totp::parse(RECORDED).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(
            totp.uri(),
            "otpauth://totp/PVE:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&digits=6&algorithm=SHA1&period=30&issuer=PVE"
        );
        // The entry's `created`, and the code that PVE took then.
        let created = 1_795_302_437;
        assert!(totp.step("897712", created).is_some());
        assert_eq!(totp.step("897712", created + 90), None);
        assert_eq!(totp.step("0897712", created), None);
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B.
        let uri = format!("otpauth://totp/x?secret={}&digits=8", BASE32_NOPAD.encode(b"12345678901234567890"));
        let totp = Totp::parse(&uri).unwrap_or_else(|why| panic!("{why}"));
        for (time, code) in [(59, "94287082"), (1_111_111_109, "07081804"), (20_000_000_000, "65353130")] {
            assert_eq!(totp.code(time / 30).as_deref(), Some(code));
        }
    }

    #[test]
    fn what_pve_refuses_is_refused() {
        for (uri, why) in [
            ("https://x", "not an otpauth uri"),
            ("otpauth://totp/x?issuer=a", "missing secret in otpauth url"),
            ("otpauth://totp/x?secret=1", "failed to decode otp secret in otpauth url"),
            ("otpauth://totp/x?secret=AA&image=y", "unrecognized otpauth uri parameter: image"),
        ] {
            assert_eq!(Totp::parse(uri), Err(why.to_owned()));
        }
    }
}
