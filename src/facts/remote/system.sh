# The node itself: session, clock, mounts, addresses, packages, units, sockets, who is connected, root's logins.
# shellcheck shell=sh disable=SC2154

: "${PVH_UNITS:=}" "${PVH_HISTORY_DAYS:=30}"

emit session 0 "uid=$(id -u)
user=${PVH_USER-}
sudo=${PVH_SUDO-}
connection=${PVH_CONNECTION-}"
emit_quiet date date +%s
emit_quiet hostname uname -n
run mounts grep -E '^[^ ]+ /etc/pve ' /proc/mounts

# Own addresses, with prefix length; also used by the sshd part to tell peers from the node itself.
if ! missing ip addresses; then
    own_addresses=$(ip -o addr show 2>/dev/null)
    emit addresses $? "$own_addresses"
fi

# shellcheck disable=SC2016
missing dpkg-query packages ||
    emit_quiet packages dpkg-query -W -f '${Package}\t${Version}\t${db:Status-Abbrev}\n'

show_units() {
    set -f
    IFS=$pvh_newline
    # shellcheck disable=SC2086
    set -- $PVH_UNITS
    unset IFS
    set +f
    [ $# -gt 0 ] || return 0
    for unit in "$@"; do printf 'asked %s\n' "$unit"; done
    systemctl show --no-pager -p LoadState -p ActiveState -p UnitFileState -- "$@"
}
missing systemctl units || emit_quiet units show_units

missing ss listeners || emit_quiet listeners ss -tulpnH

# utmp is gone from newer Debian releases, logind may be absent, so all three are asked.
connected() {
    who 2>/dev/null | awk '{ print $1 }'
    # The folder also holds pipes, which would not end while a session lasts.
    find /run/systemd/sessions -maxdepth 1 -type f -exec sed -n 's/^USER=//p' {} + 2>/dev/null
    # Only sshd's own processes of root: anybody may give a process of his own any name.
    ps -eo euid=,args= 2>/dev/null | sed -nE 's/^ *0 sshd(-session)?: ([^ @]+)(@.*| \[priv\])$/\2/p'
    return 0
}
run connected connected

# Root's logins over SSH, counted per source, method and key. Anybody may name a program sshd; only root's own count.
root_logins() {
    {
        timeout 20 journalctl -q --no-pager -o short-unix --since="-${PVH_HISTORY_DAYS}d" \
            _UID=0 _COMM=sshd + _UID=0 _COMM=sshd-session + _UID=0 _COMM=sshd-auth 2>/dev/null
        echo "exit $?"
    } | awk '
        / Accepted [^ ]+ for root from [0-9a-fA-F.:]+(%[^ ]+)? port / {
            method = from = key = ""
            for (i = 1; i < NF; i++) {
                if (!method && $i == "Accepted") method = $(i + 1)
                if (!from && $i == "from") from = $(i + 1)
            }
            if ($NF ~ /^SHA256:/) key = $NF
            id = from "\t" method "\t" key
            if (!(id in count)) {
                if (kinds >= 512) { more++; next }
                kinds++
            }
            count[id]++
            last[id] = int($1)
        }
        / Accepted [^ ]+ for [^ ]+ from [0-9a-fA-F.:]+(%[^ ]+)? port / && !/ for root from / {
            user = from = ""
            for (i = 1; i < NF; i++) {
                if (!user && $i == "for") user = $(i + 1)
                if (!from && $i == "from") from = $(i + 1)
            }
            id = user "\t" from
            if (!(id in seen)) {
                if (others >= 64) next
                others++
            }
            # The last ones, not the last one alone: the login of this reading would hide every one before it.
            ring[id, seen[id]++ % 16] = int($1)
        }
        /^exit [0-9]+$/ { status = $2 }
        END {
            for (id in seen)
                for (i = 0; i < 16 && i < seen[id]; i++) print "login\t" id "\t" ring[id, i]
            for (id in count) print id "\t" count[id] "\t" last[id]
            if (more) print "more\t" more
            exit status
        }'
}
dpkg_log() {
    date '+zone %z'
    for log in /var/log/dpkg.log.1 /var/log/dpkg.log; do
        [ ! -r "$log" ] || tail -c 1000000 "$log"
    done | awk '$3 ~ /^(install|upgrade|remove|purge)$/ && NF == 6' | tail -n 400 | cut -c 1-300
}

# apt's own history: start, end, who asked for it, command line; tabs between.
apt_history() {
    date '+zone %z'
    for log in /var/log/apt/history.log.1 /var/log/apt/history.log; do
        [ ! -r "$log" ] || tail -c 1000000 "$log"
    done | awk '
        /^Start-Date: / { start = $2 " " $3; command = ""; by = "" }
        /^Commandline: / { command = substr($0, 14); gsub(/\t/, " ", command) }
        /^Requested-By: / { by = $2 }
        /^End-Date: / { if (start != "") print start "\t" $2 " " $3 "\t" by "\t" command; start = "" }' |
        tail -n 100 | cut -c 1-300
}

run dpkg-log dpkg_log
run apt-history apt_history
missing journalctl root-logins || run root-logins root_logins
