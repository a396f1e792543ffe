//! The fixed owners and modes of /etc/pve: they follow from the path and the quorum, nobody can choose them.

use fuser::Errno;

use super::store::Kind;

/// Whether only root may read below this path: `priv`, `nodes/NAME/priv` and what is in them.
pub fn is_private(path: &str) -> bool {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    match parts.next() {
        Some("priv") => true,
        Some("nodes") => parts.nth(1) == Some("priv"),
        _ => false,
    }
}

/// Mode of a stored file or folder.
pub fn mode(path: &str, kind: Kind, quorate: bool) -> u16 {
    let open = match (kind, is_private(path)) {
        (Kind::Folder, false) => 0o755,
        (Kind::Folder, true) => 0o700,
        (Kind::File, false) => 0o640,
        (Kind::File, true) => 0o600,
    };
    if quorate { open } else { open & 0o555 }
}

/// `chmod` accepts exactly the mode that a file has anyway.
pub fn chmod(path: &str, mode: u32) -> Result<(), Errno> {
    let allowed = if is_private(path) { 0o600 } else { 0o640 };
    if mode & 0o7777 == allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// `chown` accepts exactly root and www-data.
pub fn chown(uid: Option<u32>, gid: Option<u32>, www_data: u32) -> Result<(), Errno> {
    if uid.unwrap_or(0) == 0 && gid.unwrap_or(www_data) == www_data { Ok(()) } else { Err(Errno::EPERM) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_paths_are_priv_and_each_nodes_priv() {
        for path in ["priv", "priv/token.cfg", "nodes/pve1/priv", "nodes/pve1/priv/x"] {
            assert!(is_private(path), "{path}");
        }
        for path in ["", "user.cfg", "privx", "nodes/pve1", "nodes/priv", "nodes/priv/pve-ssl.key"] {
            assert!(!is_private(path), "{path}");
        }
    }

    #[test]
    fn modes_are_those_recorded() {
        assert_eq!(mode("user.cfg", Kind::File, true), 0o640);
        assert_eq!(mode("priv/token.cfg", Kind::File, true), 0o600);
        assert_eq!(mode("nodes", Kind::Folder, true), 0o755);
        assert_eq!(mode("priv", Kind::Folder, true), 0o700);
        assert_eq!(mode("user.cfg", Kind::File, false), 0o440);
        assert_eq!(mode("priv/token.cfg", Kind::File, false), 0o400);
        assert_eq!(mode("firewall", Kind::Folder, false), 0o555);
        assert_eq!(mode("priv", Kind::Folder, false), 0o500);
    }

    #[test]
    fn only_the_own_mode_and_owner_may_be_set() {
        assert!(chmod("t1", 0o100_640).is_ok());
        assert!(chmod("t1", 0o600).is_err());
        assert!(chmod("priv/s1", 0o600).is_ok());
        assert!(chmod("priv/s1", 0o640).is_err());
        assert!(chown(Some(0), Some(33), 33).is_ok());
        assert!(chown(Some(0), Some(0), 33).is_err());
        assert!(chown(Some(33), None, 33).is_err());
        assert!(chown(None, None, 33).is_ok());
    }
}
