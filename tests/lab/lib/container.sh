# shellcheck shell=bash
# Container nodes: systemd-nspawn on an overlay whose writable layer is a size-limited tmpfs, kept by a supervisor
# that starts the node again when it reboots.

# Size of a node's writable disk.
LAB_DISK=${LAB_DISK:-768m}

container_make_disk() { # NAME
    local node=$state/nodes/$1 image
    image=$(<"$node/image")
    mkdir -p "$node/disk" "$node/root"
    mount -t tmpfs -o "size=$LAB_DISK,mode=0700" "pve-harden-lab" "$node/disk"
    mkdir -m 0755 "$node/disk/upper" "$node/disk/work"
    mount -t overlay -o "lowerdir=$image/root,upperdir=$node/disk/upper,workdir=$node/disk/work,redirect_dir=on" \
        "pve-harden-lab" "$node/root"
    prepare_root "$1" "$node/root"
}

container_boot() {
    local leader
    leader=$(recorded_pid "$state/nodes/$1/leader") && printf '%s\n' "$leader"
}

container_power_cut() { kill -KILL "$(recorded_pid "$state/nodes/$1/leader")"; }

# The ballast lies on the node's writable disk, out of the node's sight.
container_fill() { dd if=/dev/zero of="$state/nodes/$1/disk/ballast" bs=1M status=none 2>/dev/null || true; }
container_unfill() { rm -f "$state/nodes/$1/disk/ballast"; }

container_remove_disk() { # NAME
    unmount "$state/nodes/$1/root/var/lib/pve-sim/cluster"
    unmount "$state/nodes/$1/root"
    unmount "$state/nodes/$1/disk"
    container_remove_cgroup "$1"
}

# A cgroup of its own per node, made directly in the cgroup2 tree: two nspawn sharing one would fight over it.
container_cgroup() { # NAME
    local tree
    for tree in /sys/fs/cgroup /sys/fs/cgroup/unified; do
        [[ -e $tree/cgroup.procs && -e $tree/cgroup.controllers ]] || continue
        printf '%s/pve-harden-lab/%s/%s\n' "$tree" "$LAB_ID" "$1"
        return
    done
    die "no cgroup2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified"
}

container_remove_cgroup() { # NAME
    local tree cgroup
    # On a machine with cgroup v1 nspawn makes a mirror image in systemd's hierarchy.
    for tree in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
        cgroup=$tree/pve-harden-lab/$LAB_ID
        [[ -d $cgroup/$1 ]] || continue
        wait_until 10 empty_cgroup "$cgroup/$1" || die "cgroup $cgroup/$1 did not become empty within 10s"
        rmdir "$cgroup" "${cgroup%/*}" 2>/dev/null || true
    done
}

empty_cgroup() { # DIR
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [[ ! -d $1 ]]
}

# Takes the place of this process, in the node's cgroup.
container_start() { # NAME
    local node=$state/nodes/$1 cgroup options=()
    cgroup=$(container_cgroup "$1")
    mkdir -p "$cgroup"
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    [[ ! -e $node/cluster ]] || options+=(--bind="$state/clusters/$(<"$node/cluster"):/var/lib/pve-sim/cluster")
    # Time, modules and raw hardware belong to the machine that runs the lab, whatever a node tries.
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
    exec systemd-nspawn --quiet --boot --directory="$node/root" --machine="$1" --hostname="$1" \
        --register=no --keep-unit --settings=no --link-journal=no --resolv-conf=off --timezone=off \
        --network-namespace-path="/run/netns/$(node_ns "$1")" --console=read-only --kill-signal=SIGRTMIN+3 \
        --private-users=no --capability=all --drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYS_RAWIO,CAP_SYSLOG \
        --bind=/dev/fuse --bind-ro="$(<"$node/image")/repo:/srv/debian" "${options[@]}"
}

# The node's PID 1: the child of nspawn that is process 1 of a namespace of its own.
container_find_leader() { # NSPAWN-PID
    local child
    for child in $(pgrep -P "$1"); do
        if grep -qE $'^NSpid:\t[0-9]+\t1$' "/proc/$child/status" 2>/dev/null; then
            leader=$child
            return 0
        fi
    done
    return 1
}

# One boot. Returns when the node has gone down, with nspawn's exit status: 133 is a reboot.
container_run() { # NAME
    local node=$state/nodes/$1 nspawn leader status=0
    container_start "$1" &
    nspawn=$!
    record_process "$node/nspawn" "$nspawn" || true
    if wait_until 20 container_find_leader "$nspawn"; then
        record_process "$node/leader" "$leader" || true
    else
        kill -KILL "$nspawn" 2>/dev/null || true
    fi
    wait "$nspawn" || status=$?
    rm -f "$node/leader" "$node/nspawn"
    return "$status"
}

container_exec() { # NAME COMMAND…
    local leader name=$1
    shift
    leader=$(recorded_pid "$state/nodes/$name/leader") || die "$name is not running; start it again: $0 reboot $name"
    exec nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup -- \
        /usr/bin/env -i -C /root "${exec_environment[@]}" "$@"
}
