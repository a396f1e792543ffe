# Shared by the parts of the capture program. Parameters (PVH_*) are newline-separated lists, set before this text.
# Answers go through the transport's prelude: emit NAME STATUS BODY, run NAME COMMAND ARG…
# shellcheck shell=sh disable=SC2034

pvh_newline='
'
pvh_tab=$(printf '\t')
pvh_line_break=$(printf '\001')

# emit_quiet NAME COMMAND ARG…: standard output when the command succeeds, both streams when it fails, so that the
# reason reaches the reader and warnings do not mix with data. The command is asked twice only when it fails.
emit_quiet() {
    pvh_name=$1
    shift
    if pvh_out=$("$@" 2>/dev/null </dev/null); then
        emit "$pvh_name" 0 "$pvh_out"
    else
        pvh_status=$?
        pvh_out=$("$@" 2>&1 </dev/null | head -c 65536)
        emit "$pvh_name" "$pvh_status" "$pvh_out"
    fi
}

# missing COMMAND NAME…: answers 127 for the sections when the command is not installed.
missing() {
    command -v "$1" >/dev/null 2>&1 && return 1
    shift
    for pvh_name in "$@"; do emit "$pvh_name" 127 ""; done
}

# secret_path REALPATH: true for what must never cross the wire; the first pattern that fits decides.
secret_path() {
    case $1 in
        /etc/pve/priv/authorized_keys | */.ssh/*.pub) return 1 ;;
        /etc/pve/priv/* | /etc/pve/nodes/*/priv/* | /var/lib/pve-cluster/*) return 0 ;;
        /etc/shadow* | /etc/gshadow* | /etc/security/opasswd* | /var/backups/*) return 0 ;;
        /etc/ssh/*_key | */.ssh/id_* | /etc/corosync/authkey* | /etc/ssl/private/* | /etc/apt/auth.conf*) return 0 ;;
        /etc/pve-harden/alerts-webhook*) return 0 ;;
        # Keys of OpenID and Yubico stand there in the clear; access.realms has the rest.
        /etc/pve/domains.cfg) grep -qE '^[[:space:]]*(client-key|tfa[[:space:]].*key=)' "$1" 2>/dev/null && return 0 ;;
        *.key | *.keytab | */.env | /proc/* | /sys/* | /dev/*) return 0 ;;
        /var/lib/pve-harden/runs/*/meta.json | /var/lib/pve-harden/runs/*/state.json) return 1 ;;
        /var/lib/pve-harden/*) return 0 ;;
    esac
    return 1
}
