# shellcheck shell=sh
# Answers of a program. A frame is "PVH-NONCE NAME STATUS LENGTH", LENGTH bytes, a newline; a fifth
# word "base64" tells how the bytes are to be read. PVH_NONCE, PVH_USER (login
# name), PVH_SUDO (yes or no) and PVH_CONNECTION (SSH_CONNECTION of the login) are set by the loader.

# emit NAME STATUS [BODY]: one frame. LC_ALL=C makes ${#3} count bytes.
emit() {
    printf 'PVH-%s %s %s %s\n%s\n' "$PVH_NONCE" "$1" "$2" "${#3}" "${3-}"
}

# run NAME COMMAND [ARGUMENT...]: a frame with the command's exit status and standard output, trailing newlines and
# all. For text: a shell variable cannot hold NUL bytes (see pack). The command reads nothing; its complaints are
# dropped, and standard output must carry nothing but frames.
run() {
    _name=$1
    shift
    _body=$("$@" </dev/null 2>/dev/null; printf '.%s' "$?")
    emit "$_name" "${_body##*.}" "${_body%.*}"
}

# pack NAME STATUS: a frame with standard input as it is, NUL bytes included.
pack() {
    _body=$(base64 -w 0)
    _emit_base64 "$1" "$2"
}

# file NAME PATH [LIMIT]: a frame with the bytes of a regular file (links followed). Status 0, or with the reason as
# body: 1 no such file, 2 not readable, 3 not a regular file, 4 larger than LIMIT bytes (default 1 MiB).
file() {
    if ! _stat=$(stat -Lc '%s %F' -- "$2" 2>&1); then
        case $_stat in
            *': No such file or directory' | *': Not a directory') emit "$1" 1 "$_stat" ;;
            *) emit "$1" 2 "$_stat" ;;
        esac
        return
    fi
    case $_stat in
        *' regular file' | *' regular empty file') ;;
        *)
            emit "$1" 3 "${_stat#* }"
            return
            ;;
    esac
    if [ "${_stat%% *}" -gt "${3-1048576}" ]; then
        emit "$1" 4 "${_stat%% *} bytes"
    elif _body=$(base64 -w 0 -- "$2" 2>/dev/null); then
        _emit_base64 "$1" 0
    else
        emit "$1" 2 'read error'
    fi
}

_emit_base64() {
    printf 'PVH-%s %s %s %s base64\n%s\n' "$PVH_NONCE" "$1" "$2" "${#_body}" "$_body"
}
