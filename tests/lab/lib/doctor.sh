# shellcheck shell=bash
# What a machine must have. Each gap is one line with the command that closes it.

# PROGRAM PACKAGE NEEDED-FOR
prerequisite_table='
mmdebstrap mmdebstrap image
apt-ftparchive apt-utils image
gpg gpg image
gpg-agent gpg-agent image
dpkg-deb dpkg image
openssl openssl node
socat socat node
ssh-keygen openssh-client node
systemd-nspawn systemd-container node
nsenter util-linux node
ip iproute2 node
nft nftables node
pgrep procps node
perl perl-base vm
mke2fs e2fsprogs vm
qemu-system-x86_64 qemu-system-x86 vm
'

# Prints one line per gap; the status says whether there is one.
gaps() { # image|node|vm…
    local program package purpose missing=1
    while read -r program package purpose; do
        [[ " $* " == *" $purpose "* ]] || continue
        command -v "$program" >/dev/null || {
            printf 'missing: %s  →  apt-get install --no-install-recommends %s\n' "$program" "$package"
            missing=0
        }
    done < <(sed '/^$/d' <<<"$prerequisite_table")
    if [[ " $* " == *" image "* && ! -e $debian_keyring ]]; then
        printf 'missing: %s  →  apt-get install --no-install-recommends debian-archive-keyring\n' "$debian_keyring"
        missing=0
    fi
    if [[ " $* " == *" image "* && -z ${LAB_MIRROR:-} && -z $(configured_mirrors) ]]; then
        printf 'missing: a Debian mirror in this machine'\''s apt sources  →  export LAB_MIRROR=http://… (a Debian mirror)\n'
        missing=0
    fi
    if [[ " $* " == *" node "* ]]; then
        kernel_gaps && missing=0
    fi
    return "$missing"
}

kernel_gaps() {
    local missing=1
    if ((EUID != 0)); then
        printf 'missing: root  →  sudo %s …\n' "$0"
        missing=0
    fi
    [[ -c /dev/fuse ]] || { printf 'missing: /dev/fuse  →  modprobe fuse\n' && missing=0; }
    grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || { printf 'missing: overlayfs  →  modprobe overlay\n' && missing=0; }
    [[ -d /proc/sys/net/ipv6 ]] || { printf 'missing: IPv6 in the kernel  →  boot without ipv6.disable=1\n' && missing=0; }
    grep -q ' - cgroup2 ' /proc/self/mountinfo || {
        printf 'missing: a cgroup2 hierarchy  →  mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified\n'
        missing=0
    }
    return "$missing"
}

require_prerequisites() { # image|node|vm…
    local found
    if found=$(gaps "$@"); then
        while read -r line; do say "$line"; done <<<"$found"
        die "nothing was started"
    fi
}

doctor() {
    local found
    if found=$(gaps image node vm); then
        printf '%s\n' "$found"
        return 1
    fi
    printf 'everything the lab needs is here\n'
}
