//! `pvedaemon`: answers API calls as root, on the loopback address only.

mod request;

use std::convert::Infallible;
use std::path::Path;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::ApiError;
use crate::applet::Arguments;
use crate::console::{complain, say};
use crate::host::Host;
use crate::syslog::Syslog;
use crate::{daemon, idle};
use request::Asked;

/// Where it listens.
pub const ADDRESS: &str = "127.0.0.1:85";
/// Header with the address of who asks the proxy.
pub const CLIENT_HEADER: &str = "pveclientip";
/// Header that tells the proxy who asked.
pub const USER_HEADER: &str = "pvesim-user";
/// Header that tells the proxy why a ticket or token was not taken.
pub const REASON_HEADER: &str = "pvesim-reason";

const LOG: Syslog = Syslog::new("pvedaemon");
const PROGRAM: &str = "/usr/bin/pvedaemon";
const PID_FILE: &str = "/run/pvedaemon.pid";
const LARGEST_BODY: usize = 1024 * 1024;

/// Runs `pvedaemon start|stop|restart|status`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match arguments.first().map_or("", String::as_str) {
        "stop" => idle::stop(Path::new(PID_FILE)),
        "status" => {
            say(if daemon::running_pid(Path::new(PID_FILE)).is_some() { "running" } else { "stopped" });
            Ok(0)
        }
        "start" if daemon::is_child() => {
            let _ = rustix::thread::set_name(c"pvedaemon");
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(serve())
        }
        "restart" if daemon::running_pid(Path::new(PID_FILE)).is_some() => Ok(0),
        "start" | "restart" => match daemon::start(Path::new(PROGRAM), &["start"], Path::new(PID_FILE), None) {
            Ok(()) => Ok(0),
            Err(_) => Ok(255),
        },
        _ => {
            complain("ERROR: no command specified\nUSAGE: pvedaemon <COMMAND> [ARGS] [OPTIONS]");
            Ok(255)
        }
    }
}

async fn serve() -> anyhow::Result<u8> {
    let listener = TcpListener::bind(ADDRESS)
        .await
        .map_err(|error| anyhow::anyhow!("start failed - unable to create socket - {error}"))?;
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    daemon::ready();
    LOG.info("starting server");
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
                    tokio::spawn(async move {
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            }
            _ = hangup.recv() => LOG.info("received signal HUP"),
            _ = terminate.recv() => {
                LOG.info("server stopped");
                return Ok(0);
            }
        }
    }
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
        return bare(StatusCode::NOT_IMPLEMENTED, "for data too large");
    };
    let asked = Asked::read(&parts, &body.to_bytes());
    let finished = tokio::task::spawn_blocking(move || asked.answer(&Host::this())).await;
    let Ok((outcome, user)) = finished else {
        return bare(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
    };
    let mut response = match outcome {
        Ok(data) => with_body(StatusCode::OK, "OK", &json!({"data": data})),
        Err(request::Refused { error: ApiError::NoTicket(reason), why }) if reason == "No ticket" => {
            let mut response = bare(StatusCode::UNAUTHORIZED, reason);
            if let Some(why) = why.and_then(|why| HeaderValue::from_str(&why).ok()) {
                response.headers_mut().insert(REASON_HEADER, why);
            }
            response
        }
        Err(request::Refused { error, .. }) => failed(&error),
    };
    if let Some(user) = user.and_then(|user| HeaderValue::from_str(&user).ok()) {
        response.headers_mut().insert(USER_HEADER, user);
    }
    response
}

fn failed(error: &ApiError) -> Response<Full<Bytes>> {
    let (status, reason) = error.http();
    let mut body = json!({"data": null, "message": format!("{reason}\n")});
    if let ApiError::Parameters(wrong) = error {
        body["errors"] = wrong
            .iter()
            .map(|(name, message)| (name.clone(), json!(message)))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    with_body(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &reason, &body)
}

fn with_body(status: StatusCode, reason: &str, body: &Value) -> Response<Full<Bytes>> {
    let mut response = bare(status, reason);
    *response.body_mut() = Full::from(body.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    response
}

fn bare(status: StatusCode, reason: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes().to_vec()) {
        response.extensions_mut().insert(reason);
    }
    response
}
