#!/bin/sh
# One step of making a cluster, on a node and as root. vagrant/cluster.sh hands this file to `sh -s`: nothing in here may
# read standard input. A step that is done is left as it is.
#
#   create ADDRESS                 a cluster of this node, corosync on ADDRESS
#   key                            root's public key (TYPE KEY), made where there is none
#   host-key                       this node's host key (TYPE KEY)
#   trust TYPE KEY                 root may log in with this key
#   join PEER TYPE KEY ADDRESS     join PEER's cluster, whose host key is this one, with corosync on ADDRESS
#   quorate NUMBER                 wait until the cluster has at least so many nodes and is in quorum
set -eu
umask 022

fail() {
    printf 'cluster.sh: %s: %s\n' "$(hostname)" "$1" >&2
    exit 1
}

# Up to five minutes for what the words after the first say.
wait_for() {
    what=$1 left=300
    shift
    until "$@"; do
        [ "$left" -gt 0 ] || fail "five minutes have passed: $what"
        left=$((left - 1))
        sleep 1
    done
}

# This file is pmxcfs's own.
mounted() { [ -e /etc/pve/.version ]; }

in_quorum() {
    pvecm status </dev/null 2>/dev/null | awk -v want="$1" '
        $1 == "Nodes:" { nodes = $2 }
        $1 == "Quorate:" { quorate = $2 }
        END { exit !(nodes + 0 >= want + 0 && quorate == "Yes") }'
}

# A lab of one node that was hardened on its own is not what the others' join begins with.
fresh() {
    [ ! -e /var/lib/pve-harden ] || fail "it was hardened as a node of its own: vagrant destroy -f, then bring all nodes up"
}

append() {
    (umask 077 && mkdir -p /root/.ssh)
    if ! grep -qxF "$2" "$1" 2>/dev/null; then printf '%s\n' "$2" >>"$1"; fi
}

create() {
    wait_for 'pmxcfs is not mounted' mounted
    if [ -e /etc/pve/corosync.conf ]; then return; fi
    fresh
    timeout 300 pvecm create lab --link0 "$1" </dev/null
}

key() {
    (umask 077 && mkdir -p /root/.ssh)
    # The file that pvecm copies to the peer.
    if [ ! -f /root/.ssh/id_rsa.pub ]; then
        ssh-keygen -q -t rsa -b 4096 -N '' -f /root/.ssh/id_rsa </dev/null
    fi
    cut -d ' ' -f 1,2 /root/.ssh/id_rsa.pub
}

join() {
    wait_for 'pmxcfs is not mounted' mounted
    if [ -e /etc/pve/corosync.conf ]; then return; fi
    fresh
    append /root/.ssh/known_hosts "$1 $2 $3"
    # Over the API, pvecm asks for root's password; over SSH, for nothing once both keys are known.
    timeout 600 pvecm add "$1" --use_ssh 1 --link0 "$4" </dev/null
}

step() {
    verb=$1
    shift
    case $verb in
        create) create "$1" ;;
        key) key ;;
        host-key) cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub ;;
        trust) append /root/.ssh/authorized_keys "$1 $2" ;;
        join) join "$@" ;;
        quorate) wait_for "no cluster of $1 nodes in quorum" in_quorum "$1" ;;
        *) fail "unknown step $verb" ;;
    esac
}

step "$@"
