#!/bin/sh
# Stands for pvecm where three machines become a cluster: what the real one does over SSH, in its order, and nothing of
# corosync. /etc/pve/corosync.conf is one line a node, NAME ADDRESS; the calls are kept.
set -eu
conf=/etc/pve/corosync.conf
printf '%s\n' "$*" >>/root/pvecm.calls
case $1 in
    create) # NAME --link0 ADDRESS
        [ ! -e "$conf" ]
        printf '%s %s\n' "$(hostname)" "$4" >"$conf"
        ;;
    apiver) echo 1 ;;
    addnode) printf '%s %s\n' "$2" "$6" >>"$conf" ;; # NAME --force 1 --link0 ADDRESS
    add) # PEER --use_ssh 1 --link0 ADDRESS
        [ ! -e "$conf" ]
        ssh-copy-id -i /root/.ssh/id_rsa "root@$2"
        [ "$(ssh "$2" -o BatchMode=yes pvecm apiver)" = 1 ]
        ssh "$2" -o BatchMode=yes pvecm addnode "$(hostname)" --force 1 --link0 "$6"
        ssh -l root -o BatchMode=yes "$2" cat "$conf" >"$conf.new"
        mv "$conf.new" "$conf"
        ;;
    status)
        [ -e "$conf" ]
        printf 'Quorum information\nNodes:            %s\nNode ID:          0x00000001\nQuorate:          Yes\n' "$(wc -l <"$conf")"
        ;;
    *) exit 255 ;;
esac
