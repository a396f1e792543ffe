//! An imaginary node with a real sshd.

use std::collections::BTreeSet;

use pve_harden::change::{Action, FileImage, Validate};
use pve_harden::controls::{CATALOGUE, Status, Verdict};
use pve_harden::facts::{Facts, Reading};
use pve_harden::profile::policy::Policy;

use super::{FOLDER, ISO, MAIN};
use crate::controls::model::regular;
use crate::controls::sshd::{Sshd, algorithms};
use crate::controls::{asked, control, policy};

/// An imaginary node whose sshd answers truly.
pub struct Node {
    pub sshd: Sshd,
    /// The recording it started as.
    pub base: Facts,
    pub policy: Policy,
}

impl Node {
    pub fn new(base: Facts, policy: Policy, main: &str) -> Option<Self> {
        Some(Self { sshd: Sshd::with_main(main)?, base, policy })
    }

    pub fn standalone() -> Option<Self> {
        Self::new(Facts::fresh_pve9(), policy("strict"), ISO)
    }

    pub fn clustered() -> Option<Self> {
        let mut policy = policy("strict");
        // The recorded root key has 2048 bits.
        policy.profile.ssh.crypto.required_rsa_size = 2048;
        Self::new(Facts::cluster_of_three(), policy, ISO)
    }

    /// A capture of the node as it is now.
    pub fn facts(&self) -> Facts {
        let mut facts = self.base.clone();
        facts.files.retain(|path, _| !path.starts_with(FOLDER));
        let image = |content: &str, mode| Reading::Known(regular(&FileImage::root(content, mode)));
        facts.files.insert(MAIN.into(), image(&self.sshd.main, 0o644));
        for (name, content) in &self.sshd.dropins {
            facts.files.insert(format!("{FOLDER}{name}"), image(content, 0o600));
        }
        facts.sshd.algorithms = algorithms();
        let first = self.sshd.main.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        facts.sshd.includes_dropins = Reading::Known(first.is_some_and(|line| line.starts_with("Include")));
        for (case, reading) in &mut facts.sshd.cases {
            *reading = Reading::Known(self.sshd.ask(&case.spec()));
        }
        asked(facts, &self.policy)
    }

    pub fn judge(&self, id: &str) -> Verdict {
        control(id).evaluate(&self.facts(), &self.policy)
    }

    /// Every SSH control of this run that is enabled, with its verdict.
    pub fn verdicts(&self) -> Vec<(&'static str, Verdict)> {
        let facts = self.facts();
        CATALOGUE
            .iter()
            .filter(|control| {
                let id = control.meta().id;
                id.starts_with("ssh.") && control.enabled(&self.policy) && !self.policy.left_out.contains(id)
            })
            .map(|control| (control.meta().id, control.evaluate(&facts, &self.policy)))
            .collect()
    }

    /// Writes what the controls want, and checks that sshd answers as they announced.
    pub fn apply(&mut self) -> usize {
        let verdicts = self.verdicts();
        let mut written = BTreeSet::new();
        let mut announced = Vec::new();
        for (id, verdict) in &verdicts {
            let Status::Differs { changes, .. } = &verdict.status else { continue };
            for change in changes {
                let Action::File(file) = &change.action else { continue };
                let content = file.after.as_ref().unwrap().content.clone();
                match file.path.strip_prefix(FOLDER) {
                    Some(name) => {
                        let before = self.sshd.dropins.insert(name.into(), content.clone());
                        let same = !written.contains(&file.path) || before == Some(content);
                        assert!(same, "{id} wants another drop-in than the control before it");
                    }
                    None if file.path == MAIN => self.sshd.main = content,
                    None => {
                        let fact = regular(file.after.as_ref().unwrap());
                        self.base.files.insert(file.path.clone(), Reading::Known(fact));
                    }
                }
                written.insert(file.path.clone());
                if let Some(Validate::Sshd { expect }) = &file.validate {
                    announced.extend(expect.clone());
                }
            }
        }
        for case in announced {
            let settings = self.sshd.ask(&case.case);
            for (keyword, value) in &case.settings {
                assert_eq!(settings.get(keyword), Some(value), "{keyword} in {}", case.case);
            }
        }
        written.len()
    }

    /// Applies, and demands that nothing is left to do.
    pub fn settle(&mut self) {
        assert!(self.apply() > 0, "there was nothing to do");
        for (id, verdict) in self.verdicts() {
            assert_eq!(verdict.status, Status::Compliant, "{id} is not content: {:#?}", verdict.evidence);
        }
    }

    pub fn value(&self, case: &str, keyword: &str) -> String {
        self.sshd.value(case, keyword)
    }

    pub fn leave_out_all_but(&mut self, id: &str) {
        let all = CATALOGUE.iter().map(|control| control.meta().id.to_owned());
        self.policy.left_out = all.filter(|other| other != id).collect();
    }
}
