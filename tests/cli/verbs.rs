//! Verbs that contact nobody.

use std::process::Command;

use crate::support::run::Run;

#[test]
fn help_names_every_verb_and_the_exit_codes() {
    insta::assert_snapshot!(Run::new(&["--help"]).done().shown(), @r"
    exit 0
    -- stdout
    Hardens Proxmox VE nodes over SSH, shows every change first, and never locks you out

    Usage: pve-harden [OPTIONS] <COMMAND>

    Commands:
      plan         Show what would change, as diffs; contacts the nodes, changes nothing
      apply        Plan, ask, apply inside a commit window, prove by a fresh login, commit
      check        Report how the nodes stand, control by control; changes nothing
      rollback     Take a committed run back, newest first, inside a commit window of its own
      history      List the runs a node remembers
      access       Show who may do what in PVE, and what must be looked at
      token        List, make, rotate and revoke API tokens; their secrets go straight into sinks
      key          Make SSH keys for people, and put a new one in place of an old one
      capture      Record what a node says, without secrets, for `plan --capture` and `check --capture`
      profile      Judge, show and list profiles, and print schemas
      init         Write a first site file: nodes, management networks, administrators
      explain      Explain a control: what, why, how it is checked, what breaks when it is done naively
      completions  Write a completion script for a shell to standard output
      man          Write manual pages into a folder
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    General:
      -v, --verbose...  Say more on standard error
          --no-color    Never use colour (as the environment variable `NO_COLOR`)

    Exit codes:
      0  in the desired state, or applied and confirmed
      1  `plan` or `check` found differences, or something they could not tell
      2  wrong usage, profile or site file; nothing was contacted
      3  a node could not be reached or read; nothing was changed on it
      4  refused: lock-out guard, no quorum, stale plan, declined; nothing was changed
      5  a change failed and the node was rolled back
      6  a node needs hands
    With several nodes the highest code wins.
    ");
}

#[test]
fn plan_help() {
    insta::assert_snapshot!(Run::new(&["plan", "--help"]).done().shown(), @r"
    exit 0
    -- stdout
    Show what would change, as diffs; contacts the nodes, changes nothing

    Usage: pve-harden plan [OPTIONS] [HOST]...

    Arguments:
      [HOST]...
              Nodes: `[user@]address`, or names from the site [default: every node of the site]

    Options:
          --limit <GROUP>
              Only nodes of this group of the site; repeatable

          --cluster
              Also the members of their clusters that are not named, at the addresses the cluster knows,
              logged in to alike

          --parallel <N>
              So many nodes are contacted at a time
              
              [default: 16]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Policy:
          --site <FILE>
              Site file: nodes, management networks, administrators [default: ./site.toml when it is
              there]

          --profile <NAME|FILE>
              Profile, shipped or a file; repeatable, later wins [default: the site's, else baseline]

          --control <GLOB>
              Only controls that match, e.g. `ssh.*`; repeatable

    Connection:
          --user <NAME>
              Log in as this user only

          --identity <FILE>
              Private key file

          --port <N>
              Port

          --ssh-config <FILE>
              Use this ssh configuration instead of your own

          --known-hosts <FILE>
              Use this `known_hosts` file instead of your own

          --accept-new
              Accept and remember unknown host keys without asking; a changed key is always refused

          --capture <FILE>
              Plan for a recorded node instead of a HOST; repeatable

          --accept-guest-firewall
              Plan as with `apply --accept-guest-firewall`

          --format <FORMAT>
              As people read it, or one JSON document

              Possible values:
              - text: Diffs and readable lines
              - json: One versioned JSON document
              
              [default: text]

    General:
      -v, --verbose...
              Say more on standard error

          --no-color
              Never use colour (as the environment variable `NO_COLOR`)
    ");
}

#[test]
fn explain_lists_the_catalogue_and_explains_one() {
    let list = Run::new(&["explain"]).done();
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    for line in list.stdout.lines() {
        let id = line.split_whitespace().next().unwrap();
        let one = Run::new(&["explain", id]).done();
        assert_eq!(one.code, Some(0), "{}", one.shown());
        for heading in ["Why", "How it is checked", "What breaks when done naively", "References"] {
            assert!(one.stdout.contains(&format!("\n{heading}\n")), "{id}: {}", one.stdout);
        }
    }
    assert!(list.stdout.contains("ssh.root-login"));
}

#[test]
fn explain_of_something_unknown() {
    insta::assert_snapshot!(Run::new(&["explain", "ssh.rootlogin"]).done().shown(), @r"
    exit 2
    -- stderr
    error: no control matches `ssh.rootlogin`
    hint: did you mean `ssh.root-login`? `pve-harden explain` lists every control
    ");
}

#[test]
fn completions_for_every_shell_know_the_verbs() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = Run::new(&["completions", shell]).done();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(done.stdout.contains("capture") && done.stdout.contains("accept-new"), "{shell}");
        // elvish and PowerShell complete no values.
        let knows = done.stdout.contains("ssh.root-login");
        assert_eq!(knows, ["bash", "zsh", "fish"].contains(&shell), "{shell}");
    }
}

#[test]
fn manual_pages_for_every_verb() {
    let run = Run::new(&["man", "pages"]);
    assert_eq!(run.done().shown(), "exit 0\n");
    let page = |name: &str| std::fs::read_to_string(run.path("pages").join(name)).unwrap();
    let help = Run::new(&["--help"]).done().stdout;
    let verbs =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<&str> =
        verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.len() > 10, "{help}");
    for name in verbs.iter().map(|verb| format!("pve-harden-{verb}.1")).chain(["pve-harden.1".to_owned()]) {
        assert!(page(&name).contains(".SH NAME"), "{name}");
    }
    let controls = page("pve-harden-controls.7");
    for meta in pve_harden::controls::CATALOGUE.iter().map(|control| control.meta()) {
        let id = meta.id.replace('-', "\\-");
        assert!(controls.contains(&format!(".SS {id}\n")) || controls.contains(&format!(".SS {}\n", meta.id)), "{id}");
    }
    // man(1) itself has nothing to complain of, where it is there.
    let Ok(judged) = Command::new("groff")
        .args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
        .arg(run.path("pages").join("pve-harden-controls.7"))
        .output()
    else {
        return;
    };
    assert!(judged.status.success() && judged.stderr.is_empty(), "{}", String::from_utf8_lossy(&judged.stderr));
}

#[test]
fn a_folder_that_cannot_be_written() {
    let run = Run::new(&["man", "file/pages"]).file("file", "");
    let done = run.done();
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.starts_with("error: manual pages cannot be written to file/pages"), "{}", done.stderr);
}
