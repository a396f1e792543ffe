# shellcheck shell=sh
# Puts back what this run changed. Works at the console, in single-user mode, at boot and from the guard; needs
# neither the network nor pve-harden nor, for local files, quorum.
#
#   undo.sh guard|failure|operator|console|exit     the whole run
#   undo.sh together                                the whole run, also a committed one: the other members undid theirs
#   undo.sh boot-local|boot-pve                     the same in two steps while the node boots
#   undo.sh step RUN NUMBER BY                      one step of RUN, as part of the rollback run in folder BY

DIR=$(cd "${0%/*}" && pwd) || exit 1
# shellcheck source=src/apply/remote/lib.sh
. "$DIR/lib.sh"
# shellcheck source=src/apply/remote/access.sh
. "$DIR/access.sh"
# shellcheck source=src/apply/remote/cert.sh
. "$DIR/cert.sh"
# shellcheck source=src/apply/remote/proofs.sh
. "$DIR/proofs.sh"
# shellcheck source=src/apply/remote/firewall.sh
. "$DIR/firewall.sh"
# shellcheck source=src/apply/remote/units.sh
. "$DIR/units.sh"
MODE=${1:-console}
cd / || exit 1
FAILED=
KEPT=
BY=
FIRST=
case $MODE in boot-*) WHEN=boot ;; esac

complain() { # NUMBER TEXT
    FAILED="$FAILED $1"
    journal "undo-failed $1 $(printf '%s' "$2" | one_line)"
}

# ---- taking the run over ----------------------------------------------------------------------------------------

# Answers whether there is something to undo.
claim() {
    case $(outcome) in
    open)
        if move_outcome open undoing; then first_to_undo; else [ -e "$DIR/undoing" ]; fi
        ;;
    undoing) ;;
    committed)
        [ "$MODE" = console ] || [ "$MODE" = together ] || return 1
        # The node may lose power in the middle of this as well.
        install_boot_units
        move_outcome committed undoing && first_to_undo
        ;;
    new)
        move_outcome new refused
        return 1
        ;;
    *) return 1 ;;
    esac
}

first_to_undo() {
    FIRST=yes
    rm -f "$DIR/reserve"
    journal "undoing $MODE"
    return 0
}

# Nothing may go on changing while it is put back. The unit that applies is stopped with all its children; its end
# starts the guard, which waits here until this undo is done, or goes on with it should this one be killed.
take_over() {
    exec 7>>"$DIR/undo.lock"
    if booted && [ "$MODE" != failure ]; then
        systemctl stop "pve-harden-apply-$RUN.service" 2>/dev/null
    fi
    flock 7
    [ -e "$DIR/undoing" ] || exit 0
    exec 9>/run/pve-harden.lock
    flock -w 30 9 || true
    go_on
}

# An undo that was cut is taken up from its beginning; each step may be restored twice.
go_on() {
    [ -n "$FIRST" ] || journal "undoing $MODE"
}

# An interrupted dpkg would leave a package half configured; packages themselves stay. Only the run's own: to configure
# what somebody else left could restart anything.
settle_packages() {
    grep -qx packages "$DIR"/before/*/step 2>/dev/null || return 0
    [ -n "$(dpkg --audit 2>/dev/null)" ] || return 0
    for package in $(sed -n 's/^[0-9]* note installs //p' "$DIR/journal" | tr ' ' '\n' | sed 's/=.*//'); do
        # shellcheck disable=SC2016
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        unpacked | half-configured | triggers-*)
            DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 timeout 120 \
                dpkg --force-confold --configure "$package" </dev/null >>"$DIR/apt.log" 2>&1 7>&- 9>&- || true
            ;;
        esac
    done
}

# ---- steps, newest first ----------------------------------------------------------------------------------------

in_scope() { # BEFORE-ENTRY: whether this pass may touch it
    case $MODE in
    boot-local) ! is_access_entry "$1" && { [ ! -e "$1/path" ] || ! on_pmxcfs "$(cat "$1/path")"; } ;;
    boot-pve) is_access_entry "$1" || { [ -e "$1/path" ] && on_pmxcfs "$(cat "$1/path")"; } ;;
    *) return 0 ;;
    esac
}

undo_entry() { # RUN-FOLDER NUMBER
    entry="$1/before/$2"
    case $(cat "$entry/step") in
    file | directory | shared-file) restore_path "$entry" ;;
    packages | pam-profiles) TOUCHED_PAM="$1/before/pam" TOUCHED_ACCOUNTS="$1/before/accounts" ;;
    group | user-groups | user-password | user-lock | user-shell | user-aging) TOUCHED_ACCOUNTS="$1/before/accounts" ;;
    user)
        TOUCHED_ACCOUNTS="$1/before/accounts"
        undo_home "$entry"
        ;;
    sysctl) restore_settings "$entry" ;;
    unit) undo_unit "$entry" ;;
    pve-access) access_undo "$1" "$2" "$entry/reached" ;;
    cert-*) cert_restore "$entry" ;;
    restore) undo_restore "$entry" ;;
    *) return 1 ;;
    esac
}

# A home that holds only what the run put there goes; one with data of its own stays, and its account is locked.
undo_home() { # ENTRY
    home_user=$(sed -n 1p "$1/arguments")
    home_path=$(sed -n 4p "$1/arguments")
    getent passwd "$home_user" >/dev/null || return 0
    # An account that was there before the run is not the run's to delete, whatever made the step fail.
    ! grep -q "^$home_user:" "${1%/*}/accounts/images/etc/passwd" || return 0
    [ -d "$home_path" ] && [ ! -L "$home_path" ] || return 0
    if [ ! -e "$1/home.listing" ] || home_holds_nothing_else "$1" "$home_path"; then
        rm -rf --one-file-system "$home_path"
    else
        KEPT="$KEPT $home_user"
        [ -z "$BY" ] || echo "$home_user" >>"$BY/kept"
        journal "kept $home_user its home holds data of its own; the account is locked, not deleted"
    fi
}

# The folder of keys is the run's own, whichever of its steps are undone already.
home_holds_nothing_else() { # ENTRY HOME
    home_now=$(home_listing "$2" | without_keys)
    home_then=$(without_keys <"$1/home.listing")
    [ "$home_now" = "$home_then" ]
}

without_keys() {
    grep -v -e '^ d ' -e '^\.ssh d ' -e '^\.ssh/authorized_keys f ' -e '/\.ssh/authorized_keys$'
}

# Settings that can only be tightened until the next boot are never among them.
restore_settings() { # ENTRY
    [ -e "$1/settings" ] || return 0
    while IFS='=' read -r setting_name setting_value; do
        setting_file=$(setting_path "$setting_name")
        [ "$(cat "$setting_file" 2>/dev/null)" = "$setting_value" ] ||
            printf '%s\n' "$setting_value" >"$setting_file" || return 1
    done <"$1/settings"
}

undo_unit() { # ENTRY
    unit=$(sed -n 1p "$1/arguments")
    verb=$(sed -n 2p "$1/arguments")
    case $verb in
    reload | try-restart) [ "$(cat "$1/active")" != active ] || RELOADS="$RELOADS $unit" ;;
    *) restore_unit "$1" "$unit" ;;
    esac
}

# The undo of a rollback's step: what the rollback overwrote comes back.
undo_restore() { # ENTRY
    if is_access_entry "$1"; then
        access_redo "$ROOT/runs/$(sed -n 1p "$1/arguments")" "$(sed -n 2p "$1/arguments")"
        return
    fi
    undo_restore_status=0
    if restores_cert "$1"; then
        cert_restore "$1"
        return
    fi
    if [ -e "$1/path" ]; then
        restore_path "$1" || undo_restore_status=1
    fi
    if [ -e "$1/links" ]; then
        restore_unit "$1" "$(cat "$1/restored-unit")" || undo_restore_status=1
    fi
    if [ -d "$1/home" ]; then
        restored_run=$(sed -n 1p "$1/arguments")
        restored_step=$(sed -n 2p "$1/arguments")
        restored_home=$(sed -n 4p "$ROOT/runs/$restored_run/before/$restored_step/arguments")
        [ -d "$restored_home" ] || cp -a -- "$1/home" "$restored_home"
    fi
    RELOADS="$RELOADS ssh.service"
    TOUCHED_ACCOUNTS="$DIR/before/accounts"
    TOUCHED_PAM="$DIR/before/pam"
    restore_settings "$1" || undo_restore_status=1
    return "$undo_restore_status"
}

# ---- accounts and PAM as objects --------------------------------------------------------------------------------

restore_pam() {
    [ -n "$TOUCHED_PAM" ] && [ -e "$TOUCHED_PAM/list" ] || return 0
    if ! pam_is_as_left "$DIR"; then
        journal 'kept pam /etc/pam.d/common-* changed since the run and stay; see pam-auth-update'
        return 0
    fi
    restore_set "$TOUCHED_PAM" || complain pam 'the PAM files could not be restored'
}

# Byte for byte when nobody else changed the databases since; one inverse call per step when somebody did, so that
# their change is not lost.
restore_accounts() { # RUN-FOLDER
    [ -n "$TOUCHED_ACCOUNTS" ] && [ -e "$TOUCHED_ACCOUNTS/list" ] || return 0
    forget_account_locks
    if [ -z "$KEPT" ] && accounts_are_as_left "$1"; then
        restore_set "$TOUCHED_ACCOUNTS" || complain accounts 'the account databases could not be restored'
        return
    fi
    for number in $(steps_of "$1" | sort -r); do
        invert_account_step "$1/before/$number" "$TOUCHED_ACCOUNTS/images" || complain "$number" 'an account could not be put back'
    done
}

# useradd and its kin lock a database with FILE.lock, made from FILE.PID, that holds their process id, and write to FILE+.
# One that was killed leaves them behind, and after a power cut that number may be somebody else's: every change of
# accounts would be refused for good.
forget_account_locks() {
    for account_file in passwd shadow group gshadow subuid subgid; do
        account_pid=$({ tr -dc '0-9' <"/etc/$account_file.lock"; } 2>/dev/null)
        account_tool_lives "$account_pid" || rm -f "/etc/$account_file.lock" "/etc/$account_file+"
        for account_left in "/etc/$account_file".[0-9]*; do
            case ${account_left##*.} in *[!0-9]*) continue ;; esac
            account_tool_lives "${account_left##*.}" || rm -f "$account_left"
        done
    done
}

account_tool_lives() { # PID
    case $(cat "/proc/${1:-0}/comm" 2>/dev/null) in
    user* | group* | gpasswd | ch* | passwd | newusers | pw* | grp* | vi*) return 0 ;;
    esac
    return 1
}

accounts_are_as_left() { # RUN-FOLDER
    # shellcheck disable=SC2086
    accounts_now=$(set_digest $ACCOUNT_FILES)
    if [ -e "$1/committed" ] || [ -e "$1/state.json" ]; then
        grep -qF "\"accounts\":\"$accounts_now\"" "$1/state.json" 2>/dev/null
        return
    fi
    # A step that was cut is not in the digest yet; then the last change is this run's own.
    [ "$(sed -n 's/^[0-9]* begin //p' "$1/journal" | tail -n 1)" = "$(sed -n 's/^[0-9]* done //p' "$1/journal" | tail -n 1)" ] || return 0
    [ ! -e "$1/accounts.digest" ] || [ "$(cat "$1/accounts.digest")" = "$accounts_now" ]
}

steps_of() { # RUN-FOLDER: numbers of begun steps
    sed -n 's/^[0-9]* begin \([0-9]*\)$/\1/p' "$1/journal" | sort -u
}

old_field() { # DATABASE NAME FIELD of the image saved before the run
    sed -n "s/^\($2:.*\)\$/\1/p" "$OLD/etc/$1" 2>/dev/null | head -n 1 | cut -d: -f"$3"
}

invert_account_step() { # ENTRY IMAGES
    OLD=$2
    invert_name=$(sed -n 1p "$1/arguments" 2>/dev/null)
    case $(cat "$1/step") in
    user)
        getent passwd "$invert_name" >/dev/null || return 0
        case " $KEPT " in
        *" $invert_name "*) usermod -L -e 1 -- "$invert_name" ;;
        *) userdel -f -- "$invert_name" >/dev/null 2>&1 || ! getent passwd "$invert_name" >/dev/null ;;
        esac
        ;;
    group)
        grep -q "^$invert_name:" "$OLD/etc/group" || [ -n "$KEPT" ] || ! getent group "$invert_name" >/dev/null ||
            groupdel "$invert_name"
        ;;
    user-groups) invert_groups "$invert_name" ;;
    user-password)
        getent passwd "$invert_name" >/dev/null || return 0
        printf '%s:%s\n' "$invert_name" "$(old_field shadow "$invert_name" 2)" | chpasswd -e
        ;;
    user-lock)
        getent passwd "$invert_name" >/dev/null || return 0
        printf '%s:%s\n' "$invert_name" "$(old_field shadow "$invert_name" 2)" | chpasswd -e &&
            chage -E "$(or_never "$(old_field shadow "$invert_name" 8)")" -- "$invert_name"
        ;;
    user-shell) usermod -s "$(old_field passwd "$invert_name" 7)" -- "$invert_name" ;;
    user-aging)
        getent passwd "$invert_name" >/dev/null || return 0
        chage -m "$(or_never "$(old_field shadow "$invert_name" 4)")" -M "$(or_never "$(old_field shadow "$invert_name" 5)")" \
            -W "$(or_never "$(old_field shadow "$invert_name" 6)")" -I "$(or_never "$(old_field shadow "$invert_name" 7)")" -- "$invert_name"
        ;;
    esac
}

or_never() {
    printf '%s' "${1:--1}"
}

invert_groups() { # NAME
    for invert_group in $(sed -n 2p "$entry_arguments" | tr , ' '); do
        grep "^$invert_group:" "$OLD/etc/group" | cut -d: -f4 | tr , '\n' | grep -qxF "$1" ||
            gpasswd -d "$1" "$invert_group" >/dev/null 2>&1
    done
    for invert_group in $(sed -n 3p "$entry_arguments" | tr , ' '); do
        gpasswd -a "$1" "$invert_group" >/dev/null 2>&1
    done
    return 0
}

# ---- services ---------------------------------------------------------------------------------------------------

# sshd may be down by now: then it is started again, on the files that were just restored.
reload_units() {
    case $MODE in boot-*) return 0 ;; esac
    booted || return 0
    # shellcheck disable=SC2086
    for unit in $(printf '%s\n' $RELOADS | sort -u); do
        if [ "$unit" = ssh.service ]; then
            systemctl reset-failed ssh.service 2>/dev/null
            systemctl reload-or-restart ssh.service 2>/dev/null && sshd_settles ||
                { systemctl restart ssh.service 2>/dev/null && sshd_settles; } ||
                complain ssh "sshd did not come back: $(sshd_last_words)"
        else
            systemctl reset-failed "$unit" 2>/dev/null
            systemctl reload-or-restart "$unit" || complain "$unit" 'did not come back'
            [ "$unit" != pveproxy.service ] || [ ! -e "$DIR/baseline.web" ] || web_settles ||
                { systemctl restart "$unit" && web_settles; } || complain "$unit" 'does not answer on port 8006'
        fi
    done
    RELOADS=
}

# ---- the whole run ----------------------------------------------------------------------------------------------

# The way in comes first: what a stage's units need is reloaded before the next older stage is looked at.
undo_all() {
    release_firewall
    RELOADS=
    TOUCHED_PAM=
    TOUCHED_ACCOUNTS=
    last_stage=
    for number in $(begun_steps | sort -r); do
        stage=$(cat "$DIR/before/$number/stage" 2>/dev/null)
        [ "$stage" = "$last_stage" ] || reload_units
        last_stage=$stage
        entry_arguments="$DIR/before/$number/arguments"
        in_scope "$DIR/before/$number" || continue
        if undo_entry "$DIR" "$number" >/dev/null 2>"$DIR/undo.error"; then
            journal "restored $number"
        else
            complain "$number" "$(cat "$DIR/undo.error")"
        fi
    done
    reload_units
    settle_firewall
    if [ "$MODE" != boot-pve ]; then
        # A password proof that was cut leaves its account behind.
        if getent passwd pve-harden-proof >/dev/null 2>&1; then TOUCHED_ACCOUNTS="$DIR/before/accounts"; fi
        restore_pam
        restore_accounts "$DIR"
        forget_proof_user
    fi
    return 0
}

# The guard tries again and again, ever less often; whoever waits elsewhere is told after its first try. While it waits
# a person may try.
finish() {
    if [ -n "$FAILED" ]; then
        journal "gave-up $MODE"
        # pam_motd reads with the rights of whoever logs in.
        [ -d /run/motd.d ] || mkdir -m 0755 /run/motd.d 2>/dev/null
        motd_firewall=
        ! firewall_is_forbidden || motd_firewall='  The firewall of this node is stopped until then.\n'
        printf "\n  pve-harden: the undo of run %s failed; run /usr/local/sbin/pve-harden-undo as root.\n$motd_firewall\n" "$RUN" >/run/motd.d/pve-harden 2>/dev/null
        chmod 0644 /run/motd.d/pve-harden 2>/dev/null
        echo x >>"$DIR/attempts"
        tries=$(wc -l <"$DIR/attempts")
        exec 7>&- 9>&-
        [ "$MODE" != guard ] || sleep "$((tries < 12 ? tries * 5 : 60))"
        exit 1
    fi
    move_outcome undoing undone
    close_run
}

# The run's units do not outlive the boot in which they were made.
guarded() {
    [ -n "$(systemctl list-units --plain --no-legend --state=active,activating,deactivating \
        "pve-harden-guard-$RUN-*" "pve-harden-apply-$RUN.service" "pve-harden-undo-$RUN.service" 2>/dev/null)" ]
}

has_pmxcfs_steps() {
    for pmxcfs_entry in "$DIR"/before/*/path; do
        [ -e "$pmxcfs_entry" ] && on_pmxcfs "$(cat "$pmxcfs_entry")" && return 0
    done
    for pmxcfs_entry in "$DIR"/before/*/step; do
        is_access_entry "${pmxcfs_entry%/step}" && return 0
    done
    return 1
}

# ---- one step of a committed run, for a rollback ----------------------------------------------------------------

undo_one() { # RUN NUMBER BY
    RELOADS=
    TOUCHED_PAM=
    TOUCHED_ACCOUNTS=
    BY=$3
    KEPT=$([ ! -e "$BY/kept" ] || tr '\n' ' ' <"$BY/kept")
    source_run="$ROOT/runs/$1"
    entry_arguments="$source_run/before/$2/arguments"
    case $(cat "$source_run/before/$2/step") in
    file | directory | shared-file) restore_path "$source_run/before/$2" ;;
    unit)
        MODE=operator
        undo_unit "$source_run/before/$2" && reload_units
        ;;
    pve-access) access_undo "$source_run" "$2" "$source_run/before/$2/reached" || FAILED="$FAILED $2" ;;
    cert-*)
        MODE=operator
        cert_restore "$source_run/before/$2" && reload_units
        ;;
    packages | pam-profiles) restore_set "$source_run/before/pam" ;;
    sysctl) restore_settings "$source_run/before/$2" ;;
    *) rollback_account_step "$source_run" "$2" ;;
    esac
    [ -z "$FAILED" ]
}

# The first account step that a rollback meets decides for the whole run: exact images, or one inverse call each.
rollback_account_step() { # RUN-FOLDER NUMBER
    decision="$BY/accounts.${1##*/}"
    if [ ! -e "$decision" ]; then
        if accounts_are_as_left "$1" && rollback_homes_are_ours "$1"; then echo exact; else echo inverse; fi >"$decision"
    fi
    [ "$(cat "$1/before/$2/step")" != user ] || undo_home "$1/before/$2"
    if [ "$(cat "$decision")" = inverse ]; then
        invert_account_step "$1/before/$2" "$1/before/accounts/images"
    elif [ "$2" = "$(first_account_step "$1")" ]; then
        restore_set "$1/before/accounts"
    fi
}

rollback_homes_are_ours() { # RUN-FOLDER
    for listing in "$1"/before/*/home.listing; do
        [ -e "$listing" ] || continue
        ours_home=$(sed -n 4p "${listing%/*}/arguments")
        [ ! -d "$ours_home" ] || home_holds_nothing_else "${listing%/*}" "$ours_home" || return 1
    done
}

first_account_step() { # RUN-FOLDER
    grep -lxE 'group|user|user-groups|user-password|user-lock|user-shell|user-aging' "$1"/before/*/step | sort | head -n 1 |
        sed 's|/step$||; s|.*/||'
}

case $MODE in
step)
    undo_one "$2" "$3" "$4"
    exit
    ;;
boot-local | boot-pve)
    # Not at boot: whatever starts ssh.service starts these units, too. Somebody of this boot is in charge then. An undo
    # that was asked for tries once; should it give up, this unit must be started again.
    boot_left=0
    [ "$MODE" = boot-local ] || [ ! -e "$DIR/undoing" ] || boot_left=1
    exec 7>>"$DIR/undo.lock"
    flock -n 7 || exit "$boot_left"
    ! guarded || exit "$boot_left"
    ;;
esac
case $MODE in
boot-pve)
    if [ -e "$DIR/open" ] || [ -e "$DIR/undoing" ]; then
        has_pmxcfs_steps || exit 0
        mountpoint -q /etc/pve || exit 1
    fi
    ;;
exit)
    # The unit that applies ended; when that left the run open the guard need not wait for its time.
    if [ -e "$DIR/open" ] || [ -e "$DIR/undoing" ]; then
        systemctl start --no-block "pve-harden-guard-$RUN-$(cat "$DIR/guard").service"
        exit 0
    fi
    ;;
esac

claim || {
    close_run
    exit 0
}
case $MODE in
boot-*) go_on ;;
*) take_over ;;
esac
settle_packages
undo_all
if [ "$MODE" = boot-local ] && has_pmxcfs_steps; then
    [ -z "$FAILED" ]
    exit
fi
finish
