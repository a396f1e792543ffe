//! Requirements of others, and how far the catalogue answers them. The rows are data in `profiles/frameworks/`; numbers
//! that controls name themselves are added from the catalogue.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use globset::Glob;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{Node, State};
use crate::controls::{CATALOGUE, Meta, Reference};
use crate::error::{Error, Kind, Result};

/// Name and text of each framework.
pub const SHIPPED: &[(&str, &str)] = &[
    ("guide", include_str!("../../profiles/frameworks/guide.toml")),
    ("cis", include_str!("../../profiles/frameworks/cis.toml")),
    ("checklist", include_str!("../../profiles/frameworks/checklist.toml")),
    ("hipaa", include_str!("../../profiles/frameworks/hipaa.toml")),
    ("pci-dss", include_str!("../../profiles/frameworks/pci-dss.toml")),
    ("sox", include_str!("../../profiles/frameworks/sox.toml")),
    ("gdpr", include_str!("../../profiles/frameworks/gdpr.toml")),
    ("soc2", include_str!("../../profiles/frameworks/soc2.toml")),
    ("iso27001", include_str!("../../profiles/frameworks/iso27001.toml")),
];

/// A framework as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Framework {
    /// What it is, with its version.
    pub title: String,
    /// Page that names what was read.
    pub source: String,
    /// Whose numbers in the catalogue's references belong to it.
    #[serde(default)]
    pub catalogue: Option<Numbers>,
    /// Rows.
    pub requirement: Vec<Row>,
}

/// Numbers that controls name as references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// Sections of the guide: added to the rows of the same number.
    Guide,
    /// Numbers of the Debian benchmarks: a row each.
    Cis,
}

/// One requirement as the file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    /// Number or family.
    pub id: String,
    /// What is asked, in our words.
    pub title: String,
    /// How far the controls and commands below answer it.
    pub covers: Covers,
    /// Ids, or families as `ssh.*`.
    #[serde(default)]
    pub controls: Vec<String>,
    /// Commands, as `access review`.
    #[serde(default)]
    pub commands: Vec<String>,
    /// What stays with people or other tools.
    #[serde(default)]
    pub outside: Option<String>,
    /// How it is answered, where that is not what the words suggest.
    #[serde(default)]
    pub note: Option<String>,
}

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Covers {
    /// Wholly.
    Full,
    /// In part; `outside` names the rest.
    Part,
    /// Not at all.
    Outside,
}

/// A framework against the nodes of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct View {
    /// Short name.
    pub name: String,
    /// What it is, with its version.
    pub title: String,
    /// Page that names what was read.
    pub source: String,
    /// Every requirement.
    pub requirements: Vec<Requirement>,
}

/// One requirement against the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Requirement {
    /// Number or family.
    pub id: String,
    /// What is asked.
    pub title: String,
    /// How far the catalogue answers it.
    pub coverage: Covers,
    /// Controls of the catalogue that answer it.
    pub controls: Vec<String>,
    /// Commands that answer it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// What stays with people or other tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<String>,
    /// How it is answered, where that is not what the words suggest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The worst state of its controls on each node; absent for a node on which none of them was judged.
    pub nodes: Vec<NodeStanding>,
}

/// A requirement on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NodeStanding {
    /// Name of the node.
    pub node: String,
    /// The worst state of those that were judged.
    pub status: State,
    /// Controls that belong to it and were not asked for: the profile leaves them off, or the command did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_asked: Vec<String>,
}

impl NodeStanding {
    /// What keeps a good state from being the whole answer.
    pub fn gap(&self) -> Option<String> {
        const SHOWN: usize = 4;
        let good = matches!(self.status, State::Pass | State::NotApplicable);
        (good && !self.not_asked.is_empty()).then(|| match self.not_asked.len() {
            ..=SHOWN => format!("not asked for: {}", self.not_asked.join(", ")),
            many => format!("{many} controls were not asked for"),
        })
    }

    /// The standing in words, e.g. "pass, but not asked for: cert.acme".
    pub fn words(&self) -> String {
        let word = self.status.word();
        self.gap().map_or_else(|| word.to_owned(), |gap| format!("{word}, but {gap}"))
    }
}

/// Reads a shipped framework.
pub fn shipped(name: &str) -> Result<Framework> {
    let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) else {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        return Err(Error::msg(Kind::Usage, format!("there is no framework `{name}`"))
            .hint(format!("one of {}", names.join(", "))));
    };
    toml::from_str(text).map_err(|error| Error::new(Kind::Internal, error))
}

impl Framework {
    /// The rows of the file, and those that the catalogue's references add.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self.requirement.clone();
        match self.catalogue {
            Some(Numbers::Guide) => {
                for meta in metas() {
                    for row in rows.iter_mut().filter(|row| names(meta, |r| guide(r) == Some(&row.id))) {
                        row.controls.push(meta.id.into());
                    }
                }
            }
            Some(Numbers::Cis) => rows.extend(cis_rows()),
            None => {}
        }
        rows
    }

    /// The framework against the nodes of a report; `commands` are those this program has.
    pub fn view(&self, name: &str, nodes: &[Node], commands: &BTreeSet<String>) -> View {
        let requirements = self.rows().into_iter().map(|row| requirement(row, nodes, commands)).collect();
        View { name: name.into(), title: self.title.clone(), source: self.source.clone(), requirements }
    }
}

/// Ids of the catalogue that a name or family (`ssh.*`) means.
pub fn meant(name: &str) -> Vec<&'static str> {
    let Ok(glob) = Glob::new(name) else { return Vec::new() };
    let glob = glob.compile_matcher();
    metas().map(|meta| meta.id).filter(|id| glob.is_match(id)).collect()
}

fn metas() -> impl Iterator<Item = &'static Meta> {
    CATALOGUE.iter().map(|control| control.meta())
}

fn names(meta: &Meta, is: impl Fn(&Reference) -> bool) -> bool {
    meta.references.iter().any(is)
}

const fn guide(reference: &Reference) -> Option<&'static str> {
    match reference {
        Reference::Guide(section) => Some(section),
        _ => None,
    }
}

/// A row for each number that a control names. A control is made for PVE, so that it never claims the whole of a number.
fn cis_rows() -> Vec<Row> {
    let number = |reference: &Reference| match reference {
        Reference::Cis13(number) => Some((13, *number)),
        Reference::Cis12(number) => Some((12, *number)),
        _ => None,
    };
    let numbers: BTreeSet<(Reverse<u8>, Vec<u32>, &str)> = metas()
        .flat_map(|meta| meta.references)
        .filter_map(number)
        .map(|(release, number)| {
            (Reverse(release), number.split('.').filter_map(|part| part.parse().ok()).collect(), number)
        })
        .collect();
    let row = |(Reverse(release), _, wanted): &(Reverse<u8>, Vec<u32>, &str)| {
        let of = |meta: &&Meta| names(meta, |reference| number(reference) == Some((*release, *wanted)));
        let controls: Vec<&Meta> = metas().filter(of).collect();
        Row {
            id: format!("Debian {release}: {wanted}"),
            title: controls.iter().map(|meta| meta.title).collect::<Vec<_>>().join("; "),
            covers: Covers::Part,
            controls: controls.iter().map(|meta| meta.id.to_owned()).collect(),
            commands: Vec::new(),
            outside: Some(format!("what is done otherwise on PVE, and why: {}", explained(&controls))),
            note: None,
        }
    };
    numbers.iter().map(row).collect()
}

fn explained(controls: &[&Meta]) -> String {
    controls.iter().map(|meta| format!("`pve-harden explain {}`", meta.id)).collect::<Vec<_>>().join(", ")
}

fn requirement(row: Row, nodes: &[Node], commands: &BTreeSet<String>) -> Requirement {
    let found: BTreeSet<&str> = row.controls.iter().flat_map(|name| meant(name)).collect();
    let controls: Vec<String> =
        metas().map(|meta| meta.id).filter(|id| found.contains(id)).map(str::to_owned).collect();
    let missing = row.controls.iter().any(|name| meant(name).is_empty());
    let here: Vec<String> = row.commands.iter().filter(|command| commands.contains(*command)).cloned().collect();
    let coverage = match row.covers {
        _ if controls.is_empty() && here.is_empty() => Covers::Outside,
        Covers::Full if missing || here.len() < row.commands.len() => Covers::Part,
        covers => covers,
    };
    let nodes = nodes.iter().filter_map(|node| standing(node, &controls)).collect();
    let Row { id, title, outside, note, .. } = row;
    Requirement { id, title, coverage, controls, commands: here, outside, note, nodes }
}

fn standing(node: &Node, controls: &[String]) -> Option<NodeStanding> {
    let rank = |state: &State| match state {
        State::Refused => 5,
        State::Differs => 4,
        State::Unknown => 3,
        State::Waived => 2,
        State::Pass => 1,
        State::NotApplicable => 0,
    };
    let judged = node.controls.iter().filter(|control| controls.contains(&control.id));
    let status = judged.map(|control| control.status).max_by_key(rank)?;
    let is_judged = |id: &&String| node.controls.iter().any(|control| control.id == **id);
    let not_asked = controls.iter().filter(|id| !is_judged(id)).cloned().collect();
    Some(NodeStanding { node: node.node.clone(), status, not_asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(&'static str, Framework)> {
        SHIPPED.iter().map(|(name, _)| (*name, shipped(name).unwrap())).collect()
    }

    #[test]
    fn every_framework_is_whole() {
        for (name, framework) in all() {
            let mut ids = BTreeSet::new();
            for row in framework.rows() {
                assert!(ids.insert(row.id.clone()), "{name}: {} is there twice", row.id);
                let empty = row.controls.is_empty() && row.commands.is_empty();
                assert_eq!(empty, row.covers == Covers::Outside, "{name} {}", row.id);
                let rest = row.outside.is_some();
                assert!(rest == (row.covers != Covers::Full), "{name} {}: outside, and why?", row.id);
                assert!(!row.title.is_empty());
            }
        }
    }

    #[test]
    fn every_control_answers_to_some_framework() {
        let named: BTreeSet<&str> = all()
            .iter()
            .flat_map(|(_, framework)| framework.rows())
            .flat_map(|row| row.controls)
            .flat_map(|name| meant(&name))
            .collect();
        let lost: Vec<&str> = metas().map(|meta| meta.id).filter(|id| !named.contains(id)).collect();
        assert!(lost.is_empty(), "in no framework (profiles/frameworks/checklist.toml has a place for it): {lost:?}");
    }

    #[test]
    fn references_of_the_catalogue_become_rows() {
        let rows = shipped("cis").unwrap().rows();
        let root = rows.iter().find(|row| row.id == "Debian 13: 5.1.21").unwrap();
        assert_eq!(root.controls, ["ssh.root-login"]);
        let guide = shipped("guide").unwrap();
        for meta in metas() {
            for section in meta.references.iter().filter_map(super::guide) {
                assert!(guide.requirement.iter().any(|row| row.id == section), "{}: section {section}", meta.id);
            }
        }
    }

    #[test]
    fn what_was_not_asked_for_is_no_pass() {
        let standing = |status, not_asked: &[&str]| NodeStanding {
            node: "pve1".into(),
            status,
            not_asked: not_asked.iter().map(ToString::to_string).collect(),
        };
        let off = ["cert.acme", "cert.custom"];
        assert_eq!(standing(State::Pass, &[]).words(), "pass");
        assert_eq!(standing(State::Pass, &off).words(), "pass, but not asked for: cert.acme, cert.custom");
        assert_eq!(
            standing(State::NotApplicable, &["a"; 5]).words(),
            "not applicable, but 5 controls were not asked for"
        );
        assert_eq!(standing(State::Differs, &off).words(), "differs", "worse than a gap");
    }

    #[test]
    fn what_does_not_exist_covers_nothing() {
        let row = |controls: &[&str], commands: &[&str]| Row {
            id: "1".into(),
            title: "t".into(),
            covers: Covers::Full,
            controls: controls.iter().map(ToString::to_string).collect(),
            commands: commands.iter().map(ToString::to_string).collect(),
            outside: None,
            note: None,
        };
        let commands = BTreeSet::from(["check".to_owned()]);
        let coverage = |controls: &[&str], names: &[&str]| requirement(row(controls, names), &[], &commands).coverage;
        assert_eq!(coverage(&["ssh.limits"], &["check"]), Covers::Full);
        assert_eq!(coverage(&["ssh.limits", "nosuch.control"], &[]), Covers::Part);
        assert_eq!(coverage(&["ssh.limits"], &["nosuch"]), Covers::Part);
        assert_eq!(coverage(&["nosuch.*"], &["nosuch"]), Covers::Outside);
    }
}
