# shellcheck shell=sh
# Shared by apply.sh, undo.sh, prove.sh and pve-harden-confirm; lies in the folder of a run. Needs dash, coreutils,
# util-linux and passwd; neither the network nor pve-harden nor quorum. DIR is the run's folder, set by the caller.
#
# One file name holds the run's outcome, and only rename(2) moves it, so that commit and undo cannot both win:
#   new -> open | refused      open -> committed | undoing      undoing -> undone      committed -> undoing | rolled-back
# What follows from an outcome is done by close_run, by whoever is left to do it; the journal's last line says that it
# is done.

set -u
WHEN=running # boot: systemd is still starting jobs
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077

ROOT=/var/lib/pve-harden
RUN=${DIR##*/}
UNITS=/etc/systemd/system
ACCOUNT_FILES='/etc/passwd /etc/passwd- /etc/shadow /etc/shadow- /etc/group /etc/group- /etc/gshadow /etc/gshadow-
/etc/subuid /etc/subuid- /etc/subgid /etc/subgid- /etc/.pwd.lock'
PAM_FILES='/etc/pam.d/common-auth /etc/pam.d/common-account /etc/pam.d/common-password /etc/pam.d/common-session
/etc/pam.d/common-session-noninteractive /var/lib/pam/auth /var/lib/pam/account /var/lib/pam/password
/var/lib/pam/session /var/lib/pam/session-noninteractive /var/lib/pam/seen'

# Whatever a program on the node prints becomes one line of printable ASCII before it enters the journal.
one_line() {
    tr -c '[:print:]' ' ' | cut -c1-400
}

# The journal is what the operator's side reads to learn the truth after a cut: each line is on disk before the next
# thing happens.
journal() {
    printf '%s %s\n' "$(date +%s)" "$*" >>"$DIR/journal" && sync -d "$DIR/journal"
}

begun_steps() {
    sed -n 's/^[0-9]* begin \([0-9]*\)$/\1/p' "$DIR/journal" | sort -u
}

outcome() {
    for outcome_name in new open committed undoing undone refused rolled-back; do
        if [ -e "$DIR/$outcome_name" ]; then
            echo "$outcome_name"
            return
        fi
    done
    echo unknown
}

# The rename decides; a disk that fails to sync afterwards does not make it undone.
move_outcome() { # FROM TO
    mv -T "$DIR/$1" "$DIR/$2" 2>/dev/null || return 1
    sync "$DIR" || :
}

booted() {
    [ -d /run/systemd/system ]
}

FIREWALL_FOLDER=/etc/pve/firewall

on_pmxcfs() { # PATH
    case $1 in /etc/pve/*) return 0 ;; *) return 1 ;; esac
}

# Where a kernel setting lies; its name is sysctl(8)'s.
setting_path() { # NAME
    printf '/proc/sys/%s' "$(printf '%s' "$1" | tr . /)"
}

# ---- saving -----------------------------------------------------------------------------------------------------

# save_path ENTRY PATH: the state of one path into before/ENTRY. A symbolic link is never replaced.
save_path() {
    mkdir -p "$DIR/before/$1" || return 1
    printf '%s\n' "$2" >"$DIR/before/$1/path" || return 1
    if [ -L "$2" ]; then
        echo "$2 is a symbolic link, which is never replaced" >&2
        return 1
    elif [ ! -e "$2" ]; then
        echo absent >"$DIR/before/$1/was"
    elif [ -d "$2" ]; then
        echo dir >"$DIR/before/$1/was" && stat -c '%a %u %g' "$2" >"$DIR/before/$1/meta"
    elif [ -f "$2" ]; then
        echo file >"$DIR/before/$1/was" && cp -a -- "$2" "$DIR/before/$1/image"
    else
        echo "$2 is neither a file nor a directory" >&2
        return 1
    fi
}

# save_set NAME FILE…: several files as one object, absent ones included.
save_set() {
    save_name=$1
    shift
    [ ! -e "$DIR/before/$save_name/list" ] || return 0
    mkdir -p "$DIR/before/$save_name/images" || return 1
    for save_file in "$@"; do
        [ ! -e "$save_file" ] || cp -a --parents -- "$save_file" "$DIR/before/$save_name/images/" || return 1
        printf '%s\n' "$save_file" >>"$DIR/before/$save_name/list" || return 1
    done
}

set_digest() { # FILE…: one digest over the contents of a set
    for digest_file in "$@"; do
        if [ -f "$digest_file" ]; then sha256sum <"$digest_file"; else echo absent; fi
    done | sha256sum | cut -d' ' -f1
}

# The databases as this run leaves them; the undo compares. After a power cut a half written note would pass for somebody
# else's change.
note_accounts() {
    # shellcheck disable=SC2086
    set_digest $ACCOUNT_FILES >"$DIR/accounts.digest.new" && sync "$DIR/accounts.digest.new" &&
        mv -T "$DIR/accounts.digest.new" "$DIR/accounts.digest" && sync "$DIR"
}

# Whether PAM's files are what a committed run left; a run that was not committed cannot tell.
pam_is_as_left() { # RUN-FOLDER
    [ -e "$1/state.json" ] && [ -e "$1/before/pam/list" ] || return 0
    # shellcheck disable=SC2086
    grep -qF "\"pam\":\"$(set_digest $PAM_FILES)\"" "$1/state.json"
}

# What lies in a home: used to tell data of its own from what was put there.
home_listing() { # HOME
    find "$1" -xdev -printf '%P %y %m %u\n' 2>/dev/null | sort
    find "$1" -xdev -type f -exec sha256sum {} + 2>/dev/null | sort
}

# ---- writing ----------------------------------------------------------------------------------------------------

# put SOURCE PATH MODE OWNER GROUP: temp file beside PATH, fsync, rename, fsync of the folder. A file that belongs to
# somebody else is written as that user, so that links planted in a home lead nowhere root can write.
put() {
    if on_pmxcfs "$2"; then
        put_pmxcfs "$1" "$2"
        return
    fi
    put_uid=$(folder_uid "$2") || return 1
    if [ "$put_uid" != 0 ]; then
        put_as "$put_uid" "$@"
        return
    fi
    put_folder=${2%/*}
    put_temp=$(mktemp "$put_folder/.pve-harden.XXXXXXXX") || return 1
    if cat "$1" >"$put_temp" && chown "$4:$5" "$put_temp" && chmod "$3" "$put_temp" && sync "$put_temp" &&
        mv -T "$put_temp" "$2"; then
        sync "$put_folder"
        return 0
    fi
    rm -f "$put_temp"
    return 1
}

# Whose folder a path lies in. A link in its place counts as its owner's.
folder_uid() { # PATH
    stat -c %u -- "${1%/*}"
}

# A person's folder may be led elsewhere by a link at any moment, so that root does nothing there by name: the person
# does it. Locks are not handed over: the person could keep them.
as_person() { # UID GROUP SCRIPT ARGUMENTS…
    as_uid=$1
    as_group=$2
    as_script=$3
    shift 3
    timeout 60 setpriv --reuid="$as_uid" --regid="$as_group" --clear-groups --reset-env -- \
        sh -c "umask 077; $as_script" sh "$@" 7>&- 8>&- 9>&-
}

# give PATH OWNER:GROUP, within the folder that the path names and no other; a link itself, not where it leads.
give() {
    ( cd -P -- "${1%/*}" && [ "$(pwd -P)" = "${1%/*}" ] && chown -h "$2" -- "./${1##*/}" )
}

put_as() { # UID SOURCE PATH MODE OWNER GROUP
    # shellcheck disable=SC2016
    as_person "$1" "$6" '
        [ ! -L "$1" ] || exit 1
        t=$(mktemp "${1%/*}/.pve-harden.XXXXXXXX") || exit 1
        if cat >"$t" && chmod "$2" "$t" && sync "$t" && mv -T "$t" "$1"; then sync "${1%/*}"; else rm -f "$t"; exit 1; fi
    ' "$3" "$4" <"$2" || return 1
    [ "$(id -u "$5")" = "$1" ] || give "$3" "$5:$6"
}

remove_path() { # PATH
    if on_pmxcfs "$1"; then
        rm -f "$1"
        return
    fi
    remove_uid=$(folder_uid "$1" 2>/dev/null) || return 0
    if [ "$remove_uid" = 0 ]; then
        rm -f "$1" && sync "${1%/*}"
    else
        # shellcheck disable=SC2016
        as_person "$remove_uid" "$(stat -c %g -- "${1%/*}")" 'rm -f "$1"' "$1"
    fi
}

# pmxcfs fixes modes and owners itself, and fails chmod and chown only after the data is written (PVE's
# src/pmxcfs/pmxcfs.c); unmounted it is an ordinary directory where a write would break the next start.
put_pmxcfs() { # SOURCE PATH
    mountpoint -q /etc/pve || {
        echo '/etc/pve is not mounted' >&2
        return 1
    }
    # PVE makes it when the first file is written through its API; a fresh node has none (pve-firewall src/PVE/Firewall.pm
    # save_clusterfw_conf).
    [ "${2%/*}" != "$FIREWALL_FOLDER" ] || [ -d "$FIREWALL_FOLDER" ] || mkdir "$FIREWALL_FOLDER" || return 1
    cat "$1" >"$2.pve-harden.new" && sync "$2.pve-harden.new" && mv -T "$2.pve-harden.new" "$2" && return 0
    rm -f "$2.pve-harden.new" 2>/dev/null
    return 1
}

# ---- restoring --------------------------------------------------------------------------------------------------

same_file() { # A B: content, mode and owner
    cmp -s "$1" "$2" && [ "$(stat -c '%a %u %g' "$1")" = "$(stat -c '%a %u %g' "$2")" ]
}

# restore_image IMAGE PATH
restore_image() {
    if on_pmxcfs "$2"; then
        cmp -s "$1" "$2" || put_pmxcfs "$1" "$2"
        return
    fi
    if [ ! -L "$2" ] && [ -f "$2" ] && same_file "$1" "$2"; then
        touch -r "$1" "$2"
        return
    fi
    restore_uid=$(folder_uid "$2") || return 1
    if [ "$restore_uid" != 0 ]; then
        restore_image_as "$restore_uid" "$1" "$2"
        return
    fi
    restore_folder=${2%/*}
    restore_temp=$(mktemp -u "$restore_folder/.pve-harden.XXXXXXXX") || return 1
    if cp -a -- "$1" "$restore_temp" && sync "$restore_temp" && mv -T "$restore_temp" "$2"; then
        sync "$restore_folder"
        return 0
    fi
    rm -f "$restore_temp"
    return 1
}

# What a power cut or a kill left of writing a file beside PATH. No other run works on the node now.
sweep_beside() { # PATH
    for sweep_left in "${1%/*}"/.pve-harden.????????; do
        if [ -f "$sweep_left" ] && [ ! -L "$sweep_left" ]; then rm -f "$sweep_left"; fi
    done
    if on_pmxcfs "$1"; then rm -f "$1.pve-harden.new" 2>/dev/null; fi
    return 0
}

restore_image_as() { # UID IMAGE PATH
    # shellcheck disable=SC2046
    set -- "$@" $(stat -c '%a %Y %u %g' "$2")
    # shellcheck disable=SC2016
    as_person "$1" "$7" '
        [ ! -L "$1" ] || rm -f "$1"
        t=$(mktemp "${1%/*}/.pve-harden.XXXXXXXX") || exit 1
        if cat >"$t" && chmod "$2" "$t" && touch -d "@$3" "$t" && sync "$t" && mv -T "$t" "$1"; then sync "${1%/*}"; else rm -f "$t"; exit 1; fi
    ' "$3" "$4" "$5" <"$2" || return 1
    [ "$6" = "$1" ] || give "$3" "$6:$7"
}

restore_path() { # BEFORE-ENTRY-DIR
    restore_target=$(cat "$1/path") || return 1
    sweep_beside "$restore_target"
    case $(cat "$1/was") in
    absent)
        if [ -f "$1/brought" ]; then
            restore_image "$1/brought" "$restore_target" || return 1
        elif [ -d "$restore_target" ] && [ ! -L "$restore_target" ]; then
            remove_folder "$restore_target" 2>/dev/null || echo "$restore_target is not empty and stays" >&2
        else
            remove_path "$restore_target" || return 1
            if [ "${restore_target%/*}" = "$FIREWALL_FOLDER" ] && [ -e "${1%/before/*}/firewall/made-folder" ]; then
                rmdir "$FIREWALL_FOLDER" 2>/dev/null || true
            fi
        fi
        ;;
    dir)
        read -r restore_mode restore_owner restore_group <"$1/meta"
        make_folder "$restore_target" "$restore_mode" "$restore_owner" "$restore_group"
        ;;
    file) restore_image "$1/image" "$restore_target" ;;
    *) return 1 ;;
    esac
}

make_folder() { # PATH MODE OWNER GROUP, by name or number
    make_uid=$(folder_uid "$1") && [ ! -L "$1" ] || return 1
    if [ "$make_uid" = 0 ]; then
        [ -d "$1" ] || mkdir "$1" || return 1
        chown -h "$3:$4" "$1" && chmod "$2" "$1" && sync "${1%/*}"
        return
    fi
    # shellcheck disable=SC2016
    as_person "$make_uid" "$4" '[ ! -L "$1" ] || exit 1; [ -d "$1" ] || mkdir "$1"' "$1" && give "$1" "$3:$4" &&
        as_person "$make_uid" "$4" 'chmod "$2" "$1"' "$1" "$2"
}

remove_folder() { # PATH
    remove_uid=$(folder_uid "$1") || return 0
    if [ "$remove_uid" = 0 ]; then
        rmdir "$1"
    else
        # shellcheck disable=SC2016
        as_person "$remove_uid" "$(stat -c %g -- "${1%/*}")" 'rmdir "$1"' "$1"
    fi
}

restore_set() { # BEFORE-DIR of a set
    restore_status=0
    while IFS= read -r restore_name; do
        sweep_beside "$restore_name"
        if [ -e "$1/images$restore_name" ]; then
            restore_image "$1/images$restore_name" "$restore_name" || restore_status=1
        else
            rm -f "$restore_name" || restore_status=1
        fi
    done <"$1/list"
    return "$restore_status"
}

# ---- sshd -------------------------------------------------------------------------------------------------------

# A daemon that cannot live with its settings dies a moment after its reload, and systemd starts it some times more: it
# counts as back when it has been the same process for a while.
sshd_settles() {
    ! systemctl -q is-active ssh.socket || return 0
    settle_tries=100
    settle_same=0
    settle_before=
    while [ "$settle_tries" -gt 0 ]; do
        settle_tries=$((settle_tries - 1))
        settle_now=$(systemctl show -p ActiveState,MainPID --value ssh.service | tr '\n' ' ')
        case $settle_now in
        *failed* | *inactive*) return 1 ;;
        *'active'*)
            if [ "$settle_now" = "$settle_before" ]; then settle_same=$((settle_same + 1)); else settle_same=0; fi
            [ "$settle_same" -lt 5 ] || return 0
            ;;
        esac
        settle_before=$settle_now
        sleep 0.1
    done
    return 1
}

sshd_last_words() {
    sshd_words=$(journalctl -q -o cat --since=-2min -n 40 -t sshd -t sshd-session 2>/dev/null |
        grep -iE 'error|fatal|bad|cannot|failed|unsupported|invalid' | tail -n 2 | one_line)
    printf '%s' "${sshd_words:-its journal gives no reason}"
}

unit_last_words() { # SYSLOG-IDENTIFIER
    unit_said=$(journalctl -q -o cat --since=-2min -n 40 -t "$1" 2>/dev/null |
        grep -iE 'error|fatal|bad|cannot|failed|unable|invalid' | tail -n 2 | one_line)
    printf '%s' "${unit_said:-its journal gives no reason}"
}

# ---- guard ------------------------------------------------------------------------------------------------------

# arm SECONDS: a new timer first, then the old one goes, so that the node is never without a guard.
arm() {
    arm_count=$(($(cat "$DIR/guard" 2>/dev/null || echo 0) + 1))
    systemd-run --quiet --collect --unit="pve-harden-guard-$RUN-$arm_count" --on-active="$1" \
        --timer-property=AccuracySec=100ms --property=Restart=on-failure --property=RestartSec=2 \
        --property=StartLimitIntervalSec=0 --property=Type=exec \
        /bin/sh "$DIR/undo.sh" guard || return 1
    echo "$arm_count" >"$DIR/guard" && sync -d "$DIR/guard" || return 1
    if [ "$arm_count" -gt 1 ]; then
        systemctl stop "pve-harden-guard-$RUN-$((arm_count - 1)).timer" 2>/dev/null
    fi
    return 0
}

disarm() {
    booted || return 0
    systemctl stop "pve-harden-guard-$RUN-*.timer" 2>/dev/null
    return 0
}

# Units that undo an unconfirmed run at boot: local files before sshd starts, what lies on /etc/pve once pmxcfs is
# there. They exist only while a run is open: the first may take the script away before systemd starts the second.
install_boot_units() {
    cat >"$UNITS/pve-harden-undo-boot.service" <<-UNIT
		[Unit]
		Description=Undo an unconfirmed pve-harden run (local files)
		ConditionPathExists=$ROOT/undo-at-boot.sh
		DefaultDependencies=no
		RequiresMountsFor=/var /etc /usr/local
		After=local-fs.target systemd-tmpfiles-setup.service
		Before=ssh.service ssh.socket sshd.service pveproxy.service pvedaemon.service pve-firewall.service proxmox-firewall.service multi-user.target getty.target
		Conflicts=shutdown.target
		[Service]
		Type=oneshot
		ExecStart=/bin/sh $ROOT/undo-at-boot.sh local
		Restart=on-failure
		RestartSec=2
		[Install]
		WantedBy=multi-user.target ssh.service
	UNIT
    cat >"$UNITS/pve-harden-undo-pve.service" <<-UNIT
		[Unit]
		Description=Undo an unconfirmed pve-harden run (/etc/pve)
		ConditionPathExists=$ROOT/undo-at-boot.sh
		After=pve-cluster.service pve-harden-undo-boot.service
		Wants=pve-cluster.service
		[Service]
		Type=oneshot
		ExecStart=/bin/sh $ROOT/undo-at-boot.sh pve
		Restart=on-failure
		RestartSec=10
		[Install]
		WantedBy=multi-user.target
	UNIT
    cat >"$ROOT/undo-at-boot.sh" <<-'SCRIPT'
		# Undoes every run that was neither committed nor undone when the node stopped.
		for d in /var/lib/pve-harden/runs/*/; do
		    d=${d%/}
		    [ ! -f "$d/undo.sh" ] || /bin/sh "$d/undo.sh" "boot-$1" || failed=1
		done
		exit "${failed:-0}"
	SCRIPT
    mkdir -p "$UNITS/multi-user.target.wants" "$UNITS/ssh.service.wants" &&
        ln -sf ../pve-harden-undo-boot.service "$UNITS/multi-user.target.wants/" &&
        ln -sf ../pve-harden-undo-boot.service "$UNITS/ssh.service.wants/" &&
        ln -sf ../pve-harden-undo-pve.service "$UNITS/multi-user.target.wants/" &&
        sync "$UNITS/pve-harden-undo-boot.service" "$UNITS/pve-harden-undo-pve.service" "$ROOT/undo-at-boot.sh" \
            "$UNITS/multi-user.target.wants" "$UNITS/ssh.service.wants" "$UNITS" "$ROOT" &&
        systemctl daemon-reload
}

# Another run that is about to begin has installed them, too.
remove_boot_units() {
    for other in "$ROOT"/runs/*/new "$ROOT"/runs/*/open "$ROOT"/runs/*/undoing; do
        [ ! -e "$other" ] || return 0
    done
    [ -e "$UNITS/pve-harden-undo-boot.service" ] || [ -e "$ROOT/undo-at-boot.sh" ] || return 0
    rm -f "$UNITS/pve-harden-undo-boot.service" "$UNITS/pve-harden-undo-pve.service" \
        "$UNITS/multi-user.target.wants/pve-harden-undo-boot.service" \
        "$UNITS/multi-user.target.wants/pve-harden-undo-pve.service" \
        "$UNITS/ssh.service.wants/pve-harden-undo-boot.service"
    rmdir "$UNITS/ssh.service.wants" 2>/dev/null
    rm -f /run/motd.d/pve-harden "$ROOT/undo-at-boot.sh"
    # At boot the manager is still starting jobs from these units; it forgets them at the next reload.
    [ "$WHEN" = boot ] || ! booted || systemctl daemon-reload 2>/dev/null
    return 0
}

# ---- commit and close -------------------------------------------------------------------------------------------

# commit WHO: the only way a run becomes permanent.
commit() {
    printf '%s\n' "$1" >"$DIR/confirmed-by"
    move_outcome open committed || return 1
    close_run || :
}

closed() {
    tail -n 1 "$DIR/journal" 2>/dev/null | grep -qE '^[0-9]+ (committed .*|undone|refused .*)$'
}

# Whatever must follow the decision. Whoever took it may be gone (its login was cut, it was killed, the power failed):
# the unit that applies, the guard and the next boot come here as well, one at a time, and the timers go last.
close_run() {
    (
        flock 8
        ! closed || exit 0
        close_word=$(outcome)
        case $close_word in
        committed)
            rm -rf "$DIR/reserve" "$DIR/data" "$DIR/candidate"
            write_state
            mark_rolled_back
            close_word="committed $(cat "$DIR/confirmed-by" 2>/dev/null)"
            ;;
        undone) rm -rf "$DIR/reserve" "$DIR/data" "$DIR/candidate" ;;
        refused)
            rm -rf "$DIR/reserve" "$DIR/data" "$DIR/before"
            close_word="refused $(cat "$DIR/refused-because" 2>/dev/null || echo 'broken the run ended before its first change')"
            ;;
        *) exit 0 ;;
        esac
        remove_boot_units
        disarm
        journal "$close_word"
    ) 8>>"$DIR/close.lock"
}

# A committed rollback closes the runs it undid.
mark_rolled_back() {
    [ -e "$DIR/undoes" ] || return 0
    while IFS= read -r undone_run; do
        mv -T "$ROOT/runs/$undone_run/committed" "$ROOT/runs/$undone_run/rolled-back" 2>/dev/null
    done <"$DIR/undoes"
    return 0
}

# state.json: a digest per managed path, for drift attribution and for "changed since". Paths were checked to hold
# nothing that JSON would have to escape.
write_state() {
    {
        printf '{"version":1,"files":{'
        state_comma=
        for state_entry in "$DIR"/before/*/path; do
            [ -e "$state_entry" ] || continue
            IFS= read -r state_path <"$state_entry"
            printf '%s"%s":"%s"' "$state_comma" "$state_path" "$(path_state "$state_path")"
            state_comma=,
        done
        printf '},"sets":{'
        state_comma=
        if [ -e "$DIR/before/accounts/list" ]; then
            # shellcheck disable=SC2086
            printf '"accounts":"%s"' "$(set_digest $ACCOUNT_FILES)"
            state_comma=,
        fi
        if [ -e "$DIR/before/pam/list" ]; then
            # shellcheck disable=SC2086
            printf '%s"pam":"%s"' "$state_comma" "$(set_digest $PAM_FILES)"
        fi
        printf '}}\n'
    } >"$DIR/state.json.new" && sync "$DIR/state.json.new" && mv -T "$DIR/state.json.new" "$DIR/state.json"
}
