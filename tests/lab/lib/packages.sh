# shellcheck shell=bash
# What is in an image. The digest of this file is part of the image's cache key.

suite_of() { # PVE
    case $1 in 9) echo trixie ;; 8) echo bookworm ;; *) usage_error "--pve $1: the lab knows 9 and 8" ;; esac
}

# Debian packages installed on a node: what an ISO install brings that hardening can meet. Absent on purpose, as on
# an ISO install: sudo, rsyslog, libpam-pwquality.
node_packages=(
    apt bsdutils ca-certificates chrony conntrack cron curl dbus debconf debian-archive-keyring dialog fuse3 gpgv init
    iproute2 ipset iptables iputils-ping kmod less libpam-modules libpam-runtime libpam-systemd logrotate lsb-release
    nano netbase nftables openssh-client openssh-server openssl passwd perl-base procps psmisc systemd
    systemd-sysv tzdata udev uuid-runtime
    libpam0g libsqlite3-0 # what PVE's own programs are linked with
)

# Installable on a node from its local repository, with everything they depend on.
repository_packages=(
    acl aide apparmor auditd cracklib-runtime debsums fail2ban libpam-google-authenticator libpam-pwquality
    needrestart pebble postfix python3-systemd rsyslog rsyslog-gnutls sudo uacme unattended-upgrades wamerican
)

# What a VM needs beyond a container.
vm_packages=(linux-image-cloud-amd64 initramfs-tools)

# NAME VERSION SECTION per line: PVE's own packages. They are empty; only their names and versions are true.
pve_packages() { # PVE
    if [[ $1 == 9 ]]; then
        cat <<'LIST'
proxmox-ve 9.2.0
pve-manager 9.2.11
libpve-access-control 9.1.1
pve-cluster 9.1.6
libpve-cluster-perl 9.1.6
libpve-common-perl 9.2.1
libpve-guest-common-perl 6.0.2
libpve-http-server-perl 6.0.5
libpve-storage-perl 9.1.0
pve-firewall 6.0.4
proxmox-firewall 1.2.3
pve-ha-manager 5.1.0
corosync 3.1.9-pve2
pve-docs 9.2.1
qemu-server 9.1.4
pve-container 6.1.0
pve-qemu-kvm 10.1.2-4
proxmox-kernel-6.17 6.17.4-1
proxmox-kernel-helper 9.0.4
proxmox-archive-keyring 4.0
proxmox-backup-client 4.1.0-1
ifupdown2 3.3.0-1+pmx11
spiceterm 3.4.1
vncterm 1.9.1
LIST
    else
        cat <<'LIST'
proxmox-ve 8.4.0
pve-manager 8.4.14
libpve-access-control 8.2.2
pve-cluster 8.1.2
libpve-cluster-perl 8.1.2
libpve-common-perl 8.3.4
libpve-guest-common-perl 5.2.2
libpve-http-server-perl 5.2.2
libpve-storage-perl 8.3.7
pve-firewall 5.1.2
proxmox-firewall 0.7.1
pve-ha-manager 4.0.7
corosync 3.1.9-pve1
pve-docs 8.4.1
qemu-server 8.4.5
pve-container 5.3.3
pve-qemu-kvm 9.2.0-7
proxmox-kernel-6.8 6.8.12-15
proxmox-kernel-helper 8.1.4
proxmox-backup-client 3.4.7-1
ifupdown2 3.2.0-1+pmx11
spiceterm 3.3.1
vncterm 1.8.1
LIST
    fi
}

# Dependencies among them, so that removing one shows what a real node would lose with it.
pve_dependencies() { # NAME
    case $1 in
        proxmox-ve) echo 'pve-manager, qemu-server, pve-container, openssh-client, openssh-server' ;;
        pve-manager) echo 'libpve-access-control, libpve-http-server-perl, pve-cluster, pve-firewall, pve-ha-manager, pve-docs, openssh-client, openssl, cron' ;;
        pve-cluster) echo 'corosync, fuse3, openssh-client, openssl' ;;
        libpve-access-control) echo 'libpve-common-perl, libpve-cluster-perl, pve-cluster' ;;
        libpve-cluster-perl | libpve-http-server-perl) echo 'libpve-common-perl' ;;
        pve-firewall) echo 'conntrack, ipset, iptables, libpve-access-control, libpve-common-perl, pve-cluster' ;;
        proxmox-firewall) echo 'nftables, pve-firewall' ;;
        pve-ha-manager) echo 'pve-cluster, qemu-server' ;;
        qemu-server) echo 'libpve-guest-common-perl, libpve-storage-perl, pve-cluster, pve-firewall' ;;
        pve-container) echo 'libpve-guest-common-perl, libpve-storage-perl, pve-cluster' ;;
        *) echo '' ;;
    esac
}
