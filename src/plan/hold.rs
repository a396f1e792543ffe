//! What speaks against beginning at this moment, whatever the plan: a cluster that has lost its balance, or work that a
//! change could spoil.

use super::{OnTasks, Operator, Refusal};
use crate::facts::Facts;
use crate::facts::Reading;
use crate::facts::standing::Standing;
use crate::pve::ha::HaStatus;

/// Reasons for the plan of a node that was read: no quorum, fencing, and with [`OnTasks::Refuse`] running work.
pub fn refusals(facts: &Facts, operator: &Operator) -> Vec<Refusal> {
    let cluster = match &facts.cluster {
        Reading::Known(cluster) if !cluster.quorate => Some(no_quorum(&cluster.name)),
        _ => None,
    };
    let clustered = facts.cluster.known().is_some();
    let fencing = fencing(&facts.ha()).filter(|_| clustered);
    let work = (operator.on_tasks == OnTasks::Refuse).then(|| running(facts)).flatten().map(|what| Refusal {
        reason: what,
        way_out:
            "wait until it has ended, then run the same command again; or begin in spite of it with `--despite-tasks`"
                .into(),
    });
    cluster.into_iter().chain(fencing).chain(work).collect()
}

/// The sentence of a plan that is only shown.
pub fn note(facts: &Facts, operator: &Operator) -> Option<String> {
    match operator.on_tasks {
        OnTasks::Note => running(facts).map(|what| format!("{what}; `apply` waits for nothing and refuses meanwhile")),
        OnTasks::Despite => running(facts).map(|what| format!("{what}; you chose to begin in spite of it")),
        OnTasks::Refuse => None,
    }
}

/// The same questions to a member whose turn has come in a rolling run.
pub fn now(standing: &Standing, cluster: &str, operator: &Operator) -> Option<Refusal> {
    match standing.quorate.certain() {
        Ok(Some(true)) => {}
        Ok(_) => return Some(no_quorum(cluster)),
        Err(why) => return Some(refusal(format!("whether it has quorum cannot be told: {why}"), QUORUM_WAY)),
    }
    if let Some(refusal) = fencing(&standing.ha) {
        return Some(refusal);
    }
    let moving = standing.ha.known().map(HaStatus::moving);
    let tasks = work(standing.tasks.known().map(Vec::as_slice), moving);
    tasks.filter(|_| operator.on_tasks == OnTasks::Refuse).map(|what| refusal(what, "wait until it has ended"))
}

const QUORUM_WAY: &str = "bring its members back (`pvecm status` on the node says who is missing), then plan again";

fn refusal(reason: impl Into<String>, way_out: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), way_out: way_out.into() }
}

fn no_quorum(cluster: &str) -> Refusal {
    refusal(format!("the cluster {cluster} has no quorum on this node: /etc/pve is read-only there"), QUORUM_WAY)
}

fn fencing(ha: &Reading<HaStatus>) -> Option<Refusal> {
    let reason = match ha {
        Reading::Known(ha) => match ha.fencing() {
            about if about.is_empty() => return None,
            about => format!("high availability is fencing or recovering: {}", about.join(", ")),
        },
        Reading::Unreadable(why) => format!("whether high availability is fencing cannot be told: {why}"),
        Reading::Absent | Reading::NotAsked => return None,
    };
    Some(refusal(reason, "wait until `ha-manager status` shows every service started or stopped, then plan again"))
}

fn running(facts: &Facts) -> Option<String> {
    let ha = facts.cluster.known().and_then(|_| facts.ha().known().map(HaStatus::moving));
    if let Reading::Unreadable(why) = &facts.tasks {
        return Some(format!("whether a backup or a migration runs cannot be told: {why}"));
    }
    work(facts.tasks.known().map(Vec::as_slice), ha)
}

fn work(tasks: Option<&[crate::pve::tasks::Task]>, moving: Option<Vec<String>>) -> Option<String> {
    let tasks = tasks.unwrap_or_default().iter().filter_map(crate::pve::tasks::Task::delicate);
    let moving = moving.unwrap_or_default().into_iter().map(|what| format!("a migration by high availability: {what}"));
    let all: Vec<String> = tasks.chain(moving).collect();
    (!all.is_empty()).then(|| format!("still running: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Cluster;
    use crate::pve::tasks::Task;

    fn facts(quorate: bool, upid: &str) -> Facts {
        Facts {
            cluster: Reading::Known(Cluster { name: "lab".into(), quorate, peers: vec![], migration_network: None }),
            tasks: Reading::Known(vec![Task::decode(upid).unwrap()]),
            ..Facts::default()
        }
    }

    const BACKUP: &str = "UPID:pve1:0000C0DE:0001A2B3:690F0000:vzdump:100:root@pam:";
    const SHELL: &str = "UPID:pve1:0000C0DE:0001A2B3:690F0000:vncshell::root@pam:";

    fn operator(on_tasks: OnTasks) -> Operator {
        Operator { on_tasks, ..Operator::default() }
    }

    fn reasons(facts: &Facts, on_tasks: OnTasks) -> Vec<String> {
        refusals(facts, &operator(on_tasks)).into_iter().map(|refusal| refusal.reason).collect()
    }

    #[test]
    fn no_quorum_refuses_whatever_is_said() {
        let reason = "the cluster lab has no quorum on this node: /etc/pve is read-only there";
        for on_tasks in [OnTasks::Note, OnTasks::Refuse, OnTasks::Despite] {
            assert_eq!(reasons(&facts(false, SHELL), on_tasks), [reason]);
        }
        assert!(reasons(&facts(true, SHELL), OnTasks::Refuse).is_empty());
    }

    #[test]
    fn a_backup_is_noted_refused_or_accepted() {
        let facts = facts(true, BACKUP);
        assert!(reasons(&facts, OnTasks::Note).is_empty());
        assert_eq!(reasons(&facts, OnTasks::Refuse), ["still running: a backup (vzdump 100, started by root@pam)"]);
        assert!(reasons(&facts, OnTasks::Despite).is_empty());
        assert!(note(&facts, &operator(OnTasks::Note)).unwrap().ends_with("refuses meanwhile"));
        assert_eq!(note(&facts, &operator(OnTasks::Refuse)), None);
    }

    #[test]
    fn unreadable_tasks_count_as_work() {
        let facts = Facts { tasks: Reading::Unreadable("tasks: cut".into()), ..Facts::default() };
        assert_eq!(reasons(&facts, OnTasks::Refuse).len(), 1);
    }

    #[test]
    fn fencing_refuses_whatever_is_said() {
        let status = |text: &str| crate::plan::testing::regular(text, 0o640, "root");
        let said = |file| {
            let mut facts = facts(true, SHELL);
            facts.files.insert("/etc/pve/ha/manager_status".into(), file);
            reasons(&facts, OnTasks::Despite)
        };
        let reason = "high availability is fencing or recovering: node pve2, vm:100 (recovery)";
        let text = r#"{"node_status":{"pve2":"fence"},"service_status":{"vm:100":{"node":"pve2","state":"recovery"}}}"#;
        assert_eq!(said(status(text)), [reason]);
        assert!(said(status(r#"{"node_status":{"pve2":"online"}}"#)).is_empty());
        assert!(said(Reading::Absent).is_empty());
        assert!(said(status("{"))[0].starts_with("whether high availability is fencing cannot be told: "));
    }

    #[test]
    fn a_member_is_asked_again_when_its_turn_comes() {
        let standing = |quorate, upid: &str| Standing {
            quorate,
            tasks: Reading::Known(vec![Task::decode(upid).unwrap()]),
            ..Standing::default()
        };
        let refuse = operator(OnTasks::Refuse);
        assert_eq!(now(&standing(Reading::Known(true), SHELL), "lab", &refuse), None);
        assert!(now(&standing(Reading::Known(true), BACKUP), "lab", &refuse).is_some());
        assert!(now(&standing(Reading::Known(true), BACKUP), "lab", &operator(OnTasks::Despite)).is_none());
        for lost in [Reading::Known(false), Reading::Absent, Reading::NotAsked, Reading::Unreadable("x".into())] {
            assert!(now(&standing(lost, SHELL), "lab", &operator(OnTasks::Despite)).is_some());
        }
        let unreadable = Standing { ha: Reading::Unreadable("x".into()), ..standing(Reading::Known(true), SHELL) };
        assert!(now(&unreadable, "lab", &refuse).is_some());
    }
}
