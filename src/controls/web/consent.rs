//! `web.consent`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::change::FileImage;
use crate::controls::conf::{self, wanted};
use crate::controls::session::notice;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Reading};
use crate::profile::policy::Policy;
use crate::pve::datacenter;

/// The control.
pub struct Consent;
/// `web.consent`.
pub const CONSENT: Consent = Consent;

const ID: &str = "web.consent";
const PATH: &str = "/etc/pve/datacenter.cfg";
const KEY: &str = "consent-text";
/// First release of PVE that knows the setting (changelogs of pve-manager 8.3.6 and pve-cluster 8.1.0).
const SINCE: (u32, u32) = (8, 4);

static META: Meta = Meta {
    id: ID,
    title: "The web interface shows a notice before a login",
    why: "8006 is where people log in to PVE, and a notice on SSH alone reaches those who never see the web interface.",
    checked: "`consent-text` in datacenter.cfg, decoded, against the profile's `session.notice.text`. PVE 8.4 and later.",
    naive: "The setting holds base64, as the web interface writes it; whatever `pvesh set /cluster/options --consent-text` is given \
            goes into the file as it is. Plain text there makes the script of the login page fail, for every node of the cluster at \
            once, and a quote in it becomes part of that script. The window is HTML made from Markdown: the lines of the notice \
            flow together, and what looks like a tag vanishes. A member of the cluster that is older than 8.4 warns of the setting \
            and loses it when it writes the file. The API and tokens never see the notice.",
    references: &[
        Reference::Man("datacenter.cfg(5)"),
        Reference::Source("pve-manager PVE/Service/pveproxy.pm get_index"),
        Reference::Source("pve-manager www/manager6/window/LoginWindow.js"),
        Reference::Source("proxmox-widget-toolkit src/Utils.js base64ToUtf8"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for Consent {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.web.consent.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec![PATH.into()]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match notice::text(policy) {
            Ok(text) => judge(facts, policy, text.trim_end()).unwrap_or_else(Verdict::unknown),
            Err(why) => Verdict::refused(why),
        }
    }
}

fn judge(facts: &Facts, policy: &Policy, text: &str) -> Result<Verdict, String> {
    if matches!(facts.pve, Reading::Absent) {
        return Ok(Verdict::not_applicable("this host is not PVE"));
    }
    let release = facts.pve.required("the release of PVE")?;
    if (release.major, release.minor) < SINCE {
        return Ok(Verdict::not_applicable(format!("PVE {} knows no consent-text; 8.4 and later do", release.text)));
    }
    let content = conf::text(facts, PATH)?.unwrap_or_default();
    let (found, right) = match datacenter::parse(content).get(KEY) {
        None => ("not set".to_owned(), false),
        Some(value) => describe(value, text),
    };
    let evidence = vec![Evidence::new(format!("{KEY} in {PATH}"), found, wanted(policy, notice::KEY, "the notice"))];
    if right {
        return Ok(Verdict::compliant(evidence));
    }
    let content = datacenter::set(content, KEY, &STANDARD.encode(text));
    let of_pve = FileImage { content, mode: 0o640, owner: "root".into(), group: "www-data".into() };
    let change = conf::own_as(facts, ID, PATH, of_pve, "the notice before a login on 8006, in the whole cluster")?;
    Ok(Verdict::differs(change.into_iter().collect(), evidence))
}

/// What people would see, and whether that is the notice.
fn describe(found: &str, notice: &str) -> (String, bool) {
    match STANDARD.decode(found).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
        None => (format!("{}: not base64 as PVE writes it", notice::brief(found)), false),
        Some(text) if text.trim() == notice => ("the notice".into(), true),
        Some(text) => (notice::brief(&text), false),
    }
}
