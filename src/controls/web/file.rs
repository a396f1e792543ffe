//! /etc/default/pveproxy as it is and as it should be.

use crate::change::{Action, Change, FileChange, FileImage, Stage, UnitVerb};
use crate::controls::conf::Syntax;
use crate::facts::{Facts, FileFact, FileKind};
use crate::profile::policy::Policy;
use crate::pve::pveproxy::{PATH, Settings};

use super::{allow_from, listen, tls};

/// What a control wants of the file: a value to set, or none to take the setting away.
pub type Part = Vec<(&'static str, Option<String>)>;

/// The file as it was read.
pub struct File<'a> {
    fact: Option<&'a FileFact>,
    /// What bash makes of it.
    pub settings: Settings,
}

impl<'a> File<'a> {
    /// Reads it; an error when it cannot be told what is in it.
    pub fn read(facts: &'a Facts) -> Result<Self, String> {
        let Some(fact) = facts.file(PATH).certain().map_err(|why| format!("{PATH}: {why}"))? else {
            return Ok(Self { fact: None, settings: Settings::default() });
        };
        match (&fact.kind, &fact.content) {
            (FileKind::Regular, Some(text)) => Ok(Self { fact: Some(fact), settings: Settings::parse(text) }),
            (FileKind::Regular, None) => {
                Err(format!("{PATH}: its content was not read: it is too large, or not text in UTF-8"))
            }
            _ => Err(format!("{PATH} is not a regular file")),
        }
    }

    /// What a person must repair first, if anything: a line of which bash makes something else than a setting.
    pub fn repair(&self) -> Option<String> {
        let problem = self.settings.problems.first()?;
        Some(format!("{PATH} line {}: {}; repair the line and run again", problem.line, problem.why))
    }

    /// Whether pveproxy, which reads the file as www-data, cannot.
    pub fn is_hidden(&self) -> bool {
        self.fact.is_some_and(|fact| fact.mode & 0o004 == 0 && !(fact.group == "www-data" && fact.mode & 0o040 != 0))
    }

    /// Whether the file was changed after pveproxy last read it.
    pub fn is_unread(&self, facts: &Facts) -> Result<bool, String> {
        let Some(modified) = self.fact.and_then(|fact| fact.modified) else { return Ok(false) };
        let since = facts.network.web_since.certain().map_err(|why| format!("when pveproxy read {PATH}: {why}"))?;
        Ok(since.is_some_and(|since| *since < modified))
    }

    fn image(&self) -> Option<FileImage> {
        let fact = self.fact?;
        Some(FileImage {
            content: fact.content.clone()?,
            mode: fact.mode,
            owner: fact.owner.clone(),
            group: fact.group.clone(),
        })
    }
}

/// The changes that put the file right for every control of this run that needs it, and make pveproxy read it.
pub fn changes(facts: &Facts, policy: &Policy, id: &str) -> Result<Vec<Change>, String> {
    let file = File::read(facts)?;
    let before = file.image();
    let mut text = before.as_ref().map(|image| image.content.clone()).unwrap_or_default();
    let parts: Part =
        [allow_from::part(facts, policy), tls::part(facts, policy)].into_iter().flatten().flatten().collect();
    for (name, value) in &parts {
        text = match value {
            Some(value) => Syntax::Shell.set(&text, name, &format!("\"{value}\"")),
            None => Syntax::Shell.comment_out(&text, name),
        };
    }
    let reached = Settings::parse(&text);
    if let Some((name, _)) = parts.iter().find(|(name, value)| reached.value(name) != value.as_deref()) {
        return Err(format!("{PATH}: {name} is set in a way this tool does not change"));
    }
    let mode = before.as_ref().map_or(0o644, |image| image.mode | 0o044);
    let after = FileImage { mode, ..FileImage::root(text, 0o644) };
    let mut changes = Vec::new();
    if before.as_ref() != Some(&after) {
        let action = FileChange { path: PATH.into(), before, after: Some(after), validate: None };
        changes.push(change(id, "settings of pveproxy", Action::File(action)));
    }
    let units = facts.units.required("systemd's units")?;
    let stays = |unit: &str| unit != listen::SPICEPROXY || !listen::stops_spiceproxy(facts, policy);
    for (unit, summary) in UNITS.into_iter().filter(|(unit, _)| stays(unit)) {
        if units.get(unit).is_some_and(|state| state.active == "active") {
            let action = Action::Unit { unit: unit.into(), verb: UnitVerb::Reload };
            changes.push(change(id, summary, action));
        }
    }
    Ok(changes)
}

/// Who reads the file. A reload starts new workers that read it and lets the old ones finish what they serve, so that
/// consoles stay (pve-common src/PVE/Daemon.pm `leave_children_open_on_reload`).
const UNITS: [(&str, &str); 2] = [
    ("pveproxy.service", "pveproxy reads its settings again; open consoles stay"),
    (listen::SPICEPROXY, "spiceproxy reads the same settings again"),
];

fn change(id: &str, summary: &str, action: Action) -> Change {
    Change {
        controls: vec![id.to_owned()],
        stage: Stage::Firewall,
        summary: summary.to_owned(),
        interrupts: None,
        action,
    }
}
