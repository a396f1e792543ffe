#!/bin/sh
# The second half of turning a Debian machine into a Proxmox VE node: provision/kernel.sh and a reboot come before.
# Run as root; a second run changes nothing.
#
#   PVE       9 or 8
set -eu
umask 022

PVE=${PVE:-9}

fail() {
    printf 'pve.sh: %s\n' "$1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail 'run it as root'
running=$(uname -r)
case $running in
    *-pve) ;;
    *) fail "the running kernel is $running, not Proxmox's; provision/kernel.sh and a reboot come first" ;;
esac
name=$(hostname)
export DEBIAN_FRONTEND=noninteractive

# What postfix would ask is answered beforehand.
printf 'postfix postfix/main_mailer_type select Local only\npostfix postfix/mailname string %s\n' "$name" |
    debconf-set-selections
apt-get install -y -q -o Dpkg::Options::=--force-confold proxmox-ve postfix open-iscsi chrony
# The repositories that ask for a subscription would make every update fail.
for list in /etc/apt/sources.list.d/pve-enterprise.* /etc/apt/sources.list.d/ceph.*; do
    if [ -f "$list" ] && grep -q '//enterprise\.proxmox\.com/' "$list"; then rm "$list"; fi
done

# Debian's kernels, the metapackages and the cloud ones among them: an update of theirs would be what boots next.
# Proxmox's are called proxmox-kernel-*.
debian=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'linux-image-*' os-prober 2>/dev/null | sed -n 's/^ii *//p')
if [ -n "$debian" ]; then
    # shellcheck disable=SC2086
    apt-get remove -y -q $debian
    if command -v update-grub >/dev/null; then update-grub; fi
fi

# An ISO installation lets root in by password, and that is where pve-harden starts. Its own file comes before this one,
# what the box says of passwords comes after; a hardened node is left as it is.
if [ ! -e /var/lib/pve-harden ]; then
    cat >/etc/ssh/sshd_config.d/01-lab-root.conf <<'END_OF_SSHD'
PermitRootLogin yes
PasswordAuthentication yes
END_OF_SSHD
    sshd=$(sshd -T -C user=root,host=lab,addr=192.0.2.1)
    for line in 'permitrootlogin yes' 'passwordauthentication yes'; do
        printf '%s\n' "$sshd" | grep -qx "$line" || fail "sshd of this box does not say \"$line\", whatever sshd_config.d says"
    done
    systemctl reload-or-restart ssh
fi
printf 'pve.sh: %s is a PVE %s node\n' "$name" "$PVE"
