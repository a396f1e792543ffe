use super::*;
use crate::facts::{PasswordState, SudoRights, parse};

#[test]
fn account_files_are_read_as_glibc_reads_them() {
    let passwd = "root:x:0:0:root:/root:/bin/bash\nbad line\n+@nis::::::\nops:x:1000:1000:Ada, L:/home/ops:\n\
                  ops:x:0:0:second:/:/bin/sh\nbig:x:99999999999:1::/:/bin/sh\n";
    let group = "sudo:x:27:ops,eve\nempty:x:5:\nbroken:x:x:ops\n";
    let accounts = parse(&with_files(&[("/etc/passwd", passwd), ("/etc/group", group)])).accounts;
    let users = accounts.users.known().unwrap();
    assert_eq!(users.keys().collect::<Vec<_>>(), ["ops", "root"]);
    assert_eq!((users["ops"].uid, users["ops"].shell.as_str()), (1000, "/bin/sh"));
    let groups = accounts.groups.known().unwrap();
    assert_eq!(groups["sudo"].members, ["eve".to_owned(), "ops".to_owned()].into());
    assert!(groups["empty"].members.is_empty() && !groups.contains_key("broken"));
}

#[test]
fn password_states_come_without_hashes() {
    let digest = "a".repeat(64);
    let text = format!(
        "root:hash:y:20779:0:99999:7::\n#root:{digest}  -\nold:locked:6:1::::10:20000\nno:none:::::::\nopen:empty:::::::\nbad 2\n"
    );
    let facts = of("shadow", &text);
    let shadow = facts.accounts.shadow.known().unwrap();
    assert_eq!(shadow["root"].password, PasswordState::Hash("y".into()));
    assert_eq!((shadow["root"].max_days, shadow["root"].inactive_days), (Some(99999), None));
    assert_eq!(shadow["root"].hash_digest.as_ref(), Some(&digest));
    assert_eq!(shadow["old"].password, PasswordState::Locked("6".into()));
    assert_eq!((shadow["old"].inactive_days, shadow["old"].expires), (Some(10), Some(20000)));
    assert_eq!((&shadow["no"].password, &shadow["open"].password), (&PasswordState::None, &PasswordState::Empty));
    assert!(reason(&of("shadow", "root:hash:y\n").accounts.shadow).contains("cannot be understood"));
    assert!(reason(&facts_failed("shadow").accounts.shadow).contains("denied"));
}

fn facts_failed(name: &str) -> Facts {
    facts(&[(name, 1, "denied\n")])
}

#[test]
fn a_known_hash_is_recognised_by_its_salted_digest() {
    // sha256("salt" + "$y$j9T$x$y")
    let digest = super::super::files::hex(&<sha2::Sha256 as sha2::Digest>::digest(b"salt$y$j9T$x$y"));
    let facts =
        facts(&[("shadow", 0, &format!("ops:hash:y::::::\nnew:none:::::::\n#ops:{digest}  -\n")), ("salt", 0, "salt")]);
    assert_eq!(facts.accounts.has_hash("ops", "$y$j9T$x$y"), Some(true));
    assert_eq!(facts.accounts.has_hash("ops", "$y$j9T$x$z"), Some(false));
    assert_eq!(facts.accounts.has_hash("new", "$y$j9T$x$y"), Some(false));
    assert_eq!(facts.accounts.has_hash("nobody", "$y$j9T$x$y"), None);
}

fn sudo(entries: &str) -> SudoRights {
    let text = format!(
        "Matching Defaults entries for ops on pve1:\n    env_reset, mail_badpass,\n    use_pty\n\n\
         User ops may run the following commands on pve1:\n{entries}"
    );
    of("sudo.ops", &text).sudo["ops"].known().unwrap().clone()
}

#[test]
fn sudo_rights_are_read_strictly() {
    let cases = [
        ("    (ALL : ALL) NOPASSWD: ALL\n", (true, true)),
        ("    (ALL : ALL) ALL\n", (true, false)),
        ("    (root) SETENV: NOPASSWD: ALL\n", (true, true)),
        ("    (ALL) NOPASSWD:SETENV: ALL\n", (true, true)),
        ("    (www-data) NOPASSWD: ALL\n", (false, false)),
        ("    (ALL, !root) NOPASSWD: ALL\n", (false, false)),
        ("    (root) /usr/bin/apt\n", (false, false)),
        ("    (ALL) NOPASSWD: ALL\n    (ALL : ALL) ALL\n", (true, false)),
        ("    (ALL : ALL) ALL\n    (ALL) NOPASSWD: ALL\n", (true, true)),
        ("    (ALL) NOPASSWD: ALL, !/usr/sbin/visudo\n", (false, false)),
        ("    (ALL) NOPASSWD: ALL\n    (root) /bin/sh\n", (true, false)),
        ("    (ALL) NOPASSWD: ALL, PASSWD: /bin/sh\n", (true, false)),
        ("    (root) NOPASSWD: /bin/ALL\n", (false, false)),
        ("", (false, false)),
    ];
    for (entries, wanted) in cases {
        let rights = sudo(entries);
        assert_eq!((rights.all_as_root, rights.nopasswd), wanted, "{entries}");
    }
}

#[test]
fn no_sudo_no_user_and_no_rights_are_three_things() {
    let facts = facts(&[
        ("sudo.a", 127, ""),
        ("sudo.b", 1, "sudo: unknown user b\n"),
        ("sudo.c", 0, "User c is not allowed to run sudo on pve1.\n"),
        ("sudo.d", 1, "sudo: parse error in /etc/sudoers.d/x near line 1\n"),
    ]);
    assert_eq!((&facts.sudo["a"], &facts.sudo["b"]), (&Reading::Absent, &Reading::Absent));
    assert!(!facts.sudo["c"].known().unwrap().all_as_root);
    assert!(reason(&facts.sudo["d"]).contains("parse error"));
}

#[test]
fn keys_tell_where_they_lie() {
    let local = "path /home/ops/.ssh/authorized_keys\nreal /home/ops/.ssh/authorized_keys\nfstype ext2/ext3\n\
                 key ssh-ed25519 AAAA ops\nkey no-pty ssh-rsa AAAA old\npath /home/ops/.ssh/authorized_keys2\nabsent\n";
    let cluster = "path /root/.ssh/authorized_keys\nreal /etc/pve/priv/authorized_keys\nfstype fuse\nkey ssh-rsa AAAA root@pve1\n\
                   path /root/.ssh/authorized_keys2\nreal /root/.ssh/authorized_keys2\nfstype zfs\nkey ssh-rsa BBBB x\n";
    let facts = facts(&[
        ("keys.ops", 0, local),
        ("keys.root", 0, cluster),
        ("keys.nfs", 0, "path /n/k\nreal /n/k\nfstype nfs\n"),
        ("keys.none", 0, "path /home/none/.ssh/authorized_keys\nabsent\n"),
        ("keys.gone", 2, ""),
        ("keys.evil", 0, "path /home/evil/.ssh/authorized_keys\nrefused /etc/shadow\n"),
    ]);
    let keys = |name: &str| facts.accounts.authorized_keys[name].known().unwrap();
    assert_eq!((keys("ops").local, keys("ops").lines.len()), (true, 2));
    assert_eq!(
        (keys("root").local, keys("root").lines.as_slice()),
        (false, ["ssh-rsa AAAA root@pve1".to_owned()].as_slice())
    );
    assert_eq!((keys("nfs").local, keys("nfs").lines.len()), (false, 0));
    assert_eq!(facts.accounts.authorized_keys["none"], Reading::Absent);
    assert_eq!(facts.accounts.authorized_keys["gone"], Reading::Absent);
    assert!(reason(&facts.accounts.authorized_keys["evil"]).contains("/etc/shadow"));
}

#[test]
fn connected_names_are_names() {
    let facts = of("connected", "root\nops\n\nops\nbad name\n");
    assert_eq!(facts.accounts.connected.known().unwrap(), &["ops".to_owned(), "root".to_owned()].into());
}

#[test]
fn the_place_of_keys_is_local_or_not_and_never_guessed() {
    let place = |text: &str| of("place.ops", text).accounts.key_places["ops"].clone();
    let known = |text: &str| place(text).known().unwrap().local;
    assert!(known("/home/ops\n/home\next2/ext3\n"));
    for (exists, file_system) in [("/home", "nfs"), ("/home", "cifs"), ("/home", "autofs"), ("/etc/pve/x", "ext2/ext3")]
    {
        assert!(!known(&format!("/home/ops\n{exists}\n{file_system}\n")), "{exists} {file_system}");
    }
    assert!(reason(&place("/home/ops\n/home\n\n")).contains("file system of /home"));
    assert!(reason(&place("/home/ops\n")).contains("cannot be understood"));
}
