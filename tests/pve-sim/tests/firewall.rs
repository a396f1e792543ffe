//! `pve-firewall` and the firewall's API calls against recordings of the real programs, on a node that is a folder and
//! a network namespace with the recorded address. Needs root.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

#[expect(dead_code, reason = "other tests use the rest")]
mod replay;

use std::os::unix::fs::symlink;
use std::path::Path;

/// The files that the recordings put to use: `cat` shows what was in them.
fn lay_out_files(recording: &str, folder: &Path) -> std::io::Result<()> {
    for step in replay::steps(recording) {
        let Some(name) = step.command.split("cp /root/fw/").nth(1).and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        if step.command.ends_with("cat /etc/pve/firewall/cluster.fw") && !folder.join(name).exists() {
            // A terminal shows no carriage returns.
            let text = if name.contains("crlf") { step.stdout.replace('\n', "\r\n") } else { step.stdout };
            std::fs::write(folder.join(name), text)?;
        }
    }
    Ok(())
}

/// Leaves out what the recording machine itself said, and orders what comes out of a hash.
fn alike(text: &str) -> String {
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("# Warning: iptables-legacy") && !line.starts_with("grep: /proc/modules"))
        .collect();
    if lines.iter().any(|line| line.starts_with("$VAR1")) {
        lines.retain(|line| !matches!(line.trim(), "]" | "],"));
        let mut lines: Vec<String> = lines.iter().map(|line| line.trim_end_matches(',').to_owned()).collect();
        lines.sort();
        return lines.join("\n");
    }
    let is_option = |line: &str| line.split_once(": ").is_some_and(|(name, _)| !name.trim().contains([' ', '\t']));
    let mut start = 0;
    while start < lines.len() {
        let length = lines[start..].iter().take_while(|line| is_option(line)).count();
        lines[start..start + length].sort_unstable();
        start += length.max(1);
    }
    lines.join("\n")
}

fn replay_all(recordings: &[(&str, &[&str])]) -> std::io::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let pve = folder.path().join("etc/pve");
    for name in ["priv/lock", "nodes/pve1", "firewall"] {
        std::fs::create_dir_all(pve.join(name))?;
    }
    symlink("nodes/pve1", pve.join("local"))?;
    std::fs::write(folder.path().join("etc/hosts"), "127.0.0.1 localhost\n10.77.0.2 pve1.lab.test pve1\n")?;
    let programs = folder.path().join("bin");
    let (root, temporary) = (folder.path().join("root"), folder.path().join("tmp"));
    for path in [&programs, &root.join("fw"), &temporary, &folder.path().join("run")] {
        std::fs::create_dir_all(path)?;
    }
    for name in ["pve-firewall", "pvesh", "proxmox-firewall"] {
        symlink(env!("CARGO_BIN_EXE_pve-sim"), programs.join(name))?;
    }
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
    let shown = |path: &Path| format!("{}/", path.display());
    let (pve_path, home, temporary, programs) =
        (pve.display().to_string(), shown(&root), shown(&temporary), shown(&programs));
    let places = [
        ("/etc/pve", pve_path.as_str()),
        ("/root/", home.as_str()),
        ("/tmp/", temporary.as_str()),
        ("/usr/libexec/proxmox/", programs.as_str()),
    ];
    let environment = [("PATH", Path::new(&path)), ("PVE_SIM_ROOT", folder.path()), ("HOME", &root)];
    // `exec` of the inner shell keeps its exit status.
    let node = "hostname pve1 && ip link set lo up && ip addr add 10.77.0.2/24 dev lo && exec bash -c \"$1\"";
    let shell = ["unshare", "--uts", "--net", "--", "sh", "-c", node, "sh"];
    let mut report = Vec::new();
    for (recording, _) in recordings {
        lay_out_files(recording, &root.join("fw"))?;
    }
    for (recording, skipped) in recordings {
        report.extend(replay::differences_in(&shell, recording, &places, &environment, skipped, alike));
    }
    Ok(report)
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: a namespace with the recorded address needs root");
    }
    root
}

#[test]
fn the_programs_answer_as_recorded() -> std::io::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let report = replay_all(RECORDINGS)?;
    assert!(report.is_empty(), "{} steps differ\n{}", report.len(), report.join("\n"));
    Ok(())
}

/// Recordings, and the steps that are not played.
const RECORDINGS: &[(&str, &[&str])] = &[
    // The recording machine could not answer some GET calls, and its kernel's settings were read-only.
    (
        include_str!("recordings/firewall/api-compile.txt"),
        &["pve-firewall help", "ls -la", "pvesh get /cluster/firewall/options", "--enable 2", "firewall/macros"],
    ),
    (include_str!("recordings/firewall/good.txt"), &[]),
    (include_str!("recordings/firewall/broken.txt"), &[]),
    (include_str!("recordings/firewall/management-semantics.txt"), &["proxmox-nftables-firewall-force-disable"]),
];
