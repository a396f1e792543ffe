//! `pve-harden access passwd USER`: a new password of a PVE user, generated into a sink, typed, or from the environment.

use clap::{ArgGroup, Args};

use super::output::Output;
use super::terminal::Terminal;
use super::token::Place;
use super::token::work::Work;
use crate::apply::passwords;
use crate::error::{Error, Kind, Result};
use crate::profile::password;
use crate::pve::names;
use crate::sanitize;
use crate::secret::Secret;
use crate::sink::{self, Item, What};

/// What PVE takes (pve-access-control, `API2/AccessControl.pm`: minLength, maxLength).
const LENGTH: std::ops::RangeInclusive<usize> = 8..=64;

/// `access passwd`.
#[derive(Clone, Debug, Args)]
#[command(group(ArgGroup::new("how").required(true).args(["sink", "prompt", "from_env", "expire"])))]
pub struct Passwd {
    /// User, e.g. "nancy@pve" or "root@pam"
    #[arg(id = "account", value_name = "USER")]
    user: String,
    /// Generate 24 characters and put them into this sink of the site
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Ask for it at the terminal
    #[arg(long)]
    prompt: bool,
    /// Take it from this environment variable, or the entry of .env
    #[arg(long, value_name = "VARIABLE")]
    from_env: Option<String>,
    /// Make the owner of a Linux account choose a new one at the next login
    #[arg(long)]
    expire: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Sets or expires a password.
pub async fn run(args: Passwd, output: Output) -> Result<u8> {
    if !names::is_user(&args.user) {
        return Err(
            Error::msg(Kind::Usage, format!("{:?} is no user: NAME@REALM", args.user)).state("nothing was contacted")
        );
    }
    Work::with(&args.place, output, async |work| set(&args, work).await).await
}

/// The Linux account of a user of the realm pam.
fn account(user: &str) -> Option<&str> {
    user.strip_suffix("@pam")
}

async fn set(args: &Passwd, work: &Work) -> Result<u8> {
    let user = args.user.as_str();
    let refuse = |why: String, hint: &str| Error::msg(Kind::Refused, why).untouched(work.name()).hint(hint.to_owned());
    if user != names::ROOT && !work.config()?.users.contains_key(user) {
        return Err(refuse(
            format!("there is no user {} in PVE", sanitize::line(user)),
            "see `pve-harden access matrix`",
        ));
    }
    if account(user).is_none() && !user.ends_with("@pve") {
        return Err(refuse(
            format!("the password of {} is kept by its realm", sanitize::line(user)),
            "change it there",
        ));
    }
    if args.expire {
        return expired(args, work).await;
    }
    let (place, password) = if let Some(name) = &args.sink {
        let sink = work.sink(Some(name), user)?;
        let item = Item { host: work.name().to_owned(), what: What::Password { user: user.to_owned() } };
        let place = sink::prove(sink, &item).await.map_err(|error| error.untouched(work.name()))?;
        (Some(place), password::generate()?)
    } else {
        (None, given(args, work)?)
    };
    let to = place.as_ref().map(|place| format!(", to sink {}", place.shown())).unwrap_or_default();
    let only = if account(user).is_some() { " (the Linux account of this node alone)" } else { "" };
    work.output.result(&format!("{}: new password of {}{only}{to}\n", work.name(), sanitize::line(user)))?;
    work.confirm(args.yes, "Set it?")?;
    stored(work, user, place, &password).await
}

/// The password is on disk before it is set; a command has it before.
async fn stored(work: &Work, user: &str, place: Option<sink::Place>, password: &Secret) -> Result<u8> {
    let untouched = |error: Error| error.untouched(work.name());
    let mut staged = match place {
        Some(place) => Some(place.stage(password.clone()).map_err(untouched)?),
        None => None,
    };
    let mut told = String::new();
    if let Some(command) = staged.take_if(|staged| !staged.is_final()) {
        let shown = command.shown();
        command.keep().await.map_err(untouched)?;
        told = format!("; sink {shown} has a password that was not set: run the same command again");
    }
    let calls = match account(user) {
        Some(name) => {
            let hash = password::hash(password, work.policy.profile.password.hash.method)?;
            passwords::of_account(user, name, &hash, password, work.by())
        }
        None => passwords::of_user(user, password, work.by()),
    };
    let answers = work.calls(&calls).await;
    let set = answers.and_then(|answers| passwords::set(&answers).map(|()| answers));
    let answers = set.map_err(|error| not_set(error, user, work.name(), &told))?;
    work.standing.replace(format!("{user} has a new password on {}", work.name()));
    if let Some(staged) = staged {
        staged.keep().await.map_err(|error| {
            let state = format!("{user} has a new password on {}, and nobody has it", work.name());
            Error { kind: Kind::NeedsHands, ..error }.state(state).hint("run the same command again")
        })?;
    }
    match passwords::works(&answers) {
        Ok(()) => {
            work.output.result(&format!(
                "{}: password of {} set; PVE takes it\n",
                work.name(),
                sanitize::line(user)
            ))?;
            Ok(0)
        }
        Err(why) => {
            let why = sanitize::line(&why).into_owned();
            work.output.result(&format!(
                "{}: password of {} set; a login with it was refused: {why}\n",
                work.name(),
                sanitize::line(user)
            ))?;
            Ok(1)
        }
    }
}

/// PVE's no leaves the password as it was; after a lost connection nobody here knows.
fn not_set(error: Error, user: &str, node: &str, told: &str) -> Error {
    if matches!(error.kind, Kind::Refused | Kind::Busy) {
        return error.state(format!("the password of {user} on {node} is as before{told}"));
    }
    Error { kind: Kind::NeedsHands, ..error }
        .state(format!("whether the password of {user} on {node} was changed could not be learned{told}"))
        .hint("run the same command again")
}

fn given(args: &Passwd, work: &Work) -> Result<Secret> {
    let usage = |why: String, hint: &str| Error::msg(Kind::Usage, why).untouched(work.name()).hint(hint.to_owned());
    let password = match &args.from_env {
        Some(variable) => work.secret(variable).ok_or_else(|| {
            usage(format!("{variable} is set neither in the environment nor in .env"), "set it, or give --prompt")
        })?,
        None => Terminal::new_password(&format!("New password of {}", sanitize::line(&args.user)))
            .ok_or_else(|| usage("there is no terminal to ask at".into(), "give --sink NAME or --from-env VARIABLE"))?,
    };
    let fits =
        LENGTH.contains(&password.expose().len()) && password.expose().bytes().all(|c| (b' '..=b'~').contains(&c));
    if fits {
        Ok(password)
    } else {
        let why = format!("a password has {} to {} printable ASCII characters", LENGTH.start(), LENGTH.end());
        Err(usage(why, "choose another one, or have one generated: --sink NAME"))
    }
}

async fn expired(args: &Passwd, work: &Work) -> Result<u8> {
    let user = args.user.as_str();
    let refuse = |why: String, hint: &str| Error::msg(Kind::Refused, why).untouched(work.name()).hint(hint.to_owned());
    let generated = "set a new one instead: --sink NAME";
    let Some(name) = account(user) else {
        return Err(refuse("PVE's own realm has no expiry of passwords".into(), generated));
    };
    let admin = work.policy.site.admins.iter().any(|admin| admin.name == name);
    if user == names::ROOT || admin {
        let why = format!("{user} logs in by key, too, and an expired password would refuse that");
        return Err(refuse(why, generated));
    }
    work.output.result(&format!("{}: the password of {} expires now\n", work.name(), sanitize::line(user)))?;
    work.confirm(args.yes, "Expire it?")?;
    let answers = work.calls(&passwords::expire(user, name, work.by())).await;
    answers.and_then(|answers| passwords::set(&answers)).map_err(|error| not_set(error, user, work.name(), ""))?;
    work.output.result(&format!(
        "{}: {} chooses a new password at the next login\n",
        work.name(),
        sanitize::line(user)
    ))?;
    Ok(0)
}
