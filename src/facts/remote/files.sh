# Metadata, digests and contents of the paths in PVH_FILES (patterns allowed), in these sections:
#   files.asked   PVH_FILES
#   files.list    type, target type, mode, user, group, size, mtime, path, link target; tabs between, a path a line
#   files.errors  what find says about paths it cannot read, missing ones included
#   files.digests sha256sum's lines
#   files.text    `head -v` of what may be shown; the sizes and digests above say where each one ends
#   files.cut     paths whose content is secret or not text
# A newline in a name becomes \001, so that no name can make a line of its own.
# shellcheck shell=sh disable=SC2154,SC2185

: "${PVH_FILES:=}" "${PVH_TEXT_LIMIT:=262144}" "${PVH_DIGEST_LIMIT:=67108864}"

# Reads NUL-terminated paths.
list_paths() {
    find -files0-from - -maxdepth 0 -printf '%y\t%Y\t%m\t%u\t%g\t%s\t%T@\t%p\t%l\0' 2>/dev/null |
        tr '\n\000' '\001\n'
}

# Reads NUL-terminated paths; exactly one line for each, whatever happens: what cannot be resolved becomes a path
# that secret_path refuses.
real_paths() {
    real_asked=$(tr '\n\000' '\001\n')
    real_found=$(
        printf '%s' "$real_asked" | tr '\n' '\000' | {
            xargs -0 -r realpath -mz -- 2>/dev/null || printf 'failed\0'
        } | tr '\n\000' '\001\n'
    )
    case $real_found in
        *failed) ;;
        *) printf '%s\n' "$real_found" && return ;;
    esac
    printf '%s\n' "$real_asked" | while IFS= read -r real_path; do
        realpath -mz -- "$real_path" 2>/dev/null | tr '\n\000' '\001\n' | grep . || echo /proc/unresolved
    done
}

# Names of files that hold a private key or a NUL byte, or that cannot be searched: nothing passes unseen. A second
# look, file by file, is only needed when one of many vanished.
not_text() {
    # shellcheck disable=SC2016
    PVH_PATTERN='\x00|-----BEGIN [A-Z0-9 ]*PRIVATE KEY' xargs -r -d '\n' sh -c '
        grep -laP -e "$PVH_PATTERN" -- "$@"
        [ $? -gt 1 ] || exit 0
        for path; do
            grep -qaP -e "$PVH_PATTERN" -- "$path"
            [ $? -eq 1 ] || printf "%s\n" "$path"
        done
        exit 0' grep
}

lines_to_nul() { tr '\n' '\000'; }

# sort_paths: fills files_list, files_hash, files_text and files_cut from the listing and the real paths.
sort_paths() {
    set -f
    IFS=$pvh_newline
    # shellcheck disable=SC2086
    set -- $files_real
    for files_line in $files_list; do
        files_path_real=${1-}
        [ $# -eq 0 ] || shift
        IFS=$pvh_tab
        # shellcheck disable=SC2086
        sort_path "$files_path_real" $files_line
        IFS=$pvh_newline
    done
    unset IFS
    set +f
}

# sort_path REALPATH TYPE TARGET-TYPE MODE USER GROUP SIZE MTIME PATH [LINK]
sort_path() {
    if [ "$2" = l ] && [ "$3" = f ]; then
        files_targets="$files_targets$1$pvh_newline"
    fi
    [ "$2" = f ] || return 0
    [ -n "$1" ] || return 0
    # A name with a line break stands for no file here.
    case $9 in *"$pvh_line_break"*) return 0 ;; esac
    if secret_path "$1" || secret_path "$9"; then
        files_cut="$files_cut$9$pvh_newline"
        case $1 in /etc/shadow | /etc/gshadow | /etc/pve/domains.cfg) files_hash="$files_hash$9$pvh_newline" ;; esac
        return 0
    fi
    [ "$7" -gt "$PVH_DIGEST_LIMIT" ] || files_hash="$files_hash$9$pvh_newline"
    [ "$7" -gt "$PVH_TEXT_LIMIT" ] || files_text="$files_text$9$pvh_newline"
}

# Takes the names in $files_binary out of files_text.
drop_binary() {
    [ -n "$files_binary" ] || return 0
    files_cut="$files_cut$files_binary$pvh_newline"
    files_text=$(printf '%s--\n%s\n' "$files_text" "$files_binary" |
        awk '!cut && $0 == "--" { cut = 1; next } !cut { name[++n] = $0; next } { drop[$0] = 1 }
             END { for (i = 1; i <= n; i++) if (!(name[i] in drop)) print name[i] }')
    files_text="$files_text$pvh_newline"
}

read_files() {
    files_targets="" files_hash="" files_text="" files_cut=""
    emit files.asked 0 "$PVH_FILES"
    # Patterns are expanded here, and nothing else: the words come from a quoted list, split at newlines only.
    IFS=$pvh_newline
    # shellcheck disable=SC2086
    set -- $PVH_FILES
    unset IFS
    [ $# -gt 0 ] || set -- /
    files_list=$(printf '%s\0' "$@" | sort -zu | list_paths)
    emit files.errors 0 "$(printf '%s\0' "$@" | sort -zu |
        find -files0-from - -maxdepth 0 -false 2>&1 | head -c 262144)"
    files_real=$(printf '%s\n' "$files_list" | cut -f8 | lines_to_nul | real_paths)
    sort_paths
    if [ -n "$files_targets" ]; then
        files_list=$(
            printf '%s\n' "$files_list"
            printf '%s' "$files_targets" | sort -u | lines_to_nul | list_paths
        )
        files_list=$(printf '%s\n' "$files_list" | awk -F'\t' '!seen[$8]++')
        files_targets="" files_hash="" files_text="" files_cut=""
        files_real=$(printf '%s\n' "$files_list" | cut -f8 | lines_to_nul | real_paths)
        sort_paths
    fi
    emit files.list 0 "$files_list"
    emit files.digests 0 "$(printf '%s' "$files_hash" | xargs -r -d '\n' sha256sum -z -- 2>/dev/null |
        tr '\n\000' '\001\n')"
    if files_binary=$(printf '%s' "$files_text" | not_text 2>/dev/null); then
        drop_binary
        # shellcheck disable=SC2086
        files_dump() { printf '%s' "$files_text" | xargs -r -d '\n' head -v -c "$PVH_TEXT_LIMIT" -- 2>/dev/null; }
        run files.text files_dump
    else
        emit files.text 9 "the contents could not be searched for private keys"
    fi
    emit files.cut 0 "$files_cut"
}

read_files
