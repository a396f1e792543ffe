# Who talks to this node, what the firewall does now, how 8006 answers, and what guests have of a firewall.
# PVH_TLS: a line "LABEL VERSION CIPHERS" per question to 8006, VERSION as in openssl-s_client(1), CIPHERS for the
# option -cipher, or -ciphersuites with tls1_3; "-" leaves the default.
# shellcheck shell=sh disable=SC2154

: "${PVH_TLS:=}"

# Established connections to a port that this node listens on, counted per peer:
# protocol, local address, port, peer, count, process; tabs between.
tcp_flows() {
    {
        ss -Htnl || echo failed
        echo established
        ss -Htnp state established || echo failed
    } 2>/dev/null | awk '
        $1 == "failed" { failed = 1 }
        $1 == "established" { established = 1; next }
        !established { n = split($4, part, ":"); listening[part[n]] = 1; next }
        {
            n = split($3, part, ":"); port = part[n]
            if (!(port in listening)) next
            own = substr($3, 1, length($3) - length(port) - 1)
            n = split($4, part, ":"); peer = substr($4, 1, length($4) - length(part[n]) - 1)
            process = match($0, /users:\(\("[^"]*"/) ? substr($0, RSTART + 9, RLENGTH - 10) : ""
            id = "tcp\t" own "\t" port "\t" peer
            if (!(id in count) && ++kinds > 2048) { kinds--; more++; next }
            count[id]++
            name[id] = process
        }
        END {
            for (id in count) print id "\t" count[id] "\t" name[id]
            if (more) print "more\t" more
            exit failed
        }'
}

# UDP has no connections; what conntrack saw answered is the nearest thing. Empty where the kernel tracks nothing.
udp_flows() {
    {
        if [ -r /proc/net/nf_conntrack ]; then
            cat /proc/net/nf_conntrack
        elif command -v conntrack >/dev/null 2>&1; then
            conntrack -L -p udp
        fi
    } 2>/dev/null | awk '
        / udp / || $1 == "udp" {
            src = dst = port = ""
            for (i = 1; i <= NF; i++) {
                if (!src && $i ~ /^src=/) src = substr($i, 5)
                if (!dst && $i ~ /^dst=/) dst = substr($i, 5)
                if (!port && $i ~ /^dport=/) port = substr($i, 7)
            }
            id = "udp\t" dst "\t" port "\t" src
            if (!(id in count) && ++kinds > 2048) { kinds--; next }
            count[id]++
        }
        END { for (id in count) print id "\t" count[id] "\t" }'
}
if ! missing ss flows; then
    run flows tcp_flows
    run flows.udp udp_flows
fi

# What PVE::Firewall::local_network goes by: the node's own address and the kernel's routes, in the kernel's order.
run routes.v4 head -n 4096 /proc/net/route
[ ! -e /proc/net/ipv6_route ] || run routes.v6 head -n 4096 /proc/net/ipv6_route
own_name() { timeout 3 getent ahosts -- "$(uname -n)" | awk '!seen[$1]++ && ++count <= 16 { print $1 }'; }
run own-name own_name

# Which firewall is live, without asking PVE's Perl: chains and tables in the kernel.
live_firewall() {
    if command -v iptables-save >/dev/null 2>&1; then
        iptables-save -t filter 2>/dev/null | awk '
            /^:PVEFW-/ { chains++ }
            /^-A INPUT -j PVEFW-INPUT$/ { hooked = 1 }
            END { print "iptables " chains + 0 " " hooked + 0 }'
    fi
    if command -v nft >/dev/null 2>&1; then
        nft list tables 2>/dev/null | awk '$1 == "table" { print "nft " $2 " " $3 }'
    fi
    [ ! -e /run/proxmox-nftables-firewall-force-disable ] || echo nft-disabled
    return 0
}
run firewall.live live_firewall

# NFS in use: mounts, and what is to be mounted or exported. Options stay here, they may hold passwords.
nfs_use() {
    awk '$3 ~ /^nfs/ && $3 != "nfsd" { print "mount " $2 }' /proc/mounts
    [ ! -r /etc/fstab ] || awk '!/^[[:space:]]*#/ && $3 ~ /^nfs/ { print "fstab " $2 }' /etc/fstab
    for exports in /etc/exports /etc/exports.d/*.exports; do
        [ ! -r "$exports" ] || awk '!/^[[:space:]]*(#|$)/ { print "export " $1 }' "$exports"
    done
    return 0
}
run nfs nfs_use

# Network cards of all guests of the cluster, names only beside; the rest of a guest's configuration stays here.
# Snapshots begin with a section line, and only what stands above is the guest as it is.
guest_cards() {
    set -- /etc/pve/nodes/*/qemu-server/*.conf /etc/pve/nodes/*/lxc/*.conf
    for guest; do
        shift
        [ ! -f "$guest" ] || set -- "$@" "$guest"
    done
    [ $# -gt 0 ] || return 0
    awk '
        FNR == 1 { above = 1; print "guest " FILENAME }
        /^\[/ { above = 0 }
        above && /^(net[0-9]+|name|hostname|vga):/ { print substr($0, 1, 512) }' "$@"
}
run guests guest_cards

web_state() {
    systemctl show --no-pager --timestamp=unix -p ActiveState -p StateChangeTimestamp pveproxy.service
}
missing systemctl web.state || run web.state web_state

# Where pveproxy listens; a wildcard is asked through the loopback address.
web_address() {
    ss -Htln 'sport = :8006' 2>/dev/null | awk 'NR == 1 {
        host = $4; sub(/:8006$/, "", host); sub(/%.*\]$/, "]", host)
        print host ~ /^(\*|0\.0\.0\.0|\[::\])$/ ? "127.0.0.1" : host
    }'
}

# tls_question LABEL VERSION CIPHERS: one line: label, exit status, protocol, cipher, what openssl complained.
tls_question() {
    tls_label=$1 tls_version=$2 tls_ciphers=$3
    set -- -connect "$tls_address:8006"
    [ "$tls_version" = any ] || set -- "$@" "-$tls_version"
    case $tls_version:$tls_ciphers in
        *:-) ;;
        tls1_3:*) set -- "$@" -ciphersuites "$tls_ciphers" ;;
        *) set -- "$@" -cipher "$tls_ciphers" ;;
    esac
    # The machine's own policy must not stand between the question and the answer.
    tls_answer=$(OPENSSL_CONF=/dev/null timeout 6 openssl s_client "$@" </dev/null 2>&1)
    tls_status=$?
    printf '%s\n' "$tls_answer" | awk -v label="$tls_label" -v status="$tls_status" '
        /^New, / { split($0, part, ", "); version = part[2]; cipher = $NF }
        /:error:|errno=|^connect:/ && !why { why = substr($0, 1, 200); gsub(/\t/, " ", why) }
        END { print label "\t" status "\t" version "\t" cipher "\t" why }'
}

tls_questions() {
    tls_address=$(web_address)
    [ -n "$tls_address" ] || return 3
    printf 'address\t%s\n' "$tls_address"
    # A pveproxy that hangs would cost the bound of every question: the first one tells.
    tls_first=$(tls_question first any -)
    printf '%s\n' "$tls_first"
    case $tls_first in *"(NONE)"* | *"$pvh_tab$pvh_tab$pvh_tab"*) return 0 ;; esac
    printf '%s\n' "$PVH_TLS" | {
        while read -r tls_label tls_version tls_ciphers; do
            [ -n "$tls_ciphers" ] || continue
            printf 'asked\t%s\t%s\t%s\n' "$tls_label" "$tls_version" "$tls_ciphers"
            tls_question "$tls_label" "$tls_version" "$tls_ciphers" &
        done
        wait
    }
}
if [ -n "$PVH_TLS" ] && ! missing openssl web.tls && ! missing ss web.tls; then run web.tls tls_questions; fi
