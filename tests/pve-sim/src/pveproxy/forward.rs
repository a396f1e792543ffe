//! Handing a call to `pvedaemon`.

use std::net::IpAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::pvedaemon::{ADDRESS, CLIENT_HEADER, REASON_HEADER, USER_HEADER};

/// What came back.
pub struct Reply {
    /// For the client.
    pub response: Response<Full<Bytes>>,
    /// Who asked, for the log.
    pub user: Option<String>,
    /// Why a token or ticket was not taken, for the journal.
    pub reason: Option<String>,
}

/// Sends a request with the client's address in a header, as the real proxy does.
pub async fn to_daemon(parts: &Parts, body: Bytes, client: IpAddr) -> anyhow::Result<Reply> {
    let stream = TcpStream::connect(ADDRESS).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = parts.uri.clone();
    for name in ["authorization", "cookie", "csrfpreventiontoken", "content-type", "host"] {
        if let Some(value) = parts.headers.get(name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    request.headers_mut().insert(CLIENT_HEADER, HeaderValue::from_str(&client.to_string())?);
    let answer = sender.send_request(request).await?;
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (user, reason) = (text(USER_HEADER), text(REASON_HEADER));
    let (status, kind) = (answer.status(), answer.headers().get(CONTENT_TYPE).cloned());
    let phrase = answer.extensions().get::<ReasonPhrase>().cloned();
    let mut response = Response::new(Full::new(answer.into_body().collect().await?.to_bytes()));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    if let Some(phrase) = phrase {
        response.extensions_mut().insert(phrase);
    }
    Ok(Reply { response, user, reason })
}
