#!/bin/sh
# Turns a Debian machine into a Proxmox VE node, as the administrator's guide describes it (pve-docs, chapters "Package
# Repositories" and "Install Proxmox VE on Debian"). Run as root; a second run changes nothing.
#
#   PVE       9 or 8
#   ADDRESS   the address that the node's own name stands for
#   MIRROR    base of Proxmox's repositories (default: theirs)
#   KEY_URL, KEY_SHA256   another repository's key, for a repository of one's own
set -eu
umask 022

PVE=${PVE:-9}
: "${ADDRESS:?the address of this node}"
MIRROR=${MIRROR:-http://download.proxmox.com/debian/pve}
keyring=/usr/share/keyrings/proxmox-archive-keyring.gpg

fail() {
    printf 'pve.sh: %s\n' "$1" >&2
    exit 1
}

case $PVE in
    9)
        suite=trixie
        url=https://enterprise.proxmox.com/debian/proxmox-archive-keyring-trixie.gpg
        sum=sha256sum
        digest="136673be77aba35dcce385b28737689ad64fd785a797e57897589aed08db6e45"
        ;;
    8)
        suite=bookworm
        url=https://enterprise.proxmox.com/debian/proxmox-release-bookworm.gpg
        sum=sha512sum
        digest="7da6fe34168adc6e479327ba517796d4702fa2f8b4f0a9833f5ea6e6b48f6507a6da403a274fe201595edc86a84463d50383d07f64bdde2e3658108db7d6dc87"
        ;;
    *) fail "PVE is 9 or 8, not $PVE" ;;
esac
url=${KEY_URL:-$url}
if [ -n "${KEY_SHA256:-}" ]; then
    sum=sha256sum digest=$KEY_SHA256
fi

[ "$(id -u)" = 0 ] || fail 'run it as root'
# shellcheck source=/dev/null
. /etc/os-release
[ "${VERSION_CODENAME:-}" = "$suite" ] || fail "PVE $PVE needs Debian $suite; this is ${PRETTY_NAME:-something else}"

export DEBIAN_FRONTEND=noninteractive

# pmxcfs refuses to start while the node's name stands for 127.0.1.1.
name=$(hostname)
sed -i "/[[:space:]]$name\(\$\|[[:space:]]\)/d" /etc/hosts
printf '%s %s\n' "$ADDRESS" "$name" >>/etc/hosts

# The key is compared before apt may see it.
if ! command -v curl >/dev/null; then
    apt-get update -q
    apt-get install -y -q --no-install-recommends curl ca-certificates
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
curl --fail --silent --show-error --location --output "$folder/key" "$url"
printf '%s  %s\n' "$digest" "$folder/key" | "$sum" --check --status ||
    fail "the key of $url is not the one this script knows; nothing was installed"
install -D -m 0644 "$folder/key" "$keyring"

cat >/etc/apt/sources.list.d/pve-install.sources <<END
Types: deb
URIs: $MIRROR
Suites: $suite
Components: pve-no-subscription
Signed-By: $keyring
END
apt-get update -q

# Questions of postfix and grub are answered beforehand.
printf 'postfix postfix/main_mailer_type select Local only\npostfix postfix/mailname string %s\n' "$name" |
    debconf-set-selections 2>/dev/null || true
apt-get install -y -q -o Dpkg::Options::=--force-confold proxmox-ve
# The repository that asks for a subscription would make every update fail.
rm -f /etc/apt/sources.list.d/pve-enterprise.list /etc/apt/sources.list.d/pve-enterprise.sources
# An ISO installation lets root in by password; that is where pve-harden starts.
printf 'PermitRootLogin yes\n' >/etc/ssh/sshd_config.d/10-lab-root.conf
printf 'pve.sh: %s is a PVE %s node\n' "$name" "$PVE"
