//! Logins with keys, programs and their frames.

use std::time::Duration;

use pve_harden::transport::{Connection, Credentials, Error, Limits, Program};

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
