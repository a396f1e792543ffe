#!/bin/sh
# vagrant_repository.sh FOLDER SUITE: a signed apt repository with empty packages, as Proxmox's own is laid out; beside it,
# in debian/, what a Debian box has before.
set -eu
umask 022
folder=$1 suite=$2
cd "$folder"
mkdir -p pool debian "dists/$suite/pve-no-subscription/binary-amd64"
mkdir -m 0700 gnupg

# package FOLDER NAME VERSION
package() {
    mkdir -p tree/DEBIAN
    cat >tree/DEBIAN/control <<CONTROL
Package: $2
Version: $3
Architecture: all
Maintainer: nobody <nobody@lab.test>
Description: stand-in
CONTROL
    if [ "$2" = proxmox-ve ]; then
        # What pve-manager brings: a repository that asks for a subscription.
        mkdir -p tree/etc/apt/sources.list.d
        printf 'Types: deb\nURIs: https://enterprise.proxmox.com/debian/pve\nSuites: %s\nComponents: pve-enterprise\n' "$suite" \
            >tree/etc/apt/sources.list.d/pve-enterprise.sources
    fi
    dpkg-deb --root-owner-group --build tree "$1/$2_$3_all.deb" >/dev/null
    rm -r tree
}

for name in proxmox-ve proxmox-default-kernel proxmox-kernel-6.14.11-4-pve-signed postfix open-iscsi chrony lab-upgraded; do
    package pool "$name" 99.0
done
for name in lab-upgraded linux-image-amd64 linux-image-cloud-amd64 linux-image-6.12.48-amd64 os-prober; do
    package debian "$name" 1.0
done
apt-ftparchive packages pool >"dists/$suite/pve-no-subscription/binary-amd64/Packages"
apt-ftparchive -o "APT::FTPArchive::Release::Suite=$suite" -o "APT::FTPArchive::Release::Codename=$suite" \
    -o APT::FTPArchive::Release::Components=pve-no-subscription -o APT::FTPArchive::Release::Architectures=amd64 \
    release "dists/$suite" >Release
mv Release "dists/$suite/Release"
export GNUPGHOME="$PWD/gnupg"
gpg --batch --quiet --passphrase '' --quick-generate-key 'Stand-in' rsa3072 sign never
gpg --batch --quiet --export >key.gpg
gpg --batch --quiet --clearsign --output "dists/$suite/InRelease" "dists/$suite/Release"
gpgconf --kill all
rm -rf gnupg
