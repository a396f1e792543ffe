//! `pve-harden key rotate HOST --new FILE`: two guarded runs. The first adds the new key, the second takes the old one
//! away, and each stays only when a fresh login with the new key comes about. In between both keys work; cut anywhere,
//! at least one does, and the same command goes on.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use ssh_key::{HashAlg, PublicKey};

use crate::change::{Action, FileChange, FileImage, Stage};
use crate::cli::args::{Connection, Wanted};
use crate::cli::connect::{Connector, Node, reason_given};
use crate::cli::output::Output;
use crate::cli::run::before_changes;
use crate::cli::settings::Settings;
use crate::cli::task::{self, Asked};
use crate::controls::accounts::rotation::{self, Keys};
use crate::controls::{Meta, Reference, Severity, Verdict};
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::{Facts, FileKind};
use crate::plan::{self, Operator};
use crate::profile::keys::weakness;
use crate::profile::policy::Policy;
use crate::sanitize;

/// `key rotate`.
#[derive(Clone, Debug, Args)]
pub struct Rotate {
    /// Node: `[user@]address`, or a name from the site
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    host: String,
    /// Private key file of the new key; its public half lies beside it as FILE.pub
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    new: PathBuf,
    /// The key that goes: its .pub file or its fingerprint `SHA256:…` [default: the only other one]
    #[arg(long, value_name = "FILE|FINGERPRINT")]
    old: Option<String>,
    /// Whose key, by Linux name [default: who logs in]
    #[arg(long, value_name = "NAME")]
    admin: Option<String>,
    /// Where the site is.
    #[command(flatten)]
    wanted: Wanted,
    /// How the node is reached: with the old key.
    #[command(flatten)]
    connection: Connection,
    /// Do what is shown without asking
    #[arg(short, long)]
    yes: bool,
    /// Why, kept in the node's history; a profile can require it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

static META: Meta = Meta {
    id: "key.rotate",
    title: "One key in place of another",
    why: "",
    checked: "",
    naive: "",
    references: &[Reference::Man("sshd(8)")],
    level: 1,
    severity: Severity::Low,
};

/// The new key.
struct New {
    private: PathBuf,
    public: PublicKey,
    line: String,
    fingerprint: String,
}

/// Adds, proves, removes.
pub async fn run(args: Rotate, output: Output) -> Result<u8> {
    let settings = Settings::read(&args.wanted, output)?;
    let policy = settings.policy(&args.host, &args.connection)?;
    reason_given(&policy, args.reason.as_deref())?;
    let new = new_key(&args.new)?;
    let connector = Connector::new(&args.connection, &settings.loaded.secrets, output, true);
    let name = policy.host.name.clone();
    let mut node = Box::pin(before_changes(reach(&connector, &policy, &new))).await?;
    let admin = administrator(&args, &policy, &node).map_err(|error| error.untouched(&name))?;
    let keys = keys_of(&node.facts, &admin).map_err(|error| error.untouched(&name))?;
    let old = old_key(args.old.as_deref(), &keys, &new).map_err(|error| error.untouched(&name))?;
    let by_new = with_identity(&policy, &new, &admin);
    let mut yes = args.yes;
    if keys.has(&new.fingerprint) {
        output.say(&format!("{name}: the new key of {admin} is there already"));
    } else {
        let step =
            Step { admin: &admin, summary: format!("new key of {admin}"), after: keys.with(&new.line), keys: &keys };
        let question = format!("Add the new key of {admin} on {name}, prove it, and then take the old one away?");
        act(&connector, &node, [&policy, &by_new], step, &args, (yes, question), output).await?;
        yes = true;
    }
    let Some(old) = old else {
        output.result(&format!("{name}: {admin} has no other key\n"))?;
        farewell(&connector, &name, node).await;
        return Ok(0);
    };
    farewell(&connector, &name, node).await;
    // From here on with the new key alone: what it cannot do stops before the old one goes.
    let both = format!("both keys of {admin} work on {name}; the same command goes on");
    node = reach(&connector, &by_new, &new).await.map_err(|error| error.state(both.clone()))?;
    let keys = keys_of(&node.facts, &admin).map_err(|error| error.state(both.clone()))?;
    let step =
        Step { admin: &admin, summary: format!("old key of {admin} goes"), after: keys.without(&old), keys: &keys };
    let question = format!("Take the old key of {admin} away on {name}?");
    act(&connector, &node, [&by_new, &by_new], step, &args, (yes, question), output).await?;
    farewell(&connector, &name, node).await;
    output.result(&format!("{name}: {admin} logs in with {} now; {old} is gone\n", new.fingerprint))?;
    tell_site(&policy, &admin, &new, output);
    Ok(0)
}

struct Step<'a> {
    admin: &'a str,
    summary: String,
    after: String,
    keys: &'a Keys,
}

/// One run; `policies` are those of the plan and of the proving login.
async fn act(
    connector: &Connector,
    node: &Node,
    [policy, proving]: [&Policy; 2],
    step: Step<'_>,
    args: &Rotate,
    (yes, question): (bool, String),
    output: Output,
) -> Result<()> {
    let Step { admin, summary, after, keys } = step;
    let image = |content: String| FileImage { content, ..keys.image.clone() };
    let file = FileChange {
        path: keys.path.clone(),
        before: Some(keys.image.clone()),
        after: Some(image(after)),
        validate: None,
    };
    let change = crate::change::Change {
        controls: vec![META.id.into()],
        stage: Stage::Accounts,
        summary,
        interrupts: None,
        action: Action::File(file),
    };
    let plan = plan::task(&META, Verdict::differs(vec![change], Vec::new()), &node.facts, policy, &node.operator)?;
    if !task::show(node, policy, &plan, output)? {
        return Ok(());
    }
    let asked =
        Asked { verb: "key rotate", yes, question, reason: args.reason.clone(), login: Some(admin), locked: None };
    let id = task::carry_out(connector, node, proving, &plan, asked).await?;
    output.say(&format!("{}: confirmed, run {id}", policy.host.name));
    Ok(())
}

/// Reads the node; the new key counts as held.
async fn reach(connector: &Connector, policy: &Policy, new: &New) -> Result<Node> {
    let mut node = connector.reach(policy).await?;
    let Operator { key_fingerprints, .. } = &mut node.operator;
    key_fingerprints.insert(new.fingerprint.clone());
    Ok(node)
}

async fn farewell(connector: &Connector, name: &str, node: Node) {
    connector.tell(name, What::Finished);
    let _ = node.connection.close().await;
}

fn with_identity(policy: &Policy, new: &New, admin: &str) -> Policy {
    let mut policy = policy.clone();
    policy.host.identity = Some(new.private.clone());
    policy.host.user = Some(admin.to_owned());
    policy
}

fn usage(why: String, hint: impl Into<String>) -> Error {
    Error::msg(Kind::Usage, why).state("nothing was contacted").hint(hint.into())
}

fn new_key(file: &Path) -> Result<New> {
    let shown = sanitize::line(&file.to_string_lossy()).into_owned();
    if file.extension().is_some_and(|extension| extension == "pub") {
        return Err(usage(format!("{shown} is the public half"), "name the private key file; the proof needs it"));
    }
    let public = {
        let mut name = file.as_os_str().to_owned();
        name.push(".pub");
        PathBuf::from(name)
    };
    let failed = |what: &Path, why: String| {
        usage(format!("{}: {why}", sanitize::line(&what.to_string_lossy())), "make one: pve-harden key new NAME HOST")
    };
    std::fs::File::open(file).map_err(|error| failed(file, error.to_string()))?;
    let text = std::fs::read_to_string(&public).map_err(|error| failed(&public, error.to_string()))?;
    let line = text.trim().to_owned();
    let key = PublicKey::from_openssh(&line).map_err(|_| failed(&public, "no public key of OpenSSH".into()))?;
    if line.chars().any(char::is_control) {
        return Err(failed(&public, "a key is one line".into()));
    }
    if let Some(weak) = weakness(&key) {
        return Err(failed(&public, weak));
    }
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    Ok(New { private: file.to_owned(), public: key, line, fingerprint })
}

fn administrator(args: &Rotate, policy: &Policy, node: &Node) -> Result<String> {
    let name = args.admin.clone().unwrap_or_else(|| node.connection.user().to_owned());
    if policy.site.admins.iter().any(|admin| admin.name == name) {
        return Ok(name);
    }
    let shown = sanitize::line(&name).into_owned();
    Err(Error::msg(Kind::Refused, format!("{shown} is no administrator of the site"))
        .hint("name one whose key this is: --admin NAME; root's keys are the cluster's"))
}

fn keys_of(facts: &Facts, admin: &str) -> Result<Keys> {
    let unread = |why: String| Error::msg(Kind::Unreadable, why);
    let users = facts.accounts.users.required("/etc/passwd").map_err(unread)?;
    let home = users.get(admin).map(|user| &user.home).ok_or_else(|| {
        Error::msg(Kind::Refused, format!("{admin} has no account on the node"))
            .hint("`pve-harden apply --control accounts.*` makes it, with the site's keys")
    })?;
    let path = format!("{home}/.ssh/authorized_keys");
    let fact = facts.file(&path).required(&path).map_err(unread)?;
    let content = match (&fact.kind, &fact.content) {
        (FileKind::Regular, Some(content)) => content.clone(),
        _ => return Err(unread(format!("{path} is no file that can be changed"))),
    };
    let image = FileImage { content, mode: fact.mode, owner: fact.owner.clone(), group: fact.group.clone() };
    Ok(Keys { path, image })
}

/// The key that goes, by fingerprint; none when there is no other one.
fn old_key(given: Option<&str>, keys: &Keys, new: &New) -> Result<Option<String>> {
    let refuse = |why: String, hint: String| Error::msg(Kind::Refused, why).hint(hint);
    let others = keys.others(&new.fingerprint);
    let list = || others.iter().map(rotation::shown).collect::<Vec<_>>().join(", ");
    let Some(given) = given else {
        return match others.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.fingerprint(HashAlg::Sha256).to_string())),
            _ => Err(refuse(
                format!("there are {} other keys: {}", others.len(), sanitize::line(&list())),
                "say which one goes: --old FILE.pub or --old SHA256:…".into(),
            )),
        };
    };
    let fingerprint = if given.starts_with("SHA256:") {
        given.to_owned()
    } else {
        let text = std::fs::read_to_string(given).map_err(|error| usage(format!("{given}: {error}"), ""))?;
        let key = PublicKey::from_openssh(text.trim())
            .map_err(|_| usage(format!("{given} holds no public key"), "name the .pub file"))?;
        key.fingerprint(HashAlg::Sha256).to_string()
    };
    if fingerprint == new.fingerprint {
        return Err(refuse("the old key is the new one".into(), "name another one".into()));
    }
    if keys.has(&fingerprint) {
        return Ok(Some(fingerprint));
    }
    // Cut after the second run: nothing is left to do.
    if others.is_empty() && keys.has(&new.fingerprint) {
        return Ok(None);
    }
    Err(refuse(format!("the key {fingerprint} is not there; there are: {}", sanitize::line(&list())), String::new()))
}

/// The next `apply` makes the node what the site says.
fn tell_site(policy: &Policy, admin: &str, new: &New, output: Output) {
    let keys = policy.site.admins.iter().filter(|it| it.name == admin).flat_map(|it| &it.keys);
    let named =
        keys.filter_map(|line| PublicKey::from_openssh(line).ok()).any(|key| key.key_data() == new.public.key_data());
    if !named {
        output.say(&format!(
            "the site still names the old key of {admin}: the next plan would bring it back. Put this in its place now:\n  {}",
            new.line
        ));
    }
}
