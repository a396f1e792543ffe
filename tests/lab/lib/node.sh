# shellcheck shell=bash
# A node's life, whichever way it runs: allocate, prepare its disk, boot, wait, reboot, remove.

boot_seconds() { if [[ $(<"$state/nodes/$1/kind") == vm ]]; then echo 300; else echo 90; fi; }

exec_environment=(HOME=/root USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8 "TERM=${TERM:-dumb}"
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)

node_exists() { [[ -e $state/nodes/$1/number ]]; }
require_node() { node_exists "$1" || die "no node \"$1\" in lab \"$LAB_ID\"; bring it up first: $0 up $1"; }
by_kind() { # NAME ACTION ARGUMENT…: the action as this kind of node does it
    local name=$1 action=$2
    shift 2
    "$(<"$state/nodes/$name/kind")_$action" "$name" "$@"
}

# Under the lab's lock: the network, the operator's files and each node's number.
allocate_nodes() { # PVE KIND CLUSTER PLAIN NAME…
    local pve=$1 kind=$2 cluster=$3 plain=$4 name node image
    shift 4
    for name in "$@"; do
        ! node_exists "$name" || die "node \"$name\" is already up in lab \"$LAB_ID\"; nothing was changed; take it down first: $0 down $name"
    done
    ensure_network
    ensure_operator
    ensure_web
    image=$(image_of "$pve")
    for name in "$@"; do
        node=$state/nodes/$name
        mkdir -p "$node"
        printf '%s\n' "$pve" >"$node/pve"
        printf '%s\n' "$kind" >"$node/kind"
        printf '%s\n' "$image" >"$node/image"
        [[ -z $cluster ]] || printf '%s\n' "$cluster" >"$node/cluster"
        [[ -z $plain ]] || : >"$node/plain"
        free_number >"$node/number.new"
        mv "$node/number.new" "$node/number"
    done
    if [[ -n $cluster ]]; then
        mkdir "$state/clusters/$cluster"
        printf '%s\n' "$@" >"$state/clusters/$cluster.members"
    fi
}

free_cluster() {
    local number=1
    while [[ -e $state/clusters/lab$number ]]; do number=$((number + 1)); done
    printf 'lab%s\n' "$number"
}

free_number() {
    local number
    for ((number = 0; number < 150; number++)); do
        grep -qxF "$number" "$state"/nodes/*/number 2>/dev/null || {
            printf '%s\n' "$number"
            return
        }
    done
    die "lab \"$LAB_ID\" is full: 150 nodes"
}

# Runs in a process of its own per node. Whatever fails removes what there is of the node.
bring_up() { # NAME
    local name=$1 node=$state/nodes/$1
    trap 'give_up "$name"' EXIT
    : >"$node/log"
    by_kind "$name" make_disk 2>"$node/log"
    boot_and_wait "$name"
    : >"$node/ready"
    trap - EXIT
}

give_up() {
    say "$1 did not come up; what there was of it is removed again"
    show_console "$1"
    remove_node "$1"
}

show_console() { # NAME
    local file
    for file in "$state/nodes/$1"/{log,console}; do
        [[ ! -s $file ]] || { say "end of $file:" && tail -n 20 "$file" | tr -cd '\11\12\40-\176' >&2; }
    done
}

boot_and_wait() { # NAME
    rm -f "$state/nodes/$1/stop"
    detached "$state/nodes/$1/console" "$lab_dir/lab" _supervise "$1"
    wait_booted "$1" ''
}

# Waits for a boot other than the one named to be finished: every unit started, ssh among them.
wait_booted() { # NAME OLD-BOOT
    local seconds
    seconds=$(boot_seconds "$1")
    wait_until "$seconds" is_booted "$1" "$2" || {
        show_console "$1"
        die "$1: waited ${seconds}s for its boot to finish"
    }
}

is_booted() { # NAME OLD-BOOT
    local boot
    boot=$(current_boot "$1") && [[ $boot != "$2" ]] || return 1
    [[ $(on_node "$1" timeout 60 systemctl is-system-running --wait 2>/dev/null) == @(running|degraded) ]] || return 1
    [[ $(on_node "$1" systemctl is-active ssh.service ssh.socket 2>/dev/null) == *active* ]]
}

# Distinguishes one boot from the next.
current_boot() { by_kind "$1" boot; }

on_node() { (by_kind "$1" exec "${@:2}") </dev/null; }

# Lays onto a fresh disk, mounted at ROOT, what makes it this node.
prepare_root() { # NAME ROOT
    local name=$1 root=$2 address address6
    address=$(node_address "$name")
    address6=$(node_address "$name" 6)
    printf '%s\n' "$name" >"$root/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    # A resolver that refuses at once: no name leaves the lab.
    printf 'search lab.test\nnameserver %s.250\n' "$net4" >"$root/etc/resolv.conf"
    mkdir -p "$root/etc/network"
    sed -e "s/@ADDRESS@/$address/g; s/@ADDRESS6@/$address6/g; s,@OUT4@,$out4.0/24,g; s,@OUT6@,$out6::/64,g" \
        "$lab_dir/files/interfaces" >"$root/etc/network/interfaces"
    ssh-keygen -A -f "$root" >/dev/null 2>&1
    cat "$root"/etc/ssh/ssh_host_*_key.pub | cut -d' ' -f1,2 >"$state/nodes/$name/host_keys"
    printf 'root:%s\n' "$(root_password)" | chroot "$root" chpasswd
    install_pve "$name" "$root"
    printf '\n# The stand-in that answers 401, as the real one does without a subscription\n%s enterprise.proxmox.com\n' \
        "$net4.250" >>"$root/etc/hosts"
}

# Started detached; lives as long as the node is meant to run.
supervise() { # NAME
    local name=$1 node=$state/nodes/$1 status
    record_process "$node/supervisor" "$BASHPID"
    while [[ ! -e $node/stop ]]; do
        by_kind "$name" connect
        status=0
        by_kind "$name" run || status=$?
        if [[ -e $node/restart ]]; then
            rm -f "$node/restart"
        elif ((status != 133)); then
            printf 'lab: %s is off (status %s)\n' "$name" "$status"
            break
        fi
        printf 'lab: %s starts again\n' "$name"
    done
    rm -f "$node/supervisor"
}

reboot_node() { # NAME [--power-cut]
    local name=$1 node=$state/nodes/$1 boot
    require_node "$name"
    boot=$(current_boot "$name") || boot=none
    if recorded_is_gone "$node/supervisor"; then
        detached "$node/console" "$lab_dir/lab" _supervise "$name"
    elif [[ ${2:-} == --power-cut ]]; then
        : >"$node/restart"
        by_kind "$name" power_cut
    else
        # The connection may end before systemctl has answered.
        on_node "$name" systemctl reboot >/dev/null 2>&1 || true
    fi
    wait_booted "$name" "$boot"
}

# Leaves nothing of the node, however far it had come. Safe to repeat.
remove_node() { # NAME
    local name=$1 node=$state/nodes/$1
    [[ -d $node ]] || return 0
    : >"$node/stop"
    # Once the node itself is gone its supervisor reaps what it started and ends.
    end_recorded "$node/leader"
    end_recorded "$node/qemu"
    wait_until 10 recorded_is_gone "$node/supervisor" || true
    end_recorded "$node/supervisor"
    end_recorded "$node/nspawn"
    if [[ -e $node/number ]]; then
        by_kind "$name" disconnect
        by_kind "$name" remove_disk
    fi
    remove_cluster_membership "$name"
    rm -rf --one-file-system "$node"
}

remove_cluster_membership() { # NAME
    local cluster
    { read -r cluster <"$state/nodes/$1/cluster"; } 2>/dev/null || return 0
    rm -f "$state/nodes/$1/cluster"
    grep -qxF "$cluster" "$state"/nodes/*/cluster 2>/dev/null || rm -rf "$state/clusters/$cluster" "$state/clusters/$cluster.members"
}

fill_node() { # NAME
    require_node "$1"
    by_kind "$1" fill
}

unfill_node() { # NAME
    require_node "$1"
    by_kind "$1" unfill
}
