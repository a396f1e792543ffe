//! What the installation of packages brings along, and when it must not happen.

use std::collections::BTreeSet;

use super::Refusal;
use crate::change::{Action, Change};
use crate::facts::{Facts, Reading, Simulation, Versioned};

/// What `apply` does whatever the simulation said.
const AGAIN: &str = "apply simulates again on the node and undoes the run if apt would remove or upgrade anything";

/// Packages the plan installs.
fn wanted(changes: &[Change]) -> BTreeSet<&str> {
    let installs = changes.iter().filter_map(|change| match &change.action {
        Action::Packages { install } => Some(install),
        _ => None,
    });
    installs.flatten().map(String::as_str).collect()
}

/// Every package that becomes new, if the node simulated the installation of exactly what the plan installs.
pub fn brings(facts: &Facts, changes: &[Change]) -> Vec<Versioned> {
    let wanted = wanted(changes);
    match &facts.simulation {
        Reading::Known(simulation) if simulation.asked.iter().map(String::as_str).eq(wanted) => {
            simulation.installs.clone()
        }
        _ => Vec::new(),
    }
}

/// Sentences about the packages; none when the plan installs none.
pub fn notes(facts: &Facts, changes: &[Change]) -> Vec<String> {
    let wanted = wanted(changes);
    if wanted.is_empty() {
        return Vec::new();
    }
    let names = list(wanted.iter().copied());
    let mut notes = vec![format!("packages to be installed: {names}; an undo leaves them installed and lists them")];
    match &facts.simulation {
        Reading::NotAsked => {}
        Reading::Absent => notes.push("the node has no apt-get; the packages cannot be installed".into()),
        Reading::Unreadable(why) => {
            notes.push(format!("which packages these bring along cannot be told ({why}); {AGAIN}"));
        }
        Reading::Known(simulation) => notes.extend(simulated(simulation, &wanted)),
    }
    notes
}

fn simulated(simulation: &Simulation, wanted: &BTreeSet<&str>) -> Option<String> {
    let missing = simulation.unlisted.iter().map(String::as_str).filter(|name| wanted.contains(name));
    let missing = list(missing);
    if !missing.is_empty() {
        return Some(format!(
            "the node's package lists do not have {missing} (a fresh installation has no lists): apply fetches them \
             first, and only then it is known which packages these bring along; {AGAIN}"
        ));
    }
    if refused(simulation, wanted).is_some() {
        return None;
    }
    if !simulation.asked.iter().map(String::as_str).eq(wanted.iter().copied()) {
        return Some(format!("which packages these bring along was not simulated; {AGAIN}"));
    }
    let more = simulation.installs.iter().filter(|package| !wanted.contains(package.name.as_str())).count();
    let brought = match more {
        0 => "they bring no others along".to_owned(),
        1 => "they bring 1 other along".to_owned(),
        more => format!("they bring {more} others along"),
    };
    Some(format!("by the node's package lists {brought}; {AGAIN}"))
}

/// An installation that removes or upgrades something, or that apt refuses.
pub fn refusal(facts: &Facts, changes: &[Change]) -> Option<Refusal> {
    let wanted = wanted(changes);
    let reason = refused(facts.simulation.known()?, &wanted)?;
    let names = wanted.iter().copied().collect::<Vec<_>>().join(" ");
    Some(Refusal {
        reason,
        way_out: format!(
            "look at `apt-get -s install --no-install-recommends {names}` on the node and settle it there, or plan \
             without the controls that need the package; then plan again"
        ),
    })
}

fn refused(simulation: &Simulation, wanted: &BTreeSet<&str>) -> Option<String> {
    let asked = list(simulation.asked.iter().map(String::as_str));
    if !simulation.asked.iter().any(|name| wanted.contains(name.as_str())) {
        return None;
    }
    let upgrades = simulation.upgrades.iter().filter(|package| !simulation.asked.contains(&package.name));
    let effects = [("remove", versions(&simulation.removes)), ("upgrade", versions(upgrades))];
    let effects: Vec<_> =
        effects.iter().filter(|(_, what)| !what.is_empty()).map(|(verb, what)| format!("{verb} {what}")).collect();
    if !effects.is_empty() {
        return Some(format!("installing {asked} would {}, which nobody asked for", effects.join(" and ")));
    }
    simulation.problem.as_ref().map(|problem| format!("apt would not install {asked}: {problem}"))
}

fn versions<'a>(packages: impl IntoIterator<Item = &'a Versioned>) -> String {
    packages.into_iter().map(|package| format!("{} {}", package.name, package.version)).collect::<Vec<_>>().join(", ")
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Stage;
    use crate::plan::testing::change;

    fn install(names: &[&str]) -> Vec<Change> {
        let install = names.iter().map(ToString::to_string).collect();
        vec![change("accounts.admin", Stage::Packages, Action::Packages { install })]
    }

    fn package(name: &str) -> Versioned {
        Versioned { name: name.into(), version: "1.0".into() }
    }

    fn facts(edit: impl FnOnce(&mut Simulation)) -> Facts {
        let mut simulation = Simulation { asked: ["sudo".to_owned()].into(), ..Simulation::default() };
        edit(&mut simulation);
        Facts { simulation: Reading::Known(simulation), ..Facts::default() }
    }

    #[test]
    fn what_comes_along_is_counted_and_kept() {
        let facts = facts(|found| found.installs = vec![package("sudo"), package("libx")]);
        assert_eq!(brings(&facts, &install(&["sudo"])), [package("sudo"), package("libx")]);
        assert_eq!(refusal(&facts, &install(&["sudo"])), None);
        insta::assert_snapshot!(notes(&facts, &install(&["sudo"])).join("\n"), @r"
        packages to be installed: sudo; an undo leaves them installed and lists them
        by the node's package lists they bring 1 other along; apply simulates again on the node and undoes the run if apt would remove or upgrade anything
        ");
        assert_eq!(notes(&facts, &[]), [""; 0]);
    }

    #[test]
    fn a_simulation_of_something_else_is_not_shown_as_this_one() {
        let mut facts = facts(|found| found.installs = vec![package("sudo"), package("file")]);
        if let Reading::Known(found) = &mut facts.simulation {
            found.asked.insert("file".into());
        }
        assert_eq!(brings(&facts, &install(&["sudo"])), []);
        assert!(notes(&facts, &install(&["sudo"]))[1].contains("was not simulated"));
    }

    #[test]
    fn a_node_without_lists_is_told_so_and_not_refused() {
        let facts = facts(|found| found.unlisted = found.asked.clone());
        assert_eq!(refusal(&facts, &install(&["sudo"])), None);
        insta::assert_snapshot!(notes(&facts, &install(&["sudo"]))[1], @"the node's package lists do not have sudo (a fresh installation has no lists): apply fetches them first, and only then it is known which packages these bring along; apply simulates again on the node and undoes the run if apt would remove or upgrade anything");
    }

    #[test]
    fn removals_upgrades_and_conflicts_are_refused() {
        let reason = |facts: &Facts| refusal(facts, &install(&["sudo"])).map(|refusal| refusal.reason);
        let both = facts(|found| {
            found.removes = vec![package("a"), package("b")];
            found.upgrades = vec![package("libc6")];
        });
        assert_eq!(
            reason(&both).unwrap(),
            "installing sudo would remove a 1.0, b 1.0 and upgrade libc6 1.0, which nobody asked for"
        );
        assert_eq!(notes(&both, &install(&["sudo"])).len(), 1);
        let held = facts(|found| found.problem = Some("held packages".into()));
        assert_eq!(reason(&held).unwrap(), "apt would not install sudo: held packages");
        assert_eq!(refusal(&held, &[]), None);
        assert_eq!(reason(&Facts::default()), None);
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let facts = Facts { simulation: Reading::Unreadable("cut off".into()), ..Facts::default() };
        assert!(notes(&facts, &install(&["sudo"]))[1].contains("cannot be told (cut off)"));
        assert_eq!(notes(&Facts::default(), &install(&["sudo"])).len(), 1);
    }
}
