//! A change of cluster.fw, taken up by all members of a cluster together, after the runs of each.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::args::{Apply, Confirm, PlanFormat};
use super::connect::{Connector, Node};
use super::fleet::changes_cluster_fw;
use super::nodes::Reached;
use super::output::Output;
use super::rolling::{self, Ready};
use super::run::{self, Intent, Teller};
use crate::apply::bundle::{self, Order};
use crate::apply::cluster::{self, Member};
use crate::apply::engine::{Login, Outcome, Run};
use crate::change::Stage;
use crate::error::{Error, Kind, Result};
use crate::fleet::Lane;
use crate::plan::{self, FirewallPart, Plan};
use crate::profile::policy::Policy;
use crate::report::NodeResult;

/// Takes the changes of cluster.fw out of the plans of clusters of several members; gives each member's part.
pub fn part_plans(
    lanes: &[Lane],
    reached: &[Reached<(Node, Plan)>],
    plans: &mut [Option<Plan>],
) -> Result<BTreeMap<usize, FirewallPart>> {
    let mut parts = BTreeMap::new();
    for lane in lanes.iter().filter(|lane| lane.cluster.is_some() && lane.nodes.len() > 1) {
        let own = |place: &usize| plans[*place].as_ref();
        let refused = lane.nodes.iter().filter_map(own).any(|plan| !plan.refusals.is_empty());
        if refused || !lane.nodes.iter().filter_map(own).any(changes_cluster_fw) {
            continue;
        }
        let mut members = Vec::new();
        for place in &lane.nodes {
            if let (Some(plan), Ok((_, (node, _)))) = (plans[*place].take(), &reached[*place].result) {
                members.push((plan, &node.facts));
            }
        }
        let (left, own) = plan::firewall_parts(members)?;
        for ((place, plan), part) in lane.nodes.iter().zip(left).zip(own) {
            plans[*place] = Some(plan);
            parts.insert(*place, part);
        }
    }
    Ok(parts)
}

/// Whether a member takes its part before its own run: it joined a cluster whose firewall binds it already, which must let
/// it in first. Where the firewall is only now enabled nobody is kept out until then.
pub fn is_admitted(lane: &Lane, place: usize, part: &FirewallPart) -> bool {
    lane.joined.contains(&place) && part.shield.is_none()
}

/// Who proves a member's part: the administrator whom its plan names, else the one who is logged in. One that is
/// admitted before its own run has no administrators of the plan's making yet.
pub fn proving_login(plan: &Plan, policy: &Policy, user: &str, is_admitted: bool) -> Login {
    let planned = if is_admitted { Login::Anybody } else { run::proving_login(plan, false) };
    match planned {
        Login::Anybody if policy.site.admins.iter().any(|admin| admin.name == user) => Login::Admin(user.to_owned()),
        login => login,
    }
}

/// The members commit in an order, which nobody keeps by hand.
pub fn allowed(busy: &BTreeMap<usize, Ready>, args: &Apply) -> Result<()> {
    let names: Vec<&str> =
        busy.values().filter(|ready| ready.part.is_some()).map(|ready| ready.plan.node.as_str()).collect();
    if names.is_empty() || args.confirm != Some(Confirm::Manual) {
        return Ok(());
    }
    Err(Error::msg(Kind::Refused, "a change of the whole cluster's firewall cannot be confirmed by hand")
        .untouched(&names.join(", "))
        .hint("apply it with a key of an administrator at hand; the rest can go first: `--control 'ssh.*'`"))
}

/// One cluster's round.
pub struct Round<'a> {
    /// Opens connections and tells.
    pub connector: &'a Connector,
    /// What was typed.
    pub args: &'a Apply,
    /// Where results go.
    pub output: Output,
    /// Whether the operator wants out.
    pub stop: &'a run::Stop,
    /// Whether everything before went well.
    pub begins: bool,
}

/// A member that is ready to be sent its part.
struct Prepared<'r> {
    place: usize,
    ready: &'r mut Ready,
    order: Order,
    program: crate::transport::Program,
}

impl Round<'_> {
    /// Carries the parts out; `members` in the order of their turns, the one that writes first. Gives the failures.
    pub async fn carry_out(
        &self,
        members: Vec<(usize, &mut Ready)>,
        results: &mut BTreeMap<usize, NodeResult>,
    ) -> Vec<(String, Error)> {
        if members.is_empty() {
            return Vec::new();
        }
        if !self.begins || self.stop.came() {
            return self.leave(members, results);
        }
        let mut prepared = Vec::new();
        let count = members.len();
        let mut members = members.into_iter();
        while let Some((place, ready)) = members.next() {
            match self.prepared(ready, count).await {
                Ok((order, program)) => prepared.push(Prepared { place, ready, order, program }),
                Err(error) => {
                    let name = ready.plan.node.clone();
                    let all = prepared.into_iter().map(|member| (member.place, member.ready));
                    let all = all.chain([(place, ready)]).chain(members).collect();
                    self.leave(all, results);
                    return vec![(name, error)];
                }
            }
        }
        let outcomes = self.drive(&prepared).await;
        self.conclude(prepared, outcomes, results)
    }

    async fn prepared(&self, ready: &mut Ready, members: usize) -> Result<(Order, crate::transport::Program)> {
        rolling::revive(self.connector, ready).await?;
        rolling::allowed(ready).await?;
        self.part(ready, members).map_err(|error| ready.untouched(error))
    }

    fn part(&self, ready: &Ready, members: usize) -> Result<(Order, crate::transport::Program)> {
        let part = ready.part.as_ref().ok_or_else(|| Error::msg(Kind::Internal, "a member without a part"))?;
        let intent = Intent {
            verb: "apply",
            reason: self.args.reason.clone(),
            manual: false,
            commit_window: self.args.commit_window,
            changes: part.lines(),
            seal: ready.plan.seal.clone(),
            undoes: Vec::new(),
        };
        let order = run::order(&ready.policy, &ready.node.facts, ready.node.connection.user(), &intent)?;
        let program = bundle::part_program(part, &order, members)?;
        Ok((order, program))
    }

    async fn drive(&self, prepared: &[Prepared<'_>]) -> Vec<Outcome> {
        let stages: Vec<Vec<Stage>> =
            prepared.iter().map(|member| vec![Stage::Firewall; member.order.meta.changes.len()]).collect();
        let ways: Vec<_> = prepared
            .iter()
            .map(|Prepared { ready, .. }| {
                let sudo = ready.sudo.clone().filter(|_| !ready.is_admitted);
                run::ways(self.connector, &ready.node, &ready.policy, &ready.login, sudo)
            })
            .collect();
        let members: Vec<_> = prepared
            .iter()
            .zip(&ways)
            .map(|(member, node)| Member {
                name: member.ready.plan.node.clone(),
                node,
                program: member.program.clone(),
                run: Run {
                    id: member.order.meta.id.clone(),
                    login: member.ready.login.clone(),
                    manual: false,
                    web: true,
                },
            })
            .collect();
        let tellers: BTreeMap<&str, RefCell<Teller<'_>>> = prepared
            .iter()
            .zip(&stages)
            .map(|(member, stages)| {
                let teller = Teller::new(self.connector, &member.order, stages);
                (member.ready.plan.node.as_str(), RefCell::new(teller))
            })
            .collect();
        let mut outcomes = cluster::drive(
            &members,
            || self.stop.clone().wait(),
            |name, entry| {
                if let Some(teller) = tellers.get(name) {
                    teller.borrow_mut().tell(entry);
                }
            },
        )
        .await;
        cluster::take_back(&members, &mut outcomes).await;
        outcomes
    }

    fn conclude(
        &self,
        prepared: Vec<Prepared<'_>>,
        outcomes: Vec<Outcome>,
        results: &mut BTreeMap<usize, NodeResult>,
    ) -> Vec<(String, Error)> {
        let mut failed = Vec::new();
        for (Prepared { place, ready, order, .. }, outcome) in prepared.into_iter().zip(outcomes) {
            let (name, id) = (ready.plan.node.clone(), order.meta.id);
            match outcome {
                Outcome::Committed => {
                    ready.committed.firewall = true;
                    if self.args.format == PlanFormat::Text {
                        // A reader that went away does not undo what was done.
                        let _ = self.output.result(&rolling::applied(&name, &id));
                    }
                    results.insert(place, NodeResult { run: Some(id), ..ready.result("committed", 0) });
                }
                other => {
                    let error = run::failure(other, &ready.committed, &name, &id);
                    let run = results.remove(&place).and_then(|before| before.run);
                    results.insert(place, NodeResult { run, ..ready.result("failed", error.kind.exit_code()) });
                    failed.push((name, error));
                }
            }
        }
        failed
    }

    /// The cluster's firewall stays as it is; what each member did before stays done.
    fn leave(
        &self,
        members: Vec<(usize, &mut Ready)>,
        results: &mut BTreeMap<usize, NodeResult>,
    ) -> Vec<(String, Error)> {
        let names: Vec<&str> = members.iter().map(|(_, ready)| ready.plan.node.as_str()).collect();
        self.output.say(&format!("the firewall of {} was not changed: the change was not begun", names.join(", ")));
        let mut failed = Vec::new();
        for (place, ready) in members {
            results.entry(place).or_insert_with(|| ready.result("not-begun", 0));
            if failed.is_empty() && self.begins {
                failed.push((ready.plan.node.clone(), interrupted(&ready.plan.node)));
            }
        }
        failed
    }
}

fn interrupted(node: &str) -> Error {
    Error::msg(Kind::Refused, "interrupted before the change of cluster.fw")
        .state(format!("cluster.fw was not changed from {node}"))
}
