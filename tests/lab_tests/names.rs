//! Names and texts with everything that a shell, a colon-separated file or a terminal could take for its own.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::lab::Lab;

/// For PVE's comments: a line break, quotes, what a shell expands, PVE's own separators and escapes.
const TEXT: &str = "it's \"so\" $(touch /tmp/pwned) `touch /tmp/pwned`; & | \\ 100%41: ü!\nsecond --line=1";
/// PVE takes everything but blanks, `:` and `/` in the name of a user.
const USER: &str = "o'ne\"il!$(id)&x@pve";

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn odd_names_arrive_as_they_are() {
    let Some(lab) = Lab::up("names", &["pve1"], &[]) else { return };
    lab.harden(&["apply", "pve1", "--yes", "--control", "accounts.*"]).exits(0);
    let plain = std::fs::read_to_string(&lab.site).unwrap();
    let sink = lab.site.with_file_name("a sink's $(touch pwned) {token}.txt");
    let entries = format!(
        "[[sink]]\nname = \"odd\"\nfile = {sink}\n\n[[access.group]]\nid = \"web.devs-2_x\"\ncomment = {text}\n\n\
         [[access.pool]]\nid = \"p.1/q_2\"\ncomment = {text}\n\n[[access.pool]]\nid = \"p.1\"\n\n\
         [[access.user]]\nid = {user}\ncomment = {text}\nfirst-name = \"O'\\\"`x`\"\ngroups = [\"web.devs-2_x\"]\n\n\
         [[access.user]]\nid = \"svc@pve\"\n\n[[access.acl]]\npath = \"/pool/p.1/q_2\"\nrole = \"PVEAuditor\"\nusers = [{user}]\n\n\
         [[access.token]]\nid = \"svc@pve!c.i\"\nowner = \"O'Neil; \\\"$(id)\\\"\"\npurpose = \"a & b\"\nsink = \"odd\"\n\n\
         [[access.realm]]\nid = \"pve\"\ncomment = \"it's $(touch /tmp/pwned) \\\"so\\\"!\"\n",
        sink = quoted(sink.to_str().unwrap()),
        text = quoted(TEXT),
        user = quoted(USER),
    );
    std::fs::write(&lab.site, format!("{plain}\n{entries}")).unwrap();
    lab.harden(&["apply", "pve1", "--yes", "--control", "access.*"]).exits(0);
    let read = |call: &str| -> serde_json::Value {
        serde_json::from_str(&lab.on("pve1", &format!("{call} --output-format json"))).unwrap()
    };
    let row = |rows: serde_json::Value, key: &str, value: &str| {
        rows.as_array().unwrap().iter().find(|row| row[key] == value).cloned().unwrap_or_default()
    };
    let user = row(read("pveum user list"), "userid", USER);
    assert_eq!((&user["comment"], &user["firstname"]), (&TEXT.into(), &"O'\"`x`".into()), "{user}");
    assert_eq!(row(read("pveum group list"), "groupid", "web.devs-2_x")["comment"], TEXT);
    assert_eq!(row(read("pveum pool list"), "poolid", "p.1/q_2")["comment"], TEXT);
    assert_eq!(row(read("pveum acl list"), "ugid", USER)["path"], "/pool/p.1/q_2");
    assert_eq!(row(read("pveum realm list"), "realm", "pve")["comment"], "it's $(touch /tmp/pwned) \"so\"!");
    let again = lab.harden(&["apply", "pve1", "--yes", "--control", "access.*"]).exits(0);
    assert!(again.stdout.contains("0 changes"), "{}", again.stdout);
    let file = lab.site.with_file_name("a sink's $(touch pwned) c.i.txt");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = row(read("pveum user token list svc@pve"), "tokenid", "c.i");
    assert!(token["comment"].as_str().unwrap().starts_with("a & b; owner O'Neil; \"$(id)\""), "{token}");
    let matrix = lab.harden(&["access", "matrix", "pve1"]).exits(0);
    assert!(matrix.stdout.contains(USER) && !matrix.stdout.contains("\nsecond --line"), "{}", matrix.stdout);
    lab.harden(&["token", "revoke", "svc@pve!c.i", "--host", "pve1", "--yes", "--force"]).exits(0);
    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert!(!lab.on("pve1", "cat /etc/pve/user.cfg").contains("o'ne"));
    lab.on("pve1", "! ls /tmp/pwned /root/pwned /pwned 2>/dev/null");
    for (key, name) in [
        ("group", "a b"),
        ("group", "a!b"),
        ("group", "-x"),
        ("group", "a\nb"),
        ("user", "a b@pve"),
        ("user", "a:b@pve"),
    ] {
        std::fs::write(&lab.site, format!("{plain}\n[[access.{key}]]\nid = {}\n", quoted(name))).unwrap();
        let said = lab.harden(&["plan", "pve1"]).exits(2);
        assert!(said.stderr.contains(&format!("is no {key} name")), "{name:?}: {}", said.stderr);
    }
}
