# What watches the node, each where a control asks: fail2ban's configuration and jails, who uses the web interface,
# the journal, where logs go.
#   PVH_WATCH    fail2ban, web-users, journald, forward, audit
# shellcheck shell=sh disable=SC2154

: "${PVH_WATCH:=}"

watches() { printf '%s\n' "$PVH_WATCH" | grep -qx "$1"; }

# exit N; problem TEXT where its configuration does not load; dump LINE per command it would give its server; jail NAME
# per jail that runs; ignored JAIL ADDRESS per address that a running jail never bans.
watch_fail2ban() {
    ban_said=$(timeout 20 fail2ban-client -d 2>&1 </dev/null)
    ban_status=$?
    printf 'exit %s\n' "$ban_status"
    if [ "$ban_status" -ne 0 ]; then
        printf 'problem %s\n' "$(printf '%s\n' "$ban_said" | grep -v '^ *$' | tail -n 1 | cut -c 1-300)"
        return 0
    fi
    printf '%s\n' "$ban_said" | grep -E "^\['(add|start|set)', " | grep -vE "^\['set', '[^']*', '(action|prefregex)'" |
        cut -c 1-16000 | sed 's/^/dump /' | head -c 262144
    ban_jails=$(timeout 10 fail2ban-client status 2>/dev/null </dev/null | sed -n 's/.*Jail list:[[:space:]]*//p' | tr -d ' ' | tr ',' '\n')
    for ban_jail in sshd proxmox; do
        printf '%s\n' "$ban_jails" | grep -qx "$ban_jail" || continue
        printf 'jail %s\n' "$ban_jail"
        timeout 10 fail2ban-client get "$ban_jail" ignoreip 2>/dev/null </dev/null |
            sed -n "s/^[|\`]- */ignored $ban_jail /p" | head -c 65536
    done
}
if watches fail2ban; then missing fail2ban-client watch.fail2ban || run watch.fail2ban watch_fail2ban; fi

# CLIENT USER per line: who was logged in from where, by pveproxy's last requests (pve-http-server, write_log).
watch_web_users() {
    [ -r /var/log/pveproxy/access.log ] || return 0
    for web_log in /var/log/pveproxy/access.log.1 /var/log/pveproxy/access.log; do
        [ ! -r "$web_log" ] || tail -c 1000000 "$web_log"
    done | awk '$2 == "-" && $3 != "-" && $1 ~ /^[0-9a-fA-F.:]+$/ && !seen[$1 " " $3]++ { print $1 " " $3; if (++n >= 256) exit }'
}
if watches web-users; then run watch.web-users watch_web_users; fi

# set FILE SETTING per line that journald reads, in order; on-disk; running JSON, what the journald of this boot said of its
# bound (its usage message, systemd.journal-fields(7)); oldest SECONDS, its first entry.
watch_journald() {
    systemd-analyze cat-config systemd/journald.conf 2>/dev/null </dev/null | awk '
        /^# \/[^ ]*\.conf$/ { file = substr($0, 3); next }
        /^[[:space:]]*\[/ { journal = /^[[:space:]]*\[Journal\]/; next }
        journal && /^[[:space:]]*[A-Za-z]+[[:space:]]*=/ { print "set " file " " $0 }' | head -c 65536
    [ ! -d "/var/log/journal/$(cat /etc/machine-id 2>/dev/null)" ] || echo on-disk
    timeout 10 journalctl -q -b -o json --no-pager --output-fields=MAX_USE -n 1 MESSAGE_ID=ec387f577b844b8fa948f33cad9a75e6 \
        _COMM=systemd-journal 'JOURNAL_NAME=System Journal' 2>/dev/null </dev/null | sed 's/^/running /' | head -c 4096
    watch_first=$(timeout 10 journalctl -q -o short-unix --no-pager 2>/dev/null </dev/null | head -n 1 | cut -d' ' -f1)
    [ -z "$watch_first" ] || printf 'oldest %s\n' "$watch_first"
    command -v systemd-analyze >/dev/null 2>&1
}
if watches journald; then run watch.journald watch_journald; fi

watch_forward() {
    ss -Htnp state established 2>/dev/null </dev/null | awk '/\(\("rs:|\(\("rsyslogd"|\(\("in:/ { n = split($4, part, ":"); print part[n] }' | sort -un
}
if watches forward; then missing ss watch.forward || run watch.forward watch_forward; fi

# enabled NUMBER, failure NUMBER, backlog_wait_time NUMBER and a `rule RULE` line each, as auditctl(8) shows them.
watch_audit() {
    audit_state=$(auditctl -s 2>&1 </dev/null) || { printf '%s\n' "$audit_state" && return 1; }
    printf '%s\n' "$audit_state" | grep -E '^(enabled|failure|backlog_wait_time) [0-9]+$'
    auditctl -l 2>/dev/null </dev/null | grep '^-' | cut -c 1-2000 | head -n 500 | sed 's/^/rule /'
}
if watches audit; then missing auditctl watch.audit || run watch.audit watch_audit; fi
