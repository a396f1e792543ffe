# shellcheck shell=sh
# Calls of pveum for apply.sh and undo.sh, which have read lib.sh. A step brings them as quoted lines, made by the plan:
# data/NUMBER.calls (call INDEX WORD…) and data/NUMBER.undo (uncall INDEX WORD…), newest first. They are kept beside
# the before-images, and so is how far the step came, on disk before each call: an undo takes back what was begun and
# nothing else.

# pveum waits 10 s for a lock and for quorum by itself. What it starts must not inherit our locks. What it says of a
# failure is left in pveum_text.
pveum_call() { # WORD…
    pveum_text=$( { timeout 60 pveum "$@" 2>&1 </dev/null 7>&- 8>&- 9>&-; echo "status $?"; } | tail -n 20)
    case $pveum_text in
    *'status 0') return 0 ;;
    esac
    pveum_text=$(printf '%s\n' "$pveum_text" | grep -v -e '^status [0-9]*$' -e '^user config - ignore ' | one_line)
    return 1
}

# PVE's files are ordinary ones while pmxcfs is down: a call would fail, or find nobody.
pmxcfs_mounted() {
    mountpoint -q /etc/pve || {
        echo '/etc/pve is not mounted'
        return 1
    }
}

# save_access NUMBER: what takes the step back.
save_access() {
    pmxcfs_mounted && cp "$DIR/data/$1.calls" "$DIR/before/$1/calls" && cp "$DIR/data/$1.undo" "$DIR/before/$1/undo"
}

# shellcheck disable=SC2317,SC2329
access_do() { # RUN-FOLDER NUMBER
    pmxcfs_mounted && [ -r "$1/before/$2/calls" ] || return 1
    access_progress="$DIR/before/$STEP/reached"
    call() {
        printf '%s\n' "$1" >>"$access_progress" && sync -d "$access_progress" || exit 1
        shift
        pveum_call "$@" || {
            echo "pveum $1 $2 $3: $pveum_text"
            exit 1
        }
    }
    # shellcheck source=/dev/null
    . "$1/before/$2/calls"
}

# An undo may come twice, and the call that was cut may not have happened: what is there or gone already is right.
# shellcheck disable=SC2317,SC2329
access_undo() { # RUN-FOLDER NUMBER PROGRESS
    access_reached=$(tail -n 1 "$3" 2>/dev/null)
    [ -n "$access_reached" ] || return 0
    pmxcfs_mounted >&2 && [ -r "$1/before/$2/undo" ] || return 1
    access_status=0
    uncall() {
        [ "$1" -le "$access_reached" ] || return 0
        shift
        if [ "$1 $2" = 'user delete' ]; then
            for access_token in $(tokens_of "$3"); do
                pveum_call user token delete "$3" "$access_token" || {
                    echo "pveum user token delete $3 $access_token: $pveum_text" >&2
                    access_status=1
                }
            done
        fi
        pveum_call "$@" && return 0
        case $pveum_text in
        *'already exists'* | *'does not exist'* | *'no such '* | *'is not a pool member'* | *'already a pool member'*) return 0 ;;
        esac
        echo "pveum $1 $2 $3: $pveum_text" >&2
        access_status=1
    }
    # shellcheck source=/dev/null
    . "$1/before/$2/undo"
    return "$access_status"
}

# access_redo RUN-FOLDER NUMBER: the undo of a rollback makes the calls of the run again.
# shellcheck disable=SC2317,SC2329
access_redo() {
    pmxcfs_mounted >&2 && [ -r "$1/before/$2/calls" ] || return 1
    access_status=0
    call() {
        shift
        pveum_call "$@" && return 0
        case $pveum_text in *'already exists'* | *'does not exist'* | *'no such '*) return 0 ;; esac
        echo "pveum $1 $2 $3: $pveum_text" >&2
        access_status=1
    }
    # shellcheck source=/dev/null
    . "$1/before/$2/calls"
    return "$access_status"
}

# PVE forgets the tokens of a deleted user and leaves their secrets in priv/token.cfg.
tokens_of() { # USER
    TOKENS_OF="$1!" awk -F: '$1 == "token" && index($2, ENVIRON["TOKENS_OF"]) == 1 {
        print substr($2, length(ENVIRON["TOKENS_OF"]) + 1)
    }' /etc/pve/user.cfg
}

# Whether a saved step is about PVE's users, directly or through a rollback.
is_access_entry() { # BEFORE-ENTRY
    case $(cat "$1/step" 2>/dev/null) in
    pve-access) return 0 ;;
    restore)
        [ "$(cat "$ROOT/runs/$(sed -n 1p "$1/arguments")/before/$(sed -n 2p "$1/arguments")/step" 2>/dev/null)" = pve-access ]
        ;;
    *) return 1 ;;
    esac
}
