#!/bin/sh
# The first half of turning a Debian machine into a Proxmox VE node, up to the reboot into Proxmox's kernel, as "Install
# Proxmox VE on Debian" of Proxmox's wiki and the chapter "Package Repositories" of the administrator's guide describe it.
# Run as root; a second run changes nothing. provision/pve.sh is the other half.
#
#   PVE       9 or 8
#   NODES     NAME=ADDRESS of every node of the lab, this one among them
#   MIRROR    base of Proxmox's repositories (default: theirs)
#   KEY_URL, KEY_SHA256   another repository's key, for a repository of one's own
set -eu
umask 022

PVE=${PVE:-9}
: "${NODES:?NAME=ADDRESS of every node}"
MIRROR=${MIRROR:-http://download.proxmox.com/debian/pve}
keyring=/usr/share/keyrings/proxmox-archive-keyring.gpg

fail() {
    printf 'kernel.sh: %s\n' "$1" >&2
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
name=$(hostname)
case " $NODES " in
    *" $name="*) ;;
    *) fail "this node is $name, and NODES names only $NODES" ;;
esac

export DEBIAN_FRONTEND=noninteractive

# pmxcfs refuses to start while the node's name stands for 127.0.1.1, and corosync's nodes know each other by these lines.
for node in $NODES; do
    sed -i "/[[:space:]]${node%%=*}\(\$\|[[:space:]]\)/d" /etc/hosts
done
for node in $NODES; do
    printf '%s %s\n' "${node#*=}" "${node%%=*}" >>/etc/hosts
done

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

cat >/etc/apt/sources.list.d/pve-install.sources <<END_OF_SOURCE
Types: deb
URIs: $MIRROR
Suites: $suite
Components: pve-no-subscription
Signed-By: $keyring
END_OF_SOURCE
apt-get update -q

# Boxes remember the disk of the computer that packed them; without a terminal, grub-pc's upgrade fails over that.
if [ "$(dpkg-query -W -f '${db:Status-Abbrev}' grub-pc 2>/dev/null)" = 'ii ' ]; then
    disk=$(lsblk --inverse --list --noheadings --output NAME,TYPE "$(findmnt -n -o SOURCE /)" | awk '$2 == "disk" { print $1; exit }')
    [ -b "/dev/$disk" ] || fail 'the disk of / is not known; grub-pc needs it'
    printf 'grub-pc grub-pc/install_devices multiselect /dev/%s\n' "$disk" | debconf-set-selections
fi
apt-get full-upgrade -y -q -o Dpkg::Options::=--force-confold
apt-get install -y -q -o Dpkg::Options::=--force-confold proxmox-default-kernel
printf 'kernel.sh: %s is to boot into the kernel of PVE %s\n' "$name" "$PVE"
