#!/bin/sh
# Runs on this computer once the nodes of a cluster lab are up, before anything is hardened: the first node creates the
# cluster, then one node after the other joins it. Keys travel over Vagrant's own connections.
#
#   cluster.sh NAME=ADDRESS NAME=ADDRESS…
set -eu
cd "$(dirname "$0")"

# on NODE STEP…: one step of provision/cluster.sh as root on the node.
on() {
    node=$1
    shift
    vagrant ssh "$node" -- sudo sh -s "$@" <provision/cluster.sh
}

# A public key as a node says it, which goes into another node's shell: two words of harmless characters.
key_of() {
    key=$(on "$1" "$2")
    if ! printf '%s\n' "$key" | grep -qxE '[a-z0-9-]+ [A-Za-z0-9+/]+=*' || [ "$(printf '%s\n' "$key" | wc -l)" != 1 ]; then
        printf 'cluster.sh: %s: no public key: nothing joins\n' "$1" >&2
        exit 1
    fi
    printf '%s\n' "$key"
}

first=${1%%=*} peer=${1#*=}
on "$first" create "$peer"
on "$first" quorate 1
pinned=$(key_of "$first" host-key)
shift
members=1
for joining in "$@"; do
    name=${joining%%=*}
    key=$(key_of "$name" key)
    # Both are two words each.
    # shellcheck disable=SC2086
    on "$first" trust $key
    # shellcheck disable=SC2086
    on "$name" join "$peer" $pinned "${joining#*=}"
    members=$((members + 1))
    on "$first" quorate "$members"
done
