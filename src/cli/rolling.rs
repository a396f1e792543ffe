//! The runs of one `apply`, in the order and under the stop rule of [`crate::fleet::Rolling`].

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::args::{Apply, PlanFormat};
use super::committed::Committed;
use super::connect::{Connector, Node};
use super::output::Output;
use super::{run, together};
use crate::apply::bundle;
use crate::apply::engine::Login;
use crate::change::token::NewToken;
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::gather;
use crate::facts::standing::{self, Standing};
use crate::fleet::{Lane, Last, Queue, Rolling};
use crate::plan::{FirewallPart, Plan, Proof, hold};
use crate::profile::policy::Policy;
use crate::render::message;
use crate::report::NodeResult;
use crate::secret::Secret;
use crate::transport::{self, Limits, Methods, Program};

/// How long a member may take to answer again after its run, before the next one begins.
const SETTLING: Duration = Duration::from_secs(60);
/// Between two questions to it.
const PAUSE: Duration = Duration::from_secs(2);

/// A node that was read and planned for, its connection still open.
pub struct Ready {
    /// The node.
    pub node: Node,
    /// What runs there.
    pub plan: Plan,
    /// What it was made from.
    pub policy: Policy,
    /// The cluster it is a member of.
    pub cluster: Option<String>,
    /// The committed run of this very profile and site, if it is the newest.
    pub done: Option<Last>,
    /// Its part in a change of cluster.fw, after `plan`.
    pub part: Option<FirewallPart>,
    /// Whether it takes that part before its own run, not after it.
    pub is_admitted: bool,
    /// Who proves that part.
    pub login: Login,
    /// The proving administrator's new password, which sudo will ask for.
    pub sudo: Option<Secret>,
    /// What is made once everything else is confirmed.
    pub tokens: Vec<NewToken>,
    /// What was confirmed there already.
    pub committed: Committed,
}

impl Ready {
    /// What became of it.
    pub fn result(&self, outcome: &'static str, exit_code: u8) -> NodeResult {
        NodeResult { node: self.plan.node.clone(), outcome, run: None, tokens: Vec::new(), exit_code }
    }

    /// The error of something that changed nothing: it says in which state the runs before left the node.
    pub fn untouched(&self, error: Error) -> Error {
        self.committed.untouched(error, &self.plan.node)
    }
}

/// A run that is ready to be sent.
pub struct Prepared {
    /// Where.
    pub ready: Ready,
    /// What belongs to the run beside its steps.
    pub order: bundle::Order,
    /// The plan with the passwords that it sets.
    pub filled: Plan,
    /// What is sent.
    pub program: Program,
    /// Who proves.
    pub login: Login,
    /// The proving administrator's new password, which sudo will ask for.
    pub sudo: Option<Secret>,
}

/// What is to be done.
pub struct Work {
    /// Runs of one node each, by its place.
    pub prepared: BTreeMap<usize, Prepared>,
    /// Nodes that have nothing to do but their part in a change of cluster.fw.
    pub partners: BTreeMap<usize, Ready>,
}

/// Who waits for whom.
pub struct Order {
    /// All lanes of the command.
    pub lanes: Vec<Lane>,
    /// `--serial`.
    pub serial: Option<usize>,
    /// `--parallel`.
    pub parallel: usize,
    /// Whether the first node goes alone.
    pub canary: bool,
}

impl Order {
    fn rolling(&self, prepared: &BTreeMap<usize, Prepared>) -> Rolling {
        let queues = self.lanes.iter().map(|lane| Queue {
            nodes: lane.nodes.iter().copied().filter(|place| prepared.contains_key(place)).collect(),
            width: self.serial.unwrap_or(if lane.cluster.is_some() { 1 } else { self.parallel }),
            canary: lane.cluster.is_some(),
        });
        Rolling::new(queues.collect(), self.serial.unwrap_or(self.parallel), self.canary)
    }
}

/// A run that has ended.
struct Ended {
    place: usize,
    ready: Ready,
    result: Result<String>,
}

/// What all runs of one `apply` have in common.
struct Rollout<'a> {
    connector: &'a Connector,
    order: &'a Order,
    args: &'a Apply,
    stop: &'a run::Stop,
    output: Output,
    /// One node alone, and no cluster to ask about.
    single: bool,
}

/// Sends the runs; the first that does not end as wanted is followed by none. Members of a cluster take a change of its
/// firewall up together once each had its own run; one that joined later has its own run after that.
pub async fn carry_out_all(
    connector: &Connector,
    Work { prepared, mut partners }: Work,
    order: &Order,
    args: &Apply,
    stop: &run::Stop,
    output: Output,
    results: &mut BTreeMap<usize, NodeResult>,
) -> u8 {
    let single = prepared.len() + partners.len() == 1;
    let rollout = Rollout { connector, order, args, stop, output, single };
    let (mut admitted, mut prepared): (BTreeMap<_, _>, BTreeMap<_, _>) =
        prepared.into_iter().partition(|(_, prepared)| prepared.ready.is_admitted);
    let mut failed = Vec::new();
    Box::pin(rollout.roll(&mut prepared, &mut partners, &mut failed, results)).await;
    for lane in &order.lanes {
        let begins = failed.is_empty();
        let round = together::Round { connector, args, output, stop, begins };
        let members = members_of(lane, &mut partners, &mut admitted);
        failed.extend(Box::pin(round.carry_out(members, results)).await);
        for ready in lane.nodes.iter().filter_map(|place| partners.remove(place)).collect::<Vec<_>>() {
            farewell(connector, ready).await;
        }
    }
    if failed.is_empty() && !stop.came() {
        failed.extend(admitted.values_mut().filter_map(|prepared| prepared.renew().err()));
    }
    if failed.is_empty() {
        Box::pin(rollout.roll(&mut admitted, &mut partners, &mut failed, results)).await;
    }
    prepared.append(&mut admitted);
    let worst = failed.iter().map(|(_, error)| error.kind.exit_code()).max().unwrap_or(0);
    let worst = worst.max(Box::pin(left(connector, prepared, &failed, stop, output, results)).await);
    for (node, error) in &failed {
        if !single {
            output.say(&connector.last_lines(node));
        }
        output.say(message::error(error, output.stderr).trim_end());
    }
    worst
}

/// A lane's members that have a part in a change of its firewall, in the order of their turns.
fn members_of<'r>(
    lane: &Lane,
    partners: &'r mut BTreeMap<usize, Ready>,
    admitted: &'r mut BTreeMap<usize, Prepared>,
) -> Vec<(usize, &'r mut Ready)> {
    let partners = partners.iter_mut().map(|(place, ready)| (*place, ready));
    let admitted = admitted.iter_mut().map(|(place, prepared)| (*place, &mut prepared.ready));
    let mut all: BTreeMap<usize, &mut Ready> = partners.chain(admitted).collect();
    lane.nodes.iter().filter_map(|place| Some((*place, all.remove(place)?))).collect()
}

impl Prepared {
    /// A later run has a later id.
    fn renew(&mut self) -> Result<(), (String, Error)> {
        let renewed = run::renewed(&self.order)
            .and_then(|order| Ok((bundle::program(&self.filled, &order)?, order)))
            .map_err(|error| (self.ready.plan.node.clone(), self.ready.untouched(error)));
        let (program, order) = renewed?;
        self.program = program;
        self.order = order;
        Ok(())
    }
}

impl Rollout<'_> {
    /// The runs of one node each. Those that have a part in the cluster's firewall are partners afterwards.
    async fn roll(
        &self,
        prepared: &mut BTreeMap<usize, Prepared>,
        partners: &mut BTreeMap<usize, Ready>,
        failed: &mut Vec<(String, Error)>,
        results: &mut BTreeMap<usize, NodeResult>,
    ) {
        let Self { connector, stop, output, single, .. } = *self;
        let mut rolling = self.order.rolling(prepared);
        let mut running = FuturesUnordered::new();
        loop {
            if stop.came() {
                rolling.halt();
            }
            for place in rolling.begin() {
                if let Some(prepared) = prepared.remove(&place) {
                    running.push(Box::pin(carry_out(connector, place, prepared, stop, single)));
                }
            }
            let Some(Ended { place, mut ready, result }) = running.next().await else { break };
            rolling.ended(place, result.is_ok());
            let code = result.as_ref().err().map_or(0, |error| error.kind.exit_code());
            let node_result = ready.result(if code == 0 { "committed" } else { "failed" }, code);
            match result {
                Ok(run) => {
                    ready.committed.run = Some(run.clone());
                    if self.args.format == PlanFormat::Text {
                        // A reader that went away does not undo what was done.
                        let _ = output.result(&applied(&ready.plan.node, &run));
                    }
                    results.insert(place, NodeResult { run: Some(run), ..node_result });
                    if ready.part.is_some() && !ready.is_admitted {
                        partners.insert(place, ready);
                        continue;
                    }
                }
                Err(error) => {
                    failed.push((ready.plan.node.clone(), error));
                    let run = results.remove(&place).and_then(|before| before.run);
                    results.insert(place, NodeResult { run, ..node_result });
                }
            }
            farewell(connector, ready).await;
        }
    }
}

pub fn applied(name: &str, run: &str) -> String {
    format!(
        "{name}: applied and confirmed, run {run}\n  to take it back: pve-harden rollback {name} {run}, or at its console /usr/local/sbin/pve-harden-undo\n"
    )
}

/// Those whose turn did not come.
async fn left(
    connector: &Connector,
    prepared: BTreeMap<usize, Prepared>,
    failed: &[(String, Error)],
    stop: &run::Stop,
    output: Output,
    results: &mut BTreeMap<usize, NodeResult>,
) -> u8 {
    if prepared.is_empty() {
        return 0;
    }
    let why = match failed.first() {
        Some((node, _)) if !stop.came() => format!("{node} before did not end as wanted"),
        _ => "interrupted".to_owned(),
    };
    let mut alike: BTreeMap<&Committed, Vec<&str>> = BTreeMap::new();
    for Prepared { ready, .. } in prepared.values() {
        alike.entry(&ready.committed).or_default().push(&ready.plan.node);
    }
    for (committed, names) in alike {
        output.say(&format!("{}: {why}", committed.state(&names.join(", "))));
    }
    for (place, Prepared { ready, .. }) in prepared {
        // A part in the cluster's firewall that failed says more.
        let result = results.entry(place).or_insert_with(|| ready.result("not-begun", 0));
        if result.outcome == "committed" {
            result.outcome = "not-begun";
        }
        farewell(connector, ready).await;
    }
    Kind::Refused.exit_code()
}

/// The answer is complete; how the connection ends changes nothing.
pub async fn farewell(connector: &Connector, ready: Ready) {
    connector.tell(&ready.plan.node, What::Finished);
    let _ = ready.node.connection.close().await;
}

async fn carry_out(connector: &Connector, place: usize, prepared: Prepared, stop: &run::Stop, single: bool) -> Ended {
    let Prepared { mut ready, order, filled: _, program, login, sudo } = prepared;
    let result = async {
        revive(connector, &mut ready).await?;
        let web = if single { None } else { allowed(&ready).await? };
        let stages: Vec<_> = ready.plan.changes.iter().map(|change| change.stage).collect();
        let proves_web = ready.plan.proofs.contains(&Proof::WebInterface);
        let way = run::Way { stages: &stages, login, sudo, web: proves_web, stop, before: &ready.committed };
        run::drive(connector, &ready.node, &ready.policy, &program, &order, way).await?;
        match web {
            Some(web) => settled(connector, &ready, web, &order.meta.id, stop).await,
            None => Ok(()),
        }
    };
    let result = result.await.map(|()| order.meta.id.clone());
    Ended { place, ready, result }
}

/// A connection that waited for more than a minute has ended; the same login opens the next one.
pub async fn revive(connector: &Connector, ready: &mut Ready) -> Result<()> {
    if ready.node.connection.is_alive().await {
        return Ok(());
    }
    let (target, credentials) = connector.login(&ready.policy.host, ready.node.connection.user(), Methods::default());
    let opened = transport::Connection::open(&target, &credentials, connector.operator()).await;
    ready.node.connection = opened.map_err(|error| ready.untouched(error.into()))?;
    Ok(())
}

/// A member of a cluster is asked once more when its turn has come. Gives whether its port 8006 answers; nothing for a
/// standalone node.
pub async fn allowed(ready: &Ready) -> Result<Option<bool>> {
    let Some(cluster) = &ready.cluster else { return Ok(None) };
    let frames = ready.node.connection.run(&question(), Limits::default()).await;
    let standing = standing::parse(&gather::capture(frames.map_err(|error| ready.untouched(error.into()))?));
    match hold::now(&standing, cluster, &ready.node.operator) {
        Some(refusal) => Err(ready.untouched(Error::msg(Kind::Refused, refusal.reason)).hint(refusal.way_out)),
        None => Ok(Some(standing.web.known() == Some(&true))),
    }
}

/// Waits until a member answers new logins and requests, and is in quorum: the next one may then be changed.
async fn settled(connector: &Connector, ready: &Ready, web: bool, run: &str, stop: &run::Stop) -> Result<()> {
    let end = tokio::time::Instant::now() + SETTLING;
    loop {
        let trouble = match anew(connector, ready).await {
            Ok(standing) => standing.trouble(web),
            Err(error) => Some(format!("a new login fails: {error}")),
        };
        let Some(trouble) = trouble else { return Ok(()) };
        if stop.came() || tokio::time::Instant::now() >= end {
            let name = &ready.plan.node;
            return Err(Error::msg(Kind::NeedsHands, trouble)
                .state(format!("run {run} was confirmed on {name}, and now the node is not well"))
                .hint(format!("look at {name}; to take the run back: pve-harden rollback {name} {run}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn anew(connector: &Connector, ready: &Ready) -> Result<Standing, transport::Error> {
    let mut last = None;
    for (target, credentials) in connector.logins(&ready.policy, &ready.node.operator.key_fingerprints) {
        let limits = Limits::default().within(PAUSE * 15);
        match transport::fresh_run(&target, &credentials, connector.operator(), &question(), limits).await {
            Ok(frames) => return Ok(standing::parse(&gather::capture(frames))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| transport::Error::Target("there is no login to try".into())))
}

fn question() -> Program {
    Program::new(&gather::standing_program())
}
