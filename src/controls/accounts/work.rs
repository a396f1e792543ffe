//! What an account control collects while it walks over people.

use crate::change::{Action, Change, FileChange, FileImage, Stage, Validate};
use crate::controls::{Evidence, Status, Verdict};
use crate::facts::{Facts, FileFact, FileKind};

/// Why a walk ends early.
#[derive(Debug)]
pub enum Stop {
    /// It cannot be told.
    Unknown(String),
    /// It would harm.
    Refused(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Unknown(why)
    }
}

/// Changes, observations and advice so far.
#[derive(Debug, Default)]
pub struct Work {
    changes: Vec<Change>,
    evidence: Vec<Evidence>,
    advice: Vec<String>,
}

impl Work {
    /// Adds a change.
    pub fn change(&mut self, stage: Stage, summary: impl Into<String>, action: Action) {
        let controls = vec![super::admin::ID.into()];
        self.changes.push(Change { controls, stage, summary: summary.into(), interrupts: None, action });
    }

    /// Whether what was planned so far gives the account's password or its expiry a new date.
    pub fn touches_login_days(&self, account: &str) -> bool {
        self.changes.iter().any(|change| {
            matches!(&change.action,
                Action::UserPassword { name, .. } | Action::UserLock { name, .. } if name == account)
        })
    }

    /// Adds an observation with what was wanted.
    pub fn saw(&mut self, source: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) {
        self.evidence.push(Evidence::new(source, found, wanted));
    }

    /// Adds an observation that is as it should be.
    pub fn proved(&mut self, source: impl Into<String>, found: impl Into<String>) {
        self.evidence.push(Evidence { source: source.into(), found: found.into(), wanted: None });
    }

    /// Adds something a person must do.
    pub fn advise(&mut self, advice: impl Into<String>) {
        self.advice.push(advice.into());
    }

    /// Brings a file to this image, if it is not there already.
    pub fn file(&mut self, summary: impl Into<String>, present: Option<FileImage>, wanted: Wanted) {
        if present == wanted.image {
            return;
        }
        let Wanted { path, image, validate } = wanted;
        let file = FileChange { path, before: present, after: image, validate };
        self.change(Stage::Accounts, summary, Action::File(file));
    }

    /// The judgement.
    pub fn verdict(self, end: Result<(), Stop>) -> Verdict {
        let status = match end {
            Err(Stop::Unknown(why)) => Status::Unknown { why },
            Err(Stop::Refused(why)) => Status::Refused { why },
            Ok(()) if self.changes.is_empty() && self.advice.is_empty() => Status::Compliant,
            Ok(()) => {
                let advice = (!self.advice.is_empty()).then(|| self.advice.join("; "));
                Status::Differs { changes: self.changes, advice }
            }
        };
        Verdict { status, evidence: self.evidence }
    }
}

/// A file as it should be.
pub struct Wanted {
    /// Absolute path.
    pub path: String,
    /// `None` removes it.
    pub image: Option<FileImage>,
    /// Check before it becomes live.
    pub validate: Option<Validate>,
}

/// A regular file as it is. Links are never followed nor replaced.
pub fn regular(facts: &Facts, path: &str) -> Result<Option<FileImage>, Stop> {
    let Some(fact) = facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? else { return Ok(None) };
    match (&fact.kind, &fact.content) {
        (FileKind::Regular, Some(content)) => Ok(Some(FileImage {
            content: content.clone(),
            mode: fact.mode,
            owner: fact.owner.clone(),
            group: fact.group.clone(),
        })),
        (FileKind::Regular, None) => {
            Err(Stop::Unknown(format!("{path}: its content was not read: it is too large, or not text in UTF-8")))
        }
        (FileKind::Symlink(_), _) => Err(Stop::Refused(format!(
            "{path} is a symbolic link, which is never replaced; put a regular file in its place"
        ))),
        _ => Err(Stop::Refused(format!("{path} is neither a file nor absent; move it away"))),
    }
}

/// A directory as it is.
pub fn directory<'a>(facts: &'a Facts, path: &str) -> Result<Option<&'a FileFact>, Stop> {
    let Some(fact) = facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? else { return Ok(None) };
    match &fact.kind {
        FileKind::Directory => Ok(Some(fact)),
        FileKind::Symlink(_) => {
            Err(Stop::Refused(format!("{path} is a symbolic link, which is never followed; make it a directory")))
        }
        _ => Err(Stop::Refused(format!("{path} is not a directory; move it away"))),
    }
}
