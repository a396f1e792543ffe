//! Facts about the machine that a program runs on.

use std::path::Path;

/// The node's name: the host name up to its first dot.
pub fn name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Numeric id of a group of /etc/group.
pub fn group_id(group: &str) -> Option<u32> {
    number_of(Path::new("/etc/group"), group, 2)
}

/// Numeric id of a user of /etc/passwd.
pub fn user_id(user: &str) -> Option<u32> {
    number_of(Path::new("/etc/passwd"), user, 2)
}

fn number_of(file: &Path, name: &str, column: usize) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))
        .and_then(|fields| fields.get(column)?.parse().ok())
}
