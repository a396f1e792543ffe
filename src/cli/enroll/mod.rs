//! `pve-harden access enroll USER`: a TOTP app, confirmed by a code before PVE stores it, and recovery keys into a sink.

mod codes;
mod keys;
mod screen;

use clap::Args;
use zeroize::Zeroizing;

use super::output::Output;
use super::terminal::Terminal;
use super::token::Place;
use super::token::work::Work;
use crate::access::enrolment::{Enrolment, Factor, How, Keys, LONGEST, UNFINISHED};
use crate::access::totp::{Judged, Totp};
use crate::apply::factors;
use crate::error::{Error, Kind, Result};
use crate::profile::policy::{Sink, SinkKind};
use crate::pve::names;
use crate::sanitize;
use crate::secret::Secret;
use crate::sink::{self, Item, What};
use codes::Codes;
use screen::Screen;

/// Wrong codes that are borne.
const TRIES: u32 = 5;
/// Seconds by which PVE's clock may differ before it is said; PVE takes codes of half a minute more or less.
const CLOCKS: i64 = 20;

/// `access enroll`.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "one per option")]
pub struct Enroll {
    /// User, e.g. "nancy@pve" or "root@pam"
    #[arg(id = "account", value_name = "USER")]
    user: String,
    /// Put the app's secret (an otpauth URI) into this sink of the site instead of showing it as a QR code; the code is
    /// then a line of standard input
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Put the recovery keys into this sink [default: the one of --sink]
    #[arg(long, value_name = "NAME", conflicts_with = "no_recovery")]
    recovery_sink: Option<String>,
    /// Make no recovery keys
    #[arg(long)]
    no_recovery: bool,
    /// Enrol a further app next to the one that is there
    #[arg(long, conflicts_with = "replace")]
    another: bool,
    /// Enrol a new app and make new recovery keys; the former ones end once the new app is confirmed
    #[arg(long)]
    replace: bool,
    /// What PVE calls the app [default: "authenticator app, DATE"]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Enrols somebody.
pub async fn run(args: Enroll, output: Output) -> Result<u8> {
    let refuse = |why: String| Err(Error::msg(Kind::Usage, why).state("nothing was contacted"));
    if !names::is_user(&args.user) {
        return refuse(format!("{:?} is no user: NAME@REALM", args.user));
    }
    let odd = |text: &String| {
        text.is_empty() || text.chars().count() > LONGEST || text.chars().any(char::is_control) || text.contains('[')
    };
    if args.description.as_ref().is_some_and(odd) {
        return refuse(format!("a description has 1 to {LONGEST} printable characters and no bracket"));
    }
    Work::with(&args.place, output, async |work| enroll(&args, work).await).await
}

/// What both halves work with.
struct Doing<'a> {
    args: &'a Enroll,
    work: &'a Work,
    /// What PVE listed at the beginning.
    listed: Vec<Factor>,
    /// Seconds by which the node's clock is ahead.
    ahead: i64,
    plan: Enrolment,
}

async fn enroll(args: &Enroll, work: &Work) -> Result<u8> {
    known(args, work)?;
    let answers = work.calls(&factors::list(&args.user)).await.map_err(|why| why.untouched(work.name()))?;
    let untouched = |why: Error| why.untouched(work.name());
    let ahead = factors::clock(&answers).map_err(untouched)? - jiff::Timestamp::now().as_second();
    let listed = factors::listed(&answers).map_err(untouched)?;
    let how = match (args.another, args.replace) {
        (true, _) => How::Another,
        (_, true) => How::Replace,
        _ => How::Missing,
    };
    let plan = Enrolment::of(&listed, how, !args.no_recovery);
    let doing = Doing { args, work, listed, ahead, plan };
    doing.tell_what_is_there()?;
    if doing.plan.is_empty() {
        let hint = "nothing to do; --another enrols a further app, --replace ends the former one";
        work.output.result(&format!("{}: {hint}\n", work.name()))?;
        return Ok(0);
    }
    let (uri_sink, key_sink) = doing.sinks().await?;
    doing.tell_plan(uri_sink, key_sink)?;
    work.confirm(args.yes, "Do that?")?;
    let listed = if doing.plan.totp { doing.app(uri_sink).await? } else { doing.listed.clone() };
    doing.end_former().await?;
    if let Some(sink) = key_sink {
        let left: Vec<Factor> = listed.into_iter().filter(|factor| !doing.plan.ends.contains(factor)).collect();
        doing.keys(sink, &left).await?;
    }
    Ok(0)
}

/// Refuses whom PVE would not ask for a code, or could not.
fn known(args: &Enroll, work: &Work) -> Result<()> {
    let refuse = |why: String, hint: &str| {
        Err(Error::msg(Kind::Refused, sanitize::line(&why).into_owned()).untouched(work.name()).hint(hint.to_owned()))
    };
    let user = args.user.as_str();
    if user != names::ROOT && !work.config()?.users.contains_key(user) {
        return refuse(format!("there is no user {user} in PVE"), "see `pve-harden access matrix`");
    }
    let name = user.rsplit_once('@').map_or("", |(_, realm)| realm);
    let Some(realm) = work.facts().access.realms.known().and_then(|realms| realms.get(name)) else { return Ok(()) };
    if realm.kind == "openid" {
        return refuse(format!("{user} logs in at the identity provider of {name}"), "enrol there");
    }
    if realm.setting("tfa").split(',').any(|part| part.trim() == "type=yubico") {
        return refuse(format!("the realm {name} takes Yubico keys only"), "register the key in the web interface");
    }
    Ok(())
}

fn item(work: &Work, what: What) -> Item {
    Item { host: work.name().to_owned(), what }
}

impl<'a> Doing<'a> {
    fn user(&self) -> &'a str {
        &self.args.user
    }

    fn totp_item(&self) -> Item {
        item(self.work, What::Totp { user: self.user().to_owned() })
    }

    fn tell_what_is_there(&self) -> Result<()> {
        let (work, user) = (self.work, sanitize::line(self.user()));
        let has: Vec<String> = self.listed.iter().map(Factor::shown).collect();
        let has = if has.is_empty() { "no second factor".to_owned() } else { has.join("; ") };
        work.output.result(&format!("{}: {user} has {has}\n", work.name()))?;
        let locked =
            work.facts().access.factors.known().and_then(|all| all.get(self.user())).is_some_and(|it| it.locked);
        if locked {
            work.output.say(&format!(
                "warning: TOTP of {user} is locked after wrong codes; PVE takes none before a recovery key, or `pveum user tfa unlock`"
            ));
        }
        if self.plan.totp && self.ahead.abs() > CLOCKS {
            work.output.say(&format!(
                "warning: the clock of {} is {} s {} this machine's; PVE judges codes by its own",
                work.name(),
                self.ahead.abs(),
                if self.ahead > 0 { "ahead of" } else { "behind" }
            ));
        }
        Ok(())
    }

    /// Where the two secrets go; both places can be written. Nothing was made yet.
    async fn sinks(&self) -> Result<(Option<&'a Sink>, Option<&'a Sink>)> {
        let (args, work) = (self.args, self.work);
        let usage = |why: &str, hint: &str| {
            Error::msg(Kind::Usage, why.to_owned()).untouched(work.name()).hint(hint.to_owned())
        };
        let uri = match (&args.sink, self.plan.totp) {
            (Some(name), true) => Some(work.sink(Some(name), self.user())?),
            (None, true) if !Terminal::is_there() => {
                return Err(usage("there is no terminal to show a QR code at", "give --sink NAME"));
            }
            _ => None,
        };
        let keys = match (self.plan.keys, args.recovery_sink.as_ref().or(args.sink.as_ref())) {
            (Keys::Leave, _) => None,
            (_, Some(name)) => Some(work.sink(Some(name), self.user())?),
            (_, None) => {
                let hint = "give --recovery-sink NAME, or --no-recovery to go without";
                return Err(usage("nothing says where the recovery keys go", hint));
            }
        };
        if let (Some(uri), Some(keys)) = (uri, keys)
            && uri.name == keys.name
            && let SinkKind::File { path } | SinkKind::Kubernetes { path, .. } = &uri.kind
            && !path.to_string_lossy().contains("{token}")
        {
            let why = format!("sink {} is one file, and there are two secrets", uri.name);
            return Err(usage(&why, "write {token} in its path, or give --recovery-sink another one"));
        }
        if let Some(sink) = uri {
            drop(sink::prove(sink, &self.totp_item()).await.map_err(|why| why.untouched(work.name()))?);
        }
        if let Some(sink) = keys {
            drop(sink::prove(sink, &self.keys_item()).await.map_err(|why| why.untouched(work.name()))?);
        }
        Ok((uri, keys))
    }

    fn tell_plan(&self, uri: Option<&Sink>, keys: Option<&Sink>) -> Result<()> {
        let (node, user) = (self.work.name(), sanitize::line(self.user()));
        let mut text = String::new();
        if self.plan.totp {
            let to = uri.map_or_else(|| "shown here as a QR code".to_owned(), |sink| format!("to sink {}", sink.name));
            text.extend([
                node,
                ": enrol an app for ",
                &user,
                ", its secret ",
                &to,
                "; stored in PVE after a right code\n",
            ]);
        }
        for factor in &self.plan.ends {
            text.extend([node, ": then end ", &factor.shown(), "\n"]);
        }
        if let Some(sink) = keys {
            let again = if self.plan.keys == Keys::Again {
                "new recovery keys in place of the former"
            } else {
                "recovery keys"
            };
            text.extend([node, ": make ", again, " for ", &user, ", to sink ", &sink.name, "\n"]);
        }
        self.work.output.result(&text)?;
        let first = self.listed.iter().all(|factor| factor.kind == "recovery" || !factor.enable);
        if self.plan.totp && first {
            self.work.output.say(&format!(
                "from then on PVE refuses {user}'s password without a code or a recovery key (web interface, API tickets); \
                 tokens and SSH are not asked"
            ));
        }
        Ok(())
    }

    fn new_totp(&self) -> Result<Totp> {
        let mut secret = Zeroizing::new([0u8; 20]);
        let failed = |why: String| Error::msg(Kind::Internal, why).untouched(self.work.name());
        getrandom::fill(&mut secret[..])
            .map_err(|why| failed(format!("the operating system gave no random numbers: {why}")))?;
        let facts = self.work.facts();
        let cluster = facts.cluster.known().map(|cluster| cluster.name.as_str()).filter(|name| !name.is_empty());
        let place = cluster.or(facts.node_name.known().map(String::as_str)).unwrap_or("node");
        Totp::new(&secret, &format!("PVE {place}"), self.user()).ok_or_else(|| failed("no code can be made".into()))
    }

    /// A new app from its secret to PVE's list, which is given back.
    async fn app(&self, uri_sink: Option<&Sink>) -> Result<Vec<Factor>> {
        let totp = self.new_totp()?;
        let mut told = String::new();
        let screen = if let Some(sink) = uri_sink {
            let untouched = |why: Error| why.untouched(self.work.name());
            let place = sink::prove(sink, &self.totp_item()).await.map_err(untouched)?;
            let shown = place.shown();
            place.stage(totp.uri().clone()).map_err(untouched)?.keep().await.map_err(untouched)?;
            told = format!("; sink {shown} has a secret that opens nothing: remove it");
            self.work.output.say(&format!("the secret is in sink {shown}; give a code of it on standard input"));
            None
        } else {
            Some(Screen::show(&totp, &sanitize::line(self.user()), self.work.output))
        };
        let nothing = format!("nothing was changed on {}{told}", self.work.name());
        self.work.standing.replace(nothing.clone());
        let added = self.confirmed(&totp, &nothing).await;
        drop(screen);
        let listed = added?;
        self.work.standing.replace(format!("{} has the new app on {}", self.user(), self.work.name()));
        let user = sanitize::line(self.user());
        self.work.output.result(&format!("{}: {user}: app enrolled; PVE lists it\n", self.work.name()))?;
        Ok(listed)
    }

    /// Asks for codes until PVE has taken one.
    async fn confirmed(&self, totp: &Totp, nothing: &str) -> Result<Vec<Factor>> {
        let (work, mut codes, mut touched) = (self.work, Codes::listen(), false);
        let mut why = "no code was given".to_owned();
        for tried in 0..TRIES {
            if tried > 0 {
                work.output.say(&why);
            }
            let Some(code) = codes.next("Code that the app shows now:").await else { break };
            if let Some(wrong) = self.wrong(totp, &code) {
                why = wrong;
                continue;
            }
            if let Some(listed) = self.stored(totp, &Secret::new(code.as_str()), nothing).await? {
                return Ok(listed);
            }
            touched = true;
            why = "PVE did not take the code: it ran out on the way".into();
        }
        if touched {
            self.take_mark_away().await;
        }
        Err(Error::msg(Kind::Refused, why).state(nothing).hint("run the same command again, with the app at hand"))
    }

    /// Why a code is not handed to PVE.
    fn wrong(&self, totp: &Totp, code: &str) -> Option<String> {
        let here = jiff::Timestamp::now().as_second();
        let node = self.work.name();
        match totp.judge(code, here + self.ahead) {
            Judged::Right => None,
            Judged::NoCode => Some("a code has six digits".into()),
            _ if self.ahead.abs() > CLOCKS && totp.judge(code, here) == Judged::Right => Some(format!(
                "the code is right by this machine's clock, and PVE would refuse it: set the clock of {node} first"
            )),
            Judged::Off(seconds) => Some(format!(
                "the code is that of {} s {}: set the clock of the app's device",
                seconds.abs(),
                if seconds < 0 { "ago" } else { "from now" }
            )),
            Judged::Wrong => Some("the code is wrong".into()),
        }
    }

    fn description(&self) -> String {
        let words = self.args.description.clone();
        let words =
            words.unwrap_or_else(|| format!("authenticator app, {}", jiff::Timestamp::now().strftime("%Y-%m-%d")));
        if self.plan.keys == Keys::Leave { words } else { words + UNFINISHED }
    }

    /// Has PVE store the app; none when PVE refused the code. What is not known is asked for.
    async fn stored(&self, totp: &Totp, code: &Secret, nothing: &str) -> Result<Option<Vec<Factor>>> {
        let (work, user) = (self.work, self.user());
        let perhaps = format!(
            "{} may ask {user} for codes of the new app, which gave a right one; the former ways in are as before",
            work.name()
        );
        work.standing.replace(perhaps.clone());
        let description = self.description();
        let said = match work.calls(&factors::add(user, &description, totp.uri(), code, work.by())).await {
            // Another run is at work, or /etc/pve is not mounted: nothing was begun.
            Err(why) if matches!(why.kind, Kind::Busy | Kind::Refused) => return Err(why.state(nothing)),
            Err(why) => Err(why),
            Ok(answers) if factors::refused_the_code(&answers) => {
                work.standing.replace(nothing.to_owned());
                return Ok(None);
            }
            Ok(answers) => factors::added(&answers).and_then(|_| factors::listed(&answers)),
        };
        let Err(why) = said else { return said.map(Some) };
        let now = work.calls(&factors::list(user)).await.and_then(|answers| factors::listed(&answers));
        let Ok(now) = now else {
            return Err(Error { kind: Kind::NeedsHands, ..why }
                .state(perhaps)
                .hint("keep the app's entry and run the same command again: it tells what is there"));
        };
        let is_new = |factor: &Factor| !self.listed.iter().any(|old| old.id == factor.id);
        if now.iter().any(|factor| is_new(factor) && factor.description == description) {
            return Ok(Some(now));
        }
        self.take_mark_away().await;
        Err(Error { kind: Kind::Refused, ..why }.state(nothing))
    }

    /// PVE notes in user.cfg that somebody has factors before it looks at the code.
    async fn take_mark_away(&self) {
        if self.listed.is_empty()
            && let Err(why) = self.work.calls(&factors::unmark(self.user())).await.and_then(|said| factors::done(&said))
        {
            self.work
                .output
                .say(&format!("warning: `keys` of {} in user.cfg is still set: {why}", sanitize::line(self.user())));
        }
    }

    /// Ends the apps whose place the new one took.
    async fn end_former(&self) -> Result<()> {
        let ids: Vec<&str> = self.plan.ends.iter().map(|factor| factor.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let answers = self.work.calls(&factors::end(self.user(), &ids, self.work.by())).await;
        answers.and_then(|answers| factors::done(&answers)).map_err(|why| {
            let state =
                format!("{} has the new app on {}, and the former one may still work", self.user(), self.work.name());
            Error { kind: Kind::NeedsHands, ..why }.state(state).hint(format!(
                "see `pveum user tfa list {0}`; `pveum user tfa delete {0} --id ID` ends one",
                self.user()
            ))
        })?;
        self.work.standing.replace(format!("{} has the new app alone on {}", self.user(), self.work.name()));
        let text = format!("{}: {}: {} ended\n", self.work.name(), sanitize::line(self.user()), apps(ids.len()));
        self.work.output.result(&text)
    }
}

fn apps(count: usize) -> String {
    if count == 1 { "the former app".into() } else { format!("{count} former apps") }
}
