# shellcheck shell=sh
# /etc/pve and the firewall of a run; read by apply.sh, undo.sh, prove.sh and pve-harden-confirm after lib.sh.
#
# /etc/pve is shared: without quorum nothing can be written, and what is written binds every member of the cluster.
# The firewall's daemons take a file up at their next tick, 10 s apart (pve-firewall) or 5 s (proxmox-firewall), so what
# answers right after a write proves nothing. pve-firewall says whether its rules are those of the files: `pve-firewall
# status` prints "(pending changes)" while they are not (pve-firewall src/PVE/Service/pve_firewall.pm).
#
# The folder firewall/ of a run holds
#   before    on or off: whether the node's rules were enforced before the run
#   written   is there once a file was written, unproved until the rules were shown to be live
#   units     "UNIT ActiveState" of the daemons before the run
#   files     "DIGEST PATH" of every file the rules come from, as this run wants it
#   also      "DIGEST PATH" of a file that another member is about to write for this run

CLUSTER_FW=/etc/pve/firewall/cluster.fw
HOST_FW=/etc/pve/nodes/$(uname -n | cut -d. -f1)/host.fw
FIREWALL_UNITS='pve-firewall.service proxmox-firewall.service'
PROXMOX_FIREWALL=/usr/libexec/proxmox/proxmox-firewall
COROSYNC_PORTS=5405-5412

# ---- /etc/pve ---------------------------------------------------------------------------------------------------

# pmxcfs takes the right to write away from every folder but its root while there is no quorum.
pmxcfs_writable() {
    mountpoint -q /etc/pve || return 1
    case $(stat -c %A /etc/pve/nodes 2>/dev/null) in drw*) return 0 ;; *) return 1 ;; esac
}

in_cluster() {
    [ -e /etc/pve/corosync.conf ] || [ -e /etc/corosync/corosync.conf ]
}

await_pmxcfs() { # SECONDS
    await_end=$(($(date +%s) + $1))
    until pmxcfs_writable; do
        [ "$(date +%s)" -lt "$await_end" ] || return 1
        sleep 0.5
    done
}

is_firewall_file() { # PATH
    case $1 in
    /etc/pve/firewall/*.fw | /etc/pve/nodes/*/host.fw | /etc/pve/sdn/firewall/*.fw) return 0 ;;
    *) return 1 ;;
    esac
}

# Whether a run has saved such a file.
touches_firewall() { # RUN-FOLDER
    for touched in "$1"/before/*/path; do
        [ -e "$touched" ] && is_firewall_file "$(cat "$touched")" && return 0
    done
    return 1
}

file_digest() { # PATH
    if [ -f "$1" ]; then timeout 20 sha256sum <"$1" | cut -d' ' -f1; else echo absent; fi
}

# ---- what the run wants -----------------------------------------------------------------------------------------

# Before the first change.
save_firewall() {
    touches_firewall "$DIR" || return 0
    mkdir -p "$DIR/firewall" || return 1
    for save_unit in $FIREWALL_UNITS; do
        echo "$save_unit $(systemctl show -p ActiveState --value "$save_unit")"
    done >"$DIR/firewall/units"
    if firewall_enabled && grep -q ' active$' "$DIR/firewall/units"; then echo on; else echo off; fi >"$DIR/firewall/before"
    : >"$DIR/firewall/files" && for save_file in "$CLUSTER_FW" "$HOST_FW"; do
        want_file "$(file_digest "$save_file")" "$save_file" || return 1
    done
    for save_entry in "$DIR"/before/*/path; do
        save_file=$(cat "$save_entry")
        ! is_firewall_file "$save_file" || want_file "$(file_digest "$save_file")" "$save_file" || return 1
    done
}

want_file() { # DIGEST PATH
    { grep -v " $2\$" "$DIR/firewall/files"; echo "$1 $2"; } >"$DIR/firewall/files.new"
    mv -T "$DIR/firewall/files.new" "$DIR/firewall/files"
}

# The files that are not as this run wants them: somebody else wrote them meanwhile.
strange_files() {
    [ -e "$DIR/firewall/files" ] || return 0
    while read -r strange_digest strange_path; do
        strange_now=$(file_digest "$strange_path")
        [ "$strange_now" = "$strange_digest" ] || grep -qxF "$strange_now $strange_path" "$DIR/firewall/also" 2>/dev/null ||
            printf '%s ' "$strange_path"
    done <"$DIR/firewall/files"
}

# An option of a firewall file, as far as PVE's own parser takes it for one.
firewall_option() { # FILE KEY
    [ -f "$1" ] || return 0
    sed -n '/^\[[Oo][Pp][Tt][Ii][Oo][Nn][Ss]\]/,/^\[/s/^[[:blank:]]*'"$2"':[[:blank:]]*\([0-9]*\)[[:blank:]]*\(#.*\)\{0,1\}$/\1/p' "$1" | tail -n 1
}

# What the files say; a value above 1 is a time until which the firewall is on (pvesh set … --enable 2).
datacenter_enabled() {
    enabled_value=$(firewall_option "$CLUSTER_FW" enable)
    [ "${enabled_value:-0}" != 0 ]
}

firewall_enabled() {
    datacenter_enabled && [ "$(firewall_option "$HOST_FW" enable)" != 0 ]
}

nftables_backend() {
    [ -x "$PROXMOX_FIREWALL" ] && [ "$(firewall_option "$HOST_FW" nftables)" = 1 ]
}

# ---- whether the rules are live ---------------------------------------------------------------------------------

# The state right after the write, against which proxmox-firewall's own writing shows.
begin_to_watch_rules() {
    NFT_BEFORE=$(nft_handles)
    NFT_WRITTEN=0
}

# proxmox-firewall writes all its rules anew at each tick and every rule gets a new handle. The first time it may have
# read the files just before they were written. It loads the fixed chains first and those of the files in a second
# transaction, and only that one tells whether nft took the rules: cluster-in has a rule at least, the policy.
nft_handles() {
    nft -a list chain inet proxmox-firewall cluster-in 2>/dev/null | sed -n -e '/{ # handle /d' -e 's/.*# handle //p' |
        tr '\n' ' '
}

# Whether the kernel's rules are those of the files; RULES_SAY has the reason when not.
rules_are_live() {
    if nftables_backend && datacenter_enabled; then
        nft_rules_are_live
        return
    fi
    if nft list table inet proxmox-firewall >/dev/null 2>&1; then
        RULES_SAY='the rules of proxmox-firewall are still there'
        return 1
    fi
    RULES_SAY=$(timeout 30 pve-firewall status 2>/dev/null | sed -n 's/^Status: //p' | one_line)
    if datacenter_enabled; then
        [ "${RULES_SAY% }" = enabled/running ]
    else
        case $RULES_SAY in disabled/running*pending*) return 1 ;; disabled/*) return 0 ;; *) return 1 ;; esac
    fi
}

nft_rules_are_live() {
    nft_now=$(nft_handles)
    if ! firewall_enabled; then
        RULES_SAY='the rules of proxmox-firewall are still there'
        [ -z "$nft_now" ]
        return
    fi
    RULES_SAY='proxmox-firewall has not written its rules'
    if [ "$nft_now" != "$NFT_BEFORE" ]; then
        NFT_BEFORE=$nft_now
        NFT_WRITTEN=$((NFT_WRITTEN + 1))
    fi
    [ -n "$nft_now" ] && [ "$NFT_WRITTEN" -ge 2 ]
}

firewall_last_words() {
    if nftables_backend; then unit_last_words proxmox-firewall; else unit_last_words pve-firewall; fi
}

# At the commit: the files and the kernel are still as they were proved. Empty when they are.
firewall_complaint() {
    [ -e "$DIR/firewall/written" ] || return 0
    strange=$(strange_files)
    if [ -n "$strange" ]; then
        echo "somebody else changed $strange"
    elif nftables_backend; then
        ! firewall_enabled || [ -n "$(nft_handles)" ] || echo 'the rules of proxmox-firewall are gone'
    elif ! rules_are_live; then
        echo "the firewall's rules are not those of its files: $RULES_SAY"
    fi
}

# ---- corosync ---------------------------------------------------------------------------------------------------

# What goes on between members was let in before the rules came and still passes as "established", and as both sides
# use one port, a packet that goes out makes what comes in pass again. Left untracked for a while, each packet is judged
# by the rules; where nft(8) cannot do that, the entries are deleted with conntrack(8).
corosync_anew() {
    nft -f - 2>/dev/null <<-RULES && return
		table inet pve-harden {
		    chain corosync {
		        type filter hook prerouting priority -300; policy accept;
		        udp dport $COROSYNC_PORTS notrack
		    }
		}
	RULES
    command -v conntrack >/dev/null || return 1
    for anew_port in 5405 5406 5407 5408 5409 5410 5411 5412; do
        conntrack -D -p udp --dport "$anew_port" >/dev/null 2>&1
    done
    return 0
}

corosync_as_usual() {
    nft delete table inet pve-harden 2>/dev/null
    return 0
}

# ---- the node's own firewall off and on -------------------------------------------------------------------------

# Needs no quorum. The link keeps systemd from starting the daemons again until allow_firewall takes it away; being in
# /run it does not outlive this boot, and a boot-time undo makes it anew.
stop_firewall() {
    corosync_as_usual
    booted || return 0
    # Where the rules cost the cluster its quorum, the watchdog does not wait until a daemon has stopped.
    unhook_firewall
    # shellcheck disable=SC2086
    timeout 60 systemctl stop $FIREWALL_UNITS 2>/dev/null
    forbid_firewall
    unhook_firewall
}

forbid_firewall() {
    firewall_is_forbidden && return
    mkdir -p /run/systemd/system || return 1
    for forbid_unit in $FIREWALL_UNITS; do
        ln -sfn /dev/null "/run/systemd/system/$forbid_unit" || return 1
    done
    systemctl daemon-reload 2>/dev/null
    : >"/run/pve-harden.firewall-off"
}

firewall_is_forbidden() {
    [ -e /run/pve-harden.firewall-off ]
}

# A daemon that was killed leaves its rules behind.
unhook_firewall() {
    for unhook_tool in iptables ip6tables; do
        for unhook_chain in INPUT OUTPUT FORWARD; do
            "$unhook_tool" -w 5 -D "$unhook_chain" -j "PVEFW-$unhook_chain" 2>/dev/null
        done
    done
    nft delete table inet proxmox-firewall 2>/dev/null
    return 0
}

# Lets the daemons that ran before the run take the files up as they are now.
allow_firewall() {
    booted || return 0
    if firewall_is_forbidden; then
        for allow_unit in $FIREWALL_UNITS; do
            [ ! -L "/run/systemd/system/$allow_unit" ] || rm -f "/run/systemd/system/$allow_unit"
        done
        systemctl daemon-reload 2>/dev/null
        rm -f /run/pve-harden.firewall-off
    fi
    while read -r allow_unit allow_state; do
        [ "$allow_state" = active ] || continue
        # shellcheck disable=SC2086
        systemctl start $1 "$allow_unit" 2>/dev/null
    done <"$DIR/firewall/units"
}

# ---- while a run is at work -------------------------------------------------------------------------------------

WATCHED_AT=

# about_to_write PATH DIGEST, before a firewall file is written.
about_to_write() {
    is_firewall_file "$1" || return 0
    : >"$DIR/firewall/written" && : >"$DIR/firewall/unproved" && want_file "$2" "$1" && sync "$DIR/firewall/files" "$DIR/firewall"
}

# Each second from the first write to the decision. What is seen here would not wait for the guard: with HA a node
# without quorum is fenced after a minute.
watch_firewall() {
    [ -e "$DIR/firewall/written" ] || return 0
    watch_now=$(date +%s)
    [ "$watch_now" != "$WATCHED_AT" ] || return 0
    WATCHED_AT=$watch_now
    watch_strange=$(strange_files)
    [ -z "$watch_strange" ] || fail "somebody else changed $watch_strange after this run wrote the rules"
    pmxcfs_writable || { sleep 1 && pmxcfs_writable; } || fail 'the cluster lost its quorum after the firewall was changed'
}

# After the writes and before any proof: the kernel has the new rules, and the cluster holds on flows that they judged.
prove_firewall() {
    [ -e "$DIR/firewall/unproved" ] || return 0
    rm -f "$DIR/firewall/unproved"
    arm "$SETTLE_WINDOW" || fail 'the guard could not be renewed'
    journal "settling firewall $SETTLE_WINDOW"
    await_rules || fail "the firewall did not take up the new rules: $RULES_SAY; $(firewall_last_words)"
    if in_cluster && firewall_enabled; then
        corosync_anew || journal 'note corosync is not tried with new flows: neither conntrack(8) nor nft(8) would do it'
        hold_still 20
        corosync_as_usual
    fi
    journal 'proved rules'
    [ "$CONFIRM" = manual ] || wait_proof firewall
}

await_rules() {
    begin_to_watch_rules
    rules_end=$(($(date +%s) + 90))
    until rules_are_live; do
        watch_firewall
        [ "$(date +%s)" -lt "$rules_end" ] || return 1
        sleep 1
    done
}

hold_still() { # SECONDS
    hold_end=$(($(date +%s) + $1))
    while [ "$(date +%s)" -lt "$hold_end" ]; do
        watch_firewall
        sleep 0.5
    done
}

# ---- undo -------------------------------------------------------------------------------------------------------

# Whether a step that writes such a file has begun.
firewall_begun() {
    for begun_number in $(begun_steps); do
        [ -e "$DIR/before/$begun_number/path" ] && is_firewall_file "$(cat "$DIR/before/$begun_number/path")" && return 0
    done
    return 1
}

firewall_was_on() {
    [ "$(cat "$DIR/firewall/before" 2>/dev/null)" = on ]
}

# Before anything is put back. The way in comes first: where no rules were enforced before the run there are none from
# here on, whatever /etc/pve says and whether or not it can be written.
release_firewall() {
    firewall_begun || return 0
    if [ "$MODE" = boot-local ]; then
        forbid_firewall
        return
    fi
    pmxcfs_writable && firewall_was_on && return
    stop_firewall
    pmxcfs_writable || {
        journal 'note /etc/pve cannot be written (no quorum); the firewall of this node is stopped until it can'
        # The boot does not wait for it: the unit is started again.
        [ "$WHEN" = boot ] || await_pmxcfs 60
    }
}

# After everything is put back: the daemons may see the files again. A cluster.fw that another member enabled in the
# meantime is not this node's to enforce until it is as it was.
settle_firewall() {
    firewall_begun && [ "$MODE" != boot-local ] && booted || return 0
    settle_left=$(unrestored)
    if [ -n "$settle_left" ]; then
        stop_firewall
        complain firewall "stopped here until $settle_left can be put back"
    elif ! firewall_was_on && firewall_enabled; then
        stop_firewall
        complain firewall "stopped here until $CLUSTER_FW is as it was before the run"
    else
        allow_firewall "$([ "$WHEN" != boot ] || echo --no-block)"
        firewall_was_on || return 0
        timeout 30 systemctl reload pve-firewall.service 2>/dev/null
        restored_rules_are_live || {
            stop_firewall
            complain firewall "stopped here: the restored rules did not become live: $RULES_SAY"
        }
    fi
}

restored_rules_are_live() {
    begin_to_watch_rules
    live_end=$(($(date +%s) + 90))
    until rules_are_live; do
        [ "$(date +%s)" -lt "$live_end" ] || return 1
        sleep 1
    done
}

# Firewall files of begun steps that are not as they were.
unrestored() {
    for unrestored_number in $(begun_steps); do
        unrestored_entry="$DIR/before/$unrestored_number"
        [ -e "$unrestored_entry/path" ] || continue
        unrestored_path=$(cat "$unrestored_entry/path")
        is_firewall_file "$unrestored_path" || continue
        case $(cat "$unrestored_entry/was") in
        absent) [ ! -e "$unrestored_path" ] && mountpoint -q /etc/pve || printf '%s ' "$unrestored_path" ;;
        file) cmp -s "$unrestored_entry/image" "$unrestored_path" || printf '%s ' "$unrestored_path" ;;
        esac
    done
}
