//! Networks a person writes.

use std::net::IpAddr;

use ipnet::IpNet;

/// What is wrong with a network, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to write.
    pub help: Option<String>,
}

/// A network of addresses that may log in, without host bits and not the whole internet.
pub fn parse(text: &str) -> Result<IpNet, Problem> {
    let problem = |what: &str, help: Option<String>| Err(Problem { what: what.into(), help });
    if let Ok(address) = text.parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return problem("a network needs a prefix length", Some(format!("for one address write \"{address}/{bits}\"")));
    }
    let Ok(net) = text.parse::<IpNet>() else {
        return problem("not a network", Some("expected e.g. \"192.0.2.0/24\" or \"2001:db8::/64\"".into()));
    };
    if net.prefix_len() == 0 {
        return problem("this is every address there is", Some("name the networks you really administer from".into()));
    }
    if net.trunc() != net {
        let help = format!(
            "the network is \"{}\"; for the one address write \"{}/{}\"",
            net.trunc(),
            net.addr(),
            net.max_prefix_len()
        );
        return problem("the address has bits outside the network", Some(help));
    }
    if net.addr().is_multicast() || net.addr().is_unspecified() {
        return problem("nobody logs in from such addresses", None);
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_exact() {
        assert!(parse("192.0.2.0/24").is_ok());
        assert!(parse("2001:db8::/64").is_ok());
        assert!(parse("192.0.2.7/32").is_ok());
        let wrong = [
            ("192.0.2.7", "\"192.0.2.7/32\""),
            ("2001:db8::1", "\"2001:db8::1/128\""),
            ("192.0.2.7/24", "\"192.0.2.0/24\""),
            ("0.0.0.0/0", "really administer"),
            ("::/0", "really administer"),
            ("192.0.2.0/33", "expected"),
            ("lan", "expected"),
        ];
        for (text, help) in wrong {
            let problem = parse(text).unwrap_err();
            assert!(problem.help.as_deref().is_some_and(|h| h.contains(help)), "{text}: {problem:?}");
        }
        assert!(parse("224.0.0.0/4").is_err());
    }
}
