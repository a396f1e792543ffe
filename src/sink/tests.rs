use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::profile::policy::SinkFormat;

const ID: &str = "svc@pve!ci";

fn token(id: &str) -> Item {
    Item { host: "ml-110".into(), what: What::Token { id: id.into() } }
}

fn password() -> Item {
    Item { host: "pve1".into(), what: What::Password { user: "root@pam".into() } }
}

fn sink(kind: SinkKind) -> Sink {
    Sink { name: "here".into(), kind }
}

fn dotenv(folder: &Path) -> Sink {
    sink(SinkKind::Env { path: folder.join(".env"), variable: None })
}

fn manifest(folder: &Path) -> Sink {
    sink(SinkKind::Kubernetes {
        path: folder.join("secret.yaml"),
        namespace: "crossplane-system".into(),
        secret: "proxmox-credentials".into(),
        key: "credentials.json".into(),
    })
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

async fn store(sink: &Sink, item: &Item, secret: &str) -> Result<()> {
    prove(sink, item).await?.stage(Secret::new(secret))?.keep().await
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn other_lines_of_an_env_file_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    private(
        &path,
        "# mine\nPVE_ROOT_PASS='x'\r\nexport PROXMOX_ML_110_TOKEN_ID=svc@pve!ci # old\nA=\"two\nPROXMOX_ML_110_TOKEN_SECRET=no\"\nZ=1",
    );
    let sink = dotenv(folder.path());
    assert_eq!(prove(&sink, &token(ID)).await.unwrap().holds().as_deref(), Some("svc@pve!ci"));
    store(&sink, &token("svc@pve!ci-20261122"), "s1").await.unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "# mine\nPVE_ROOT_PASS='x'\r\nexport PROXMOX_ML_110_TOKEN_ID='svc@pve!ci-20261122'\nA=\"two\nPROXMOX_ML_110_TOKEN_SECRET=no\"\nZ=1\nPROXMOX_ML_110_TOKEN_SECRET='s1'\n"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), [".env"], "no temporary file is left");
}

#[tokio::test]
async fn a_rotated_token_takes_its_familys_place_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let file = sink(SinkKind::File { path: folder.path().join("{token}.token") });
    let expected = [(dotenv(folder.path()), ".env"), (file, "ci.token"), (manifest(folder.path()), "secret.yaml")];
    for (sink, name) in expected {
        store(&sink, &token(ID), "11111111-aaaa").await.unwrap();
        assert_eq!(prove(&sink, &token(ID)).await.unwrap().holds().as_deref(), Some(ID), "{name}");
        store(&sink, &token("svc@pve!ci-20261122"), "22222222-bbbb").await.unwrap();
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.contains("22222222-bbbb") && !text.contains("11111111-aaaa"), "{text}");
        let place = prove(&sink, &token(ID)).await.unwrap();
        assert_eq!(place.holds().as_deref(), Some("svc@pve!ci-20261122"));
        drop(place);
        let sink = match sink.kind {
            SinkKind::File { .. } => self::sink(SinkKind::File { path: folder.path().join("ci.token") }),
            _ => sink,
        };
        let other = prove(&sink, &token("other@pve!ci")).await.unwrap_err();
        assert!(other.to_string().contains("has the secret of svc@pve!ci-20261122 already"), "{other}");
    }
}

#[tokio::test]
async fn a_manifest_is_what_kubernetes_reads() {
    let folder = tempfile::tempdir().unwrap();
    store(&manifest(folder.path()), &token("svc-crossplane@pve!provider"), "5625fe8e").await.unwrap();
    insta::assert_snapshot!(fs::read_to_string(folder.path().join("secret.yaml")).unwrap(), @r#"
    apiVersion: v1
    kind: Secret
    metadata:
      name: proxmox-credentials
      namespace: crossplane-system
    type: Opaque
    stringData:
      credentials.json: "{\"token\":\"svc-crossplane@pve!provider=5625fe8e\",\"username\":\"svc-crossplane@pve\"}"
    "#);
    private(&folder.path().join("secret.yaml"), "kind: ConfigMap\n");
    let other = prove(&manifest(folder.path()), &token(ID)).await.unwrap_err();
    assert!(other.to_string().contains("is not what this sink writes"), "{other}");
}

#[tokio::test]
async fn what_is_not_kept_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    private(&folder.path().join(".env"), "A=1\n");
    let staged = prove(&dotenv(folder.path()), &token(ID)).await.unwrap().stage(Secret::new("s")).unwrap();
    assert!(staged.is_final());
    assert_eq!(names(folder.path()).len(), 2);
    drop(staged);
    assert_eq!(names(folder.path()), [".env"]);
    assert_eq!(fs::read_to_string(folder.path().join(".env")).unwrap(), "A=1\n");
}

#[tokio::test]
async fn a_line_that_somebody_adds_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    private(&path, "A=1\n");
    let staged = prove(&dotenv(folder.path()), &token(ID)).await.unwrap().stage(Secret::new("s")).unwrap();
    private(&path, "A=1\nB=2\n");
    staged.keep().await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with("A=1\nB=2\nPROXMOX_ML_110_TOKEN_ID='svc@pve!ci'\n"));
}

#[tokio::test]
async fn places_that_are_not_safe_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    let why = async || prove(&dotenv(folder.path()), &token(ID)).await.unwrap_err().to_string();
    symlink("/nowhere", &path).unwrap();
    assert!(why().await.ends_with("is a link"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(why().await.ends_with("is not a regular file"));
    fs::remove_dir(&path).unwrap();
    private(&path, "A=1\n");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    assert!(why().await.ends_with("holds secrets and can be read by others"));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(why().await.ends_with("others may write to its folder"));
    let nowhere = sink(SinkKind::File { path: folder.path().join("no/such") });
    assert!(prove(&nowhere, &token(ID)).await.unwrap_err().to_string().contains("its folder cannot be opened"));
}

#[tokio::test]
async fn a_password_file_is_replaced_only_where_it_is_the_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str| sink(SinkKind::File { path: folder.path().join(name) });
    store(&named("pass"), &password(), "one").await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("pass")).unwrap(), "one\n");
    assert!(store(&named("pass"), &password(), "two").await.is_err());
    store(&named("{host}-{user}"), &password(), "one").await.unwrap();
    store(&named("{host}-{user}"), &password(), "two").await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("pve1-root@pam")).unwrap(), "two\n");
}

#[tokio::test]
async fn recovery_keys_have_a_form_in_each_place() {
    let folder = tempfile::tempdir().unwrap();
    let item = Item { host: "pve1".into(), what: What::RecoveryKeys { user: "a.b@pve".into() } };
    store(&dotenv(folder.path()), &item, "k1\nk2\n").await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join(".env")).unwrap(), "PROXMOX_PVE1_A_B_PVE_RECOVERY_KEYS='k1 k2'\n");
    assert_eq!(
        form::for_command(SinkFormat::Json, &item, &Secret::new("k1\nk2\n")).as_str(),
        r#"{"recovery-keys":["k1","k2"],"username":"a.b@pve"}"#
    );
}

#[tokio::test]
async fn a_totp_secret_never_takes_the_place_of_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let item = Item { host: "pve1".into(), what: What::Totp { user: "a.b@pve".into() } };
    let keys = Item { what: What::RecoveryKeys { user: "a.b@pve".into() }, ..item.clone() };
    store(&dotenv(folder.path()), &item, "otpauth://totp/x?secret=AA").await.unwrap();
    store(&dotenv(folder.path()), &keys, "k1\nk2\n").await.unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join(".env")).unwrap(),
        "PROXMOX_PVE1_A_B_PVE_TOTP_URI='otpauth://totp/x?secret=AA'\nPROXMOX_PVE1_A_B_PVE_RECOVERY_KEYS='k1 k2'\n"
    );
    let file = sink(SinkKind::File { path: folder.path().join("{user}-{token}") });
    store(&file, &item, "otpauth://totp/x?secret=AA").await.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("a.b@pve-totp")).unwrap(), "otpauth://totp/x?secret=AA\n");
    for taken in [dotenv(folder.path()), file] {
        let why = prove(&taken, &item).await.unwrap_err().to_string();
        assert!(why.contains("which is not replaced"), "{why}");
    }
    let shared = sink(SinkKind::File { path: folder.path().join("{user}-totp") });
    assert!(prove(&shared, &keys).await.is_err(), "recovery keys over an app's secret");
}

fn command(argv: &[&str], check: Option<&[&str]>) -> Sink {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    sink(SinkKind::Command { argv: words(argv), check: check.map(words), format: SinkFormat::Json })
}

#[tokio::test]
async fn a_command_reads_the_secret_and_never_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let script = format!("tr '\\0' ' ' </proc/$$/cmdline >&2; cat >'{}'", out.display());
    let sink = command(&["sh", "-c", &script, "{host}", "{user}/{token}"], Some(&["true"]));
    store(&sink, &token("svc@pve!ci-20261122"), "s3cret").await.unwrap();
    let text = fs::read_to_string(&out).unwrap();
    assert_eq!(text, r#"{"token":"svc@pve!ci-20261122=s3cret","username":"svc@pve"}"#);

    let echoes = command(&["sh", "-c", "cat >&2; exit 3"], None);
    let why = store(&echoes, &token(ID), "s3cret").await.unwrap_err().to_string();
    assert!(why.contains("svc@pve!ci=***") && !why.contains("s3cret"), "{why}");
    let locked = command(&["sh", "-c", "touch /never"], Some(&["sh", "-c", "echo sealed >&2; exit 2"]));
    assert!(prove(&locked, &token(ID)).await.unwrap_err().to_string().contains("sealed"));
    assert!(prove(&command(&["no-such-program"], None), &token(ID)).await.is_err());
}

#[test]
fn names_stay_in_their_folder_and_are_filled_once() {
    let item = Item { host: "{user}".into(), what: What::Token { id: "../../x@pve!ci".into() } };
    assert_eq!(item.filled("/a/{host}/{user}-{token}", true), "/a/_user_/______x@pve-ci");
    assert_eq!(item.filled("{host} {b}", false), "{user} {b}");
    let dots = Item { host: "..".into(), ..item };
    assert_eq!(dots.filled("/a/{host}/b", true), "/a/__/b");
}

proptest! {
    /// Whatever a file holds: what was set is found, the rest stays, and setting it again changes nothing.
    #[test]
    fn an_edit_is_found_again_and_keeps_the_rest(
        text in "((export )?[A-Z_]{1,6} ?= ?('[^']{0,6}'|\"[^\"]{0,6}\"|[a-z #]{0,6})\n|#[ -~]{0,10}\n|\n){0,8}",
        name in "[A-Z_]{1,6}",
        value in "[a-zA-Z0-9@!_.=-]{0,20}",
    ) {
        let set = [(name.clone(), Zeroizing::new(value.clone()))];
        let edited = env::edit(&text, &set).unwrap();
        prop_assert_eq!(env::value(&edited, &name), Some(value));
        prop_assert_eq!(env::edit(&edited, &set).unwrap(), edited.clone());
        let other = |text: &str| -> Vec<(String, String)> {
            dotenvy::from_read_iter(text.as_bytes()).filter_map(std::result::Result::ok).filter(|(found, _)| *found != name).collect()
        };
        let readable = dotenvy::from_read_iter(text.as_bytes()).all(|entry| entry.is_ok());
        if readable {
            prop_assert_eq!(other(&text), other(&edited));
            let read: Vec<_> = dotenvy::from_read_iter(edited.as_bytes()).map(|entry| entry.unwrap()).filter(|(found, _)| *found == name).collect();
            prop_assert_eq!(read.len(), 1);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(\\PC|\n|'|\"|=){0,60}", name in "[A-Z]{1,2}") {
        let _ = env::value(&text, &name);
        let edited = env::edit(&text, &[(name, Zeroizing::new("x".into()))]).unwrap();
        prop_assert!(edited.len() >= 4);
    }

    #[test]
    fn arbitrary_files_are_judged_without_a_panic(text in "(\\PC|\n){0,60}") {
        for kind in [dotenv(Path::new("/x")).kind, manifest(Path::new("/x")).kind, SinkKind::File { path: "/x".into() }] {
            for item in [token(ID), password()] {
                let _ = form::room(&kind, &item, Some(&text));
                let _ = form::holds(&kind, &item, Some(&text));
            }
        }
    }
}
