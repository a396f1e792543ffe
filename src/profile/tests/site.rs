use std::os::unix::fs::PermissionsExt;

use super::{Folder, KEY, OTHER_KEY};
use crate::profile::policy::{AdminPassword, Sudo};

pub const SITE: &str = r#"
profiles = ["strict", "profiles/own.toml"]
management = ["192.0.2.0/24", "2001:db8::/64"]
removed-admins = ["old"]

[[host]]
name = "pve1"
address = "192.0.2.11"
port = 2222
user = "ops"
jump = "ops@jump:22"
host_key = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
groups = ["prod"]

[[host]]
name = "pve2"
host-key = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"

[[admin]]
name = "anna"
full-name = "Anna Müller"
groups = ["adm"]
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ anna"]
sudo = "nopasswd"

[[admin]]
name = "ben"
key-files = ["keys/ben.pub"]
sudo = "password"
password = { generate = "ben.pass" }
"#;

fn folder() -> Folder {
    let keys = format!("# laptop\n\n{OTHER_KEY}\n");
    let own = "[ssh.limits]\nmax-auth-tries = 6\n";
    Folder::with(&[("site.toml", SITE), ("keys/ben.pub", &keys), ("profiles/own.toml", own)])
}

#[test]
fn a_site_becomes_what_controls_read() {
    let folder = folder();
    let loaded = folder.load(&[], Some("site.toml")).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.profile.ssh.limits.max_auth_tries, 6, "the site's profiles, relative to the site file");
    let site = &loaded.site;
    assert_eq!(site.management.len(), 2);
    assert_eq!((site.hosts[0].port, site.hosts[0].user.as_deref()), (Some(2222), Some("ops")));
    assert_eq!(site.hosts[0].host_key, site.hosts[1].host_key, "host_key and host-key are one key");
    assert_eq!(site.hosts[1].address, "pve2", "the name is the address when there is no other");
    assert_eq!(site.admins[0].full_name, "Anna Müller");
    assert_eq!((&site.admins[0].groups[..], site.admins[0].sudo), (&["adm".to_owned()][..], Sudo::Nopasswd));
    assert_eq!(site.admins[1].keys, [OTHER_KEY]);
    assert_eq!(site.admins[1].password, Some(AdminPassword::Generate(folder.path("ben.pass"))));
    assert_eq!(site.removed_admins, ["old"]);
}

#[test]
fn the_command_line_replaces_the_sites_profiles() {
    let loaded = folder().load(&["baseline"], Some("site.toml")).unwrap();
    assert_eq!(loaded.profile_names, ["baseline"]);
}

#[test]
fn the_digest_of_a_site_knows_no_secret_and_no_place() {
    let hash = |salt: &str| format!("{{ hash = \"$6${salt}${}\" }}", "a".repeat(86));
    let text = |password: &str| SITE.replace("{ generate = \"ben.pass\" }", password);
    let digest = |text: &str| {
        let folder = folder();
        std::fs::write(folder.path("site.toml"), text).unwrap();
        folder.load(&[], Some("site.toml")).unwrap().digests.site
    };
    assert_eq!(digest(&text(&hash("one"))), digest(&text(&hash("two"))));
    assert_eq!(digest(SITE), digest(SITE), "two folders");
    assert_ne!(digest(SITE), digest(&SITE.replace("192.0.2.11", "192.0.2.12")));
}

#[test]
fn a_hash_may_come_from_the_environment_or_the_env_file() {
    let hash = format!("$6$salt${}", "a".repeat(86));
    let text = SITE.replace("{ generate = \"ben.pass\" }", "{ hash-env = \"BEN_HASH\" }");
    let folder = folder();
    std::fs::write(folder.path("site.toml"), text).unwrap();
    let missing = folder.load(&[], Some("site.toml")).unwrap_err();
    assert!(missing.to_string().contains("BEN_HASH is set neither"), "{missing}");
    assert!(folder.lint("site.toml").starts_with("warning: BEN_HASH"), "a lint does not need it");
    let loaded = folder.load_in(&[], Some("site.toml"), &[("BEN_HASH", &hash)]).unwrap();
    assert!(matches!(&loaded.site.admins[1].password, Some(AdminPassword::Hash(h)) if h.expose() == hash));
    std::fs::write(folder.path(".env"), format!("BEN_HASH='{hash}'\nPVE_ROOT_PASS='geheim'\n")).unwrap();
    std::fs::set_permissions(folder.path(".env"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let loaded = folder.load(&[], Some("site.toml")).unwrap();
    assert_eq!(loaded.secrets.root_password(&loaded.site.hosts[0]).unwrap().expose(), "geheim");
    assert!(!format!("{loaded:?}").contains("geheim") && !format!("{loaded:?}").contains(&hash));
}

/// A change of the good site → what the message must say.
const WRONG: &[(&str, &str, &str)] = &[
    ("removed-admins = [\"old\"]", "removed-admins = [\"root\"]", "root is no named administrator"),
    ("removed-admins = [\"old\"]", "removed-admins = [\"anna\"]", "an administrator and removed"),
    ("[\"192.0.2.0/24\", \"2001:db8::/64\"]", "[]", "list of management networks is empty"),
    ("\"2001:db8::/64\"", "\"::/0\"", "every address there is"),
    ("\"2001:db8::/64\"", "\"2001:db8::1/64\"", "\"2001:db8::/64\""),
    ("name = \"pve2\"", "name = \"pve1\"", "host pve1 is there already"),
    ("name = \"pve2\"", "name = \"pve2\"\naddress = \"192.0.2.11\"\nport = 2222", "is there already"),
    ("address = \"192.0.2.11\"", "address = \"-oProxyCommand=id\"", "as an option"),
    ("address = \"192.0.2.11\"", "address = \"pve1\\u001b[2J\"", "neither an IP address"),
    ("user = \"ops\"", "user = \"-l\"", "a login name"),
    ("jump = \"ops@jump:22\"", "jump = \"`id`\"", "[user@]host[:port]"),
    ("host_key = \"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\"", "host_key = \"aa:bb\"", "ssh-keygen -lf"),
    ("name = \"ben\"", "name = \"anna\"", "administrator anna is there already"),
    ("name = \"ben\"", "name = \"www-data\"", "account or group of Debian"),
    ("name = \"ben\"", "name = \"Ben\"", "lower-case"),
    ("name = \"ben\"", "name = \"pve-admins\"", "the administrators' group has this name"),
    ("Anna Müller", "Anna:0:0", "full name"),
    ("groups = [\"adm\"]", "groups = [\"docker\"]", "warning: members of this group are root"),
    ("keys/ben.pub", "keys/none.pub", "does not exist"),
    ("key-files = [\"keys/ben.pub\"]", "", "warning: ben has no key"),
    ("sudo = \"nopasswd\"", "", "missing key `sudo` in [[admin]]"),
    ("sudo = \"nopasswd\"", "sudo = \"password\"", "anna has to type a password for sudo and has none"),
    ("{ generate = \"ben.pass\" }", "{ }", "exactly one source"),
    ("{ generate = \"ben.pass\" }", "{ prompt = true, generate = \"x\" }", "exactly one source"),
    ("{ generate = \"ben.pass\" }", "{ prompt = false }", "no source of a password"),
    ("{ generate = \"ben.pass\" }", "{ hash = \"hunter2\" }", "not a hash that is taken"),
    ("{ generate = \"ben.pass\" }", "\"hunter2\"", "expected a table"),
    ("[[host]]\nname = \"pve1\"", "[[hosts]]\nname = \"pve1\"", "did you mean `host`?"),
    ("[[host]]\nname = \"pve1\"", "[host]\nname = \"pve1\"", "write [[name]] with two brackets"),
    ("profiles = [\"strict\", \"profiles/own.toml\"]", "profiles = \"strict\"", "put it in brackets"),
    ("profiles/own.toml", "own.toml", "own.toml does not exist"),
    ("removed-admins", "contact = \"root\"\nremoved-admins", "this is no mail address"),
    ("removed-admins", "emergency-contact = \" \"\nremoved-admins", "one line that names somebody"),
    ("removed-admins", "[[waver]]\nid = 1\n#", "did you mean `waiver`?"),
    ("[[admin]]\nname = \"anna\"", WAIVER_OF_ALL, "patterns are refused"),
    ("[[admin]]\nname = \"anna\"", WAIVER_EVERYWHERE, "where does it hold?"),
    ("[[admin]]\nname = \"anna\"", WAIVER_FOR_NOTHING, "did you mean `ssh.limits`?"),
    ("[[admin]]\nname = \"anna\"", WAIVER_FOREVER, "this is not a day"),
    ("[[admin]]\nname = \"anna\"", WAIVER_OF_NOBODY, "`owner` says nothing"),
    ("[[admin]]\nname = \"anna\"", WAIVER_OF_STRANGERS, "no host of this site is group lab"),
    ("[[admin]]\nname = \"anna\"", WAIVER_WITHOUT_END, "missing key `expires` in [[waiver]]"),
    ("[[admin]]\nname = \"anna\"", WAIVER_TWICE, "waived here already"),
];

macro_rules! waiver {
    ($($lines:literal),*) => { concat!("[[waiver]]\n", $($lines, "\n",)* "[[admin]]\nname = \"anna\"") };
}

const WAIVER_OF_ALL: &str =
    waiver!("control = \"*\"", "node = \"pve1\"", "owner = \"A\"", "reason = \"r\"", "expires = 2099-01-01");
const WAIVER_EVERYWHERE: &str =
    waiver!("control = \"ssh.limits\"", "owner = \"A\"", "reason = \"r\"", "expires = 2099-01-01");
const WAIVER_FOR_NOTHING: &str =
    waiver!("control = \"ssh.limit\"", "node = \"pve1\"", "owner = \"A\"", "reason = \"r\"", "expires = 2099-01-01");
const WAIVER_FOREVER: &str =
    waiver!("control = \"ssh.limits\"", "node = \"pve1\"", "owner = \"A\"", "reason = \"r\"", "expires = \"never\"");
const WAIVER_OF_NOBODY: &str =
    waiver!("control = \"ssh.limits\"", "node = \"pve1\"", "owner = \" \"", "reason = \"r\"", "expires = 2099-01-01");
const WAIVER_OF_STRANGERS: &str =
    waiver!("control = \"ssh.limits\"", "group = \"lab\"", "owner = \"A\"", "reason = \"r\"", "expires = 2099-01-01");
const WAIVER_WITHOUT_END: &str =
    waiver!("control = \"ssh.limits\"", "node = \"pve1\"", "owner = \"A\"", "reason = \"r\"");
const WAIVER_TWICE: &str = waiver!(
    "control = \"ssh.limits\"",
    "node = \"pve1\"",
    "owner = \"A\"",
    "reason = \"r\"",
    "expires = 2099-01-01",
    "[[waiver]]",
    "control = \"ssh.limits\"",
    "node = \"pve1\"",
    "owner = \"B\"",
    "reason = \"r\"",
    "expires = 2098-01-01"
);

#[test]
fn a_waiver_names_control_place_owner_reason_and_end() {
    let waivers = r#"
[[waiver]]
control = "ssh.forwarding"
node = "pve2"
owner = "Olga"
reason = "legacy backup client"
expires = 2099-12-31

[[waiver]]
control = "ssh.limits"
group = "prod"
owner = "Ben"
reason = "many parallel migrations"
expires = "2098-01-01"
"#;
    let folder = folder();
    std::fs::write(folder.path("site.toml"), format!("{SITE}{waivers}")).unwrap();
    let loaded = folder.load(&[], Some("site.toml")).unwrap();
    let waived = |host: usize, control: &str| {
        loaded.policy_for(&loaded.site.hosts[host]).waiver(control).map(|waiver| waiver.owner.clone())
    };
    assert_eq!(waived(1, "ssh.forwarding").as_deref(), Some("Olga"));
    assert_eq!(waived(0, "ssh.forwarding"), None);
    assert_eq!(waived(0, "ssh.limits").as_deref(), Some("Ben"), "pve1 is in the group");
    assert_eq!(waived(1, "ssh.limits"), None);
    assert_eq!(loaded.site.waivers[0].expires.to_string(), "2099-12-31");
}

#[test]
fn what_is_wrong_with_a_site_is_named_at_its_place() {
    let folder = folder();
    for (good, bad, expected) in WRONG {
        assert!(SITE.contains(good), "{good}");
        std::fs::write(folder.path("site.toml"), SITE.replacen(good, bad, 1)).unwrap();
        let found = folder.lint("site.toml");
        assert!(found.contains(expected) && found.contains("site.toml:"), "{bad}: {found}");
        assert!(!found.contains("hunter2") && !found.contains('\u{1b}'), "{found}");
    }
}

#[test]
fn a_site_without_people_or_networks_is_warned_about() {
    let folder = Folder::with(&[("site.toml", "[[host]]\nname = \"pve1\"\n")]);
    let loaded = folder.load(&[], Some("site.toml")).unwrap();
    let warned = loaded.warnings.to_string();
    assert!(warned.contains("no management networks") && warned.contains("no administrators"), "{warned}");
}

#[test]
fn keys_belong_to_one_person() {
    let text = SITE.replace("key-files = [\"keys/ben.pub\"]", &format!("keys = [\"{KEY}\"]"));
    let folder = folder();
    std::fs::write(folder.path("site.toml"), text).unwrap();
    let found = folder.lint("site.toml");
    assert!(found.contains("this key belongs to anna already"), "the comment does not make another key: {found}");
    assert!(found.contains("site.toml:28:9"), "{found}");
}

#[test]
fn a_key_that_the_profile_would_not_accept_is_refused_before_it_locks_out() {
    let profile = "extends = \"strict\"\n[ssh.crypto]\npubkey-accepted-algorithms = [\"rsa-sha2-512\"]\n";
    let folder = folder();
    std::fs::write(folder.path("profiles/own.toml"), profile).unwrap();
    let found = folder.load(&[], Some("site.toml")).unwrap_err().to_string();
    assert!(found.contains("no key of this person would be accepted"), "{found}");
}

#[test]
fn private_keys_are_refused_and_never_shown() {
    let pem =
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n-----END OPENSSH PRIVATE KEY-----";
    let inline = SITE.replace("key-files = [\"keys/ben.pub\"]", &format!("keys = ['''\n{pem}\n''']"));
    let broken = SITE.replace("key-files = [\"keys/ben.pub\"]", &format!("keys = [\"{pem}\"]"));
    let folder = folder();
    for text in [inline, broken] {
        std::fs::write(folder.path("site.toml"), text).unwrap();
        let found = folder.lint("site.toml");
        assert!(!found.is_empty() && !found.contains("b3Blbn"), "{found}");
    }
    std::fs::write(folder.path("site.toml"), SITE).unwrap();
    std::fs::write(folder.path("keys/ben.pub"), pem).unwrap();
    let found = folder.lint("site.toml");
    assert!(found.contains("holds a private key"), "{found}");
    assert!(!found.contains("b3Blbn"));
}

#[test]
fn an_env_file_others_can_read_stops_everything() {
    let folder = folder();
    std::fs::write(folder.path(".env"), "PVE_ROOT_PASS='x'\n").unwrap();
    std::fs::set_permissions(folder.path(".env"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let found = folder.load(&[], Some("site.toml")).unwrap_err().to_string();
    assert!(found.contains("can be read by others") && found.contains("chmod 600"), "{found}");
}
