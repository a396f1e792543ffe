# shellcheck shell=sh
# Prints a tar of what an upgrade leaves of this node.
set -e
cd /
mkdir -m 0700 /run/kept
grep -ho '"/[^"]*": *"' /var/lib/pve-harden/runs/*/state.json | sed 's,^"/,,; s/": *"$//' >/run/kept/names
ls -d etc/ssh/sshd_config etc/ssh/ssh_host_* etc/pam.d/common-* usr/local/sbin/pve-harden-* \
    etc/pve/user.cfg etc/pve/datacenter.cfg etc/pve/storage.cfg etc/pve/priv/authorized_keys >>/run/kept/names
for file in passwd group shadow gshadow; do
    grep -E '^(ops|pve-admins):' "/etc/$file" >"/run/kept/$file" || true
done
dpkg-query -W -f '${Version}' openssh-server >/run/kept/openssh
sort -u /run/kept/names -o /run/kept/names
tar -c --no-recursion -T /run/kept/names -f /run/kept/tar
tar -r -f /run/kept/tar var/lib/pam var/lib/pve-harden home/ops \
    run/kept/passwd run/kept/group run/kept/shadow run/kept/gshadow run/kept/openssh
cat /run/kept/tar
