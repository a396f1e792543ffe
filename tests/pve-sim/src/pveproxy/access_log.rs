//! `/var/log/pveproxy/access.log`

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;

const FILE: &str = "/var/log/pveproxy/access.log";

/// One request.
pub struct Entry<'a> {
    /// Who asked.
    pub client: IpAddr,
    /// The user or token, when known.
    pub user: Option<&'a str>,
    /// Method, path and protocol.
    pub request: Option<&'a str>,
    /// HTTP status.
    pub status: u16,
    /// Bytes of the body; none without one.
    pub length: Option<usize>,
}

/// Adds a line.
pub fn write(entry: &Entry<'_>) {
    let line = format(entry, &jiff::Zoned::now().strftime("%d/%m/%Y:%H:%M:%S %z").to_string());
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o640).open(FILE) {
        let _ = file.write_all(line.as_bytes());
    }
}

fn format(entry: &Entry<'_>, time: &str) -> String {
    let length = entry.length.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    format!(
        "{} - {} [{time}] \"{}\" {} {length}\n",
        entry.client,
        entry.user.unwrap_or("-"),
        entry.request.unwrap_or("-"),
        entry.status,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as the real program wrote them.
    #[test]
    fn lines_are_those_recorded() {
        let client: IpAddr = std::net::Ipv4Addr::new(10, 77, 0, 2).to_ipv6_mapped().into();
        let mut entry =
            Entry { client, user: None, request: Some("GET /api2/json/version HTTP/1.1"), status: 401, length: None };
        assert_eq!(
            format(&entry, "21/11/2026:23:01:05 +0000"),
            "::ffff:10.77.0.2 - - [21/11/2026:23:01:05 +0000] \"GET /api2/json/version HTTP/1.1\" 401 -\n"
        );
        entry = Entry { request: None, status: 403, ..entry };
        assert_eq!(
            format(&entry, "21/11/2026:23:02:27 +0000"),
            "::ffff:10.77.0.2 - - [21/11/2026:23:02:27 +0000] \"-\" 403 -\n"
        );
    }
}
