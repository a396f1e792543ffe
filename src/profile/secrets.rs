//! Passwords from the environment and from the `.env` beside the site file. Nothing is ever put into the process
//! environment, where child processes would inherit it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Cursor, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::disk;
use super::policy::Host;
use super::shape::nearest;
use super::source::printable;
use crate::secret::Secret;

/// root's password on every node.
pub const ROOT_PASS: &str = "PVE_ROOT_PASS";
/// The administrator's own password, for `sudo = "password"`.
pub const SUDO_PASS: &str = "PVE_HARDEN_SUDO_PASS";
/// The password of the administrator who takes over from root@pam (`access.root-web`).
pub const WEB_PASS: &str = "PVE_HARDEN_WEB_PASS";
/// Largest `.env`.
const MAX_FILE: u64 = 64 * 1024;

/// Variables of the real environment.
pub type Environment = BTreeMap<String, Secret>;

/// The process's own environment.
pub fn process_environment() -> Environment {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, Secret::new(value.into_string().ok()?)));
    std::env::vars_os().filter_map(text).collect()
}

/// What the environment and `.env` say. Values print as `***`.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    from_environment: Environment,
    from_file: BTreeMap<String, Secret>,
    file: Option<PathBuf>,
}

impl Secrets {
    /// Reads the `.env` in the site file's folder, if there is one. The environment wins over it.
    pub fn beside(site: Option<&Path>, environment: Environment, found: &mut Diagnostics) -> Self {
        let mut secrets = Self { from_environment: environment, ..Self::default() };
        let Some(site) = site else { return secrets };
        let path = site.parent().unwrap_or(Path::new("")).join(".env");
        match read_private(&path) {
            Ok(Some(text)) => {
                secrets.from_file = parse(&path, &text, found);
                secrets.file = Some(path);
            }
            Ok(None) => {}
            Err(refusal) => found.push(*refusal),
        }
        secrets
    }

    /// A variable's value; empty counts as not set. An empty variable in the environment hides the file's.
    pub fn get(&self, name: &str) -> Option<Secret> {
        let value = self.from_environment.get(name).or_else(|| self.from_file.get(name))?;
        (!value.expose().is_empty()).then(|| value.clone())
    }

    /// root's password on this node: `PVE_ROOT_PASS_<HOST>`, else `PVE_ROOT_PASS`.
    pub fn root_password(&self, host: &Host) -> Option<Secret> {
        self.get(&variable(&host.name)).or_else(|| self.get(ROOT_PASS))
    }

    /// The password sudo may ask for.
    pub fn sudo_password(&self) -> Option<Secret> {
        self.get(SUDO_PASS)
    }

    /// Names in `.env` that nothing will read, most likely slips.
    pub fn unread(&self, hosts: &[Host], wanted: &[String]) -> Vec<Diagnostic> {
        let mut known: Vec<String> = hosts.iter().map(|h| variable(&h.name)).chain(wanted.iter().cloned()).collect();
        known.extend([ROOT_PASS, SUDO_PASS, WEB_PASS].map(str::to_owned));
        let file = self.file.as_deref().map(|p| printable(&p.to_string_lossy())).unwrap_or_default();
        let slips = self.from_file.keys().filter(|name| name.starts_with("PVE_") && !known.contains(name));
        slips
            .map(|name| {
                let found = Diagnostic::warning(format!("{file}: nothing reads {}", printable(name)));
                match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => found.help(format!("did you mean {near}?")),
                    None => found.help(format!("{ROOT_PASS}_<HOST> takes the names of the site's hosts")),
                }
            })
            .collect()
    }
}

/// `PVE_ROOT_PASS_<HOST>`: upper case, everything but letters and digits as `_`.
pub fn variable(host: &str) -> String {
    let name: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{ROOT_PASS}_{name}")
}

/// The text of a file that nobody else can read or could have written.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, Box<Diagnostic>> {
    let shown = printable(&path.to_string_lossy());
    let refuse = |why: String, help: String| Box::new(Diagnostic::error(format!("{shown} {why}")).help(help));
    let link = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(refuse(disk::cause(&e), "put it beside the site file, readable by you".into())),
    };
    let me = rustix::process::geteuid().as_raw();
    if link.is_symlink() && link.uid() != me && link.uid() != 0 {
        return Err(refuse("is a link made by another user".into(), format!("rm {shown}")));
    }
    // From here on the open file is judged, not the name, which could be given to another file meanwhile.
    let file =
        disk::open(path).map_err(|e| refuse(disk::cause(&e), "put it beside the site file, readable by you".into()))?;
    let metadata = file.metadata().map_err(|e| refuse(disk::cause(&e), "check the file".into()))?;
    if !metadata.is_file() {
        return Err(refuse("is not a regular file".into(), "name a file".into()));
    }
    if metadata.uid() != me && metadata.uid() != 0 {
        return Err(refuse("belongs to another user".into(), format!("chown $(id -u) {shown}")));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(refuse("holds secrets and can be read by others".into(), format!("chmod 600 {shown}")));
    }
    let mut text = Zeroizing::new(String::new());
    let size = file.take(MAX_FILE + 1).read_to_string(&mut text);
    match size {
        Ok(size) if size as u64 > MAX_FILE => {
            Err(refuse(format!("is larger than {MAX_FILE} bytes"), "keep secrets only in it".into()))
        }
        Ok(_) => Ok(Some(text)),
        Err(e) => Err(refuse(disk::cause(&e), "it must be UTF-8 text".into())),
    }
}

fn parse(path: &Path, text: &Zeroizing<String>, found: &mut Diagnostics) -> BTreeMap<String, Secret> {
    let mut values = BTreeMap::new();
    // dotenvy's errors quote the line, secret included, so its positions are found again without its words.
    for (index, line) in text.lines().enumerate() {
        if let Some(trap) = trap(line) {
            found.push(at_line(path, index + 1, trap));
        }
    }
    for entry in dotenvy::from_read_iter(Cursor::new(text.as_bytes())) {
        match entry {
            Ok((name, value)) => {
                values.insert(name, Secret::new(value));
            }
            Err(dotenvy::Error::LineParse(bad, _)) => {
                let bad = Zeroizing::new(bad);
                // The whole line, or only its value.
                let first = bad.lines().next().unwrap_or_default().trim_end();
                let line = text.lines().position(|l| !first.is_empty() && l.trim_end().ends_with(first));
                let line = line.map_or(0, |i| i + 1);
                found.push(at_line(path, line, "this is not NAME='value', or its quote is not closed"));
            }
            Err(_) => found.push(at_line(path, 0, "cannot be read")),
        }
    }
    values
}

/// A place without its text: the line holds a secret.
fn at_line(path: &Path, line: usize, what: &str) -> Diagnostic {
    let shown = printable(&path.to_string_lossy());
    let place = if line == 0 { shown } else { format!("{shown}:{line}") };
    Diagnostic::error(format!("{place}: {what}")).help("write NAME='value' in single quotes")
}

/// Values dotenvy would silently change: `$` and `\` outside single quotes, or text after a space and `#`.
fn trap(line: &str) -> Option<&'static str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    if line.starts_with('#') || !name.trim().starts_with("PVE_") {
        return None;
    }
    let value = value.trim();
    let single = value.starts_with('\'');
    if !single && value.contains('$') {
        return Some("`$` starts a variable here, and the password would be another one");
    }
    if value.contains('\\') {
        return Some("`\\` changes the character after it, and the password would be another one");
    }
    (!single && !value.starts_with('"') && value.contains(" #")).then_some("everything after ` #` would be cut off")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn host(name: &str) -> Host {
        Host { name: name.into(), address: name.into(), ..Host::default() }
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(env: &str, mode: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(".env");
            fs::write(&path, env).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Self(folder)
        }

        fn load(&self, environment: &[(&str, &str)]) -> (Secrets, Diagnostics) {
            let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect();
            beside(self.0.path(), environment)
        }
    }

    fn beside(folder: &Path, environment: Environment) -> (Secrets, Diagnostics) {
        let mut found = Diagnostics::default();
        let secrets = Secrets::beside(Some(&folder.join("site.toml")), environment, &mut found);
        (secrets, found)
    }

    fn shown(secret: Option<Secret>) -> Option<String> {
        secret.map(|s| s.expose().to_owned())
    }

    #[test]
    fn the_name_of_a_host_becomes_a_variable() {
        assert_eq!(variable("pve-1.example.org"), "PVE_ROOT_PASS_PVE_1_EXAMPLE_ORG");
        assert_eq!(variable("[::1]"), "PVE_ROOT_PASS____1_");
    }

    #[test]
    fn the_environment_wins_and_the_specific_name_wins() {
        let folder =
            Folder::with("PVE_ROOT_PASS='all'\nPVE_ROOT_PASS_PVE_1='one'\nPVE_HARDEN_SUDO_PASS='s u # $x'\n", 0o600);
        let (secrets, found) = folder.load(&[]);
        assert!(found.is_empty(), "{found}");
        assert_eq!(shown(secrets.root_password(&host("pve-1"))).as_deref(), Some("one"));
        assert_eq!(shown(secrets.root_password(&host("pve2"))).as_deref(), Some("all"));
        assert_eq!(shown(secrets.sudo_password()).as_deref(), Some("s u # $x"));

        let (secrets, _) = folder.load(&[("PVE_ROOT_PASS", "env")]);
        assert_eq!(shown(secrets.root_password(&host("pve-1"))).as_deref(), Some("one"));
        assert_eq!(shown(secrets.root_password(&host("pve2"))).as_deref(), Some("env"));

        let (secrets, _) = folder.load(&[("PVE_ROOT_PASS", "")]);
        assert_eq!(secrets.root_password(&host("pve2")), None, "an empty variable hides the file's");
    }

    #[test]
    fn nothing_reaches_the_process_environment_or_an_output() {
        let folder = Folder::with("PVE_HARDEN_TEST_LEAK='hunter2'\nPVE_ROOT_PASS='hunter2'\n", 0o600);
        let (secrets, _) = folder.load(&[]);
        assert!(std::env::var("PVE_HARDEN_TEST_LEAK").is_err());
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn a_file_others_can_read_is_refused_with_the_command() {
        for mode in [0o640, 0o604, 0o660] {
            let (secrets, found) = Folder::with("PVE_ROOT_PASS='x'\n", mode).load(&[]);
            assert_eq!(secrets.root_password(&host("a")), None);
            assert!(found.to_string().contains("chmod 600 "), "{found}");
        }
    }

    #[test]
    fn no_file_is_fine_and_a_folder_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert!(beside(folder.path(), Environment::new()).1.is_empty());
        fs::create_dir(folder.path().join(".env")).unwrap();
        assert_eq!(beside(folder.path(), Environment::new()).1.errors(), 1);
    }

    #[test]
    fn a_link_is_followed_to_a_private_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("secret");
        fs::write(&target, "PVE_ROOT_PASS='x'\n").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(".env")).unwrap();
        for (mode, errors) in [(0o600, 0), (0o644, 1)] {
            fs::set_permissions(&target, Permissions::from_mode(mode)).unwrap();
            let (_, found) = beside(folder.path(), Environment::new());
            assert_eq!(found.errors(), errors, "{found}");
        }
    }

    #[test]
    fn broken_lines_are_named_by_number_and_never_shown() {
        let text =
            "# fine\nPVE_ROOT_PASS=hun$ter2\nPVE_HARDEN_SUDO_PASS='a\\hunter2'\nPVE_ROOT_PASS_A=hunter2 hunter3\n";
        let (_, found) = Folder::with(text, 0o600).load(&[]);
        let message = found.to_string();
        for line in [":2:", ":3:", ":4:"] {
            assert!(message.contains(line), "{line} in {message}");
        }
        assert!(!message.contains("hunter") && !message.contains("ter2"), "{message}");
    }

    #[test]
    fn names_nothing_reads_are_pointed_out() {
        let folder = Folder::with("PVE_ROOT_PASSWORD='x'\nPVE_ROOT_PASS_PVE9='x'\nOTHER='x'\n", 0o600);
        let (secrets, _) = folder.load(&[]);
        let warnings: Vec<String> = secrets.unread(&[host("pve-1")], &[]).into_iter().map(|d| d.message).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn arbitrary_text_never_panics() {
        use proptest::prelude::*;
        proptest!(|(text in "(PVE_[A-Z]{0,3}[= '\"$#\\\\a-z\n]{0,20}|\\PC{0,20}\n){0,4}")| {
            let mut found = Diagnostics::default();
            parse(Path::new(".env"), &Zeroizing::new(text), &mut found);
        });
    }
}
