//! The catalogue checks itself.

use std::collections::BTreeSet;
use std::path::Path;

use pve_harden::change::Action;
use pve_harden::controls::{CATALOGUE, Status};
use pve_harden::facts::Facts;

use super::policy;

#[test]
fn ids_are_unique_and_are_tables_of_a_profile() {
    let profile = serde_json::to_value(&policy("baseline").profile).unwrap();
    let mut seen = BTreeSet::new();
    for control in CATALOGUE {
        let id = control.meta().id;
        assert!(seen.insert(id), "{id} stands twice in the catalogue");
        let (family, name) = id.split_once('.').unwrap();
        assert!(profile[family][name]["enabled"].is_boolean(), "a profile has no table {id}");
    }
}

#[test]
fn every_table_that_can_be_enabled_has_a_control() {
    let profile = serde_json::to_value(&policy("baseline").profile).unwrap();
    let ids: BTreeSet<_> = CATALOGUE.iter().map(|control| control.meta().id.to_owned()).collect();
    for (family, tables) in profile.as_object().unwrap() {
        for (name, _) in tables.as_object().unwrap().iter().filter(|(_, table)| table["enabled"].is_boolean()) {
            let id = format!("{family}.{name}");
            assert!(ids.contains(&id), "no control judges {id}");
        }
    }
}

#[test]
fn every_control_explains_itself() {
    for control in CATALOGUE {
        let meta = control.meta();
        for (part, text) in [("why", meta.why), ("checked", meta.checked), ("naive", meta.naive)] {
            assert!(text.len() > 60, "{}: `{part}` says nothing", meta.id);
            assert!(
                text.ends_with('.') && !text.contains("  "),
                "{}: `{part}` is not a clean sentence: {text}",
                meta.id
            );
        }
        assert!(!meta.title.is_empty() && !meta.title.ends_with('.'), "{}: the title is a heading", meta.id);
        assert!(!meta.references.is_empty(), "{}: no reference", meta.id);
        assert!((1..=3).contains(&meta.level), "{}: level {}", meta.id, meta.level);
    }
}

#[test]
fn nothing_is_compliant_on_a_node_of_which_nothing_is_known() {
    for profile in ["baseline", "strict", "lab"] {
        let policy = policy(profile);
        for control in CATALOGUE.iter().filter(|control| control.enabled(&policy)) {
            let verdict = control.evaluate(&Facts::default(), &policy);
            assert!(matches!(verdict.status, Status::Unknown { .. }), "{}: {:?}", control.meta().id, verdict.status);
        }
    }
}

#[test]
fn every_control_has_its_fixtures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/controls");
    for control in CATALOGUE {
        let folder = folder.join(control.meta().id);
        let names: Vec<_> = std::fs::read_dir(&folder)
            .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        for state in ["differs", "compliant"] {
            let found = names.iter().any(|name: &String| name.starts_with(state));
            assert!(found, "{} has no {state} snapshot", folder.display());
        }
    }
}

#[test]
fn every_control_can_be_waived_by_its_id() {
    let leaves = pve_harden::profile::schema::layer_shape().leaves();
    for control in CATALOGUE {
        let id = control.meta().id;
        assert!(leaves.contains(&format!("{id}.enabled")), "a profile has no table [{id}] with `enabled`");
    }
}

/// The capture simulates the installation of what [`Control::packages`] names; a package beside it would be planned
/// without what apt says of it.
#[test]
fn every_package_a_control_plans_is_one_it_names() {
    let nodes = [Facts::fresh_pve9(), Facts::fresh_pve8(), Facts::cluster_of_three()];
    let mut planned = BTreeSet::new();
    for profile in ["baseline", "strict", "lab"] {
        let policy = policy(profile);
        for facts in &nodes {
            let facts = super::asked(facts.clone(), &policy);
            for control in CATALOGUE.iter().filter(|control| control.enabled(&policy)) {
                let Status::Differs { changes, .. } = control.evaluate(&facts, &policy).status else { continue };
                for change in changes {
                    let Action::Packages { install } = change.action else { continue };
                    for package in install {
                        let id = control.meta().id;
                        assert!(
                            control.packages().contains(&package.as_str()),
                            "{id} plans {package} and does not name it"
                        );
                        planned.insert(package);
                    }
                }
            }
        }
    }
    assert!(planned.contains("sudo") && planned.len() > 1, "{planned:?}");
}
