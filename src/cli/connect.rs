//! The way to a node: whom to log in as, with which secrets, and the one program that reads it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::output::Output;
use super::terminal::Terminal;
use super::{args, keys};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Silent, Sink, What};
use crate::facts::{self, Facts, Reading, gather};
use crate::plan::{self, Operator};
use crate::profile::policy::{Admin, Host, Policy, admin_probe_address};
use crate::profile::secrets::Secrets;
use crate::render::progress::{Lines, Spinners, Tail};
use crate::secret::Secret;
use crate::transport;
use crate::transport::capture::Capture;
use crate::transport::{Connection, Credentials, HostKeyPolicy, Limits, Methods, Program, Target};

/// Opens connections for one command.
#[derive(Clone)]
pub struct Connector {
    options: args::Connection,
    secrets: Secrets,
    /// In place of the one of the environment.
    sudo: Option<Secret>,
    operator: Arc<transport::Operator>,
    sink: Arc<Tail>,
}

/// A node that was reached and read.
#[derive(Debug)]
pub struct Node {
    /// The open connection.
    pub connection: Connection,
    /// What the node said.
    pub capture: Capture,
    /// The same, typed.
    pub facts: Facts,
    /// What the guard must know of the operator.
    pub operator: Operator,
}

impl Connector {
    /// With progress as the terminal allows: spinners on one, lines elsewhere when they are asked for (`-v`) or
    /// when the verb changes nodes (`always`).
    pub fn new(options: &args::Connection, secrets: &Secrets, output: Output, always: bool) -> Self {
        let spinners = Terminal::is_there().then(|| Arc::new(Spinners::new()));
        let sink: Arc<dyn Sink> = match &spinners {
            Some(spinners) => Arc::clone(spinners) as Arc<dyn Sink>,
            None if always || output.verbose > 0 => Arc::new(Lines::new(std::io::stderr())),
            None => Arc::new(Silent),
        };
        Self {
            options: options.clone(),
            secrets: secrets.clone(),
            sudo: None,
            operator: Arc::new(transport::Operator::new(Terminal::new(spinners))),
            sink: Arc::new(Tail::new(sink)),
        }
    }

    /// The same, with a password that this command gave the administrator.
    #[must_use]
    pub fn with_sudo(mut self, password: Option<Secret>) -> Self {
        self.sudo = password;
        self
    }

    /// What was last said of a node.
    pub fn last_lines(&self, node: &str) -> String {
        self.sink.of(node)
    }

    /// The operator, for further logins of the same command.
    pub const fn operator(&self) -> &Arc<transport::Operator> {
        &self.operator
    }

    /// Says what happens on a node.
    pub fn tell(&self, node: &str, what: What) {
        self.sink.emit(Event { node: node.to_owned(), what });
    }

    /// Connects to the node of this policy and reads it.
    pub async fn reach(&self, policy: &Policy) -> Result<Node> {
        let result = self.reached(policy).await.map_err(|error| error.untouched(&policy.host.name));
        if result.is_err() {
            self.tell(&policy.host.name, What::Finished);
        }
        result
    }

    async fn reached(&self, policy: &Policy) -> Result<Node> {
        let host = &policy.host;
        let keys::Own { held, algorithms } = keys::own(policy, &self.options).await;
        self.tell(&host.name, What::Connecting);
        let mut logins = self.logins(policy, &held);
        let mut powerless = None;
        loop {
            let (place, connection) = match Connection::open_first(&logins, &self.operator).await {
                Ok(opened) => opened,
                Err(error) => return Err(powerless.unwrap_or_else(|| error.into())),
            };
            self.tell(&host.name, What::Connected { account: connection.account() });
            let started = Instant::now();
            match read(&connection, policy).await {
                Ok((capture, facts)) => {
                    self.tell(&host.name, What::Captured { milliseconds: started.elapsed().as_millis() });
                    let operator = Operator { key_fingerprints: held, algorithms, ..Operator::default() };
                    return Ok(Node { connection, capture, facts, operator });
                }
                // An account that was there before the first run: the next login may do what this one may not.
                Err(error) if place + 1 < logins.len() && is_powerless(&error) => {
                    logins.drain(..=place);
                    powerless.get_or_insert(error);
                }
                Err(error) => return Err(powerless.unwrap_or(error)),
            }
        }
    }

    /// Fingerprints of the keys this operator holds for the node.
    pub async fn held(&self, policy: &Policy) -> BTreeSet<String> {
        keys::own(policy, &self.options).await.held
    }

    /// Logs in: as the user that was named, else as the first administrator whose key is here, else as root.
    pub async fn open(&self, policy: &Policy, held: &BTreeSet<String>) -> Result<Connection> {
        let logins = self.logins(policy, held);
        let (_, connection) = Connection::open_first(&logins, &self.operator).await?;
        Ok(connection)
    }

    /// The logins to try, in order. An administrator is tried by key alone, so that nobody is asked for a password of
    /// an account that does not exist yet.
    pub fn logins(&self, policy: &Policy, held: &BTreeSet<String>) -> Vec<(Target, Credentials)> {
        let host = &policy.host;
        if let Some(user) = &host.user {
            return vec![self.login(host, user, Methods::default())];
        }
        let mine = policy.site.admins.iter().filter(|admin| has_key(admin, held));
        mine.map(|admin| self.login(host, &admin.name, Methods::KeyOnly))
            .chain([self.login(host, "root", Methods::default())])
            .collect()
    }

    /// One login as this user.
    pub fn login(&self, host: &Host, user: &str, methods: Methods) -> (Target, Credentials) {
        let target = self.target(host).user(user);
        let password = (user == "root").then(|| self.secrets.root_password(host)).flatten();
        (target, Credentials { password, sudo: self.sudo.clone().or_else(|| self.secrets.sudo_password()), methods })
    }

    /// The node, without a user.
    pub fn target(&self, host: &Host) -> Target {
        let args::Connection { user: _, identity: _, port: _, ssh_config, known_hosts, accept_new } = &self.options;
        let host_keys = match &host.host_key {
            Some(pin) => HostKeyPolicy::Pinned(pin.clone()),
            None if *accept_new => HostKeyPolicy::AcceptNew,
            None => HostKeyPolicy::default(),
        };
        let mut target = Target::new(&host.address);
        target.port = host.port;
        target.identity.clone_from(&host.identity);
        target.jump.clone_from(&host.jump);
        target.ssh_config.clone_from(ssh_config);
        target.known_hosts.clone_from(known_hosts);
        target.host_keys = host_keys;
        target
    }
}

/// Whether the login worked and only its way to root is missing.
fn is_powerless(error: &Error) -> bool {
    error.cause.downcast_ref::<transport::Error>().is_some_and(transport::Error::is_powerless)
}

/// Whether this operator holds a key of this administrator.
fn has_key(admin: &Admin, held: &BTreeSet<String>) -> bool {
    let fingerprint = |line: &String| {
        let key = ssh_key::PublicKey::from_openssh(line).ok()?;
        Some(key.fingerprint(ssh_key::HashAlg::Sha256).to_string())
    };
    admin.keys.iter().filter_map(fingerprint).any(|fingerprint| held.contains(&fingerprint))
}

/// Refuses a run without `--reason` where the profile requires one.
pub fn reason_given(policy: &Policy, reason: Option<&str>) -> Result<()> {
    if policy.profile.run.require_reason && reason.is_none_or(|reason| reason.trim().is_empty()) {
        return Err(Error::msg(Kind::Usage, "the profile requires a reason (run.require-reason)")
            .state("nothing was contacted")
            .hint("say why: --reason TEXT"));
    }
    Ok(())
}

/// For the whole reading, two seconds of a node at rest: one short of processor time is slow and not gone.
const READING: Duration = Duration::from_secs(300);

/// Reads a node over an open connection: one program, one answer. A host that is not a PVE node is an error.
pub async fn read(connection: &Connection, policy: &Policy) -> Result<(Capture, Facts)> {
    let program = Program::new(&gather::program(&request(policy)?));
    let frames = connection.run(&program, Limits::default().within(READING)).await?;
    let capture = gather::capture(frames);
    let facts = facts::parse(&capture);
    is_pve(&facts)?;
    Ok((capture, facts))
}

/// What a policy's controls and the guard need to know.
fn request(policy: &Policy) -> Result<gather::Request> {
    let site = &policy.site;
    let inside: Vec<_> = site.management.iter().chain(&policy.profile.ssh.root_login.allow_key_from).copied().collect();
    let mut request = gather::Request::new(salt()?, &inside);
    request.accounts.extend(site.admins.iter().map(|admin| admin.name.clone()).chain(site.removed_admins.clone()));
    request.probes.extend(admin_probe_address(site, None));
    request.files = plan::reads(policy);
    request.packages = plan::packages(policy);
    plan::ask(policy, &mut request);
    request.peer_versions = policy.profile.ssh.crypto.enabled;
    Ok(request)
}

/// Half of the question whether a password hash is the site's; new each time.
fn salt() -> Result<String> {
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut bytes))
        .map_err(|error| Error::new(Kind::Internal, error))?;
    Ok(plan::seal::hex(&bytes))
}

/// Refuses what is not a PVE node, or does not say so.
pub fn is_pve(facts: &Facts) -> Result<()> {
    let why = match &facts.pve {
        Reading::Known(_) => return Ok(()),
        Reading::Absent => {
            let why = "it is not a Proxmox VE node: the package pve-manager is not installed";
            return Err(
                Error::msg(Kind::Unreadable, why).hint("name Proxmox VE nodes only; check address and jump host")
            );
        }
        Reading::Unreadable(why) => format!("its PVE release cannot be told: {why}"),
        Reading::NotAsked => "its answer does not say which PVE release it runs".to_owned(),
    };
    Err(Error::msg(Kind::Unreadable, why))
}
