//! What a node's logs hold of one person, in the order of time: PVE's tasks, requests to port 8006, and the journal of
//! logins, sudo and PVE's own answers.

use jiff::Timestamp;

use crate::pve::tasks::Task;
use crate::transport::{Frame, quote};

/// One thing somebody did, or tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// Seconds since 1970.
    pub at: i64,
    /// `task`, `web` or `log`.
    pub source: &'static str,
    /// Node content: escape before showing.
    pub text: String,
}

/// The events, oldest first, and the logs that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Names of the logs.
    pub unread: Vec<&'static str>,
}

/// The program that reads the logs. Names are quoted; what is no name of PVE must not come here.
pub fn program(user: &str, linux: Option<&str>) -> String {
    format!(
        "PVE_USER={}\nLINUX_NAME={}\n{}",
        quote::shell(user),
        quote::shell(linux.unwrap_or_default()),
        include_str!("remote/timeline.sh")
    )
}

/// Reads the answer.
pub fn parse(frames: &[Frame], user: &str) -> Timeline {
    let mut timeline = Timeline::default();
    for (name, read) in [
        ("tasks", task as fn(&str, &str) -> Option<Event>),
        ("web", request as fn(&str, &str) -> Option<Event>),
        ("journal", message as fn(&str, &str) -> Option<Event>),
    ] {
        match frames.iter().find(|frame| frame.name == name && frame.status == 0) {
            None => timeline.unread.push(name),
            Some(frame) => {
                let text = String::from_utf8_lossy(&frame.body);
                timeline.events.extend(text.lines().filter_map(|line| read(line, user)));
            }
        }
    }
    timeline.events.sort();
    timeline.events.dedup();
    timeline
}

fn is_of(found: &str, user: &str) -> bool {
    found == user || found.strip_prefix(user).is_some_and(|rest| rest.starts_with('!'))
}

/// `UPID [END-HEX STATUS]`, of `active` with a digit between (pve-common `PVE/INotify.pm` `read_active_workers`).
fn task(line: &str, user: &str) -> Option<Event> {
    let (upid, rest) = line.split_once(' ').unwrap_or((line, ""));
    let Task { kind, id, user: by, started } = Task::decode(upid).ok().filter(|task| is_of(&task.user, user))?;
    let rest = rest.strip_prefix("0 ").or(rest.strip_prefix("1 ")).unwrap_or(rest);
    let ended = match rest.split_once(' ') {
        Some((_, status)) => status.trim().to_owned(),
        None => "running, or its end is not known".to_owned(),
    };
    let about = if id.is_empty() { String::new() } else { format!(" {id}") };
    Some(Event { at: started, source: "task", text: format!("{kind}{about} by {by}: {ended}") })
}

/// `ADDRESS - USER [21/11/2026:23:01:05 +0000] "REQUEST" STATUS BYTES`.
fn request(line: &str, user: &str) -> Option<Event> {
    let (address, rest) = line.split_once(" - ")?;
    let (by, rest) = rest.split_once(" [")?;
    let (time, rest) = rest.split_once("] \"")?;
    let (request, status) = rest.rsplit_once("\" ")?;
    let at = Timestamp::strptime("%d/%m/%Y:%H:%M:%S %z", time).ok().filter(|_| is_of(by, user))?;
    let status = status.split(' ').next().unwrap_or_default();
    Some(Event { at: at.as_second(), source: "web", text: format!("{by} from {address}: {request} -> {status}") })
}

/// `SECONDS.MICROSECONDS HOST PROGRAM[PID]: MESSAGE`.
fn message(line: &str, _: &str) -> Option<Event> {
    let (time, rest) = line.split_once(' ')?;
    let at = time.split('.').next()?.parse::<i64>().ok().filter(|at| *at >= 0)?;
    let (_, text) = rest.split_once(' ')?;
    Some(Event { at, source: "log", text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(name: &str, body: &str) -> Frame {
        Frame { name: name.into(), status: 0, body: body.as_bytes().to_vec() }
    }

    const TASKS: &str = "UPID:pve1:0000C0DE:0001A2B3:6A000000:qmstart:100:eve@pam: 6A000005 OK\n\
        UPID:pve1:0000C0DF:0001A2B3:6A000010:vncshell::eve@pam!ci: 0\n\
        UPID:pve1:0000C0DF:0001A2B3:6A000020:qmstart:1:steve@pam: 6A000021 OK\nnonsense\n";

    const WEB: &str = "::ffff:10.77.0.2 - eve@pam [21/11/2026:23:01:05 +0000] \"GET /api2/json/version HTTP/1.1\" 200 12\n\
        ::ffff:10.77.0.2 - eve@pamx [21/11/2026:23:01:05 +0000] \"GET / HTTP/1.1\" 200 12\n\
        ::1 - eve@pam!ci [21/11/2026:23:01:04 +0000] \"-\" 403 -\n";

    #[test]
    fn events_of_one_person_in_the_order_of_time() {
        let log =
            "1795302437.123456 pve1 sshd-session[7]: Accepted publickey for eve from 192.0.2.1 port 1 ssh2\nx y\n";
        let found = parse(&[frame("tasks", TASKS), frame("web", WEB), frame("journal", log)], "eve@pam");
        let lines: Vec<String> = found.events.iter().map(|it| format!("{} {} {}", it.at, it.source, it.text)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        1778384896 task qmstart 100 by eve@pam: OK
        1778384912 task vncshell by eve@pam!ci: running, or its end is not known
        1795302064 web eve@pam!ci from ::1: - -> 403
        1795302065 web eve@pam from ::ffff:10.77.0.2: GET /api2/json/version HTTP/1.1 -> 200
        1795302437 log sshd-session[7]: Accepted publickey for eve from 192.0.2.1 port 1 ssh2
        ");
        assert_eq!(found.unread, Vec::<&str>::new());
    }

    #[test]
    fn a_log_that_was_not_read_is_named() {
        assert_eq!(parse(&[frame("web", "")], "eve@pam").unread, ["tasks", "journal"]);
    }

    #[test]
    fn names_reach_the_shell_as_they_are() {
        let program = program("o'neil $(id)@pve", Some("o'neil"));
        assert!(program.starts_with("PVE_USER='o'\\''neil $(id)@pve'\nLINUX_NAME='o'\\''neil'\n"), "{program}");
    }

    proptest! {
        #[test]
        fn arbitrary_lines_do_not_panic(text in "(\\PC|[ \n\"\\[\\]:/-]|UPID|eve@pam|[0-9A-F]{8})*") {
            for name in ["tasks", "web", "journal"] {
                let _ = parse(&[frame(name, &text)], "eve@pam");
            }
        }
    }
}
