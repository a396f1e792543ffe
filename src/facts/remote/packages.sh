# What apt would do to install the packages of PVH_PACKAGES that are missing, and those of PVH_MACHINE_PACKAGES
# outside of containers. Nothing is fetched, locked or written: the lists are those the node has, and the cache made
# from them stays in memory.
# shellcheck shell=sh disable=SC2154

: "${PVH_PACKAGES:=}"
: "${PVH_MACHINE_PACKAGES:=}"

simulate_installation() {
    set -f
    IFS=$pvh_newline
    # shellcheck disable=SC2086
    set -- $PVH_PACKAGES
    unset IFS
    set +f
    left_out=
    ! systemd-detect-virt -cq 2>/dev/null || left_out=$PVH_MACHINE_PACKAGES
    for package in "$@"; do
        shift
        ! printf '%s\n' "$left_out" | grep -qxF "$package" || continue
        # shellcheck disable=SC2016
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || set -- "$@" "$package"
    done
    [ $# -gt 0 ] || return 0
    printf 'asked %s\n' "$@"
    {
        LC_ALL=C DEBIAN_FRONTEND=noninteractive timeout -k 5 30 apt-get -s -q -y --no-install-recommends \
            -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= install -- "$@" 2>&1 </dev/null
        echo "exit $?"
    } | grep -E '^(Inst|Remv|Purg|E:|exit) '
}
missing apt-get packages.simulation || run packages.simulation simulate_installation
