//! Prints the capture program for the first node of a site file, so that `tests/tools/bench` can give the same text to
//! bare ssh: `capture_program SITE`.
#![allow(clippy::print_stdout)]

use std::path::Path;

use anyhow::Context as _;
use pve_harden::facts::gather;
use pve_harden::profile::{self, policy};

const PRELUDE: &str = include_str!("../../src/transport/remote/prelude.sh");

fn main() -> anyhow::Result<()> {
    let site = std::env::args().nth(1).context("usage: capture_program SITE")?;
    let loaded = profile::load(&[], Some(Path::new(&site))).map_err(|found| anyhow::anyhow!("{found}"))?;
    let hosts = loaded.select(&[], &[], &profile::select::Overrides::default()).map_err(anyhow::Error::new)?;
    let policy = loaded.policy_for(hosts.first().context("the site has no node")?);
    let site = &policy.site;
    let inside: Vec<_> = site.management.iter().chain(&policy.profile.ssh.root_login.allow_key_from).copied().collect();
    let mut request = gather::Request::new("0123456789abcdef0123456789abcdef", &inside);
    request.accounts = site.admins.iter().map(|admin| admin.name.clone()).collect();
    request.probes.extend(policy::admin_probe_address(site, None));
    request.files = pve_harden::plan::reads(&policy);
    request.packages = pve_harden::plan::packages(&policy);
    pve_harden::plan::ask(&policy, &mut request);
    // What the loader would have set.
    println!("umask 077; LC_ALL=C; PATH=/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH; cd /");
    println!("PVH_NONCE=bench PVH_USER=ops PVH_SUDO=yes PVH_CONNECTION=${{SSH_CONNECTION-}}");
    print!("{PRELUDE}{}", gather::program(&request));
    Ok(())
}
