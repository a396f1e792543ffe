//! Worker tasks by their UPID (pve-common, src/PVE/Tools.pm `upid_decode`).

use serde::{Deserialize, Serialize};

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The worker's type, e.g. `vzdump`, `qmigrate`.
    pub kind: String,
    /// What it is about, e.g. a guest's number; often empty.
    pub id: String,
    /// Who started it.
    pub user: String,
    /// Seconds since 1970.
    pub started: i64,
}

/// What a worker does, where a change of the network, of sshd or of access could spoil it.
const DELICATE: &[(&str, &str)] = &[
    ("vzdump", "a backup"),
    ("qmigrate", "a migration"),
    ("vzmigrate", "a migration"),
    ("hamigrate", "a migration"),
    ("migrateall", "a migration"),
    ("qmrestore", "a restore"),
    ("vzrestore", "a restore"),
    ("clustercreate", "the making of a cluster"),
    ("clusterjoin", "a join of the cluster"),
];

impl Task {
    /// Decodes `UPID:node:pid:pstart:starttime:type:id:user:`; numbers are hexadecimal.
    pub fn decode(upid: &str) -> Result<Self, String> {
        let wrong = || format!("no UPID: {}", upid.chars().take(120).collect::<String>());
        let parts: Vec<&str> = upid.split(':').collect();
        let ["UPID", _node, _pid, _pstart, started, kind, id, user, ""] = parts[..] else { return Err(wrong()) };
        let started = i64::from_str_radix(started, 16).map_err(|_| wrong())?;
        Ok(Self { kind: kind.into(), id: id.into(), user: user.into(), started })
    }

    /// What it is, when it should end before a node is changed: "a backup (vzdump 100)".
    pub fn delicate(&self) -> Option<String> {
        let (_, what) = DELICATE.iter().find(|(kind, _)| *kind == self.kind)?;
        let id = if self.id.is_empty() { String::new() } else { format!(" {}", self.id) };
        Some(format!("{what} ({}{id}, started by {})", self.kind, self.user))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_backup_is_delicate_and_a_console_is_not() {
        let task = Task::decode("UPID:pve1:0000C0DE:0001A2B3:690F0000:vzdump:100:root@pam:").unwrap();
        assert_eq!(task.delicate().unwrap(), "a backup (vzdump 100, started by root@pam)");
        let task = Task::decode("UPID:pve1:0000C0DE:0001A2B3:690F0000:vncshell::root@pam:").unwrap();
        assert_eq!(task.delicate(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC*|(UPID|:|[0-9A-F]{8}|[a-z@])*") {
            let _ = Task::decode(&text).map(|task| task.delicate());
        }
    }
}
