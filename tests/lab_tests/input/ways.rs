//! Ways to a node: a jump host that listens, an agent, a key with a passphrase, multiplexing, IPv6.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::tool::{Tool, new_key, sshd_settings};
use crate::support::lab::{Lab, eventually};

/// An agent that holds a key whose passphrase nobody else knows.
struct Agent(Child);

impl Agent {
    fn holding(tool: &Tool<'_>, key: &str, passphrase: &str) -> Self {
        let socket = tool.path("agent");
        let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        eventually(Duration::from_secs(10), "the agent listens", || socket.exists());
        let askpass = tool.path("askpass");
        fs::write(&askpass, format!("#!/bin/sh\necho '{passphrase}'\n")).unwrap();
        fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(tool.path(key)).env("SSH_AUTH_SOCK", &socket).env("SSH_ASKPASS", &askpass);
        assert!(add.env("SSH_ASKPASS_REQUIRE", "force").stdin(Stdio::null()).status().unwrap().success());
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A jump host that writes down whatever is typed and logs all it can.
fn listening(lab: &Lab, key: &str) {
    lab.on(
        "jump",
        &format!(
            "printf '#!/bin/sh\\ntr \"\\\\000\" \"\\\\n\" >>/var/log/typed\\n' >/usr/local/bin/typed; chmod 755 /usr/local/bin/typed; : >/var/log/typed; \
             sed -i '1i auth optional pam_exec.so expose_authtok /usr/local/bin/typed' /etc/pam.d/sshd; \
             echo '{}' >>/etc/pve/priv/authorized_keys",
            key.trim()
        ),
    );
    sshd_settings(lab, "jump", "'LogLevel DEBUG3'");
}

#[test]
fn through_a_jump_host_with_an_agent_and_multiplexing() {
    let Some(lab) = Lab::up("in-ways", &["pve1", "jump"], &[]) else { return };
    sshd_settings(&lab, "pve1", "");
    let tool = Tool::new(&lab);
    new_key(&tool, "guarded", "a passphrase");
    let _agent = Agent::holding(&tool, "guarded", "a passphrase");
    let (own, guarded) = (lab.admin_key().with_extension("pub"), tool.path("guarded.pub"));
    let (own, guarded) = (fs::read_to_string(own).unwrap(), fs::read_to_string(guarded).unwrap());
    listening(&lab, &guarded);
    let jump = lab.address("jump");
    let socket = tool.path("cm-%C");
    let agent = tool.path("agent").display().to_string();
    let lines = format!(
        "Host hop\n  HostName {jump}\n  User root\n\
         Host hop-by-password\n  HostName {jump}\n  User root\n  PubkeyAuthentication no\n  ControlPath none\n\
         Host *\n  IdentitiesOnly no\n  ControlMaster auto\n  ControlPath {}\n  ControlPersist 60\n",
        socket.display()
    );
    let tool = tool.env("SSH_AUTH_SOCK", &agent).ssh_lines(&lines).site(&[
        (own.trim(), guarded.trim()),
        // The node sees the jump host.
        ("management = [", &format!("management = [\"{jump}/32\", ")),
        ("name = \"pve1\"", "name = \"pve1\"\njump = \"hop\""),
    ]);

    a_master_that_is_open_proves_nothing(&lab, &tool, &guarded);

    tool.run(&["apply", "pve1", "--yes"]).exits(0);
    tool.run(&["plan", "pve1"]).exits(0);
    let six = lab.lab(["addr", "pve1", "--6"]).exits(0).stdout;
    for host in ["pve1-6".to_owned(), format!("ops@[{}]", six.trim())] {
        tool.run(&["plan", &host]).exits(0);
    }
    nothing_was_heard(&lab, tool);
}

/// The operator's own master to the node stays open while the way in breaks: the proof must see the broken one.
fn a_master_that_is_open_proves_nothing(lab: &Lab, tool: &Tool<'_>, key: &str) {
    lab.on(
        "pve1",
        &format!(
            "useradd -m -s /bin/bash ops && install -d -o ops -g ops -m 700 /home/ops/.ssh && echo '{}' >/home/ops/.ssh/authorized_keys && \
             chown ops:ops /home/ops/.ssh/authorized_keys && chmod 600 /home/ops/.ssh/authorized_keys",
            key.trim()
        ),
    );
    let ours = "ls -l --time-style=+ /etc/ssh/sshd_config.d /home/ops/.ssh; cat /etc/passwd /etc/group";
    let before = lab.on("pve1", ours);
    let mut own = Command::new("ssh");
    own.arg("-F")
        .arg(tool.path("ssh_config"))
        .args(["-J", "hop", "pve1", "true"])
        .env("SSH_AUTH_SOCK", tool.path("agent"));
    assert!(own.stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    // As soon as a run begins, sshd no longer likes the home of the administrator (StrictModes).
    lab.on(
        "pve1",
        "systemd-run -q --unit=spoil sh -c 'until [ -d /var/lib/pve-harden/runs ]; do sleep 0.05; done; chmod 777 /home/ops'",
    );
    let said = tool.run(&["apply", "pve1", "--yes", "--user", "root", "--commit-window", "30"]).exits(5);
    let told = tool.told(&said);
    assert!(told.contains("error: pve1 was rolled back and is as it was before run "), "{told}");
    lab.on("pve1", "chmod 700 /home/ops");
    let own =
        Command::new("ssh").arg("-F").arg(tool.path("ssh_config")).args(["-O", "check", "-J", "hop", "pve1"]).output();
    assert!(own.unwrap().status.success(), "the operator's master was there all the time");
    assert_eq!(lab.on("pve1", ours), before);
}

fn nothing_was_heard(lab: &Lab, tool: Tool<'_>) {
    // A jump host that asks for a password itself gets none of the node's, and the message names who asked.
    let tool = tool.site(&[("jump = \"hop\"", "jump = \"hop-by-password\"")]);
    insta::assert_snapshot!(tool.told(&tool.run(&["plan", "pve1"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: root@[jump] was refused: no login was accepted; publickey, password would be possible; before that, root: no login was accepted; publickey, password would be possible
    hint: check user, key or password with `ssh -v`; the tool does not retry a wrong password
    ");
    let heard = lab.on(
        "jump",
        "cat /var/log/typed; journalctl --sync; journalctl -b -o cat; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\000' '\\n'",
    );
    assert!(!heard.contains(&lab.root_password()), "the jump host heard the node's password");
}
