//! Whether a TLS port of the node answers over the way that ssh takes to it: directly, or from its jump host.
//!
//! Only the beginning of a handshake (RFC 8446, 4.1.2): a service that is there but hangs does not send its answer, and
//! one that has the answer has keys and settings to go on with. Whom the certificate names is no question here.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{self, Route};
use super::target::Target;

/// For a direct connection and its answer. Rules that drop packets answer nothing.
const DIRECT: Duration = Duration::from_secs(10);
/// The login to the jump host comes on top.
const OVER_JUMP: Duration = Duration::from_secs(30);
/// Types of a TLS record and of a handshake message.
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;

/// Cipher suites of TLS 1.3 and 1.2 that OpenSSL has, strong ones first.
const SUITES: [u16; 21] = [
    0x1301, 0x1302, 0x1303, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc02b, 0xc02f, 0x009f, 0x009e, 0xccaa, 0xc024, 0xc028,
    0xc023, 0xc027, 0x009d, 0x009c, 0x003d, 0x003c, 0x0035,
];

/// Whether the port answers a `ClientHello`; a way that cannot be taken (`ProxyCommand`, a jump host that asks for a
/// password) is no answer.
pub async fn tls_answers(target: &Target, port: u16) -> bool {
    let Ok(route) = client::route(target).await else { return false };
    match &route {
        Route { by_command: true, .. } => false,
        Route { host, jump: None, .. } => {
            let asked = async {
                let mut stream = TcpStream::connect((host.as_str(), port)).await.ok()?;
                let (mut from, mut to) = stream.split();
                greeted(&mut from, &mut to).await
            };
            timeout(DIRECT, asked).await.ok().flatten().is_some()
        }
        Route { host, jump: Some(jump), .. } => {
            let asked = async {
                let mut command = client::forward(target, jump, host, port);
                let mut ssh = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
                let (mut from, mut to) = (ssh.stdout.take()?, ssh.stdin.take()?);
                greeted(&mut from, &mut to).await
            };
            timeout(OVER_JUMP, asked).await.ok().flatten().is_some()
        }
    }
}

/// Says hello and waits for the server's.
async fn greeted(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> Option<()> {
    let mut random = [0; 96];
    getrandom::fill(&mut random).ok()?;
    to.write_all(&hello(&random)).await.ok()?;
    to.flush().await.ok()?;
    let mut answer = [0; 6];
    from.read_exact(&mut answer).await.ok()?;
    (answer[0] == HANDSHAKE && answer[1] == 3 && answer[5] == SERVER_HELLO).then_some(())
}

/// A `ClientHello` for TLS 1.2 and 1.3: random, session id and an X25519 share of 32 bytes each.
fn hello(random: &[u8; 96]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(&random[..32]);
    body.extend(short_list(&random[32..64]));
    body.extend(list(&SUITES.map(u16::to_be_bytes).concat()));
    body.extend([1, 0]);
    let mut extensions = Vec::new();
    let mut extension = |number: u16, content: &[u8]| {
        extensions.extend(number.to_be_bytes());
        extensions.extend(list(content));
    };
    // Groups: X25519, P-256, P-384, P-521. Points: uncompressed.
    extension(10, &list(&[0, 29, 0, 23, 0, 24, 0, 25]));
    extension(11, &[1, 0]);
    // ECDSA, Ed25519, RSA-PSS and RSA signatures.
    extension(13, &list(&[4, 3, 5, 3, 6, 3, 8, 7, 8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 6, 1]));
    extension(43, &short_list(&[3, 4, 3, 3]));
    extension(45, &[1, 1]);
    extension(51, &list(&[&[0, 29][..], &list(&random[64..])].concat()));
    body.extend(list(&extensions));

    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(list(&[&[1, 0][..], &list(&body)].concat()));
    record
}

/// With its length in two bytes. Everything here is far shorter than that can say.
fn list(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or_default();
    [&length.to_be_bytes()[..], content].concat()
}

/// With its length in one byte.
fn short_list(content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or_default();
    [&[length][..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_what_follows() {
        let hello = hello(&[7; 96]);
        assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
        assert_eq!(hello[5..7], [1, 0]);
        assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
    }

    #[tokio::test]
    async fn only_a_servers_hello_is_an_answer() {
        for (answer, expected) in [
            (&b"\x16\x03\x03\x00\x7a\x02"[..], true),
            (b"\x15\x03\x03\x00\x02\x02\x28", false),
            (b"HTTP/1.1 400", false),
            (b"", false),
        ] {
            let mut from = answer;
            assert_eq!(greeted(&mut from, &mut Vec::new()).await.is_some(), expected, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_port_that_hangs_does_not_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut from, mut to) = stream.split();
        assert!(timeout(Duration::from_millis(50), greeted(&mut from, &mut to)).await.is_err());
    }
}
