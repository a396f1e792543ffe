//! dns-01 by one of acme.sh's scripts that PVE brings along: `acmeproxy`, which posts JSON to `ENDPOINT/present` and
//! `ENDPOINT/cleanup` with a name and a password.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::plugin::Plugin;

/// Answers uacme: files for http-01, calls of the DNS service for names that have a file below `dns`.
const HOOK: &str = r#"#!/bin/sh
set -u
dns=${TOKENS%/*}/dns/$3
if [ -e "$dns" ]; then
    [ "$2" = dns-01 ] || exit 1
    {
        read -r endpoint
        read -r user
        read -r password
        read -r delay
    } <"$dns"
    case $1 in begin) call=present ;; *) call=cleanup ;; esac
    printf 'user = "%s:%s"\nurl = "%s/%s"\n' "$user" "$password" "$endpoint" "$call" |
        curl -sS --fail --max-time 20 -K - -H 'Content-Type: application/json' \
            --data "{\"fqdn\":\"_acme-challenge.$3.\",\"value\":\"$5\"}" || exit 1
    [ "$1" != begin ] || sleep "$delay"
    exit 0
fi
[ "$2" = http-01 ] || exit 1
case $1 in begin) printf %s "$5" >"$TOKENS/$4" ;; *) rm -f "$TOKENS/$4" ;; esac
"#;

/// Lays the hook out.
pub(super) fn hook(work: &Path) -> anyhow::Result<PathBuf> {
    let hook = work.join("hook");
    crate::files::lay_out(&hook, HOOK.as_bytes(), 0o700)?;
    Ok(hook)
}

/// Lays out for the hook how a name is proved.
pub(super) fn prepare(work: &Path, name: &str, plugin: &Plugin) -> anyhow::Result<()> {
    ensure!(plugin.api == "acmeproxy", "the DNS service '{}' is not played", plugin.api);
    let setting = |wanted: &str| {
        let found = plugin.data.lines().find_map(|line| line.split_once('=').filter(|(name, _)| *name == wanted));
        found.map(|(_, value)| value).with_context(|| format!("{wanted} is not set"))
    };
    let folder = work.join("dns");
    std::fs::create_dir_all(&folder)?;
    let (endpoint, user) = (setting("ACMEPROXY_ENDPOINT")?, setting("ACMEPROXY_USERNAME")?);
    let text = format!("{endpoint}\n{user}\n{}\n{}\n", setting("ACMEPROXY_PASSWORD")?, plugin.delay);
    crate::files::lay_out(&folder.join(name), text.as_bytes(), 0o600)
}
