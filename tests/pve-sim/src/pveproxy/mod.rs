//! `pveproxy`: port 8006. It runs as www-data, speaks TLS with the outside and hands the calls to `pvedaemon`.

mod access_log;
mod forward;
mod server;
mod settings;
mod tls;

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use crate::applet::Arguments;
use crate::console::{complain, say};
use crate::daemon::{self, RunAs};
use crate::idle;
use settings::Settings;

const PROGRAM: &str = "/usr/bin/pveproxy";
const PID_FILE: &str = "/run/pveproxy/pveproxy.pid";
const SETTINGS: &str = "/etc/default/pveproxy";

/// Runs `pveproxy start|stop|restart|status`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match arguments.first().map_or("", String::as_str) {
        "stop" => idle::stop(Path::new(PID_FILE)),
        "restart" => restart(),
        "status" => {
            say(if daemon::running_pid(Path::new(PID_FILE)).is_some() { "running" } else { "stopped" });
            Ok(0)
        }
        "start" if daemon::is_child() => server::run(),
        "start" => start(),
        _ => {
            complain("ERROR: no command specified\nUSAGE: pveproxy <COMMAND> [ARGS] [OPTIONS]");
            Ok(255)
        }
    }
}

fn start() -> anyhow::Result<u8> {
    if let Err(reason) = Settings::load(Path::new(SETTINGS)) {
        complain(format!("start failed - {reason}"));
        return Ok(255);
    }
    let www_data = RunAs::www_data()?;
    for folder in ["/run/pveproxy", "/var/log/pveproxy"] {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        chown(folder, Some(www_data.uid), Some(www_data.gid))?;
    }
    match daemon::start(Path::new(PROGRAM), &["start"], Path::new(PID_FILE), Some(www_data)) {
        Ok(()) => Ok(0),
        Err(_) => Ok(255),
    }
}

/// A running service reads its settings and certificate again, keeping its socket; else it is started.
fn restart() -> anyhow::Result<u8> {
    let running = daemon::running_pid(Path::new(PID_FILE)).and_then(rustix::process::Pid::from_raw);
    match running {
        Some(pid) => {
            rustix::process::kill_process(pid, rustix::process::Signal::HUP)?;
            Ok(0)
        }
        None => start(),
    }
}
