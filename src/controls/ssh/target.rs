//! The drop-in as it is and as it should be, and the changes between the two.

use std::collections::BTreeMap;

use crate::change::{Action, Change, FileChange, FileImage, SshdExpectation, Stage, UnitVerb, Validate};
use crate::facts::{CaseKind, FileFact, FileKind, SshdCase, SshdSettings};

use super::node::Node;
use super::section::{Chunk, Section};
use super::setter::{self, MAIN};
use super::want::Fit;
use super::{SshControl, active, dropin, ids};

/// Only root reads sshd's settings.
const MODE: u32 = 0o600;

/// Present and wanted state of sshd's files.
pub struct Target<'a> {
    node: &'a Node<'a>,
    cases: &'a [(&'a SshdCase, &'a SshdSettings)],
    present: Option<&'a FileFact>,
    present_chunks: Vec<Chunk>,
    /// Controls whose lines this run decides; the others' stay as they are.
    decided: Vec<&'static dyn SshControl>,
    wanted_chunks: Vec<Chunk>,
    /// The wanted text of the drop-in.
    text: String,
    /// The main file when it needs an Include at its head.
    main: Option<&'a FileFact>,
}

impl<'a> Target<'a> {
    pub fn new(node: &'a Node<'a>, cases: &'a [(&'a SshdCase, &'a SshdSettings)]) -> Result<Self, String> {
        let present = regular(node, dropin::PATH)?;
        let order = ids();
        let present_chunks = present
            .and_then(|fact| fact.content.as_deref())
            .map(|text| dropin::parse(text, &order))
            .unwrap_or_default();
        let includes = *node.facts.sshd.includes_dropins.required("whether the main file includes the drop-ins")?;
        let main = if includes { None } else { regular(node, MAIN)? };
        if !includes && main.is_none() {
            return Err(format!("{MAIN} is absent"));
        }
        let decided: Vec<_> = active(node.policy).filter(|control| control.obstacle(node).is_none()).collect();
        let (wanted_chunks, text) = (Vec::new(), String::new());
        let mut target = Self { node, cases, present, present_chunks, decided, wanted_chunks, text, main };
        target.wanted_chunks = target.kept();
        for control in target.decided.clone() {
            target.wanted_chunks.extend(target.section(control).chunks(control.meta().id));
        }
        target.text = dropin::render(&target.wanted_chunks, &order);
        Ok(target)
    }

    /// Chunks of controls that this command leaves out, or that cannot be judged now.
    fn kept(&self) -> Vec<Chunk> {
        let policy = self.node.policy;
        let undecided = |id: &str| active(policy).any(|control| control.meta().id == id) && !self.decides(id);
        let kept = |chunk: &&Chunk| policy.left_out.contains(&chunk.id) || undecided(&chunk.id);
        self.present_chunks.iter().filter(kept).cloned().collect()
    }

    fn decides(&self, id: &str) -> bool {
        self.decided.iter().any(|control| control.meta().id == id)
    }

    /// A control's lines without those where the node's own files are stricter already: the drop-in sorts first and
    /// would loosen them.
    pub fn section(&self, control: &dyn SshControl) -> Section {
        let mut section = control.section(self.node);
        for keyword in self.stricter_already(control) {
            section.leave_out(keyword);
        }
        section
    }

    /// Keywords that the node sets more strictly than the policy, by itself.
    pub fn stricter_already(&self, control: &dyn SshControl) -> Vec<&'static str> {
        let Some((outside, settings)) = self.cases.iter().find(|(case, _)| case.who == CaseKind::RootOutside) else {
            return Vec::new();
        };
        let wants = control.wants(self.node, outside);
        wants
            .iter()
            .filter(|want| !dropin::sets(&self.present_chunks, want.keyword) && want.fit(settings) == Fit::Stricter)
            .map(|want| want.keyword)
            .collect()
    }

    /// Whether the drop-in holds this control's section, but not as it should be. Without a section only effective
    /// settings count. The first decided control also answers for the file as a whole.
    pub fn differs(&self, control: &dyn SshControl) -> bool {
        let id = control.meta().id;
        let own = |chunks: &[Chunk]| -> Vec<Chunk> { chunks.iter().filter(|chunk| chunk.id == id).cloned().collect() };
        let first = self.decided.first().is_some_and(|first| first.meta().id == id);
        let section = own(&self.present_chunks);
        (!section.is_empty() && section != own(&self.wanted_chunks))
            || (first && self.present.is_some_and(|fact| self.others_differ(fact)))
    }

    fn others_differ(&self, present: &FileFact) -> bool {
        let mut expected: Vec<Chunk> = self.kept();
        expected.extend(self.present_chunks.iter().filter(|chunk| self.decides(&chunk.id)).cloned());
        let text = dropin::render(&expected, &ids());
        present.content.as_deref() != Some(&text) || image(present) != Some(FileImage::root(text, MODE))
    }

    /// Whether the main file gets an Include.
    pub fn lacks_include(&self) -> bool {
        self.main.is_some()
    }

    /// Whether writing the files would change anything.
    pub fn has_changes(&self) -> bool {
        self.main.is_some() || self.present.and_then(image) != Some(self.image())
    }

    fn image(&self) -> FileImage {
        FileImage::root(&self.text, MODE)
    }

    /// The changes; the same for every control that wants them.
    pub fn changes(&self, id: &str) -> Vec<Change> {
        let change = |summary: &str, action: Action| Change {
            controls: vec![id.into()],
            stage: Stage::Ssh,
            summary: summary.into(),
            interrupts: None,
            action,
        };
        let mut changes = Vec::new();
        if let Some(main) = self.main {
            changes.push(change("let sshd read its drop-ins first", Action::File(include_at_head(main))));
        }
        if self.present.and_then(image) != Some(self.image()) {
            let file = FileChange {
                path: dropin::PATH.into(),
                before: self.present.and_then(image),
                after: Some(self.image()),
                validate: Some(Validate::Sshd { expect: self.expectations() }),
            };
            changes.push(change("settings of sshd, first in reading order", Action::File(file)));
        }
        if !changes.is_empty() {
            let reload = Action::Unit { unit: "ssh.service".into(), verb: UnitVerb::Reload };
            changes.push(change("sshd reads its files again; open sessions stay", reload));
        }
        changes
    }

    /// What `sshd -T -C` must say of the candidate: every case that was read, and root from every peer.
    fn expectations(&self) -> Vec<SshdExpectation> {
        let settings = |case: &SshdCase, now: &SshdSettings| {
            let mut settings = BTreeMap::new();
            for control in &self.decided {
                let stricter = self.stricter_already(*control);
                for want in control.wants(self.node, case) {
                    let present = now.get(want.keyword).map(String::as_str);
                    if self.beaten(want.keyword, present, &want.value) {
                        continue;
                    }
                    let kept = stricter.contains(&want.keyword).then_some(present).flatten();
                    settings.insert(want.keyword.to_owned(), kept.unwrap_or(&want.value).to_owned());
                }
            }
            settings
        };
        self.cases
            .iter()
            .map(|(case, now)| SshdExpectation { case: case.spec(), settings: settings(case, now) })
            .collect()
    }

    /// Whether a line that sshd reads before the drop-in keeps a value that is not wanted.
    fn beaten(&self, keyword: &str, present: Option<&str>, wanted: &str) -> bool {
        present != Some(wanted) && !self.winners(keyword, present).is_empty()
    }

    /// Lines outside the drop-in that beat it: those read earlier, for a keyword that may not stand in a `Match` or
    /// from within one; and those read later for the one keyword where sshd takes the last value.
    pub fn winners(&self, keyword: &str, present: Option<&str>) -> Vec<setter::Setter> {
        let (mut before, after) = setter::setters(self.node.facts, keyword);
        if keyword == LAST_WINS {
            return after;
        }
        before.retain(|line| {
            (line.in_match || GLOBAL_ONLY.contains(&keyword))
                && present.is_none_or(|value| same_value(keyword, value, &line.value))
        });
        before
    }
}

/// sshd overwrites this one each time it reads it (servconf.c, `sMaxStartups`), in 9.2 and in 10.0.
const LAST_WINS: &str = "maxstartups";

/// Keywords that sshd refuses inside a `Match` (`sshd_config(5)`).
const GLOBAL_ONLY: [&str; 8] = [
    "logingracetime",
    "tcpkeepalive",
    "compression",
    "kexalgorithms",
    "ciphers",
    "macs",
    "hostkeyalgorithms",
    "requiredrsasize",
];

/// Whether what sshd prints may come from this line. Lists and times have many spellings, so only plain words differ.
fn same_value(keyword: &str, printed: &str, written: &str) -> bool {
    let word = if written.eq_ignore_ascii_case("prohibit-password") { "without-password" } else { written };
    GLOBAL_ONLY.contains(&keyword) || printed.eq_ignore_ascii_case(word)
}

fn regular<'a>(node: &'a Node<'a>, path: &str) -> Result<Option<&'a FileFact>, String> {
    let Some(fact) = node.facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? else { return Ok(None) };
    match (&fact.kind, &fact.content) {
        (FileKind::Regular, Some(_)) => Ok(Some(fact)),
        (FileKind::Regular, None) => {
            Err(format!("{path}: its content was not read: it is too large, or not text in UTF-8"))
        }
        _ => Err(format!("{path} is not a regular file")),
    }
}

fn image(fact: &FileFact) -> Option<FileImage> {
    Some(FileImage {
        content: fact.content.clone()?,
        mode: fact.mode,
        owner: fact.owner.clone(),
        group: fact.group.clone(),
    })
}

fn include_at_head(main: &FileFact) -> FileChange {
    let before = image(main);
    let after = before
        .clone()
        .map(|image| FileImage { content: format!("Include {}/*.conf\n{}", dropin::FOLDER, image.content), ..image });
    FileChange { path: MAIN.into(), before, after, validate: Some(Validate::Sshd { expect: Vec::new() }) }
}
