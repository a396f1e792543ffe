# shellcheck shell=sh
# Whether a path is still what a run left. Shared by lib.sh and history.sh.

# path_state PATH: what state.json keeps of it.
path_state() {
    state_of=absent
    [ ! -d "$1" ] || state_of="directory $(stat -c '%a %U %G' "$1")"
    [ ! -f "$1" ] || state_of="$(sha256sum <"$1" | cut -d' ' -f1) $(stat -c '%a %U %G' "$1")"
    printf '%s' "$state_of"
}

# changed_after RUN-FOLDER BEFORE-ENTRY PATH: an undo would lose what somebody wrote. A file that all members share is
# what it was before the run once another member took its part of the same change back: nothing is lost then.
changed_after() {
    ! grep -qF "\"$3\":\"$(path_state "$3")\"" "$1/state.json" || return 1
    case $3 in
    /etc/pve/*) ;;
    *) return 0 ;;
    esac
    case $(cat "$2/was") in
    absent) [ -e "$3" ] ;;
    file) ! cmp -s "$2/image" "$3" ;;
    esac
}
