# How a member stands right now, asked between two nodes of a cluster. Evaluated after the transport's prelude.
# shellcheck shell=sh

pmxcfs_file() { # NAME PATH
    if [ -e "$2" ]; then run "$1" cat "$2"; else emit "$1" 127 ''; fi
}
run mounts grep -E '^[^ ]+ /etc/pve ' /proc/mounts
pmxcfs_file members /etc/pve/.members
pmxcfs_file ha /etc/pve/ha/manager_status

# As the proof of a run asks: a wrong setting can leave pveproxy active with every connection hanging.
web() {
    command -v openssl >/dev/null || return 127
    printf 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' |
        timeout 15 openssl s_client -quiet -connect 127.0.0.1:8006 2>/dev/null | head -c 64 | tr -cd '[:print:]'
}
run web web
