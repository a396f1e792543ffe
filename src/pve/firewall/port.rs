//! Port lists.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::{Backend, names};

/// Ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// As written.
    pub text: String,
    /// What it covers.
    pub ranges: Vec<RangeInclusive<u16>>,
}

impl Ports {
    /// Whether the port is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&port))
    }

    /// Reads ports as the backend does; the error is the backend's.
    pub fn parse(text: &str, backend: Backend) -> Result<Self, String> {
        let ranges = match backend {
            Backend::Iptables => perl(text)?,
            Backend::Nftables => strict(text)?,
        };
        Ok(Self { text: text.to_owned(), ranges })
    }
}

/// `PVE::Firewall::parse_port_name_number_or_range`.
fn perl(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    if text.starts_with(',') || text.ends_with(',') || text.contains(",,") {
        return Err("extraneous commas in list".into());
    }
    let mut ranges = Vec::new();
    let mut numbers = 0;
    for item in text.split(',') {
        let number = |digits: &str| digits.parse::<u16>().map_err(|_| format!("invalid port '{digits}'"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match item.split_once(':') {
            Some((first, last)) if digits(first) && digits(last) => {
                numbers += 2;
                let (from, to) = (number(first)?, number(last)?);
                if from > to {
                    return Err(format!(
                        "backwards range '{first}:{last}' not allowed, did you mean '{last}:{first}'?"
                    ));
                }
                ranges.push(from..=to);
            }
            None if digits(item) => {
                numbers += 1;
                let port = number(item)?;
                ranges.push(port..=port);
            }
            _ => {
                let port = names::port_number(item, Backend::Iptables);
                let port = port.ok_or_else(|| format!("invalid port '{item}'"))?;
                ranges.push(port..=port);
            }
        }
    }
    if numbers > 15 { Err("too many entries in port list (> 15 numbers)".into()) } else { Ok(ranges) }
}

/// `PortList::from_str` of proxmox-ve-config.
fn strict(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let port = |text: &str| {
        let named = || names::port_number(text, Backend::Nftables);
        text.parse().ok().or_else(named).ok_or_else(|| format!("invalid port specification: {text}"))
    };
    text.split(',')
        .map(|entry| {
            let (first, last) = entry.split_once(':').unwrap_or((entry, entry));
            let (first, last) = (port(first)?, port(last)?);
            if first > last { Err("start port is greater than end port!".into()) } else { Ok(first..=last) }
        })
        .collect()
}
