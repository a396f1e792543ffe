//! Daemons of which only the presence counts: a process with the right name and pid file, for spiceproxy a listener.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Result;

use crate::applet::Arguments;
use crate::daemon::{self, RunAs};

struct Idle {
    program: &'static str,
    pid_file: &'static str,
    port: Option<u16>,
}

/// `pvestatd`
pub fn pvestatd(arguments: &Arguments) -> Result<u8> {
    idle(arguments, &Idle { program: "/usr/bin/pvestatd", pid_file: "/run/pvestatd.pid", port: None })
}

/// `pvescheduler`
pub fn pvescheduler(arguments: &Arguments) -> Result<u8> {
    idle(arguments, &Idle { program: "/usr/bin/pvescheduler", pid_file: "/run/pvescheduler.pid", port: None })
}

/// `spiceproxy`, which listens on 3128 and says nothing.
pub fn spiceproxy(arguments: &Arguments) -> Result<u8> {
    idle(
        arguments,
        &Idle { program: "/usr/bin/spiceproxy", pid_file: "/run/pveproxy/spiceproxy.pid", port: Some(3128) },
    )
}

/// `pve-ha-crm`
pub fn pve_ha_crm(arguments: &Arguments) -> Result<u8> {
    idle(arguments, &Idle { program: "/usr/sbin/pve-ha-crm", pid_file: "/run/pve-ha-crm.pid", port: None })
}

/// `pve-ha-lrm`
pub fn pve_ha_lrm(arguments: &Arguments) -> Result<u8> {
    idle(arguments, &Idle { program: "/usr/sbin/pve-ha-lrm", pid_file: "/run/pve-ha-lrm.pid", port: None })
}

/// `pvefw-logger`
pub fn pvefw_logger(arguments: &Arguments) -> Result<u8> {
    idle(arguments, &Idle { program: "/usr/sbin/pvefw-logger", pid_file: "/run/pvefw-logger.pid", port: None })
}

/// `watchdog-mux`, in the foreground.
pub fn watchdog_mux(_arguments: &Arguments) -> Result<u8> {
    daemon::wait_for_signal()?;
    Ok(0)
}

fn idle(arguments: &Arguments, idle: &Idle) -> Result<u8> {
    match arguments.first().map_or("start", String::as_str) {
        "stop" => stop(Path::new(idle.pid_file)),
        "restart" => Ok(0),
        "status" => {
            let state = if daemon::running_pid(Path::new(idle.pid_file)).is_some() { "running" } else { "stopped" };
            crate::console::say(state);
            Ok(0)
        }
        _ if daemon::is_child() => serve(idle),
        _ => {
            if let Some(folder) = Path::new(idle.pid_file).parent() {
                std::fs::create_dir_all(folder)?;
            }
            // Who listens is not root.
            let run_as = idle.port.map(|_| RunAs::www_data()).transpose()?;
            daemon::start(Path::new(idle.program), &["start"], Path::new(idle.pid_file), run_as)?;
            Ok(0)
        }
    }
}

fn serve(idle: &Idle) -> Result<u8> {
    let listener = idle.port.map(|port| TcpListener::bind(("::", port))).transpose()?;
    daemon::ready();
    if let Some(listener) = listener {
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                drop(connection);
            }
        });
    }
    loop {
        if daemon::wait_for_signal()? != signal_hook::consts::SIGHUP {
            let _ = std::fs::remove_file(idle.pid_file);
            return Ok(0);
        }
    }
}

/// Ends the daemon named in `pid_file` and waits until it is gone, at most ten seconds.
pub fn stop(pid_file: &Path) -> Result<u8> {
    let Some(pid) = daemon::running_pid(pid_file).and_then(rustix::process::Pid::from_raw) else {
        return Ok(0);
    };
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    for _ in 0..200 {
        if daemon::running_pid(pid_file).is_none() {
            return Ok(0);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    anyhow::bail!("unable to stop process {}", pid.as_raw_nonzero())
}
