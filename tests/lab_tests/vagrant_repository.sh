#!/bin/sh
# vagrant_repository.sh FOLDER SUITE: a signed apt repository with an empty proxmox-ve, as Proxmox's own is laid out.
set -eu
umask 022
folder=$1 suite=$2
cd "$folder"
mkdir -p tree/DEBIAN pool "dists/$suite/pve-no-subscription/binary-amd64"
mkdir -m 0700 gnupg
cat >tree/DEBIAN/control <<'END'
Package: proxmox-ve
Version: 99.0
Architecture: all
Maintainer: nobody <nobody@lab.test>
Description: stand-in
END
dpkg-deb --root-owner-group --build tree pool/proxmox-ve_99.0_all.deb >/dev/null
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
rm -rf gnupg tree
