//! Whole files in, policies or messages out.

mod files;
mod layers;
mod lint;
mod messages;
mod schema;
mod site;

use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::secrets::Environment;
use super::site::Purpose;
use super::{Loaded, Request, lint_file, load_with};
use crate::secret::Secret;

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example";
pub const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti other@example";

/// A folder with files.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn load(&self, profiles: &[&str], site: Option<&str>) -> Result<Loaded, Diagnostics> {
        self.load_in(profiles, site, &[])
    }

    pub fn load_in(
        &self,
        profiles: &[&str],
        site: Option<&str>,
        environment: &[(&str, &str)],
    ) -> Result<Loaded, Diagnostics> {
        let is_file = |name: &str| Path::new(name).extension().is_some();
        let path = |name: &&str| {
            if is_file(name) { self.path(name).to_string_lossy().into_owned() } else { (*name).to_owned() }
        };
        let profiles: Vec<String> = profiles.iter().map(path).collect();
        let site = site.map(|name| self.path(name));
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
        load_with(Request { profiles: &profiles, site: site.as_deref(), purpose: Purpose::Run, environment })
    }

    /// Messages about a file, with the folder's name taken out.
    pub fn lint(&self, name: &str) -> String {
        let found = lint_file(&self.path(name), Environment::new()).to_string();
        found.replace(&format!("{}/", self.0.path().display()), "")
    }
}

/// Messages about one profile text.
pub fn lint(text: &str) -> String {
    Folder::with(&[("my.toml", text)]).lint("my.toml")
}
