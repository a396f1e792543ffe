# shellcheck shell=sh
# Whether units run and start by themselves. What `systemctl enable` and `disable` change is links, and more of them than
# one (Also=, Alias=, init scripts): the state before and after a step is kept as the list of all of them.

# Links and folders that say what starts by itself: path, a tab, where it leads (folders: nothing). The run's own boot
# units come and go by themselves.
unit_links() {
    find /etc/systemd/system /etc/rc?.d \( -type l -o -type d \) ! -name 'pve-harden-undo-*' -printf '%p\t%l\n' 2>/dev/null | sort
}

# Before the first change: a unit that a package of this run brings was neither running nor enabled.
save_unit() { # ENTRY UNIT VERB
    systemctl show -p ActiveState --value "$2" >"$1/active" || return 1
    case $3 in enable-now | disable-now) systemctl show -p LoadState --value "$2" >"$1/loaded" ;; esac
}

# The difference between before and after a step is what the step did.
unit_begins() { # ENTRY
    [ ! -e "$1/loaded" ] || { unit_links >"$1/links" && sync "$1/links"; }
}

unit_is_left() { # ENTRY
    [ ! -e "$1/links" ] || { unit_links >"$1/links.after" && sync "$1/links.after"; }
}

# Takes back what the step changed, and nothing that somebody changed since; a step that was cut left no second list.
restore_unit() { # ENTRY UNIT
    [ -e "$1/links" ] || return 0
    unit_status=0
    unit_after=$(cat "$1/links.after" 2>/dev/null || unit_links)
    unit_tab=$(printf '\t')
    # Downwards: what lies in a folder goes before it.
    printf '%s\n' "$unit_after" | grep -vxF -f "$1/links" | sort -r >"$1/links.made"
    while IFS=$unit_tab read -r unit_link unit_target; do
        if [ -z "$unit_target" ]; then
            rmdir "$unit_link" 2>/dev/null
        elif [ "$(readlink "$unit_link")" = "$unit_target" ]; then
            rm -f "$unit_link" || unit_status=1
        fi
    done <"$1/links.made"
    printf '%s\n' "$unit_after" | grep -vxF -f - "$1/links" >"$1/links.lost"
    while IFS=$unit_tab read -r unit_link unit_target; do
        [ ! -e "$unit_link" ] && [ ! -L "$unit_link" ] || continue
        if [ -z "$unit_target" ]; then
            mkdir -m 0755 "$unit_link" || unit_status=1
        else
            ln -s "$unit_target" "$unit_link" || unit_status=1
        fi
    done <"$1/links.lost"
    [ "$(cat "$1/loaded")" != not-found ] || systemctl -q disable "$2" 2>/dev/null || unit_status=1
    sync /etc/systemd/system
    booted || return "$unit_status"
    # While the node boots a start or stop waits for what boots before it.
    case $MODE in
    boot-*) unit_wait=--no-block ;;
    *) unit_wait=--quiet && systemctl daemon-reload ;;
    esac
    case $(cat "$1/active") in
    active | activating | reloading) systemctl "$unit_wait" start "$2" || unit_status=1 ;;
    *)
        systemctl "$unit_wait" stop "$2" 2>/dev/null || ! systemctl -q is-active "$2" || unit_status=1
        [ "$2" != auditd.service ] || stop_auditing
        ;;
    esac
    return "$unit_status"
}

# The daemon switched it on; without one the kernel would go on and fill its own log with what nobody asked for.
stop_auditing() {
    ! systemctl -q is-active auditd.service && ! grep -qwE 'audit=(1|on)' /proc/cmdline || return 0
    auditctl -e 0 >/dev/null 2>&1
    return 0
}
