# shellcheck shell=sh
# What the logs of this node hold of one person: PVE_USER (user@realm) and LINUX_NAME, which may be empty. Lines as they
# are, the newest 5000 of each log; the reader judges them. Evaluated after prelude.sh.

: "${PVE_USER:=}" "${LINUX_NAME:=}"

newest() { tail -n 5000 | cut -c1-2000 | head -c 4000000; }

tasks() {
    cat /var/log/pve/tasks/index.1 /var/log/pve/tasks/index /var/log/pve/tasks/active 2>/dev/null |
        grep -aF -e ":$PVE_USER:" -e ":$PVE_USER!" | newest
    return 0
}

# Older ones are compressed; zcat -f reads both. Oldest first, so that the end is the newest.
web() {
    find /var/log/pveproxy -maxdepth 1 -name 'access.log*' -type f -printf '%T@ %p\n' 2>/dev/null | sort -n | cut -d' ' -f2- |
        while read -r log; do timeout 30 zcat -f -- "$log" 2>/dev/null; done |
        grep -aF -e " - $PVE_USER " -e " - $PVE_USER!" | newest
    return 0
}

# grep has no match for an empty name: the first -e is always there.
journal() {
    timeout 30 journalctl -q --no-pager -o short-unix --since=-90d -t pvedaemon -t pveproxy -t sshd -t sshd-session \
        -t sudo -t su -t login -t systemd-logind 2>/dev/null |
        if [ -n "$LINUX_NAME" ]; then grep -aFw -e "$PVE_USER" -e "$LINUX_NAME"; else grep -aF -e "$PVE_USER"; fi | newest
    return 0
}

run tasks tasks
run web web
run journal journal
