//! Before root@pam's web login is closed: the administrator who takes over logs in at port 8006.

use super::connect::Node;
use super::rolling::Ready;
use super::terminal::Terminal;
use crate::apply::web_login::{self, Step};
use crate::error::{Error, Kind, Result};
use crate::plan::Proof;
use crate::profile::secrets::{Secrets, WEB_PASS};
use crate::pve::privileges::{ADMINISTRATOR, Catalogue};
use crate::secret::Secret;
use crate::transport::{Ask as _, Question};

/// Proves it on every node whose plan wants it; nothing was changed when it fails.
pub async fn prove<'a>(nodes: impl IntoIterator<Item = &'a Ready>, secrets: &Secrets) -> Result<()> {
    for Ready { node, plan, .. } in nodes {
        for proof in &plan.proofs {
            if let Proof::WebAdministrator { user } = proof {
                let proved = Box::pin(logs_in(node, user, secrets)).await;
                proved.map_err(|error| error.untouched(&plan.node))?;
            }
        }
    }
    Ok(())
}

async fn logs_in(node: &Node, user: &str, secrets: &Secrets) -> Result<()> {
    let password = secrets.get(WEB_PASS).or_else(|| asked(format!("Password of {user} at port 8006")));
    let password = password.ok_or_else(|| {
        Error::msg(
            Kind::Refused,
            format!("{user} must log in before root@pam's login is closed, and nobody can be asked"),
        )
        .hint(format!("run the same command at a terminal, or set {WEB_PASS}"))
    })?;
    let answers = web_login::password(user, &password).run(&node.connection).await?;
    let ticket = match web_login::step(&answers, user)? {
        Step::In(ticket) => ticket,
        Step::Factor { challenge, totp } => second(node, user, challenge, totp).await?,
    };
    let answers = web_login::rights(&ticket).run(&node.connection).await?;
    let major = node.facts.pve.known().map_or(9, |release| release.major);
    let all: Vec<&str> = Catalogue::of(major).built_in.get(ADMINISTRATOR).into_iter().flatten().copied().collect();
    web_login::may_do_everything(&answers, user, &all)
}

async fn second(node: &Node, user: &str, challenge: Secret, totp: bool) -> Result<Secret> {
    let refused = |why: String| Error::msg(Kind::Refused, why);
    if !totp {
        return Err(refused(format!("PVE asks {user} for a second factor that only a browser can show"))
            .hint(format!("enrol TOTP for {user}, too, or name another administrator")));
    }
    let code = asked(format!("TOTP code of {user}")).ok_or_else(|| {
        refused(format!("PVE asks {user} for a TOTP code, and nobody can be asked"))
            .hint("run the same command at a terminal")
    })?;
    let answers = web_login::code(user, &challenge, &code).run(&node.connection).await?;
    match web_login::step(&answers, user)? {
        Step::In(ticket) => Ok(ticket),
        Step::Factor { .. } => Err(refused(format!("PVE asks {user} for a second factor once more"))),
    }
}

fn asked(prompt: String) -> Option<Secret> {
    Terminal::new(None).secret(&Question::Other { prompt })
}
