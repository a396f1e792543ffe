# shellcheck shell=bash
# PVE's own programs, played by pve-sim.

# The stand-in's binary: LAB_SIM_BIN, or built here.
ensure_sim() {
    local target
    if [[ -z ${LAB_SIM_BIN:-} ]]; then
        command -v cargo >/dev/null || die "no cargo to build pve-sim with; install Rust, or name a built one: LAB_SIM_BIN=…/pve-sim"
        (cd "$lab_repo" && cargo build --quiet --package pve-sim) || die "pve-sim does not build; no node was touched"
        target=$(cd "$lab_repo" && cargo metadata --no-deps --format-version 1 | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
        LAB_SIM_BIN=$target/debug/pve-sim
    fi
    [[ -x $LAB_SIM_BIN ]] || die "LAB_SIM_BIN=$LAB_SIM_BIN cannot be run"
    export LAB_SIM_BIN
}

install_pve() { # NAME ROOT
    local name=$1 root=$2 node=$state/nodes/$1 cluster member options=()
    [[ ! -e $node/plain ]] || {
        remove_pve_packages "$root"
        printf '127.0.0.1 localhost\n::1 localhost\n%s %s.lab.test %s\n' "$(node_address "$name")" "$name" "$name" >"$root/etc/hosts"
        return
    }
    if [[ -e $node/cluster ]]; then
        cluster=$(<"$node/cluster")
        options+=(--cluster "$cluster")
        while read -r member; do
            options+=(--member "$member=$(node_address "$member"),$(node_address "$member" 6)")
        done <"$state/clusters/$cluster.members"
        mkdir -p "$root/var/lib/pve-sim/cluster"
        mount --bind "$state/clusters/$cluster" "$root/var/lib/pve-sim/cluster"
    fi
    # One at a time: members must find the keys that the first of them made.
    with_lock "$cache/pve-keys.lock" 120 "$LAB_SIM_BIN" install --root "$root" --pve "$(<"$node/pve")" --node "$name" \
        --address "$(node_address "$name")" --address6 "$(node_address "$name" 6)" --key-cache "$cache/pve-keys" "${options[@]}"
    unmount "$root/var/lib/pve-sim/cluster"
}

# A plain Debian host, for showing what happens with one.
remove_pve_packages() { # ROOT
    local name packages=()
    while read -r name _; do
        [[ ! -e $1/var/lib/dpkg/info/$name.list ]] || packages+=("$name")
    done < <(pve_packages 9; pve_packages 8)
    chroot "$1" dpkg --force-unsafe-io --purge "${packages[@]}" >/dev/null
    rm -f "$1"/etc/apt/sources.list.d/{pve-enterprise,ceph}.* "$1/root/.ssh/authorized_keys"
}
