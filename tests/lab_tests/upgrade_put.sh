# shellcheck shell=sh
# Standard input: the tar of upgrade_keep.sh. Puts it on this node.
set -e
mkdir -m 0700 /run/new
tar -x -p -C /run/new
cd /run/new
export DEBIAN_FRONTEND=noninteractive
# The enterprise repository does not answer; Debian's does.
apt-get -q update >/dev/null 2>&1 || true
apt-get -q -y install sudo libpam-pwquality unattended-upgrades >/dev/null
for file in passwd group shadow gshadow; do cat "run/kept/$file" >>"/etc/$file"; done
find etc/pve -type f | while read -r file; do cat "$file" >"/$file"; done
old=$(cat run/kept/openssh)
rm -rf etc/pve run
tar -c . | tar -x -p --no-overwrite-dir -C /
chown -R ops:ops /home/ops
# What dpkg and apt write down at an upgrade.
now=$(date '+%F %T')
version=$(dpkg-query -W -f '${Version}' openssh-server)
printf '%s upgrade openssh-server:amd64 %s %s\n' "$now" "$old" "$version" >>/var/log/dpkg.log
printf '\nStart-Date: %s\nCommandline: apt-get dist-upgrade\nUpgrade: openssh-server:amd64 (%s, %s)\nEnd-Date: %s\n' \
    "$now" "$old" "$version" "$now" >>/var/log/apt/history.log
systemctl daemon-reload
