# shellcheck shell=sh
# Carries out one run on the node. Started by begin.sh as the transient unit pve-harden-apply-RUN, so that neither a
# cut link nor a killed operator's side stops it half way; if it dies itself, ExecStopPost= and the guard undo the run.

DIR=$(cd "${0%/*}" && pwd) || exit 1
# shellcheck source=src/apply/remote/lib.sh
. "$DIR/lib.sh"
# shellcheck source=src/apply/remote/units.sh
. "$DIR/units.sh"
# shellcheck source=src/apply/remote/access.sh
. "$DIR/access.sh"
# shellcheck source=src/apply/remote/cert.sh
. "$DIR/cert.sh"
# shellcheck source=/dev/null
. "$DIR/settings.sh" # STAGE_WINDOW COMMIT_WINDOW PACKAGES_WINDOW SETTLE_WINDOW CONFIRM GATE_WINDOW
# shellcheck source=src/apply/remote/firewall.sh
. "$DIR/firewall.sh"
# shellcheck source=src/apply/remote/questions.sh
. "$DIR/questions.sh"

cd / || exit 1
STEP=
STAGE=
RELOADS=

# Told to stop, it first lets the program at work end: useradd or dpkg cut in the middle leave locks and halves behind.
trap 'exit 143' TERM

# ---- before the first change ------------------------------------------------------------------------------------

# The run's folder stays only when something was changed. Whoever started the run reads the reason first.
refuse() { # REASON-WORD TEXT…
    printf '%s\n' "$*" >"$DIR/refused-because"
    move_outcome new refused
    close_run
    exec 9>&-
    refuse_wait=50
    while [ "$refuse_wait" -gt 0 ] && [ -d "$DIR" ]; do
        refuse_wait=$((refuse_wait - 1))
        sleep 0.1
    done
    rm -rf "$DIR"
    exit 0
}

take_lock() {
    exec 9>/run/pve-harden.lock
    flock -n 9 || refuse busy 'another run is working on this node'
    for lock_other in "$ROOT"/runs/*/open "$ROOT"/runs/*/undoing; do
        [ -e "$lock_other" ] || continue
        lock_other=${lock_other%/*}
        refuse busy "run ${lock_other##*/} is neither committed nor undone"
    done
    journal locked
}

# Asked before anything else is looked at: without quorum /etc/pve has other modes, and nothing in it can be written.
check_quorum() {
    writes_pmxcfs || return 0
    mountpoint -q /etc/pve || refuse quorum '/etc/pve is not mounted: pve-cluster.service does not run'
    pmxcfs_writable || refuse quorum 'the cluster has no quorum, so /etc/pve cannot be written; see pvecm status'
}

writes_pmxcfs() {
    grep -q "'/etc/pve/" "$DIR/steps.sh" && return 0
    sed -n "s/^step '[0-9]*' 'restore' '\([^']*\)' '\([^']*\)'\$/\1 \2/p" "$DIR/steps.sh" | while read -r writes_run writes_number; do
        ! on_pmxcfs "$(cat "$ROOT/runs/$writes_run/before/$writes_number/path" 2>/dev/null)" || echo yes
        ! grep -qx pve-access "$ROOT/runs/$writes_run/before/$writes_number/step" 2>/dev/null || echo yes
    done | grep -q yes
}

# The state the plan was computed from: one line per path, tab-separated: kind, path, mode, owner, group, digest.
check_expected() {
    while IFS="$(printf '\t')" read -r kind path mode owner group digest; do
        case $kind in
        absent) [ ! -e "$path" ] && [ ! -L "$path" ] || refuse stale "$path exists now" ;;
        directory)
            [ -d "$path" ] && [ ! -L "$path" ] && [ "$(mode_and_owner "$path")" = "$mode $owner $group" ] ||
                refuse stale "$path is another folder now"
            ;;
        file)
            [ -f "$path" ] && [ ! -L "$path" ] && [ "$(mode_and_owner "$path")" = "$mode $owner $group" ] &&
                [ "$(timeout 20 sha256sum -- "$path" | cut -d' ' -f1)" = "$digest" ] || refuse stale "$path changed since the plan"
            ;;
        rollback) # path holds the run that is undone
            check_unchanged_since "$path" "$mode"
            ;;
        *) refuse broken 'the list of expected states is damaged' ;;
        esac
    done <"$DIR/expect"
}

# As the capture reads them: an owner without a name is a number.
mode_and_owner() { # PATH
    find "$1" -maxdepth 0 -printf '%m %u %g'
}

# check_unchanged_since RUN FORCE: files that changed after the run was committed would be lost by its undo.
check_unchanged_since() {
    [ -e "$ROOT/runs/$1/committed" ] || refuse stale "run $1 is not committed any more"
    [ "$2" != force ] || return 0
    changed=$(changed_since "$1")
    [ -z "$changed" ] || refuse changed "$changed"
}

changed_since() { # RUN
    for since_entry in "$ROOT/runs/$1"/before/*/path; do
        [ -e "$since_entry" ] || continue
        IFS= read -r since_path <"$since_entry"
        ! changed_after "$ROOT/runs/$1" "${since_entry%/path}" "$since_path" || printf '%s ' "$since_path"
    done
    pam_is_as_left "$ROOT/runs/$1" || printf '/etc/pam.d/common-* '
}

# A reload makes sshd read whatever its files say by now. When they and the running daemon differ in where it listens,
# the reload would end the way in, and putting our own files back would not bring it back.
check_sshd_is_reloadable() {
    grep -qE "'ssh.service' 'reload'|'restore'" "$DIR/steps.sh" || return 0
    systemctl -q is-active ssh.service || return 0
    ! systemctl -q is-active ssh.socket || return 0
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    listen_said=$(sshd -T 2>&1) || {
        # A rollback may be what repairs them.
        ! grep -q "'restore'" "$DIR/steps.sh" || return 0
        refuse prepare "sshd refuses its own files as they are now: $(printf '%s' "$listen_said" | one_line)"
    }
    listen_wanted=$(printf '%s\n' "$listen_said" | sed -n 's/^listenaddress //p')
    for listen_one in $listen_wanted; do
        listen_address=$(printf '%s' "${listen_one%:*}" | tr -d '[]')
        case $listen_address in 0.0.0.0 | ::) continue ;; esac
        ip -o address show | grep -qF " ${listen_address%%%*}/" ||
            refuse prepare "sshd would not come back from a reload: its files say ListenAddress $listen_address, which is no address of this node"
    done
    for listen_port in $(ss -Hltnp 2>/dev/null | grep '"sshd"' | sed 's/^[^ ]* *[^ ]* *[^ ]* *[^ ]*:\([0-9]*\) .*/\1/' | sort -u); do
        printf '%s\n' "$listen_wanted" | grep -q ":$listen_port\$" ||
            refuse prepare "sshd would stop listening on port $listen_port at its next reload, by its files as they are now; reload it by hand first"
    done
}

# The undo must be able to write when somebody fills the disk in the meantime.
reserve_space() {
    reserve_kib=$(($(du -sk "$DIR/before" | cut -f1) + 1024))
    dd if=/dev/zero of="$DIR/reserve" bs=1024 count="$reserve_kib" status=none && sync "$DIR/reserve"
}

# Called once per step through steps.sh while `step` means "save".
save_step() { # NUMBER KIND ARGUMENTS…
    entry=$1
    kind=$2
    shift 2
    mkdir -p "$DIR/before/$entry" && echo "$STAGE" >"$DIR/before/$entry/stage" && echo "$kind" >"$DIR/before/$entry/step" ||
        return 1
    case $kind in
    file | directory) save_path "$entry" "$1" ;;
    shared-file)
        save_path "$entry" "$1" && mkdir -p "$DIR/firewall" && echo "$2 $1" >>"$DIR/firewall/also"
        ;;
    packages)
        # shellcheck disable=SC2016,SC2086
        dpkg-query -W -f '${binary:Package} ${Version} ${db:Status-Abbrev}\n' >"$DIR/before/$entry/packages" &&
            save_set pam $PAM_FILES && save_set accounts $ACCOUNT_FILES
        ;;
    pam-profiles)
        # shellcheck disable=SC2086
        save_set pam $PAM_FILES
        ;;
    group | user | user-groups | user-password | user-lock | user-shell | user-aging)
        printf '%s\n' "$@" >"$DIR/before/$entry/arguments"
        if [ "$kind" = user ] && { [ -e "$4" ] || [ -L "$4" ]; }; then
            echo "$4 is there although there is no account $1: move it away first"
            return 1
        fi
        # shellcheck disable=SC2086
        save_set accounts $ACCOUNT_FILES
        ;;
    sysctl)
        for setting in "$@"; do
            setting=${setting%%=*}
            printf '%s=%s\n' "$setting" "$(cat "$(setting_path "$setting")")" >>"$DIR/before/$entry/settings" || return 1
        done
        ;;
    unit)
        printf '%s\n' "$@" >"$DIR/before/$entry/arguments"
        save_unit "$DIR/before/$entry" "$1" "$2"
        ;;
    pve-access) save_access "$entry" ;;
    cert-*) save_cert "$entry" "$kind" "$1" ;;
    restore) save_restore "$entry" "$1" "$2" ;;
    *)
        echo "unknown step $kind" >&2
        return 1
        ;;
    esac
}

# save_restore ENTRY RUN NUMBER: a rollback saves what the undone step would overwrite.
save_restore() {
    printf '%s\n%s\n' "$2" "$3" >"$DIR/before/$1/arguments"
    restore_from="$ROOT/runs/$2/before/$3"
    restore_kind=$(cat "$restore_from/step") || return 1
    case $restore_kind in
    file | directory | shared-file) save_path "$1" "$(cat "$restore_from/path")" ;;
    cert-*) save_cert "$1" "$restore_kind" "$(cat "$restore_from/path")" ;;
    sysctl)
        while IFS='=' read -r setting _; do
            printf '%s=%s\n' "$setting" "$(cat "$(setting_path "$setting")")"
        done <"$restore_from/settings" >"$DIR/before/$1/settings"
        ;;
    unit)
        sed -n 1p "$restore_from/arguments" >"$DIR/before/$1/restored-unit"
        save_unit "$DIR/before/$1" "$(cat "$DIR/before/$1/restored-unit")" "$(sed -n 2p "$restore_from/arguments")"
        ;;
    pve-access) ;;
    packages | pam-profiles)
        # shellcheck disable=SC2086
        save_set pam $PAM_FILES && save_set accounts $ACCOUNT_FILES
        ;;
    user)
        save_home=$(sed -n 4p "$restore_from/arguments")
        [ ! -d "$save_home" ] || cp -a -- "$save_home" "$DIR/before/$1/home" || return 1
        # shellcheck disable=SC2086
        save_set accounts $ACCOUNT_FILES
        ;;
    *)
        # shellcheck disable=SC2086
        save_set accounts $ACCOUNT_FILES
        ;;
    esac
}

# What answers now must answer afterwards; what did not is not held against the run.
take_baseline() {
    if web_listens && web_settles; then : >"$DIR/baseline.web"; fi
    peers_reachable "$DIR/peers" >"$DIR/baseline.peers" 2>/dev/null
}

prepare() {
    check_sshd_is_reloadable
    mkdir -p "$DIR/before" || refuse prepare 'no room on the disk for the means to undo'
    STAGE=
    # shellcheck disable=SC2317,SC2329
    stage() { STAGE=$1; }
    # shellcheck disable=SC2317,SC2329
    step() { save_step "$@" || exit 1; }
    # shellcheck disable=SC2317,SC2329
    proof() { :; }
    # shellcheck disable=SC2317,SC2329
    gate() { :; }
    # shellcheck disable=SC2317,SC2329
    firewall_proof() { :; }
    # shellcheck disable=SC2317,SC2329
    password_proof() {
        # shellcheck disable=SC2086
        save_set pam $PAM_FILES && save_set accounts $ACCOUNT_FILES || exit 1
    }
    prepare_error=$( (. "$DIR/steps.sh") 2>&1) || refuse prepare "$(printf '%s' "$prepare_error" | one_line)"
    save_firewall || refuse prepare 'the state of the firewall could not be saved'
    reserve_space 2>/dev/null || refuse prepare 'no room on the disk for the means to undo'
    find "$DIR" -type f -exec sync {} + && find "$DIR" -type d -exec sync {} + && sync "$ROOT/runs" ||
        refuse prepare 'the means to undo could not be written'
    install_tools || refuse prepare 'the undo command could not be installed'
    take_baseline
    journal prepared
}

# The undo command and the manual confirmation have fixed names, so that a person at a console can type them.
install_tools() {
    [ -d /usr/local/sbin ] || mkdir -m 0755 /usr/local/sbin || return 1
    for tool in pve-harden-undo pve-harden-confirm; do
        cmp -s "$DIR/$tool" "/usr/local/sbin/$tool" || put "$DIR/$tool" "/usr/local/sbin/$tool" 0755 root root || return 1
    done
    install_boot_units
}

# ---- steps ------------------------------------------------------------------------------------------------------

fail() { # TEXT…
    journal "fail ${STEP:-000} $*"
    exec /bin/sh "$DIR/undo.sh" failure
}

# shellcheck disable=SC2317,SC2329
run_step() { # NUMBER KIND ARGUMENTS…
    STEP=$1
    kind=$2
    shift 2
    journal "begin $STEP"
    # A CA takes its time.
    if [ "$kind" = cert-order ]; then
        cert_window=$(($5 * 2 + 180))
        arm "$cert_window" || fail 'the guard could not be renewed'
        journal "armed $cert_window"
    fi
    unit_begins "$DIR/before/$STEP" || fail 'the state of units could not be written down'
    # What a step starts does not inherit the lock.
    if step_output=$("step_$(printf '%s' "$kind" | tr - _)" "$@" 2>&1 9>&-); then
        after_step "$kind" "$@"
        journal "done $STEP"
        STEP=
    else
        fail "$(printf '%s' "$step_output" | one_line)"
    fi
}

after_step() { # KIND ARGUMENTS…
    case $1 in
    user)
        home_listing "$5" >"$DIR/before/$STEP/home.listing.new" &&
            mv -T "$DIR/before/$STEP/home.listing.new" "$DIR/before/$STEP/home.listing"
        ;;
    unit)
        [ "$3" != reload ] || [ "$2" != ssh.service ] || RELOADS="$RELOADS $2"
        unit_is_left "$DIR/before/$STEP"
        ;;
    restore) unit_is_left "$DIR/before/$STEP" ;;
    esac
    case $1 in
    group | user | user-groups | user-password | user-lock | user-shell | user-aging | packages) note_accounts ;;
    esac
}

# shellcheck disable=SC2317,SC2329
step_file() { # PATH MODE OWNER GROUP VALIDATE
    if [ -e "$DIR/data/$STEP.after" ]; then
        case $5 in
        sudoers) visudo -qcf "$DIR/data/$STEP.after" || return 1 ;;
        sshd) check_sshd_candidate "$1" || return 1 ;;
        esac
        write_file "$DIR/data/$STEP.after" "$1" "$2" "$3" "$4"
    else
        write_file absent "$1"
    fi
}

# /etc/pve has other writers: what they wrote since the state before was saved is not overwritten.
# shellcheck disable=SC2317,SC2329
write_file() { # SOURCE|absent PATH [MODE OWNER GROUP]
    if is_firewall_file "$2"; then
        grep -qxF "$(file_digest "$2") $2" "$DIR/firewall/files" || {
            echo "$2 changed since the run began"
            return 1
        }
        write_digest=absent
        [ "$1" = absent ] || write_digest=$(file_digest "$1")
        about_to_write "$2" "$write_digest" || return 1
        [ -d "$FIREWALL_FOLDER" ] || { : >"$DIR/firewall/made-folder" && sync "$DIR/firewall"; } || return 1
    fi
    keep_brought "$2" || return 1
    if [ "$1" = absent ]; then remove_path "$2"; else put "$@"; fi
}

# What a package of this run brought since the state before was saved is what an undo leaves: the package stays, too.
# shellcheck disable=SC2317,SC2329
keep_brought() { # PATH
    [ "$(cat "$DIR/before/$STEP/was" 2>/dev/null)" = absent ] && [ -f "$1" ] && [ ! -L "$1" ] && ! on_pmxcfs "$1" &&
        [ "$(folder_uid "$1")" = 0 ] || return 0
    cp -a -- "$1" "$DIR/before/$STEP/brought" && sync "$DIR/before/$STEP/brought"
}

# The candidate is judged in a copy of /etc/ssh whose Include points into the copy.
# shellcheck disable=SC2317,SC2329
check_sshd_candidate() { # PATH
    candidate="$DIR/candidate"
    rm -rf "$candidate"
    mkdir -p "$candidate/sshd_config.d" || return 1
    cp -p /etc/ssh/sshd_config.d/*.conf "$candidate/sshd_config.d/" 2>/dev/null
    if [ "$1" = /etc/ssh/sshd_config ]; then
        candidate_main="$DIR/data/$STEP.after"
    else
        candidate_main=/etc/ssh/sshd_config
        cp "$DIR/data/$STEP.after" "$candidate/sshd_config.d/${1##*/}" || return 1
    fi
    sed "s|/etc/ssh/sshd_config\\.d/|$candidate/sshd_config.d/|g" "$candidate_main" >"$candidate/sshd_config" || return 1
    [ -d /run/sshd ] || mkdir -m 0755 /run/sshd
    sshd -t -f "$candidate/sshd_config" || return 1
    expect_sshd "$DIR/data/$STEP.sshd" -f "$candidate/sshd_config"
}

# expect_sshd FILE [OPTION…]: FILE has lines "case SPEC" and, below each, "keyword value" as sshd -T prints them.
# shellcheck disable=SC2317,SC2329
expect_sshd() {
    expect_file=$1
    shift
    [ -e "$expect_file" ] || return 0
    expect_case=
    expect_effective=
    while IFS= read -r expect_line; do
        case $expect_line in
        'case '*)
            expect_case=${expect_line#case }
            expect_effective=$(sshd -T -C "$expect_case" "$@") || return 1
            ;;
        *)
            printf '%s\n' "$expect_effective" | grep -qixF -- "$expect_line" || {
                echo "sshd -T -C $expect_case does not say: $expect_line"
                return 1
            }
            ;;
        esac
    done <"$expect_file"
}

# A file that one member of the cluster writes and the others see.
# shellcheck disable=SC2317,SC2329
step_shared_file() { # PATH DIGEST writer|member
    if [ "$3" = writer ]; then
        step_file "$1" '' '' '' '' || return 1
    else
        shared_end=$(($(date +%s) + 45))
        until [ "$(file_digest "$1")" = "$2" ]; do
            [ "$(date +%s)" -lt "$shared_end" ] || {
                echo "$1 was not written by the member that should have"
                return 1
            }
            sleep 0.2
        done
        about_to_write "$1" "$2" || return 1
    fi
    rm -f "$DIR/firewall/also"
}

# shellcheck disable=SC2317,SC2329
step_directory() { # PATH MODE OWNER GROUP
    make_folder "$@"
}

# shellcheck disable=SC2317,SC2329
apt() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none \
        apt-get -q -y --no-remove --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
        -o DPkg::Lock::Timeout=60 -o APT::Get::Allow-Downgrades=false "$@" </dev/null
}

# A fresh PVE answers 401 for its enterprise repository: the update fails as a whole, Debian's lists are there. Right
# after a start apt-daily.service may hold the lists; apt itself waits for dpkg's lock only.
# shellcheck disable=SC2317,SC2329
fetch_lists() {
    lists_wait=60
    until lists_said=$(apt update 2>&1) || [ "$lists_wait" -eq 0 ]; do
        case $lists_said in *'Could not get lock'*) ;; *) return 0 ;; esac
        lists_wait=$((lists_wait - 1))
        sleep 1
    done
}

# Only additions are agreed to. --no-remove is taken back here, so that apt names what it would remove.
# shellcheck disable=SC2317,SC2329
simulate_packages() { # NAME…
    simulation=$(apt -s -o APT::Get::Remove=true install "$@" 2>&1) || {
        printf '%s\n' "$simulation" | grep '^E:' || printf '%s\n' "$simulation" | tail -n 3
        return 1
    }
    if printf '%s\n' "$simulation" | grep -E '^(Remv|Purg) |^Inst [^ ]+ \['; then
        echo 'apt would remove or upgrade what was not asked for'
        return 1
    fi
    # Configuring what somebody else left half done could restart anything, the cluster's own daemons included.
    unasked=$(printf '%s\n' "$simulation" | sed -n 's/^Conf \([^ ]*\) .*/\1/p' | while IFS= read -r conf; do
        printf '%s\n' "$simulation" | grep -qF "Inst $conf " || printf '%s ' "$conf"
    done)
    [ -z "$unasked" ] || {
        echo "apt would configure what was not asked for: $unasked"
        return 1
    }
    journal "note installs $(printf '%s\n' "$simulation" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\).*/\1=\2/p' | tr '\n' ' ' | one_line)"
}

# shellcheck disable=SC2317,SC2329
install_packages() { # NAME…
    apt install "$@" >"$DIR/apt.log" 2>&1
}

# shellcheck disable=SC2317,SC2329
step_packages() { # NAME…
    [ -z "$(dpkg --audit 2>/dev/null)" ] || {
        echo 'dpkg has unfinished packages: dpkg --audit names them; finish them first'
        return 1
    }
    apt -s install "$@" >/dev/null 2>&1 || fetch_lists
    simulate_packages "$@" || return 1
    install_packages "$@" || {
        # Old lists name versions that the mirror has no more; nothing was unpacked then.
        grep -q '^E: Failed to fetch' "$DIR/apt.log" && fetch_lists && simulate_packages "$@" && install_packages "$@"
    } || {
        grep -E '^(E|dpkg):' "$DIR/apt.log" | tail -n 3
        return 1
    }
    for package in "$@"; do
        # shellcheck disable=SC2016
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || {
            echo "$package is still not installed"
            return 1
        }
    done
}

# shellcheck disable=SC2317,SC2329
step_pam_profiles() { # --enable NAME… --disable NAME…
    DEBIAN_FRONTEND=noninteractive pam-auth-update --package "$@" </dev/null || return 1
    # It exits 0 when it leaves a locally modified file alone, and for a profile it does not know.
    pam_wanted=
    for pam_word in "$@"; do
        case $pam_word in
        --enable | --disable) pam_wanted=${pam_word#--} ;;
        *)
            pam_found=disable
            ! grep -qx -- "Module: $pam_word" /var/lib/pam/auth /var/lib/pam/account /var/lib/pam/password /var/lib/pam/session \
                /var/lib/pam/session-noninteractive 2>/dev/null || pam_found=enable
            [ "$pam_found" = "$pam_wanted" ] || {
                echo "pam-auth-update did not $pam_wanted $pam_word"
                return 1
            }
            ;;
        esac
    done
    # shellcheck disable=SC2086
    for pam_file in $PAM_FILES; do
        [ ! -f "$pam_file" ] || sync "$pam_file"
    done
}

# shellcheck disable=SC2317,SC2329
step_group() { # NAME SYSTEM
    getent group "$1" >/dev/null || if [ "$2" = system ]; then groupadd -r "$1"; else groupadd "$1"; fi
}

# shellcheck disable=SC2317,SC2329
step_user() { # NAME FULL-NAME SHELL HOME GROUPS
    # Debian 13's mode of a home, on Debian 12 too: keys and history are nobody else's to read.
    useradd -m -K HOME_MODE=0700 -d "$4" -s "$3" -c "$2" ${5:+-G "$5"} -- "$1" || return 1
    # The databases are on disk by then; what came from /etc/skel is not.
    find "$4" -xdev -type f -exec sync {} +
}

# shellcheck disable=SC2317,SC2329
step_user_groups() { # NAME JOIN LEAVE: comma-separated
    for group in $(printf '%s' "$2" | tr , ' '); do gpasswd -a "$1" "$group" >/dev/null || return 1; done
    for group in $(printf '%s' "$3" | tr , ' '); do gpasswd -d "$1" "$group" >/dev/null || return 1; done
}

# shellcheck disable=SC2317,SC2329
step_user_password() { # NAME
    printf '%s:%s\n' "$1" "$(cat "$DIR/data/$STEP.secret")" | chpasswd -e && rm -f "$DIR/data/$STEP.secret"
}

# shellcheck disable=SC2317,SC2329
step_user_lock() { # NAME locked|unlocked
    if [ "$2" = locked ]; then usermod -L -e 1 -- "$1"; else usermod -U -e '' -- "$1"; fi
}

# shellcheck disable=SC2317,SC2329
step_user_shell() { # NAME SHELL
    usermod -s "$2" -- "$1"
}

# shellcheck disable=SC2317,SC2329
step_user_aging() { # NAME MIN MAX WARN INACTIVE
    chage -m "$2" -M "$3" -W "$4" -I "$5" -- "$1"
}

# shellcheck disable=SC2317,SC2329
step_sysctl() { # NAME=VALUE…
    for setting in "$@"; do
        printf '%s\n' "${setting#*=}" >"$(setting_path "${setting%%=*}")" || return 1
    done
}

# shellcheck disable=SC2317,SC2329
step_pve_access() {
    access_do "$DIR" "$STEP"
}

# To systemd fail2ban has started before it has read its files.
# shellcheck disable=SC2317,SC2329
jails_run() {
    jails_wait=60
    until jails_said=$(fail2ban-client status 2>/dev/null) && jails_said=$(printf '%s\n' "$jails_said" | sed -n 's/.*Jail list://p') &&
        case $jails_said in *proxmox*sshd* | *sshd*proxmox*) true ;; *) false ;; esac do
        [ "$jails_wait" -gt 0 ] && ! systemctl -q is-failed fail2ban.service || return 1
        jails_wait=$((jails_wait - 1))
        sleep 0.5
    done
}

# shellcheck disable=SC2317,SC2329
step_unit() { # UNIT VERB
    if [ "$1" = rsyslog.service ] && [ "$2" != disable-now ]; then
        rsyslog_said=$(rsyslogd -N1 2>&1) || {
            echo "rsyslog does not take its files: $(printf '%s\n' "$rsyslog_said" | one_line)"
            return 1
        }
    fi
    case $2 in
    reload)
        ! systemctl -q is-active "$1" || systemctl reload "$1" 2>/dev/null || {
            unit_words=$(unit_last_words "${1%.service}")
            [ "$1" != ssh.service ] || unit_words=$(sshd_last_words)
            echo "$1 did not come back from its reload: $unit_words"
            return 1
        }
        ;;
    try-restart)
        [ "$(systemctl show -p NeedDaemonReload --value "$1")" != yes ] || systemctl daemon-reload || return 1
        systemctl try-restart "$1" || return 1
        ;;
    enable-now) systemctl -q enable --now "$1" || return 1 ;;
    disable-now) systemctl -q disable --now "$1" || return 1 ;;
    *) return 1 ;;
    esac
    if [ "$1" = fail2ban.service ] && [ "$2" != disable-now ]; then
        jails_run || {
            echo "fail2ban does not run its jails: $(unit_last_words fail2ban-server)"
            return 1
        }
    fi
    # Active and hanging is what a wrong setting makes of it.
    if [ "$1" = pveproxy.service ] && [ -e "$DIR/baseline.web" ]; then
        if [ "$2" = reload ]; then web_settles_after_reload; else web_settles; fi || {
            echo "port 8006 does not answer any more: $(unit_last_words pveproxy)"
            return 1
        }
    fi
}

# shellcheck disable=SC2317,SC2329
step_restore() { # RUN NUMBER
    restore_entry="$ROOT/runs/$1/before/$2"
    if [ -e "$restore_entry/path" ]; then
        restore_digest=absent
        [ ! -e "$restore_entry/image" ] || restore_digest=$(file_digest "$restore_entry/image")
        about_to_write "$(cat "$restore_entry/path")" "$restore_digest" || return 1
    fi
    /bin/sh "$DIR/undo.sh" step "$1" "$2" "$DIR"
}

# sshd re-executes itself on reload: it must be there again, and say what was promised.
check_live_sshd() {
    case $RELOADS in *ssh.service*) ;; *) return 0 ;; esac
    sshd_settles || fail "ssh.service did not come back from its reload: $(sshd_last_words)"
    for expectation in "$DIR"/data/*.sshd; do
        [ -e "$expectation" ] || continue
        live_error=$(expect_sshd "$expectation" 2>&1) || fail "live sshd: $(printf '%s' "$live_error" | one_line)"
    done
}

# ---- proofs on the node -----------------------------------------------------------------------------------------

# shellcheck source=src/apply/remote/proofs.sh
. "$DIR/proofs.sh"

# Waits until a fresh login has left its mark, at most until the stage's guard would fire anyway.
# shellcheck disable=SC2317,SC2329
wait_proof() { # NAME
    arm "$COMMIT_WINDOW" || fail 'the guard could not be renewed'
    journal "proof $1 $COMMIT_WINDOW"
    while [ ! -e "$DIR/proved.$1" ]; do
        [ -e "$DIR/open" ] || exit 0
        watch_firewall
        sleep 0.1
    done
    journal "proved $1"
}

# Other members of the cluster come to the same point, or have their turn first.
# shellcheck disable=SC2317,SC2329
wait_gate() { # NAME
    arm "$GATE_WINDOW" || fail 'the guard could not be renewed'
    journal "gate $1 $GATE_WINDOW"
    while [ ! -e "$DIR/proved.gate-$1" ]; do
        [ -e "$DIR/open" ] || exit 0
        watch_firewall
        sleep 0.1
    done
    arm "$STAGE_WINDOW" || fail 'the guard could not be renewed'
    journal "armed $STAGE_WINDOW"
}

# shellcheck disable=SC2317,SC2329
begin_stage() { # NAME
    prove_firewall
    STAGE=$1
    stage_window=$STAGE_WINDOW
    [ "$STAGE" != packages ] || stage_window=$PACKAGES_WINDOW
    arm "$stage_window" || fail 'the guard could not be renewed'
    journal "stage $STAGE $stage_window"
}

carry_out() {
    # shellcheck disable=SC2317,SC2329
    stage() { begin_stage "$@"; }
    # shellcheck disable=SC2317,SC2329
    step() { run_step "$@"; }
    # shellcheck disable=SC2317,SC2329
    proof() { wait_proof "$@"; }
    # shellcheck disable=SC2317,SC2329
    gate() { wait_gate "$@"; }
    # shellcheck disable=SC2317,SC2329
    firewall_proof() { prove_firewall; }
    # shellcheck disable=SC2317,SC2329
    password_proof() {
        if [ -z "$(password_program)" ]; then
            journal 'note the password proof is left out: neither su nor chsh asks for a password here'
            return
        fi
        password_error=$(prove_password 2>&1 9>&-) || fail "password proof: $(printf '%s' "$password_error" | one_line)"
        journal 'proved password'
    }
    . "$DIR/steps.sh"
    prove_firewall
}

take_lock
check_quorum
check_expected
ask_pve_firewall
prepare
arm "$STAGE_WINDOW" || refuse guard 'systemd would not take the timer that undoes the run'
move_outcome new open || refuse guard 'the run could not be opened'
journal "armed $STAGE_WINDOW"
carry_out
check_live_sshd
arm "$COMMIT_WINDOW" || fail 'the guard could not be renewed'
journal "window $COMMIT_WINDOW"

# The lock is held until the run is decided; the guard decides if nobody else does.
while [ -e "$DIR/open" ]; do
    watch_firewall
    sleep 0.2
done
[ ! -e "$DIR/committed" ] || close_run
