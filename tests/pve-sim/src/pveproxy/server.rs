//! The listener of port 8006.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_openssl::SslStream;

use super::access_log::{self, Entry};
use super::forward;
use super::settings::Settings;
use super::{SETTINGS, tls};
use crate::daemon;
use crate::host::Host;
use crate::syslog::{Severity, Syslog};

const LOG: Syslog = Syslog::new("pveproxy");
const PORT: u16 = 8006;
const LARGEST_BODY: usize = 1024 * 1024;
/// A refusal is answered this long after the question.
const DELAY: Duration = Duration::from_secs(3);
const FIRST_BYTE_OF_TLS: u8 = 0x16;
const INDEX: &str =
    "<!DOCTYPE html>\n<html>\n<head><title>pve - Proxmox Virtual Environment</title></head>\n<body></body>\n</html>\n";

type Answer = Response<Full<Bytes>>;

/// What can change while the service runs.
struct State {
    settings: Settings,
    acceptor: Option<SslAcceptor>,
}

impl State {
    fn load(host: &Host) -> Result<Self, String> {
        let settings = Settings::load(Path::new(SETTINGS))?;
        let acceptor = tls::acceptor(host, &settings);
        Ok(Self { settings, acceptor })
    }
}

/// How long workers with the old settings go on after a reload.
const OLD_WORKERS: Duration = Duration::from_millis(5500);

/// Serves until SIGTERM.
pub fn run() -> anyhow::Result<u8> {
    let _ = rustix::thread::set_name(c"pveproxy");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> anyhow::Result<u8> {
    let host = Host::this();
    let state = match State::load(&host) {
        Ok(state) => Arc::new(RwLock::new(Arc::new(state))),
        Err(reason) => anyhow::bail!("start failed - {reason}"),
    };
    let address = listen_address(&current(&state).settings)?;
    let listener = std::net::TcpListener::bind(address)
        .map_err(|error| anyhow::anyhow!("start failed - unable to create socket - {error}"))?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (mut hangup, mut terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
    daemon::ready();
    LOG.info("starting server");
    let mut due = None;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, client)) = accepted {
                    tokio::spawn(connection(stream, client.ip(), current(&state)));
                }
            }
            _ = hangup.recv() => {
                LOG.info("received signal HUP");
                due = Some(tokio::time::Instant::now() + OLD_WORKERS);
            }
            () = until(due) => match State::load(&host) {
                Ok(fresh) => {
                    *state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                    due = None;
                }
                Err(reason) => {
                    LOG.log(Severity::Error, &format!("start failed - {reason}"));
                    anyhow::bail!("start failed - {reason}");
                }
            },
            _ = terminate.recv() => {
                LOG.info("server stopped");
                return Ok(0);
            }
        }
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn current(state: &RwLock<Arc<State>>) -> Arc<State> {
    Arc::clone(&state.read().unwrap_or_else(PoisonError::into_inner))
}

fn listen_address(settings: &Settings) -> anyhow::Result<SocketAddr> {
    let ip: IpAddr = match &settings.listen {
        Some(text) => text.parse().with_context(|| format!("start failed - LISTEN_IP '{text}'"))?,
        None => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    Ok(SocketAddr::new(ip, PORT))
}

async fn connection(stream: TcpStream, client: IpAddr, state: Arc<State>) {
    if !state.settings.access.permits(client) {
        access_log::write(&Entry { client, user: None, request: None, status: 403, length: None });
        return;
    }
    let mut first = [0_u8; 1];
    match stream.peek(&mut first).await {
        Ok(1) if first[0] == FIRST_BYTE_OF_TLS => {}
        Ok(1) => return plain(stream, client).await,
        _ => return,
    }
    let Some(acceptor) = &state.acceptor else {
        return hang(&stream).await;
    };
    let Ok(ssl) = Ssl::new(acceptor.context()) else { return };
    let Ok(mut stream) = SslStream::new(ssl, stream) else { return };
    if Pin::new(&mut stream).accept().await.is_err() {
        return;
    }
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(request, client).await) });
    let _ = hyper::server::conn::http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Without a working TLS context nothing is ever answered; the client's patience ends it.
async fn hang(stream: &TcpStream) {
    let mut bytes = [0_u8; 1];
    while stream.peek(&mut bytes).await.is_ok_and(|count| count > 0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Plain HTTP is sent to HTTPS.
async fn plain(stream: TcpStream, client: IpAddr) {
    let service = service_fn(move |request: Request<Incoming>| async move {
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let target = format!("https://{host}{}", request.uri());
        let status =
            if request.method() == "GET" { StatusCode::MOVED_PERMANENTLY } else { StatusCode::PERMANENT_REDIRECT };
        let mut response = empty(status, "");
        if let Ok(value) = HeaderValue::from_str(&target) {
            response.headers_mut().insert(LOCATION, value);
        }
        log(&request_line(&request), client, None, &response);
        Ok::<_, Infallible>(response)
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, client: IpAddr) -> Answer {
    let started = tokio::time::Instant::now();
    let line = request_line(&request);
    let path = request.uri().path().to_owned();
    if !path.starts_with("/api2/") {
        let response = page(&path);
        log(&line, client, None, &response);
        return response;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return empty(StatusCode::NOT_IMPLEMENTED, "for data too large");
    };
    let forwarded = forward::to_daemon(&parts, body.to_bytes(), client).await;
    let (mut response, user, reason) = match forwarded {
        Ok(reply) => (reply.response, reply.user, reply.reason),
        Err(_) => {
            (empty(StatusCode::from_u16(595).unwrap_or(StatusCode::BAD_GATEWAY), "Connection refused"), None, None)
        }
    };
    if let Some(reason) = reason {
        LOG.log(Severity::Error, &format!("authentication failure: {reason}"));
    }
    decorate(&mut response);
    if response.status() == StatusCode::UNAUTHORIZED {
        tokio::time::sleep_until(started + DELAY).await;
    }
    log(&line, client, user.as_deref(), &response);
    response
}

fn request_line(request: &Request<Incoming>) -> String {
    format!("{} {} {:?}", request.method(), request.uri(), request.version())
}

fn page(path: &str) -> Answer {
    if path == "/" {
        let mut response = Response::new(Full::from(INDEX));
        response.headers_mut().insert("Content-Type", HeaderValue::from_static("text/html; charset=UTF-8"));
        decorate(&mut response);
        return response;
    }
    empty(StatusCode::NOT_FOUND, &format!("No such file or directory ('{path}')"))
}

/// A response without a body, with a reason of its own.
fn empty(status: StatusCode, reason: &str) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if let Ok(reason) = hyper::ext::ReasonPhrase::try_from(reason.as_bytes().to_vec())
        && !reason.as_bytes().is_empty()
    {
        response.extensions_mut().insert(reason);
    }
    decorate(&mut response);
    response
}

/// The headers that all answers have.
fn decorate(response: &mut Answer) {
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let stays = response.status().is_success();
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert("Cache-Control", HeaderValue::from_static("max-age=0"));
    headers.insert(CONNECTION, HeaderValue::from_static(if stays { "Keep-Alive" } else { "close" }));
    headers.insert("Pragma", HeaderValue::from_static("no-cache"));
    headers.insert("Server", HeaderValue::from_static("pve-api-daemon/3.0"));
    if let Ok(now) = HeaderValue::from_str(&now) {
        headers.insert("Date", now.clone());
        headers.insert("Expires", now);
    }
}

fn log(line: &str, client: IpAddr, user: Option<&str>, response: &Answer) {
    let bytes = hyper::body::Body::size_hint(response.body()).exact().and_then(|bytes| usize::try_from(bytes).ok());
    access_log::write(&Entry {
        client,
        user,
        request: Some(line),
        status: response.status().as_u16(),
        length: bytes.filter(|bytes| *bytes > 0),
    });
}
