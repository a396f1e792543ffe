#!/bin/sh
# Runs on this computer once the nodes are up: gives root a password, makes a site file and an administrator's key, and
# lets `pve-harden apply` do the rest. Everything it makes lies in .lab (0700).
set -eu
cd "$(dirname "$0")"
nodes=$1 network=$2
harden=${PVE_HARDEN:-../target/debug/pve-harden}
[ -x "$harden" ] || harden=pve-harden
umask 077
mkdir -p .lab

[ -f .lab/.env ] || printf 'PVE_ROOT_PASS=%s\n' "$(tr -dc 'A-Za-z0-9' </dev/urandom | head -c 24)" >.lab/.env
password=$(sed -n 's/^PVE_ROOT_PASS=//p' .lab/.env)
[ -f .lab/ops ] || ssh-keygen -q -t ed25519 -N '' -C ops@lab -f .lab/ops

{
    printf 'profiles = ["../../profiles/lab.toml"]\nmanagement = ["%s.0/24"]\n' "$network"
    number=1
    while [ "$number" -le "$nodes" ]; do
        # The password reaches the machine over vagrant's own connection, by standard input.
        printf 'root:%s\n' "$password" | vagrant ssh "pve$number" -- sudo chpasswd
        # So does the host key's fingerprint, so that nothing is accepted unseen.
        print=$(vagrant ssh "pve$number" -- ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub </dev/null | cut -d' ' -f2)
        printf '\n[[host]]\nname = "pve%s"\naddress = "%s.%s"\nhost-key = "%s"\n' "$number" "$network" $((10 + number)) "$print"
        number=$((number + 1))
    done
    printf '\n[[admin]]\nname = "ops"\nfull-name = "Lab operator"\nkey-files = ["ops.pub"]\nsudo = "nopasswd"\n'
} >.lab/site.toml.new
mv .lab/site.toml.new .lab/site.toml

"$harden" apply --site .lab/site.toml --known-hosts .lab/known_hosts --identity .lab/ops --yes
printf 'Log in: ssh -i %s/.lab/ops ops@%s.11\n' "$PWD" "$network"
