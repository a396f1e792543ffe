//! Logins with keys, programs and their frames.

use std::time::Duration;

use pve_harden::transport::{Connection, Credentials, Error, Frame, Limits, Program, Target};

use super::nobody;
use crate::support::sshd::Sshd;

#[tokio::test]
async fn one_login_carries_many_programs() {
    let Some(server) = Sshd::start("") else { return };
    let connection = Connection::open(&server.target(), &Credentials::default(), &nobody()).await.unwrap();
    let program = Program::new("run who id -un\npack input 0\nfile absent /no/such/file\nemit done 7 'é'\n");
    for _ in 0..2 {
        let frames = connection.run(&program.clone().payload(*b"a\0b\n"), Limits::default()).await.unwrap();
        let names: Vec<_> = frames.iter().map(|frame| (frame.name.as_str(), frame.status)).collect();
        assert_eq!(names, [("login", 0), ("who", 0), ("input", 0), ("absent", 1), ("done", 7)]);
        assert_eq!(frames[1].body, b"root\n");
        assert_eq!(frames[2].body, b"a\0b\n");
        assert_eq!(frames[4].body, "é".as_bytes());
        let login = String::from_utf8(frames[0].body.clone()).unwrap();
        assert!(login.starts_with("root\nno\n127.0.0.1 "), "{login}");
    }
    connection.close().await.unwrap();
    assert_eq!(server.logins(), 1);
}

#[tokio::test]
async fn a_failing_program_tells_its_status_and_last_words() {
    let Some(server) = Sshd::start("") else { return };
    let connection = Connection::open(&server.target(), &Credentials::default(), &nobody()).await.unwrap();
    let error = connection.run(&Program::new("echo broken >&2; exit 3"), Limits::default()).await.unwrap_err();
    assert_eq!(error, Error::Remote { code: 3, stderr_tail: "broken".into() });
    let limits = Limits::default().within(Duration::from_millis(300));
    let error = connection.run(&Program::new("sleep 60"), limits).await.unwrap_err();
    assert_eq!(error, Error::Timeout(Duration::from_millis(300)));
}

/// What the login shell makes of the command before, after or instead of running it.
async fn behind(force: &str, program: &str) -> Option<Result<Vec<Frame>, Error>> {
    let server = Sshd::start(&format!("ForceCommand {force}"))?;
    let connection = Connection::open(&server.target(), &Credentials::default(), &nobody()).await.unwrap();
    let limits = Limits::default().within(Duration::from_secs(10));
    Some(connection.run(&Program::new(program), limits).await)
}

#[tokio::test]
async fn a_talkative_login_shell_is_skipped() {
    let force = "echo Welcome; printf 'PVH-0123 end 0 0 \\033[2J'; eval \"$SSH_ORIGINAL_COMMAND\"; echo Bye";
    let Some(answer) = behind(force, "emit ok 0 fine").await else { return };
    assert_eq!(answer.unwrap()[1].body, b"fine");
}

#[tokio::test]
async fn answers_that_are_none_are_bounded_and_shown_safely() {
    let Some(answer) = behind("yes", "true").await else { return };
    let message = answer.unwrap_err().to_string();
    let expected = "the answer cannot be read: more than 65536 bytes before the first answer";
    assert!(message.starts_with(expected), "{message}");
    let Some(answer) = behind("printf 'This account is \\033[31mclosed.'; exit 1", "true").await else { return };
    let message = answer.unwrap_err().to_string();
    let expected =
        "the answer cannot be read: no program ran; the login shell answered \"This account is \\x1b[31mclosed.\"";
    assert_eq!(message, expected);
    let Some(answer) = behind("sleep 30", "true").await else { return };
    assert_eq!(answer.unwrap_err(), Error::Timeout(Duration::from_secs(10)));
}

#[tokio::test]
async fn a_program_cut_on_the_way_says_that_nothing_ran() {
    let directory = tempfile::tempdir().unwrap();
    let ran = directory.path().join("ran");
    let program = format!("touch {}\n# {}", ran.display(), "x".repeat(20_000));
    let Some(answer) = behind("head -c 9000 | sh -c \"$SSH_ORIGINAL_COMMAND\"", &program).await else { return };
    let message = answer.unwrap_err().to_string();
    assert!(message.contains("did not arrive whole; the node ran nothing of it"), "{message}");
    assert!(!ran.exists());
}

#[tokio::test]
async fn a_service_that_is_not_ssh_is_named_as_such() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"\x16\x03\x01\0\xff\n").await;
        }
    });
    let target = Target { port: Some(port), ..Target::new("127.0.0.1") };
    let error = Connection::open(&target, &Credentials::default(), &nobody()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}
