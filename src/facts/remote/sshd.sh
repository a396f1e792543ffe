# sshd: version, effective settings, one question per case, algorithms; versions of other members' sshd.
# Uses $own_addresses of the system part.
# shellcheck shell=sh disable=SC2020,SC2154

: "${PVH_ACCOUNTS:=}" "${PVH_PROBES:=}" "${PVH_OUTSIDE:=}" "${PVH_OTHER:=nobody}" "${PVH_CASES:=}"
: "${own_addresses:=}" "${PVH_CASE_LIMIT:=400}" "${PVH_PEER_VERSIONS:=}"

sshd_settings=""

# Every address another member may come from: corosync links, .members, and names through getent; the names of nodes
# are looked up in /etc/hosts only, as asking DNS for them can take long and proves nothing.
is_address() {
    case $1 in
        *:*) return 0 ;;
        *[!0-9.]* | "") return 1 ;;
        *.*.*.*) return 0 ;;
    esac
    return 1
}

resolve() {
    is_address "$1" && return
    timeout 3 getent ${2:+-s} ${2:+"$2"} ahosts -- "$1" 2>/dev/null |
        awk -v name="$1" '!seen[$1]++ && ++count <= 16 { print name " " $1 }'
}

corosync_file() {
    for corosync in /etc/pve/corosync.conf /etc/corosync/corosync.conf; do
        [ ! -f "$corosync" ] || { head -c 262144 "$corosync" && return; }
    done
    return 0
}

peer_words() {
    corosync_file | sed -nE 's/^[[:space:]]*(ring[0-7]_addr|name)[[:space:]]*:[[:space:]]*([^[:space:]#]+).*/\1 \2/p'
    [ ! -f /etc/pve/.members ] || head -c 262144 /etc/pve/.members |
        tr ',{}' '\n\n\n' | sed -nE 's/^[[:space:]]*"ip"[[:space:]]*:[[:space:]]*"([^"]+)".*/ip \1/p'
}

peer_names() {
    # shellcheck disable=SC2086
    set -- $peer_list
    while [ $# -ge 2 ]; do
        case $1 in
            name) resolve "$2" hosts:files ;;
            *) resolve "$2" "" ;;
        esac
        shift 2
    done
}

# Peers' addresses a line each, without the node's own.
peer_addresses() {
    {
        printf '%s\n' "$own_addresses"
        echo --
        printf '%s\n' "$peer_list" "$names_list"
    } | awk '
        $0 == "--" { peers = 1; next }
        !peers { for (i = 1; i < NF; i++) if ($i ~ /^inet6?$/) { split($(i + 1), a, "/"); own[a[1]] = 1 } next }
        $2 ~ /^[0-9a-fA-F.:]+$/ && $2 ~ /[.:]/ && $2 !~ /^127\./ && $2 != "::1" && !($2 in own) && !seen[$2]++ { print $2 }'
}

# One address of each member that is online, as .members has it, without the node's own.
online_peers() {
    [ -f /etc/pve/.members ] || return 0
    online_list=$(head -c 262144 /etc/pve/.members | tr ',{}' '\n\n\n' | awk '
        /"online"/ { online = /: *1/ }
        /"ip"/ && online { gsub(/.*: *"|".*/, ""); print; online = 0 }')
    [ -z "$online_list" ] || peer_addresses | grep -xF -e "$online_list" | head -n 32
}

# ADDRESS VERSION a line: what sshd says before any login. All at once, and one connection each.
peer_versions() {
    set -f
    # shellcheck disable=SC2046
    set -- $(online_peers)
    set +f
    [ $# -gt 0 ] || return 0
    timeout 6 ssh-keyscan -T 2 -t rsa -- "$@" 2>&1 </dev/null | head -c 65536 |
        sed -n 's/^# \(.*\):22 SSH-2\.0-\(OpenSSH_[0-9][0-9.]*\).*/\1 \2/p'
}

# KIND USER ADDRESS a line.
case_list() {
    set -f
    IFS=$pvh_newline
    for case_address in $PVH_OUTSIDE; do
        echo "root-outside root $case_address"
        echo "other-outside $PVH_OTHER $case_address"
    done
    for case_address in $(peer_addresses); do echo "root-peer root $case_address"; done
    if [ -n "$case_operator" ]; then echo "root-operator root $case_operator"; fi
    for case_user in $PVH_ACCOUNTS; do
        for case_address in $case_operator $PVH_PROBES; do echo "admin $case_user $case_address"; done
    done
    for case_line in $PVH_CASES; do printf '%s\n' "$case_line"; done
    unset IFS
    set +f
}

# ask_case KIND USER ADDRESS: local address and port are told too, because sshd refuses to judge a configuration with
# `Match LocalPort` without them.
ask_case() {
    emit_quiet "sshd.case.$case_number" sshd -T -C "user=$2,host=$3,addr=$3,laddr=$case_server,lport=$case_port"
}

sshd_cases() {
    # shellcheck disable=SC2086
    set -- ${PVH_CONNECTION-}
    case_operator=${1-} case_server=${3:-127.0.0.1} case_port=${4:-22} case_number=0
    cases=$(case_list | awk '!seen[$0]++' | head -n "$PVH_CASE_LIMIT")
    emit sshd.cases 0 "$cases"
    IFS=$pvh_newline
    for case_line in $cases; do
        unset IFS
        # shellcheck disable=SC2086
        ask_case $case_line
        case_number=$((case_number + 1))
        IFS=$pvh_newline
    done
    unset IFS
}

sshd_report() {
    emit sshd.version 0 "$(sshd -V 2>&1 </dev/null | head -c 4096)"
    for algorithm in kex cipher mac HostKeyAlgorithms PubkeyAcceptedAlgorithms; do
        emit_quiet "algorithms.$algorithm" ssh -Q "$algorithm"
    done
    # sshd -T wants its privilege separation directory, which is only there while sshd runs.
    made_run_sshd=""
    [ -d /run/sshd ] || { mkdir -m 755 /run/sshd 2>/dev/null && made_run_sshd=1; }
    sshd_settings=$(sshd -T 2>/dev/null </dev/null) || sshd_settings=""
    if [ -n "$sshd_settings" ]; then
        emit sshd.global 0 "$sshd_settings"
    else
        emit_quiet sshd.global sshd -T
    fi
    sshd_cases
    [ -z "$made_run_sshd" ] || rmdir /run/sshd 2>/dev/null || :
}

peer_list=$(peer_words)
names_list=$(peer_names)
emit names 0 "$names_list"
[ -z "$PVH_PEER_VERSIONS" ] || emit sshd.peers 0 "$(peer_versions)"
missing sshd sshd.version sshd.global || sshd_report
