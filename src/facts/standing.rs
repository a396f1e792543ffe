//! How a member of a cluster stands at this moment: what is asked again before and after each node of a rolling run.

use super::sections::{Sections, shown};
use super::{Reading, system};
use crate::pve::tasks::Task;
use crate::pve::{self, ha, ha::HaStatus};
use crate::transport::capture::Capture;

/// A member's own view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Whether it has quorum.
    pub quorate: Reading<bool>,
    /// Whether port 8006 answers.
    pub web: Reading<bool>,
    /// What high availability is about; absent where it is not used.
    pub ha: Reading<HaStatus>,
    /// Its running tasks.
    pub tasks: Reading<Vec<Task>>,
}

/// Reads the answer of [`super::gather::standing_program`].
pub fn parse(capture: &Capture) -> Standing {
    let sections = Sections(capture);
    let quorate = match system::pmxcfs_mounted(sections) {
        Reading::Known(true) => sections.parse("members", |text| {
            let members = pve::cluster::members(text)?;
            Ok(members.cluster.is_some_and(|cluster| cluster.quorate == 1))
        }),
        Reading::Known(false) => Reading::Unreadable("/etc/pve is not mounted".into()),
        other => other,
    };
    Standing {
        quorate,
        web: sections.parse("web", |text| Ok(web_answers(text))),
        ha: sections.parse("ha", ha::status),
        tasks: tasks(sections),
    }
}

/// The beginning of an HTTP answer that says yes.
fn web_answers(text: &str) -> bool {
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(1..5));
    matches!(status, Some(" 200" | " 301"))
}

/// Running tasks, a UPID a line.
pub(super) fn tasks(sections: Sections<'_>) -> Reading<Vec<Task>> {
    sections.parse("tasks", |text| {
        text.lines().map(|line| Task::decode(line).map_err(|_| format!("no UPID: {}", shown(line)))).collect()
    })
}

impl Standing {
    /// What speaks against calling this member well, the most important first.
    pub fn trouble(&self, web: bool) -> Option<String> {
        match self.quorate.certain() {
            Ok(Some(true)) => {}
            Ok(_) => return Some("it has no quorum".into()),
            Err(why) => return Some(format!("whether it has quorum cannot be told: {why}")),
        }
        (web && self.web != Reading::Known(true)).then(|| "port 8006 does not answer".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::capture::Section;

    fn standing(sections: &[(&str, i32, &str)]) -> Standing {
        let section = |&(name, status, body): &(&str, i32, &str)| {
            (name.to_owned(), Section { status, body: body.as_bytes().to_vec() })
        };
        parse(&Capture { sections: sections.iter().map(section).collect() })
    }

    const MOUNTED: (&str, i32, &str) = ("mounts", 0, "/dev/fuse /etc/pve fuse rw 0 0\n");

    #[test]
    fn a_member_in_quorum_that_answers_is_well() {
        let members = r#"{"nodename":"pve1","cluster":{"name":"lab","quorate":1},"nodelist":{}}"#;
        let well = standing(&[MOUNTED, ("members", 0, members), ("web", 0, "HTTP/1.0 200 OK"), ("tasks", 0, "")]);
        assert_eq!(well.trouble(true), None);
        assert_eq!(well.tasks, Reading::Known(vec![]));
    }

    #[test]
    fn what_is_not_well_is_said() {
        let lost = r#"{"nodename":"pve1","cluster":{"name":"lab","quorate":0},"nodelist":{}}"#;
        let good = r#"{"nodename":"pve1","cluster":{"name":"lab","quorate":1},"nodelist":{}}"#;
        let trouble = |sections: &[(&str, i32, &str)]| standing(sections).trouble(true).unwrap();
        assert_eq!(trouble(&[MOUNTED, ("members", 0, lost), ("web", 0, "HTTP/1.0 200 OK")]), "it has no quorum");
        assert_eq!(trouble(&[MOUNTED, ("members", 0, good), ("web", 1, "")]), "port 8006 does not answer");
        assert_eq!(trouble(&[MOUNTED, ("members", 0, good), ("web", 0, "HTTP/1.0 500")]), "port 8006 does not answer");
        assert!(trouble(&[("mounts", 1, "")]).starts_with("whether it has quorum cannot be told"));
        assert!(trouble(&[MOUNTED, ("members", 0, "{")]).starts_with("whether it has quorum cannot be told"));
    }
}
