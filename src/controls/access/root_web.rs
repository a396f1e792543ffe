//! `access.root-web`: root@pam no longer logs in to PVE's web interface and API, once somebody else administers.

use super::{FILES, enforcement, now};
use crate::access::effective::Effective;
use crate::access::{day, model};
use crate::change::access::AccessCall;
use crate::change::{Action, Change, Stage};
use crate::controls::accounts::AHEAD;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Reading};
use crate::profile::policy::Policy;
use crate::pve::names;
use crate::pve::privileges::{ADMINISTRATOR, Catalogue};
use crate::pve::user_cfg::UserConfig;

/// `access.root-web`.
pub const ROOT_WEB: RootWeb = RootWeb;

/// The control.
pub struct RootWeb;

static META: Meta = Meta {
    id: "access.root-web",
    title: "root@pam does not log in to PVE's web interface; an administrator with a name does",
    why: "root@pam is the one name that every attacker knows, no right limits it, and what it did cannot be told from what \
          anybody else with the password did. Administrators with accounts of their own can be told apart, be given second \
          factors one by one, and be locked alone.",
    checked: "The `enable` of root@pam in /etc/pve/user.cfg, which PVE asks at every login, ticket and token. Before it is \
              taken away: the account named in `administrator` is enabled, does not expire within 30 days, has every privilege \
              of Administrator on / and below, is not refused by its realm's second factor, and logs in at port 8006 of this \
              node, with a password that is asked for.",
    naive: "`pveum user modify root@pam --enable 0` closes root's web login, running sessions and tokens on every node at once, \
            and only root's shell brings it back: `pveum user modify root@pam --enable 1`. SSH, console, pveum, pvesh and \
            what nodes do among themselves by SSH go on, with three exceptions: `pvecm add` of a new node needs \
            `--use_ssh`, calls of `pvesh` that ask other nodes on root's behalf (bulk actions on guests) are refused, and what PVE allows \
            root@pam alone in the web interface must be done in a shell. A PAM rule in /etc/pam.d/proxmox-ve-auth \
            instead leaves running sessions, which renew themselves for ever, and tokens.",
    references: &[
        Reference::Guide("2.1.1"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/AccessControl.pm (check_user_enabled)"),
        Reference::Source("pve-manager, PVE/HTTPServer.pm (auth_handler)"),
        Reference::Source("pve-cluster, src/PVE/Cluster/Setup.pm (join)"),
    ],
    level: 3,
    severity: Severity::Medium,
};

impl Control for RootWeb {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.access.root_web.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        FILES.iter().map(ToString::to_string).collect()
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match &facts.pve {
            Reading::Absent => Verdict::not_applicable("this host is not PVE"),
            Reading::Known(_) => judge(facts, policy).unwrap_or_else(Verdict::unknown),
            _ => Verdict::unknown("the release of PVE: the capture does not contain it"),
        }
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let config = facts.access.config.required(FILES[0])?;
    let catalogue = Catalogue::of(facts.pve.known().map_or(9, |release| release.major));
    let now = now(facts)?;
    let wanted = policy.profile.access.root_web.administrator.as_str();
    let open = config.users.get(names::ROOT).is_none_or(|root| root.enabled);
    let unable = unable(facts, config, catalogue, now, wanted)?;
    let mut evidence = vec![Evidence {
        source: "user.cfg: root@pam".into(),
        found: if open { "may log in to the web interface" } else { "may not log in to the web interface" }.into(),
        wanted: open.then(|| "disabled".to_owned()),
    }];
    if !wanted.is_empty() {
        evidence.push(Evidence {
            source: format!("user.cfg: {wanted}"),
            found: unable.clone().unwrap_or_else(|| "is Administrator of everything".into()),
            wanted: unable.is_some().then(|| "an Administrator who can log in".to_owned()),
        });
    }
    let unable = unable.map(|why| {
        let others = administrators(config, catalogue, now);
        let others =
            if others.is_empty() { String::new() } else { format!("; Administrators are {}", others.join(", ")) };
        match wanted {
            "" => format!("`administrator` names nobody who administers instead of root@pam{others}"),
            name => format!("{name}, who shall administer instead of root@pam, {why}{others}"),
        }
    });
    if !open {
        let advice = unable.map(|why| format!("root@pam is closed and {why}"));
        return Ok(Verdict::outcome(Vec::new(), advice, evidence));
    }
    if let Some(why) = unable.or_else(|| tokens(config, now)) {
        return Ok(Verdict { evidence, ..Verdict::refused(why) });
    }
    let change = Change {
        controls: vec![META.id.into()],
        stage: Stage::PveAccess,
        summary: format!("PVE's web login of root@pam closed; {wanted} administers"),
        interrupts: Some("every web session of root@pam ends".into()),
        action: Action::PveAccess { steps: vec![model::step(config, AccessCall::RootLogin { enabled: false })] },
    };
    Ok(Verdict::outcome(vec![change], None, evidence))
}

/// Why somebody could not administer instead of root.
fn unable(
    facts: &Facts,
    config: &UserConfig,
    catalogue: &Catalogue,
    now: u64,
    name: &str,
) -> Result<Option<String>, String> {
    if name == names::ROOT {
        return Ok(Some("is root@pam".into()));
    }
    let Some(user) = config.users.get(name) else { return Ok(Some("is not there".into())) };
    if !user.enabled {
        return Ok(Some("is disabled".into()));
    }
    let soon = now + AHEAD.unsigned_abs() * 86_400;
    if user.expires != 0 && user.expires <= soon {
        return Ok(Some(format!("ends on {}", day(user.expires))));
    }
    if let Some(path) = closed(&Effective::new(config, catalogue), catalogue, name) {
        return Ok(Some(format!("is not Administrator on {path} and below")));
    }
    let realm = name.rsplit_once('@').map_or("", |(_, realm)| realm);
    let realms = facts.access.realms.required(FILES[1])?;
    let Some(kind) = realms.get(realm).and_then(|realm| realm.enforces()) else { return Ok(None) };
    let refused = enforcement::refused(facts, realm, kind)?;
    Ok(refused
        .into_iter()
        .find(|one| one.user == name)
        .map(|one| format!("is refused by the realm {realm}: {}", one.why)))
}

/// The first of the paths below which everything lies where somebody lacks a privilege.
fn closed(effective: &Effective<'_>, catalogue: &Catalogue, name: &str) -> Option<&'static str> {
    const TOPS: [&str; 8] = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
    let all = catalogue.built_in.get(ADMINISTRATOR)?;
    TOPS.into_iter().find(|path| {
        let has = effective.privileges(name, path);
        !all.iter().all(|privilege| has.get(*privilege) == Some(&true))
    })
}

/// Users beside root@pam who may do everything, are enabled, and do not end within 30 days.
pub fn administrators(config: &UserConfig, catalogue: &Catalogue, now: u64) -> Vec<String> {
    let soon = now + AHEAD.unsigned_abs() * 86_400;
    let effective = Effective::new(config, catalogue);
    let able = config
        .users
        .iter()
        .filter(|(name, user)| *name != names::ROOT && user.enabled && (user.expires == 0 || user.expires > soon));
    able.map(|(name, _)| name).filter(|name| closed(&effective, catalogue, name).is_none()).cloned().collect()
}

/// Whatever uses a token of root's would stop.
fn tokens(config: &UserConfig, now: u64) -> Option<String> {
    let of_root = config.tokens.iter().filter(|(id, token)| {
        names::token(id).is_some_and(|(user, _)| user == names::ROOT) && (token.expires == 0 || token.expires > now)
    });
    let ids: Vec<&str> = of_root.map(|(id, _)| id.as_str()).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "the tokens {} would stop with root@pam: give their users others, then `pveum user token delete`",
            ids.join(", ")
        )
    })
}
