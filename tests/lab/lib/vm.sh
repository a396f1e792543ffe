# shellcheck shell=bash
# VM nodes: QEMU, by emulation unless LAB_ACCEL says otherwise, on a disk that survives a power cut as a real one does.

LAB_ACCEL=${LAB_ACCEL:-tcg,thread=multi}
vm_ports=4

vm_image_of() { # PVE
    local digest
    digest=$({
        cat "$lab_dir/lib/vm.sh"
        find "$lab_dir/files/vm" -type f -print0 | sort -z | xargs -0 cat
    } | sha256sum)
    printf '%s/vm-%s\n' "$(image_of "$1")" "${digest:0:16}"
}

ensure_vm_image() { # PVE
    local vm
    vm=$(vm_image_of "$1")
    [[ -e $vm/complete ]] || {
        require_prerequisites image vm
        with_lock "${vm%/*}.lock" 900 build_vm_image "$1" "$vm"
    }
}

build_vm_image() { # PVE DIR
    local pve=$1 vm=$2 image=${2%/*} work=$2.work log=${2%/*}.vm.log started=$SECONDS
    [[ ! -e $vm/complete ]] || return 0
    say "adding a kernel and a disk to the PVE $pve image; log: $log"
    unmount "$work/root"
    rm -rf --one-file-system "$image"/vm-*
    mkdir -p "$work"/{upper,over,root}
    trap 'unmount "$work/root"; image_build_failed "$pve" "$log"' EXIT
    mount -t overlay -o "lowerdir=$image/root,upperdir=$work/upper,workdir=$work/over" pve-harden-lab "$work/root"
    export lab_dir
    unshare --mount --propagation private "$lab_dir/files/vm/make-root" "$work/root" "$image/sources.list" "$image/apt.conf" \
        >"$log" 2>&1
    cp "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
    cp "$work"/root/boot/initrd.img-* "$work/initrd"
    mke2fs -q -F -t ext4 -m 0 -d "$work/root" "$work/disk" 2G >>"$log" 2>&1
    mke2fs -q -F -t ext4 -m 0 -d "$image/repo" "$work/repo" 512M >>"$log" 2>&1
    unmount "$work/root"
    rm -rf "$work"/{upper,over,root}
    : >"$work/complete"
    mv "$work" "$vm"
    trap - EXIT
    say "PVE $pve VM image ready after $((SECONDS - started))s"
}

vm_make_disk() { # NAME
    local node=$state/nodes/$1 vm
    vm=$(vm_image_of "$(<"$node/pve")")
    mkdir -p "$vm_disks" "$node/root"
    chmod 0700 "$vm_disks"
    printf '%s\n' "$vm" >"$node/vm"
    cp --sparse=always --reflink=auto "$vm/disk" "$vm_disks/$1"
    mount -o loop "$vm_disks/$1" "$node/root"
    prepare_root "$1" "$node/root"
    vm_prepare_network "$1" "$node/root"
    umount "$node/root"
}

vm_prepare_network() { # NAME ROOT
    mkdir -p "$2/usr/local/lib/systemd/network"
    printf '[Match]\nMACAddress=%s\n\n[Link]\nName=nic0\n' "$(node_mac "$1")" >"$2/usr/local/lib/systemd/network/50-pve-nic0.link"
    {
        printf '#!/bin/sh -e\n'
        node_network_commands "$1" | sed 's/^/ip /'
    } >"$2/usr/lib/lab/network"
    chmod 0755 "$2/usr/lib/lab/network"
}

vm_remove_disk() { # NAME
    unmount "$state/nodes/$1/root"
    rm -f "$vm_disks/$1"
    rmdir "$vm_disks" "${vm_disks%/*}" 2>/dev/null || true
}

vm_connect() { # NAME
    local port
    port=n$(<"$state/nodes/$1/number")
    vm_disconnect "$1"
    ip -n "$bridge_ns" tuntap add "$port" mode tap
    plug "$port"
    [[ ! -e $state/nodes/$1/cut ]] || ip -n "$bridge_ns" link set "$port" down
}

vm_disconnect() { # NAME
    local port
    port=n$(<"$state/nodes/$1/number")
    port_is_gone "$port" || ip -n "$bridge_ns" link delete "$port"
}

# One run of QEMU, which may see any number of reboots.
vm_run() { # NAME
    local node=$state/nodes/$1 vm port qemu status=0 devices=(-device virtio-serial-pci)
    vm=$(<"$node/vm")
    for ((port = 0; port < vm_ports; port++)); do
        devices+=(-chardev "socket,id=exec$port,path=$node/exec.$port,server=on,wait=off"
            -device "virtserialport,chardev=exec$port,name=lab.exec.$port")
    done
    nsenter --net="/run/netns/$bridge_ns" -- qemu-system-x86_64 -name "$1" -nodefaults -display none -monitor none \
        -accel "$LAB_ACCEL" -cpu max -smp 2 -m 1024 -serial stdio \
        -kernel "$vm/vmlinuz" -initrd "$vm/initrd" -append 'root=/dev/vda rw console=ttyS0 quiet mitigations=off' \
        -drive "file=$vm_disks/$1,if=virtio,format=raw" -drive "file=$vm/repo,if=virtio,format=raw,readonly=on" \
        -netdev "tap,id=net,ifname=n$(<"$node/number"),script=no,downscript=no" \
        -device "virtio-net-pci,netdev=net,mac=$(node_mac "$1")" -object rng-random,id=rng,filename=/dev/urandom \
        -device virtio-rng-pci,rng=rng "${devices[@]}" &
    qemu=$!
    record_process "$node/qemu" "$qemu" || true
    wait "$qemu" || status=$?
    rm -f "$node/qemu"
    return "$status"
}

vm_power_cut() { kill -KILL "$(recorded_pid "$state/nodes/$1/qemu")"; }

vm_boot() { timeout 20 "$0" exec "$1" -- cat /proc/sys/kernel/random/boot_id 2>/dev/null; }

# Commands wait for one of the node's few ports.
vm_exec() { # NAME COMMAND…
    local node=$state/nodes/$1 port waited
    shift
    recorded_pid "$node/qemu" >/dev/null || die "${node##*/} is not running; start it again: $0 reboot ${node##*/}"
    for ((waited = 0; waited < 600; waited++)); do
        for ((port = 0; port < vm_ports; port++)); do
            exec {held}>"$node/exec.$port.lock"
            ! flock -n "$held" || exec "$lab_dir/files/vm/vm-exec" "$node/exec.$port" 20 \
                /usr/bin/env -i -C /root "${exec_environment[@]}" "$@"
            exec {held}>&-
        done
        sleep 0.1
    done
    die "${node##*/}: waited 60s for one of its $vm_ports exec lines; all are in use"
}

vm_fill() { on_node "$1" sh -c 'dd if=/dev/zero of=/.ballast bs=1M 2>/dev/null; sync' || true; }
vm_unfill() { on_node "$1" rm -f /.ballast; }
