//! What the node's own firewall simulator is asked before the first change (`remote/questions.sh`), and how.

use std::fmt::Write as _;

use crate::change::FileImage;
use crate::plan::reach::FirewallQuestion;

/// Asks Proxmox VE's own compiler and simulator about files in a folder; its head says how it is called. It is sent
/// with every run, and tests put their own questions through it.
pub const PROGRAM: &str = include_str!("remote/questions.pl");

/// The folder's files by their path in the run's folder; none where there is nothing to ask. `changed` are the files
/// that the run writes, `None` for one that it removes.
pub(super) fn files<'a>(
    questions: &[FirewallQuestion],
    changed: impl IntoIterator<Item = (&'a str, Option<&'a FileImage>)>,
) -> Vec<(String, String)> {
    let planned = changed.into_iter().filter_map(|(path, image)| {
        let name = match path.rsplit_once('/')? {
            ("/etc/pve/firewall", "cluster.fw") => "cluster.fw",
            (folder, "host.fw") if folder.starts_with("/etc/pve/") => "host.fw",
            _ => return None,
        };
        Some((format!("data/{name}"), image.map(|image| image.content.clone()).unwrap_or_default()))
    });
    let mut files: Vec<(String, String)> = planned.collect();
    if questions.is_empty() || files.is_empty() {
        return Vec::new();
    }
    files.push(("data/questions".into(), questions.iter().map(line).collect()));
    files
}

fn line(question: &FirewallQuestion) -> String {
    let FirewallQuestion { source, destination, protocol, port, expected } = question;
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(line, "{expected} outside host {protocol} {source} {destination} {port}");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planned_files_travel_with_the_questions() {
        let image = FileImage::root("[OPTIONS]\nenable: 1\n", 0o640);
        let question = FirewallQuestion {
            source: "192.0.2.5".parse().unwrap(),
            destination: "10.0.0.1".parse().unwrap(),
            protocol: "tcp".into(),
            port: 22,
            expected: "ACCEPT".into(),
        };
        let cluster = ("/etc/pve/firewall/cluster.fw", Some(&image));
        let host = ("/etc/pve/nodes/pve1/host.fw", None);
        let found = files(std::slice::from_ref(&question), [cluster, host, ("/etc/ssh/sshd_config", Some(&image))]);
        assert_eq!(
            found,
            [
                ("data/cluster.fw".into(), image.content.clone()),
                ("data/host.fw".into(), String::new()),
                ("data/questions".into(), "ACCEPT outside host tcp 192.0.2.5 10.0.0.1 22\n".to_owned()),
            ]
        );
        assert_eq!(files(&[], [cluster]), []);
        assert_eq!(files(&[question], [("/etc/ssh/sshd_config", None)]), []);
    }
}
