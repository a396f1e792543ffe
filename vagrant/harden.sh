#!/bin/sh
# Runs on this computer once the nodes are up and, where there are several, a cluster: gives root a password, makes a
# site file and an administrator's key, and lets `pve-harden apply` do the rest. Everything it makes lies in .lab (0700),
# in a folder named as the first node.
#
#   harden.sh NAME=ADDRESS…
set -eu
profiles=$(cd "$(dirname "$0")/../profiles" && pwd)
cd "$(dirname "$0")"
harden=${PVE_HARDEN:-../target/debug/pve-harden}
[ -x "$harden" ] || harden=pve-harden
umask 077
lab=${LAB_FOLDER:-.lab/${1%%=*}}
mkdir -p "$lab"

[ -f "$lab/.env" ] || printf 'PVE_ROOT_PASS=%s\n' "$(tr -dc 'A-Za-z0-9' </dev/urandom | head -c 24)" >"$lab/.env"
password=$(sed -n 's/^PVE_ROOT_PASS=//p' "$lab/.env")
[ -f "$lab/ops" ] || ssh-keygen -q -t ed25519 -N '' -C ops@lab -f "$lab/ops"

first=${1#*=} cluster=
[ "$#" = 1 ] || cluster=--cluster
{
    printf "profiles = ['%s/lab.toml']\nmanagement = [\"%s.0/24\"]\n" "$profiles" "${first%.*}"
    for node in "$@"; do
        name=${node%%=*}
        # The password reaches the machine over vagrant's own connection, by standard input.
        printf 'root:%s\n' "$password" | vagrant ssh "$name" -- sudo chpasswd
        # So does the host key's fingerprint, so that nothing is accepted unseen.
        print=$(vagrant ssh "$name" -- ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub </dev/null | cut -d' ' -f2)
        printf '\n[[host]]\nname = "%s"\naddress = "%s"\nhost-key = "%s"\n' "$name" "${node#*=}" "$print"
    done
    printf '\n[[admin]]\nname = "ops"\nfull-name = "Lab operator"\nkey-files = ["ops.pub"]\nsudo = "nopasswd"\n'
} >"$lab/site.toml.new"
mv "$lab/site.toml.new" "$lab/site.toml"

# Members of a cluster are changed one after the other, each as long as the cluster is in quorum.
# shellcheck disable=SC2086
"$harden" apply $cluster --site "$lab/site.toml" --known-hosts "$lab/known_hosts" --identity "$lab/ops" --yes
printf 'Log in: ssh -i %s ops@%s\n' "$(cd "$lab" && pwd)/ops" "$first"
