//! What the verbs that change tokens share: the node, the sink, and the way from a decision to a proved token.

use std::cell::RefCell;

use jiff::Timestamp;

use super::Place;
use crate::access::lifetime::Stage;
use crate::access::rotation::Making;
use crate::apply::calls::{Answers, Calls};
use crate::apply::tokens::{self, Uses};
use crate::cli::connect::{Connector, Node};
use crate::cli::output::Output;
use crate::cli::run;
use crate::cli::settings::Settings;
use crate::cli::terminal::Terminal;
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::Reading;
use crate::profile::policy::{Policy, Sink};
use crate::profile::secrets::Secrets;
use crate::pve::user_cfg::UserConfig;
use crate::sanitize;
use crate::secret::Secret;
use crate::sink;
use crate::transport::Limits;

/// A use within so many seconds is recent.
const RECENT: i64 = 24 * 3600;

/// A node that was read, and who works on it.
pub(in crate::cli) struct Work {
    node: Node,
    /// What is wanted.
    pub(in crate::cli) policy: Policy,
    connector: Connector,
    /// Where results go.
    pub(in crate::cli) output: Output,
    results: bool,
    by: String,
    secrets: Secrets,
    /// Which tokens work at this moment, for whoever interrupts.
    pub(in crate::cli) standing: RefCell<String>,
}

/// Where messages go, and whether results are text.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Messages {
    /// Where.
    pub(in crate::cli) output: Output,
    /// A line of text for each thing done; not with one JSON document.
    pub(in crate::cli) results: bool,
}

impl Work {
    /// Reads the files and the node. Without quorum PVE takes no change.
    async fn open(place: &Place, output: Output) -> Result<Self> {
        let settings = Settings::read(&place.wanted, output)?;
        let policy = match &place.host {
            Some(host) => settings.policy(host, &place.connection)?,
            None => crate::cli::access::first(&settings, &place.connection)?,
        };
        let connector = Connector::new(&place.connection, &settings.loaded.secrets, output, true);
        let start = format!("nothing was changed on {}", policy.host.name);
        Self::on(connector, policy, settings.loaded.secrets, Messages { output, results: true }, start).await
    }

    /// Reads the node; `start` is what is true of it by now.
    pub(in crate::cli) async fn on(
        connector: Connector,
        policy: Policy,
        secrets: Secrets,
        messages: Messages,
        start: String,
    ) -> Result<Self> {
        let Messages { output, results } = messages;
        let reached = Box::pin(run::before_changes(connector.reach(&policy))).await;
        let node = reached.map_err(|error| error.state(start.clone()))?;
        let name = policy.host.name.clone();
        connector.tell(&name, What::Finished);
        if let Reading::Known(cluster) = &node.facts.cluster
            && !cluster.quorate
        {
            let why = format!("the cluster {} has no quorum, and PVE takes no change", sanitize::line(&cluster.name));
            return Err(Error::msg(Kind::Refused, why).state(start).hint("bring its members back first"));
        }
        let (by, standing) = (run::operator_name(), RefCell::new(start));
        Ok(Self { node, policy, connector, output, results, by, secrets, standing })
    }

    /// Who is at work, for the node's history.
    pub(in crate::cli) fn by(&self) -> &str {
        &self.by
    }

    /// From the environment or .env.
    pub(in crate::cli) fn secret(&self, variable: &str) -> Option<Secret> {
        self.secrets.get(variable)
    }

    pub(in crate::cli) fn name(&self) -> &str {
        &self.policy.host.name
    }

    pub(in crate::cli) fn config(&self) -> Result<&UserConfig> {
        let unread = |why: String| Error::msg(Kind::Unreadable, why).untouched(self.name());
        self.node.facts.access.config.required("/etc/pve/user.cfg").map_err(unread)
    }

    pub(in crate::cli) const fn facts(&self) -> &crate::facts::Facts {
        &self.node.facts
    }

    /// The node's clock: PVE judges ends by it.
    pub(in crate::cli) fn now(&self) -> Result<u64> {
        let unread = |why: String| Error::msg(Kind::Unreadable, why).untouched(self.name());
        let taken = self.node.facts.taken.required("the node's clock").map_err(unread)?;
        Ok(u64::try_from(taken.as_second()).unwrap_or(0))
    }

    /// The sink that was named, else the one of the site's or profile's entry.
    pub(in crate::cli) fn sink(&self, named: Option<&str>, id: &str) -> Result<&Sink> {
        let family = crate::access::tokens::family(id);
        let entry =
            self.policy.profile.access.token.iter().find(|token| crate::access::tokens::family(&token.id) == family);
        let name = named.or_else(|| entry.and_then(|entry| entry.sink.as_deref()));
        let sinks = &self.policy.site.sinks;
        let usage = |why: String, hint: String| Error::msg(Kind::Usage, why).untouched(self.name()).hint(hint);
        let Some(name) = name else {
            let why = format!("nothing says where the secret of {} goes", sanitize::line(id));
            return Err(usage(why, "write `sink = \"NAME\"` in its [[access.token]], or give --sink NAME".into()));
        };
        sinks.iter().find(|sink| sink.name == name).ok_or_else(|| {
            let near = crate::profile::nearest(name, sinks.iter().map(|sink| sink.name.as_str()));
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            usage(format!("the site has no sink {}{near}", sanitize::line(name)), "add it to the site: [[sink]]".into())
        })
    }

    /// When the tokens were last used, by the logs of every member.
    pub(in crate::cli) async fn uses(&self, ids: &[&str]) -> Result<Uses> {
        let own = self.node.facts.node_name.known().map_or("node", String::as_str);
        let peers = self.node.facts.cluster.known().map(|cluster| cluster.peers.as_slice()).unwrap_or_default();
        let address = |peer: &crate::facts::Peer| peer.addresses.first().map(|at| (peer.name.clone(), at.to_string()));
        let peers: Vec<(String, String)> = peers.iter().filter_map(address).collect();
        let program = tokens::uses_program(ids, own, &peers);
        let frames = self.node.connection.run(&program, Limits::default()).await?;
        Ok(tokens::uses(&frames))
    }

    /// Why a token must not end now, by its last use; and the words for people.
    pub(in crate::cli) fn judged(uses: &Uses, id: &str) -> (String, bool) {
        let now = Timestamp::now();
        let unread = if uses.unread.is_empty() {
            String::new()
        } else {
            format!("; the log of {} could not be read", sanitize::line(&uses.unread.join(", ")))
        };
        match uses.last.get(id) {
            None => (format!("no use in the access log{unread}"), !uses.unread.is_empty()),
            Some(last) => {
                let at = last.at.strftime("%Y-%m-%d %H:%M:%S UTC");
                let recent = now.as_second() - last.at.as_second() < RECENT;
                (
                    format!("last used {at} from {} on {}{unread}", last.from, last.node),
                    recent || !uses.unread.is_empty(),
                )
            }
        }
    }

    pub(in crate::cli) async fn calls(&self, calls: &Calls) -> Result<Answers> {
        calls.run(&self.node.connection).await
    }

    /// A result for people.
    pub(in crate::cli) fn said(&self, text: &str) -> Result<()> {
        if self.results { self.output.result(text) } else { Ok(()) }
    }

    /// Asks, unless `--yes` was given.
    pub(in crate::cli) fn confirm(&self, yes: bool, question: &str) -> Result<()> {
        if yes {
            return Ok(());
        }
        let said = run::confirm(question, self.name(), Terminal::is_there());
        said.map_err(|error| error.state(self.standing.borrow().clone()))
    }

    /// Makes a token, gives it its rights, proves it, and puts its secret into its sink. On any failure it is deleted
    /// again; `otherwise` says what works then.
    pub(in crate::cli) async fn made(&self, new: &Making, place: sink::Place, otherwise: &str) -> Result<()> {
        let node = self.name();
        let made = match self.calls(&tokens::make(new, &self.by)).await {
            // Another run is at work, or /etc/pve is not mounted: nothing was begun.
            Err(why) if matches!(why.kind, Kind::Busy | Kind::Refused) => return Err(why.state(otherwise)),
            made => made.and_then(|answers| tokens::secret(&answers, &new.id)),
        };
        let secret = match made {
            Ok(secret) => secret,
            // Somebody else made it since the node was read: it is not ours to delete.
            Err(why) if why.to_string().contains("already exists") => {
                return Err(Error { kind: Kind::Stale, ..why }.state(self.standing.borrow().clone()));
            }
            Err(why) => return Err(self.discarded(new, why, otherwise).await),
        };
        self.standing.replace(format!("{otherwise}; {} was made on {node}, and nobody has its secret yet", new.id));
        let proved = match place.stage(secret.clone()) {
            Ok(staged) => {
                let answers = self.calls(&tokens::prove(new, &secret)).await;
                answers.and_then(|answers| tokens::proved(new, &answers)).map(|()| staged)
            }
            Err(why) => Err(why),
        };
        let staged = match proved {
            Ok(staged) => staged,
            Err(why) => return Err(self.discarded(new, why, otherwise).await),
        };
        let shown = staged.shown();
        if let Err(why) = staged.keep().await {
            return Err(self.discarded(new, why, otherwise).await);
        }
        self.standing.replace(format!("{} works on {node}, and its secret is in sink {shown}", new.id));
        self.output.say(&format!("{}: proved by a request to port 8006, its secret is in sink {shown}", new.id));
        self.in_use(&new.id, &new.comment(Stage::InUse)).await
    }

    /// Gives a token a new secret. From the first call on nobody has one but this process.
    pub(in crate::cli) async fn regenerated(&self, token: &Making, place: sink::Place) -> Result<()> {
        let lost = |why: Error| {
            let state = format!("{} on {} may have a secret that nobody has", token.id, self.name());
            Error { kind: Kind::NeedsHands, ..why }.state(state).hint("run the same command again with --force")
        };
        let made = self.calls(&tokens::regenerate(token, &self.by)).await;
        let secret = made.and_then(|answers| tokens::secret(&answers, &token.id)).map_err(lost)?;
        let staged = place.stage(secret.clone()).map_err(lost)?;
        let shown = staged.shown();
        staged.keep().await.map_err(lost)?;
        self.standing.replace(format!("{} has a new secret on {}, in sink {shown}", token.id, self.name()));
        let answers = self.calls(&tokens::prove(token, &secret)).await;
        answers.and_then(|answers| tokens::proved(token, &answers)).map_err(lost)?;
        self.output.say(&format!("{}: proved by a request to port 8006, its secret is in sink {shown}", token.id));
        self.in_use(&token.id, &token.comment(Stage::InUse)).await
    }

    /// Takes the mark of a rotation that is under way from a token.
    pub(in crate::cli) async fn in_use(&self, id: &str, comment: &str) -> Result<()> {
        let answers = self.calls(&tokens::in_use(id, comment, &self.by)).await;
        answers.and_then(|answers| tokens::done(&answers)).map_err(|why| {
            let state = self.standing.borrow().clone();
            Error { kind: Kind::NeedsHands, ..why }
                .state(state)
                .hint("run the same command again: it goes on from there")
        })
    }

    /// Ends a token.
    pub(in crate::cli) async fn end(&self, id: &str, ending: tokens::Ending) -> Result<()> {
        let answers = self.calls(&tokens::end(id, ending, &self.by)).await;
        answers.and_then(|answers| tokens::done(&answers)).map_err(|why| {
            let state = format!("{}; {id} may still work", self.standing.borrow());
            Error { kind: Kind::NeedsHands, ..why }.state(state).hint(format!("pve-harden token revoke '{id}'"))
        })
    }

    /// Deletes a token that nobody uses; the error that led to it, with what is left.
    async fn discarded(&self, new: &Making, why: Error, otherwise: &str) -> Error {
        let gone = self.calls(&tokens::end(&new.id, tokens::Ending::Revoked, &self.by)).await;
        let gone = gone.and_then(|answers| tokens::done(&answers));
        let absent = matches!(&gone, Err(error) if error.to_string().contains("no such token"));
        if gone.is_ok() || absent {
            let kind = if absent { Kind::Refused } else { Kind::RolledBack };
            let hint = why.hint.clone().unwrap_or_else(|| "read the cause, then run the same command again".into());
            return Error { kind, state: String::new(), cause: why.cause, hint: Some(hint) }.state(otherwise);
        }
        let state = format!("{otherwise}; {} may be left on {}, and nobody has its secret", new.id, self.name());
        Error { kind: Kind::NeedsHands, state, cause: why.cause, hint: None }
            .hint("run the same command again: it takes what is left away")
    }

    /// Opens the node, runs a command on it, and closes it.
    pub(in crate::cli) async fn with(
        place: &Place,
        output: Output,
        command: impl AsyncFnOnce(&Self) -> Result<u8>,
    ) -> Result<u8> {
        let whole = async {
            let work = Self::open(place, output).await?;
            let result = work.interruptible(command(&work)).await;
            work.close().await;
            result
        };
        Box::pin(whole).await
    }

    /// What is true of the node by now, where the error does not say it.
    pub(in crate::cli) fn as_it_stands(&self, error: Error) -> Error {
        if error.state.is_empty() { error.state(self.standing.borrow().clone()) } else { error }
    }

    /// Runs a command to its end, or to the first signal.
    pub(in crate::cli) async fn interruptible<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let stop = run::Stop::listen();
        tokio::select! {
            result = work => result,
            () = stop.wait() => {
                let standing = self.standing.borrow().clone();
                let kind = if standing.starts_with("nothing was changed") { Kind::Refused } else { Kind::NeedsHands };
                Err(Error::msg(kind, "interrupted")
                    .state(standing)
                    .hint("run the same command again: it goes on from there"))
            }
        }
    }

    pub(in crate::cli) async fn close(self) {
        self.connector.tell(&self.policy.host.name, What::Finished);
        let _ = self.node.connection.close().await;
    }
}
