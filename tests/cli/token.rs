//! `token list` on recorded nodes, and command lines that are refused before a node is contacted.

use crate::support::run::{Run, SITE};

const MORE: &str = "\n[[sink]]\nname = \"env\"\nenv = \"tokens.env\"\n\n[[access.user]]\nid = \"svc@pve\"\n\n[[access.token]]\nid = \"svc@pve!ci\"\nowner = \"Olga\"\npurpose = \"CI\"\nsink = \"env\"\n";

#[test]
fn a_listed_token_that_is_not_there_is_in_the_list() {
    let list = |format: &str| {
        let run = Run::new(&["token", "list", "--format", format]).file("site.toml", format!("{SITE}{MORE}"));
        let done = run.capture("fresh9.json").done();
        assert_eq!(done.code, Some(0), "{}", done.shown());
        done.stdout
    };
    assert_eq!(
        list("text"),
        "fresh9: 1 tokens\nsvc@pve!ci  missing\n  created unknown, rotated never by this tool, ends never\n  CI; owner Olga; sink env\n  no rights\n"
    );
    assert_eq!(list("csv").lines().nth(1), Some("svc@pve!ci,svc@pve,,,,CI; owner Olga,no rights,yes,yes,env,missing"));
    let json: serde_json::Value = serde_json::from_str(&list("json")).unwrap();
    assert_eq!((json["version"].as_u64(), json["tokens"][0]["status"][0].as_str()), (Some(1), Some("missing")));
}

#[test]
fn sinks_are_judged_with_the_site() {
    let lint = |more: &str| {
        let run = Run::new(&["profile", "lint", "site.toml"]).file("site.toml", format!("{SITE}\n[[sink]]\n{more}"));
        let done = run.done();
        (done.code, format!("{}{}", done.stdout, done.stderr))
    };
    for (more, expected) in [
        ("name = \"a\"\nenv = \".env\"\nfile = \"x\"\n", "a sink is exactly one thing"),
        ("name = \"a\"\nkubernetes = \"x\"\n", "lies in a namespace"),
        ("name = \"a\"\nfile = \"x\"\nvariable = \"X\"\n", "`variable` belongs to a sink with `env`"),
        ("name = \"a\"\nenv = \"x\"\nvariable = \"PVE_X\"\n", "what this tool reads itself"),
        ("name = \"a\"\ncommand = []\n", "a command begins with a program"),
        ("name = \"a\"\nfile = \"{tokne}\"\n", "only {host}, {user} and {token}"),
        ("name = \"-a\"\nfile = \"x\"\n", "a sink's name is"),
        ("name = \"a\"\nkubernetes = \"x\"\nnamespace = \"A_b\"\n", "RFC 1123"),
    ] {
        let (code, said) = lint(more);
        assert!(code == Some(2) && said.contains(expected), "{code:?} {more}: {said}");
    }
    let (code, said) =
        lint("name = \"a\"\ncommand = [\"vault\", \"kv\", \"put\", \"pve/{host}\", \"-\"]\nformat = \"value\"\n");
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_must_be_named_is_asked_for() {
    for (arguments, expected) in [
        (&["token", "rotate"][..], "<TOKEN>"),
        (&["token", "revoke"], "<TOKEN>"),
        (&["access", "passwd", "a@pve"], "--sink"),
        (&["access", "passwd", "a@pve", "--expire", "--prompt"], "cannot be used with"),
        (&["access", "passwd", "nobody", "--expire"], "is no user"),
        (&["access", "enroll"], "<USER>"),
        (&["access", "enroll", "nobody"], "is no user"),
        (&["access", "enroll", "a@pve", "--another", "--replace"], "cannot be used with"),
        (&["access", "enroll", "a@pve", "--recovery-sink", "x", "--no-recovery"], "cannot be used with"),
        (&["access", "enroll", "a@pve", "--description", "a [b]"], "no bracket"),
        (&["token", "rotate", "--due", "a@pve!ci"], "cannot be used with"),
        (&["token", "rotate", "a@pve!ci", "--grace", "7"], "hours or days"),
    ] {
        let done = Run::new(arguments).done();
        assert!(done.code == Some(2) && done.stderr.contains(expected), "{}", done.shown());
    }
}
