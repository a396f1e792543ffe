//! Tasks: long work behind an API call, in the files where PVE keeps its lists of them (pve-common RESTEnvironment.pm, UPID.pm).

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::api::{ApiError, Call};
use crate::files::write_atomic;
use crate::host::Host;
use crate::syslog::{Severity, Syslog};

const FOLDER: &str = "/var/log/pve/tasks";
/// Finished tasks that stay among the active ones.
const MOST_FINISHED: usize = 25;
/// Bytes of the index before it is put aside.
const LARGEST_INDEX: u64 = 50_000;

/// What a worker does.
pub struct Work<'a> {
    /// The words of a command.
    pub command: &'a [&'a str],
    /// How it fails, when it always does.
    pub error: Option<&'a str>,
}

/// A line of `active`.
struct Task {
    upid: String,
    saved: bool,
    end: Option<u64>,
    status: String,
}

/// Begins a task of the asker and gives its UPID; on the command line once it has ended.
pub fn fork_worker(call: &Call<'_>, kind: &str, id: &str, work: &Work<'_>) -> Result<String, ApiError> {
    let (host, user) = (call.host.clone(), call.user.to_owned());
    let Some((program, arguments)) = work.command.split_first() else { return Err(ApiError::NoHandler) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let begun = now();
    // Not waited for yet, so that it is there in any case.
    let started = process(child.id()).map(|(_, start)| start).unwrap_or_default();
    let upid = format!("UPID:{}:{:08X}:{started:08X}:{begun:08X}:{kind}:{id}:{user}:", host.name, child.id());
    let log = task_log(&host, &upid, begun)?;
    voice().info(&format!("<{user}> starting task {upid}"));
    active_workers(&host, Some(&upid), true)?;
    let (error, begun_upid) = (work.error.map(str::to_owned), upid.clone());
    let finish = move || finish(&host, &user, &upid, child, log, error);
    if call.remote.is_some() {
        std::thread::spawn(finish);
    } else {
        finish();
    }
    Ok(begun_upid)
}

fn finish(host: &Host, user: &str, upid: &str, mut child: Child, mut log: File, error: Option<String>) {
    let ended = child.wait();
    let error = error.or_else(|| match ended {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("command failed: exit code {}", status.code().unwrap_or(-1))),
        Err(error) => Some(error.to_string()),
    });
    let line = error.as_ref().map_or_else(|| "TASK OK\n".to_owned(), |error| format!("TASK ERROR: {error}\n"));
    let _ = log.write_all(line.as_bytes());
    drop(log);
    let _ = active_workers(host, Some(upid), false);
    let severity = if error.is_some() { Severity::Error } else { Severity::Info };
    voice().log(severity, &format!("<{user}> end task {upid} {}", error.as_deref().unwrap_or("OK")));
}

/// The program's own name, or the one its unit gives it.
fn voice() -> Syslog {
    let called = || std::env::args().next().unwrap_or_default();
    let name = std::env::var("PVE_LOG_ID").unwrap_or_else(|_| called());
    Syslog::new(name.rsplit('/').next().unwrap_or_default().to_owned().leak())
}

fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

/// State and start time (fields 3 and 22 of /proc/PID/stat).
fn process(pid: u32) -> Option<(String, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.nth(18)?.parse().ok()?))
}

fn place(host: &Host, upid: &str, begun: u64) -> PathBuf {
    host.path(FOLDER).join(format!("{:X}", begun & 0xf)).join(upid)
}

fn task_log(host: &Host, upid: &str, begun: u64) -> Result<File, ApiError> {
    let path = place(host, upid, begun);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().append(true).create_new(true).mode(0o640).open(&path)?;
    let _ = chown(&path, crate::node::user_id("www-data"), None);
    Ok(file)
}

/// How a task ended, by the last line of its log.
fn read_status(host: &Host, upid: &str) -> String {
    let begun = upid.split(':').nth(4).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let text = crate::files::text(&place(host, upid, begun));
    match text.lines().last() {
        Some("TASK OK") => "OK".to_owned(),
        Some(line) => line.strip_prefix("TASK ERROR: ").unwrap_or("unexpected status").to_owned(),
        None => "unable to get last line from task log".to_owned(),
    }
}

fn is_running(upid: &str) -> bool {
    let mut fields = upid.split(':').skip(2).map(|hex| u64::from_str_radix(hex, 16).ok());
    let (pid, started) = (fields.next().flatten(), fields.next().flatten());
    let found = pid.and_then(|pid| process(u32::try_from(pid).ok()?));
    found.is_some_and(|(state, start)| state != "Z" && Some(start) == started)
}

/// Brings the lists up to date: who ended goes into `index`, the running and a few others stay in `active`. A task
/// that has only begun runs, whatever its process says: its log is not written yet.
fn active_workers(host: &Host, new: Option<&str>, begins: bool) -> Result<(), ApiError> {
    let folder = host.path(FOLDER);
    let lock = OpenOptions::new().append(true).create(true).open(folder.join(".active.lock"))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(std::io::Error::from)?;
    let file = folder.join("active");
    let mut all: Vec<Task> = crate::files::text(&file).lines().filter_map(parse).collect();
    if let Some(upid) = new.filter(|upid| !all.iter().any(|task| task.upid == **upid)) {
        all.push(Task { upid: upid.to_owned(), saved: false, end: None, status: String::new() });
    }
    let (mut list, mut ended): (Vec<Task>, Vec<Task>) =
        all.into_iter().partition(|task| (begins && new == Some(&task.upid)) || is_running(&task.upid));
    ended.sort_by_key(|task| std::cmp::Reverse(task.upid.split(':').nth(4).map(str::to_owned)));
    for task in ended.iter_mut().filter(|task| task.end.is_none()) {
        task.end = Some(now());
        task.status = read_status(host, &task.upid);
    }
    let mut archive = String::new();
    for task in ended.iter_mut().filter(|task| !task.saved) {
        let _ = writeln!(archive, "{} {:08X} {}", task.upid, task.end.unwrap_or_default(), task.status);
        task.saved = true;
    }
    if !archive.is_empty() {
        let index = folder.join("index");
        let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(&index)?;
        file.write_all(archive.as_bytes())?;
        if file.metadata()?.len() > LARGEST_INDEX {
            fs::rename(&index, folder.join("index.1"))?;
        }
    }
    list.extend(ended.into_iter().take(MOST_FINISHED.saturating_sub(list.len())));
    let text: String = list.iter().map(written).collect();
    Ok(write_atomic(&file, text.as_bytes(), 0o644)?)
}

fn parse(line: &str) -> Option<Task> {
    let mut words = line.splitn(4, ' ');
    let (upid, saved) = (words.next()?.to_owned(), words.next()? == "1");
    let end = words.next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    Some(Task { upid, saved, end, status: words.next().unwrap_or_default().to_owned() })
}

fn written(task: &Task) -> String {
    let start = format!("{} {}", task.upid, u8::from(task.saved));
    task.end.map_or_else(|| format!("{start}\n"), |end| format!("{start} {end:08X} {}\n", task.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    #[test]
    fn who_ended_goes_into_the_index_once() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::below(root.path(), "pve1", Release::Pve9);
        fs::create_dir_all(host.path(FOLDER)).unwrap();
        let own = std::process::id();
        let running = format!("UPID:pve1:{own:08X}:{:08X}:690F0001:qmshutdown:100:root@pam:", process(own).unwrap().1);
        let gone = "UPID:pve1:7FFFFFFF:00000001:690F0002:qmstart:101:root@pam:";
        task_log(&host, gone, 0x690f_0002).unwrap().write_all(b"TASK ERROR: no such disk\n").unwrap();
        for upid in [&running, gone, gone] {
            active_workers(&host, Some(upid), false).unwrap();
        }
        let index = fs::read_to_string(host.path(FOLDER).join("index")).unwrap();
        assert_eq!(index.lines().count(), 1);
        assert!(index.starts_with(gone) && index.ends_with(" no such disk\n"), "{index}");
        let active = fs::read_to_string(host.path(FOLDER).join("active")).unwrap();
        assert!(active.starts_with(&format!("{running} 0\n{gone} 1 ")), "{active}");
    }
}
