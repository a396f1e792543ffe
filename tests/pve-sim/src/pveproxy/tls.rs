//! The certificate, protocols and ciphers of port 8006.

use std::path::PathBuf;

use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslOptions, SslVersion};

use super::settings::Settings;
use crate::host::Host;
use crate::syslog::{Severity, Syslog};

const LOG: Syslog = Syslog::new("pveproxy");
const CIPHERS: &str = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256";

/// What answers handshakes; none when the settings leave nothing that could. The service then runs,
/// and every connection hangs, as with the real program.
pub fn acceptor(host: &Host, settings: &Settings) -> Option<SslAcceptor> {
    if settings.no_tls_1_2 && settings.no_tls_1_3 {
        return None;
    }
    match build(host, settings) {
        Ok(acceptor) => Some(acceptor),
        Err(error) => {
            let ciphers = settings.ciphers.as_deref().unwrap_or_default();
            LOG.log(
                Severity::Error,
                &format!("'{ciphers}' was not accepted as a valid cipher list by AnyEvent::TLS: {error}"),
            );
            None
        }
    }
}

fn build(host: &Host, settings: &Settings) -> anyhow::Result<SslAcceptor> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    let (certificate, key) = files(host, settings);
    builder.set_private_key_file(key, SslFiletype::PEM)?;
    builder.set_certificate_chain_file(certificate)?;
    let (oldest, newest) = match (settings.no_tls_1_2, settings.no_tls_1_3) {
        (true, _) => (SslVersion::TLS1_3, SslVersion::TLS1_3),
        (false, true) => (SslVersion::TLS1_2, SslVersion::TLS1_2),
        (false, false) => (SslVersion::TLS1_2, SslVersion::TLS1_3),
    };
    builder.clear_options(SslOptions::NO_TLSV1_3);
    builder.set_min_proto_version(Some(oldest))?;
    builder.set_max_proto_version(Some(newest))?;
    builder.set_cipher_list(settings.ciphers.as_deref().unwrap_or(CIPHERS))?;
    if let Some(suites) = &settings.suites
        && builder.set_ciphersuites(suites).is_err()
    {
        LOG.log(Severity::Warning, &format!("Failed to set TLS 1.3 ciphersuites '{suites}'"));
    }
    if settings.client_order {
        builder.clear_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    } else {
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    }
    Ok(builder.build())
}

/// The administrator's certificate when both its files are there, else the node's own.
fn files(host: &Host, settings: &Settings) -> (PathBuf, PathBuf) {
    let own = host.own("pveproxy-ssl.pem");
    let key = settings.key_file.as_ref().map_or_else(|| host.own("pveproxy-ssl.key"), |file| host.path(file));
    if own.is_file() && key.is_file() {
        LOG.info("Using '/etc/pve/local/pveproxy-ssl.pem' as certificate for the web interface.");
        return (own, key);
    }
    (host.own("pve-ssl.pem"), host.own("pve-ssl.key"))
}
