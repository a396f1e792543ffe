//! `web.tls`.

use std::collections::BTreeSet;

use crate::controls::conf::{included, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::facts::network::{Handshake, Tls as Answers, TlsQuestion};
use crate::profile::policy::{Policy, TlsVersion, WebTls};
use crate::pve::pveproxy::PATH;

use super::file::{self, File, Part};

/// The control.
pub struct Tls;
/// `web.tls`.
pub const TLS: Tls = Tls;

const ID: &str = "web.tls";

static META: Meta = Meta {
    id: ID,
    title: "Port 8006 agrees on modern TLS only",
    why: "The web interface and the API carry root's password and every token. What pveproxy offers by itself is sound \
          today; a policy of OpenSSL, a copied CIPHERS line or an upgrade can undo it without anybody seeing it.",
    checked: "Handshakes from the node with its own port 8006: one that must succeed with TLS 1.3, and one for everything \
              the policy leaves out (TLS 1.1, every other cipher of TLS 1.2, every other suite of TLS 1.3) that must \
              fail.",
    naive: "Guides write cipher lines into /etc/pve/pve-proxy.cfg, which nothing reads. A CIPHERS string that OpenSSL \
            does not take, or both DISABLE_TLS_1_2 and DISABLE_TLS_1_3, leave pveproxy active while every connection \
            hangs; a boolean that is not 0 or 1 keeps it from starting. A grep sees none of that, so 8006 is asked \
            after every change, and the run is undone when it does not answer.",
    references: &[
        Reference::Man("pveproxy(8)"),
        Reference::Man("openssl-ciphers(1)"),
        Reference::Source("pve-http-server src/PVE/APIServer/AnyEvent.pm"),
        Reference::Source("pve-manager PVE/Service/pveproxy.pm"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Tls {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.web.tls.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if let Some(why) = impossible(&policy.profile.web.tls) {
            return Verdict::refused(why);
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![PATH.into()]
    }

    fn ask(&self, policy: &Policy, request: &mut Request) {
        request.tls.extend(questions(policy));
    }
}

/// Suites that OpenSSL knows for TLS 1.3.
const SUITES: [&str; 5] = [
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
];

/// What 8006 is asked for this policy; nothing when the policy does not ask for it.
pub fn questions(policy: &Policy) -> BTreeSet<TlsQuestion> {
    let tls = &policy.profile.web.tls;
    if !included(policy, ID, tls.enabled) || impossible(tls).is_some() {
        return BTreeSet::new();
    }
    Ask::ALL.into_iter().filter_map(|ask| ask.question(tls)).collect()
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// TLS 1.1 with anything.
    Old,
    /// TLS 1.2 with everything the policy leaves out.
    OtherCiphers,
    /// TLS 1.3 with a suite of the policy: the one that must succeed.
    Wanted,
    /// TLS 1.3 with the suites the policy leaves out.
    OtherSuites,
}

impl Ask {
    const ALL: [Self; 4] = [Self::Old, Self::OtherCiphers, Self::Wanted, Self::OtherSuites];

    fn question(self, tls: &WebTls) -> Option<TlsQuestion> {
        let (label, version, ciphers) = match self {
            Self::Old => ("old", "tls1_1", "ALL:@SECLEVEL=0".to_owned()),
            Self::OtherCiphers => {
                let all = "ALL:COMPLEMENTOFALL".to_owned();
                let left_out = if tls.min_version == TlsVersion::Tls12 { tls.ciphers.as_slice() } else { &[] };
                let list = left_out.iter().fold(all, |list, cipher| format!("{list}:!{cipher}"));
                ("other-ciphers", "tls1_2", format!("{list}:@SECLEVEL=0"))
            }
            Self::Wanted => ("wanted", "tls1_3", tls.ciphersuites.join(":")),
            Self::OtherSuites => {
                let others = SUITES.iter().filter(|suite| !tls.ciphersuites.iter().any(|wanted| wanted == *suite));
                ("other-suites", "tls1_3", others.copied().collect::<Vec<_>>().join(":"))
            }
        };
        (!ciphers.is_empty()).then(|| TlsQuestion { label: label.into(), version: version.into(), ciphers })
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Old => "TLS 1.1",
            Self::OtherCiphers => "TLS 1.2, ciphers the policy leaves out",
            Self::Wanted => "TLS 1.3",
            Self::OtherSuites => "TLS 1.3, suites the policy leaves out",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Old => "web.tls.min-version",
            Self::OtherCiphers => "web.tls.ciphers",
            Self::Wanted | Self::OtherSuites => "web.tls.ciphersuites",
        }
    }

    const fn must_agree(self) -> bool {
        matches!(self, Self::Wanted)
    }
}

/// Values that no pveproxy could work with.
fn impossible(tls: &WebTls) -> Option<String> {
    let word = |name: &&String| {
        name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if let Some(name) = tls.ciphers.iter().chain(&tls.ciphersuites).find(word) {
        return Some(format!("{name:?} is no name of one cipher; lists and rules of OpenSSL are not taken"));
    }
    if let Some(name) = tls.ciphersuites.iter().find(|name| !SUITES.contains(&name.as_str())) {
        return Some(format!("OpenSSL knows no TLS 1.3 suite {name}; pveproxy would go on with its defaults"));
    }
    if tls.ciphersuites.is_empty() || (tls.min_version == TlsVersion::Tls12 && tls.ciphers.is_empty()) {
        return Some("without ciphers pveproxy answers nobody".into());
    }
    None
}

/// What differs, with the answers that show it; an error when it cannot be told.
fn differences(facts: &Facts, tls: &WebTls) -> Result<Vec<(Ask, bool, String)>, String> {
    let answers = facts.network.tls.required("handshakes with 8006")?;
    match &answers.first {
        Some(Handshake::Agreed { .. }) => {}
        Some(Handshake::Refused(why) | Handshake::Silent(why)) => {
            return Err(format!("8006 does not answer the node itself at {}: {why}", answers.address));
        }
        None => return Err("8006 was not asked".into()),
    }
    let mut judged = Vec::new();
    for ask in Ask::ALL {
        let Some(question) = ask.question(tls) else { continue };
        let (fits, found) = match answer(answers, &question)? {
            Handshake::Agreed { protocol, cipher } => (ask.must_agree(), format!("{protocol} {cipher}")),
            Handshake::Refused(_) => (!ask.must_agree(), "refused".into()),
            Handshake::Silent(why) => return Err(format!("8006 does not answer {}: {why}", ask.about())),
        };
        judged.push((ask, fits, found));
    }
    Ok(judged)
}

fn answer<'a>(answers: &'a Answers, question: &TlsQuestion) -> Result<&'a Handshake, String> {
    match answers.asked.get(&question.label) {
        Some((asked, Some(answer))) if asked == question => Ok(answer),
        Some((asked, None)) if asked == question => Err(format!("8006 was not asked {:?}", question.label)),
        _ => Err("the node was asked other questions: read it again with this profile".into()),
    }
}

/// The settings of the file that this control wants changed in this run.
pub(super) fn part(facts: &Facts, policy: &Policy) -> Option<Part> {
    let tls = &policy.profile.web.tls;
    if !included(policy, ID, tls.enabled) || impossible(tls).is_some() {
        return None;
    }
    let differing: Vec<Ask> =
        differences(facts, tls).ok()?.into_iter().filter(|(_, fits, _)| !fits).map(|(ask, ..)| ask).collect();
    let mut part = Part::new();
    let (no_12, suites) =
        (("DISABLE_TLS_1_2", Some("1".to_owned())), ("CIPHERSUITES", Some(tls.ciphersuites.join(":"))));
    for ask in differing {
        match ask {
            // The ciphers of the policy are none that TLS 1.1 knows.
            Ask::Old | Ask::OtherCiphers if tls.min_version == TlsVersion::Tls12 => {
                part.push(("CIPHERS", Some(tls.ciphers.join(":"))));
            }
            Ask::Old | Ask::OtherCiphers => part.push(no_12.clone()),
            Ask::Wanted => part.extend([("DISABLE_TLS_1_3", None), suites.clone()]),
            Ask::OtherSuites => part.push(suites.clone()),
        }
    }
    part.sort();
    part.dedup();
    Some(part)
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let file = File::read(facts)?;
    let judged = differences(facts, &policy.profile.web.tls)?;
    let evidence = judged
        .iter()
        .map(|(ask, _, found)| {
            let want = wanted(policy, ask.key(), if ask.must_agree() { "agreed" } else { "refused" });
            Evidence::new(format!("handshake with 8006: {}", ask.about()), found, want)
        })
        .collect();
    if judged.iter().all(|(_, fits, _)| *fits) {
        return Ok(Verdict::compliant(evidence));
    }
    if let Some(repair) = file.repair() {
        return Ok(Verdict::advise(repair, evidence));
    }
    Ok(Verdict::differs(file::changes(facts, policy, ID)?, evidence))
}
