//! The site file as text, judged before it is written.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::InitArgs;
use crate::error::{Error, Kind, Result};
use crate::profile::diagnostic::Diagnostics;
use crate::profile::policy::Sudo;
use crate::profile::secrets::Secrets;
use crate::profile::select::Target;
use crate::profile::site::{self, Purpose};
use crate::profile::source::Source;
use crate::profile::{disk, keys};
use crate::sanitize;

/// Largest public key file.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// What goes into the file.
#[derive(Debug)]
pub struct Draft {
    hosts: Vec<(String, Target)>,
    management: Vec<String>,
    admin: String,
    /// Key lines and the file each came from.
    keys: Vec<(String, String)>,
    sudo: Sudo,
}

impl Draft {
    /// From complete arguments.
    pub fn from_args(args: &InitArgs) -> Result<Self> {
        let mut keys = Vec::new();
        for file in &args.key_file {
            let shown = sanitize::line(&file.to_string_lossy()).into_owned();
            keys.extend(read_keys(file)?.into_iter().map(|line| (line, shown.clone())));
        }
        Ok(Self {
            hosts: name_hosts(&args.host)?,
            management: args.management.clone(),
            admin: args.admin.clone().unwrap_or_default(),
            keys,
            sudo: args.sudo.unwrap_or(Sudo::Nopasswd),
        })
    }

    /// The commented file. What a lint would refuse is refused here.
    pub fn render(&self) -> Result<String> {
        let text = self.text();
        let mut found = Diagnostics::default();
        let source = Source::new("site.toml", text.as_str());
        site::parse(&source, Path::new("site.toml"), Purpose::Lint, &Secrets::default(), &mut found);
        if found.is_empty() {
            return Ok(text);
        }
        found.sort();
        let error = Error::msg(Kind::Usage, format!("this would be the site file, and it is not right\n\n{found}"));
        Err(error.state("nothing was written").hint("change the flag that gave the line"))
    }

    fn text(&self) -> String {
        let mut text = String::from(HEAD);
        let nets: Vec<String> = self.management.iter().map(|net| quoted(net)).collect();
        let _ = writeln!(text, "management = [{}]", nets.join(", "));
        text.push_str(REMOVED);
        text.push_str(HOSTS);
        for (name, target) in &self.hosts {
            let _ = write!(text, "[[host]]\nname = {}\naddress = {}\n", quoted(name), quoted(&target.address));
            if let Some(user) = target.user.as_deref().filter(|u| *u != "root") {
                let _ = writeln!(text, "user = {}", quoted(user));
            }
            if let Some(port) = target.port {
                let _ = writeln!(text, "port = {port}");
            }
            text.push('\n');
        }
        text.push_str(ADMINS);
        let _ = write!(text, "[[admin]]\nname = {}\nkeys = [\n", quoted(&self.admin));
        for (line, file) in &self.keys {
            let _ = writeln!(text, "    {}, # from {file}", quoted(line));
        }
        text.push_str("]\n");
        text.push_str(match self.sudo {
            Sudo::Nopasswd => "sudo = \"nopasswd\"\n",
            Sudo::Password => "sudo = \"password\"\n# Asked for when the account is made. Others: { hash = \"$y$…\" }, { hash-env = \"VAR\" }, { generate = \"FILE\" }.\npassword = { prompt = true }\n",
        });
        text
    }
}

const HEAD: &str = "\
# Site: who and where. What \"hardened\" means is said by the profiles.
# `pve-harden profile lint FILE` checks this file, `pve-harden profile schema --site` describes every key.

# Shipped: baseline, strict, lab (`pve-harden profile list`). Own files: \"my.toml\", relative to this file.
profiles = [\"baseline\"]

# Networks you administer from. A plan that would leave your own address outside is refused.
";
const REMOVED: &str = "
# People who left: their account is locked, keys and groups are removed.
removed-admins = []

# Mail address of root@pam, to which PVE sends what goes wrong; and whom to reach when mail does not work (in reports).
# contact = \"you@example.org\"
# emergency-contact = \"on call: +1 555 0100\"
";
const HOSTS: &str = "
# One [[host]] per node. Further keys: user, port, identity, jump, groups, and host-key = \"SHA256:…\" to pin the host
# key (at the node's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub). Without `user` the administrators
# below are tried, then root for the first run. root's password of a fresh node comes from PVE_ROOT_PASS_<NAME> or
# PVE_ROOT_PASS, in the environment or in a file .env beside this one (chmod 600), or is asked for.
";
const ADMINS: &str = "\
# One [[admin]] per person. sudo = \"nopasswd\": the key is the only secret. sudo = \"password\": a second one for root.
";

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// `[NAME=]TARGET`. Without a name: the first label of a DNS name, pve1, pve2 … for addresses.
fn name_hosts(arguments: &[String]) -> Result<Vec<(String, Target)>> {
    let mut named: Vec<(Option<String>, Target)> = Vec::new();
    for argument in arguments {
        let (name, target) = argument.split_once('=').map_or((None, argument.as_str()), |(n, t)| (Some(n), t));
        let target = Target::parse(target).map_err(|e| e.state("nothing was written"))?;
        let label = target.address.split('.').next().unwrap_or_default();
        let is_address = target.address.contains([':', '%']) || target.address.parse::<std::net::IpAddr>().is_ok();
        named.push((name.map(str::to_owned).or_else(|| (!is_address).then(|| label.to_owned())), target));
    }
    let mut taken: BTreeSet<String> = named.iter().filter_map(|(name, _)| name.clone()).collect();
    let mut number = 0;
    let mut next = || loop {
        number += 1;
        let name = format!("pve{number}");
        if taken.insert(name.clone()) {
            return name;
        }
    };
    Ok(named.into_iter().map(|(name, target)| (name.unwrap_or_else(&mut next), target)).collect())
}

/// The key lines of a public key file.
pub fn read_keys(file: &Path) -> Result<Vec<String>> {
    let shown = sanitize::line(&file.to_string_lossy()).into_owned();
    let refuse = |why: String, hint: String| {
        Err(Error::msg(Kind::Usage, format!("key file {shown}: {why}")).state("nothing was written").hint(hint))
    };
    let text = match disk::read_text(file, MAX_KEY_FILE) {
        Ok(text) => text,
        Err(why) => return refuse(why, "make a key with: ssh-keygen -t ed25519".into()),
    };
    if keys::is_private(&text) {
        return refuse("this is a private key".into(), format!("give {shown}.pub"));
    }
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match keys::parse(line) {
            Ok(key) => lines.push(key.line),
            Err(problem) => return refuse(problem.what, problem.help),
        }
    }
    if lines.is_empty() {
        return refuse("no key is in it".into(), "make a key with: ssh-keygen -t ed25519".into());
    }
    Ok(lines)
}
