//! `pveum` and `pvesh` against recordings of the real programs, in one state from file to file.

mod replay;

use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn the_command_lines_answer_as_recorded() -> std::io::Result<()> {
    let folder = tempfile::tempdir()?;
    let pve = folder.path().join("etc/pve");
    for name in ["priv/lock", "nodes/pve1"] {
        std::fs::create_dir_all(pve.join(name))?;
    }
    symlink("nodes/pve1", pve.join("local"))?;
    std::fs::write(pve.join("user.cfg"), "user:root@pam:1:0:::admin@example.com::\n")?;
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs)?;
    for name in ["pveum", "pvesh"] {
        symlink(env!("CARGO_BIN_EXE_pve-sim"), programs.join(name))?;
    }
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
    let root = folder.path().join("root");
    std::fs::create_dir(&root)?;
    let pve_path = pve.display().to_string();
    let home = format!("{}/", root.display());
    let places = [("/etc/pve", pve_path.as_str()), ("/root/", home.as_str())];
    let environment = [("PATH", Path::new(&path)), ("PVE_SIM_ROOT", folder.path()), ("HOME", &root)];
    let mut report = Vec::new();
    for (recording, skipped) in RECORDINGS {
        report.extend(replay::differences(recording, &places, &environment, skipped));
    }
    assert!(report.is_empty(), "{} steps differ\n{}", report.len(), report.join("\n"));
    Ok(())
}

/// Recordings and the steps that are not played.
const RECORDINGS: &[(&str, &[&str])] = &[
    (include_str!("recordings/10-roles-groups-users.txt"), &[]),
    (include_str!("recordings/20-tokens-acl.txt"), &[]),
    // Perl's own warnings come with it.
    (include_str!("recordings/30-pools-realms-passwords.txt"), &["realm modify nosuch"]),
    // A cut through a list of which the order is random.
    (include_str!("recordings/40-hand-edited.txt"), &["head -c 100"]),
    (include_str!("recordings/50-flags.txt"), &[]),
];
