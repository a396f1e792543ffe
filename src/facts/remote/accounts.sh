# Accounts: /etc/shadow without its hashes, sudo's view of the accounts in PVH_ACCOUNTS, their public keys and root's.
# Uses $sshd_settings of the sshd part for AuthorizedKeysFile; adds homes that are not /home/NAME to PVH_FILES.
# shellcheck shell=sh disable=SC2154

: "${PVH_ACCOUNTS:=}" "${PVH_PEOPLE:=}" "${PVH_SALT:=}" "${PVH_FILES:=}" "${sshd_settings:=}"

# NAME:STATE:PREFIX:LAST:MIN:MAX:WARN:INACTIVE:EXPIRE, and "#NAME:DIGEST" for root and the accounts asked for. The
# hash reaches sha256sum through a pipe, never through argv or the environment.
shadow_states() {
    PVH_NAMES="root$pvh_newline$PVH_ACCOUNTS" PVH_SALT=$PVH_SALT awk -F: '
        BEGIN {
            count = split(ENVIRON["PVH_NAMES"], names, "\n")
            for (i = 1; i <= count; i++) asked[names[i]] = 1
            salt = ENVIRON["PVH_SALT"]
        }
        NF != 9 { bad++; next }
        {
            state = "hash"; prefix = ""; hash = $2; bare = hash
            sub(/^!+/, "", bare)
            if (hash == "") state = "empty"
            else if (bare == "" || bare ~ /^[*!x]+$/) state = "none"
            else {
                if (bare != hash) state = "locked"
                if (split(bare, part, "$") >= 3 && part[1] == "" && part[2] ~ /^[0-9a-z-]+$/) prefix = part[2]
                else if (bare ~ /^[.\/0-9A-Za-z]+$/ && length(bare) == 13) prefix = "des"
                else if (bare ~ /^_[.\/0-9A-Za-z]+$/ && length(bare) == 20) prefix = "bsdi"
                else state = "none"
            }
            print $1 ":" state ":" prefix ":" $3 ":" $4 ":" $5 ":" $6 ":" $7 ":" $8
            if (salt != "" && ($1 in asked) && state == "hash") {
                printf "#%s:", $1
                fflush()
                command = "sha256sum"
                printf "%s%s", salt, hash | command
                close(command)
            }
        }
        END { if (bad) print "bad " bad }' /etc/shadow
}
run shadow shadow_states
emit salt 0 "$PVH_SALT"

# What sshd would read for an account: expands %h, %u and %%; a relative path is below the home.
key_path() {
    key_left=$1 key_made=""
    while :; do
        case $key_left in
            *%*)
                key_made=$key_made${key_left%%"%"*}
                key_left=${key_left#*%}
                case $key_left in
                    h*) key_made=$key_made$3 ;;
                    u*) key_made=$key_made$2 ;;
                    %*) key_made=$key_made% ;;
                    *) return 1 ;;
                esac
                key_left=${key_left#?}
                ;;
            *) break ;;
        esac
    done
    key_made=$key_made$key_left
    case $key_made in
        /*) ;;
        *) key_made=${3%/}/$key_made ;;
    esac
}

# keys_of NAME HOME FILE…: a block a file, only lines that are public keys.
keys_of() {
    keys_user=$1 keys_home=$2
    shift 2
    for keys_file in "$@"; do
        if [ "$keys_file" = none ]; then continue; fi
        if ! key_path "$keys_file" "$keys_user" "$keys_home"; then
            printf 'failed %s\n' "$keys_file"
            continue
        fi
        printf 'path %s\n' "$key_made"
        keys_real=$(realpath -m -- "$key_made" 2>/dev/null) || keys_real=""
        if [ ! -e "$key_made" ]; then
            echo absent
            continue
        fi
        if [ -z "$keys_real" ] || [ ! -f "$keys_real" ] || secret_path "$keys_real"; then
            printf 'refused %s\n' "$keys_real"
            continue
        fi
        printf 'real %s\nfstype %s\n' "$keys_real" "$(stat -f -c %T -- "$keys_real" 2>/dev/null)"
        printf 'changed %s\n' "$(stat -c %Y -- "$keys_real" 2>/dev/null)"
        head -c 262144 -- "$keys_real" | tr -d '\000' |
            grep -aE '^[^#]*(ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+[[:blank:]]+AAAA[A-Za-z0-9+/]+' | sed 's/^/key /'
    done
    return 0
}

# Homes without NSS: sshd's own accounts on a PVE node are local.
home_of() {
    PVH_NAME=$1 awk -F: '$1 == ENVIRON["PVH_NAME"] { print $6; exit }' /etc/passwd
}

# key_place NAME HOME: where the key file lies or would lie: the home, what of the path exists already, its file system.
key_place() {
    place_at=$(timeout 5 realpath -m -- "${2%/}/.ssh/authorized_keys" 2>/dev/null) || place_at=""
    while [ -n "$place_at" ] && [ ! -e "$place_at" ]; do place_at=${place_at%/*}; done
    emit "place.$1" 0 "$2$pvh_newline${place_at:-/}$pvh_newline$(timeout 5 stat -f -c %T -- "${place_at:-/}" 2>/dev/null)"
}

# The policy's paths suppose /home/NAME; where passwd names another home, its paths are read instead. A pattern in a
# home would ask for other people's files.
read_home() {
    case $2 in
        "/home/$1" | *[\*\?\[]* | *[![:print:]]*) return 0 ;;
        /?*) ;;
        *) return 0 ;;
    esac
    for home_part in "" /.ssh /.ssh/authorized_keys /.ssh/authorized_keys2; do
        PVH_FILES=$PVH_FILES$pvh_newline${2%/}$home_part
    done
}

keys_files=$(printf '%s\n' "$sshd_settings" | sed -n 's/^authorizedkeysfile //p')
accounts_report() {
    set -f
    IFS=$pvh_newline
    # shellcheck disable=SC2086
    set -- root $PVH_ACCOUNTS
    unset IFS
    for account in "$@"; do
        account_home=$(home_of "$account")
        if [ -z "$account_home" ]; then
            emit "keys.$account" 2 ""
        else
            # shellcheck disable=SC2086
            run "keys.$account" keys_of "$account" "$account_home" ${keys_files:-.ssh/authorized_keys .ssh/authorized_keys2}
        fi
        [ "$account" != root ] || continue
        read_home "$account" "$account_home"
        key_place "$account" "${account_home:-/home/$account}"
        missing sudo "sudo.$account" || emit_quiet "sudo.$account" sudo -n -l -U "$account"
    done
    set +f
    [ -z "$PVH_PEOPLE" ] || people_report
}

# Everybody else with an account of Debian's range for people, whatever the shell: sshd forwards ports for a key even
# where the shell is nologin. A home on a file system that does not answer is not waited for.
people_report() {
    people_names=$(PVH_NAMES="root$pvh_newline$PVH_ACCOUNTS" awk -F: '
        BEGIN { count = split(ENVIRON["PVH_NAMES"], names, "\n"); for (i = 1; i <= count; i++) asked[names[i]] = 1 }
        !($1 in asked) && $3 ~ /^[0-9]+$/ && $3 >= 1000 && $3 < 60000 && $1 ~ /^[A-Za-z_][A-Za-z0-9_.-]*$/ { print $1 }
    ' /etc/passwd | head -n 500)
    set -f
    for account in $people_names; do
        account_home=$(home_of "$account")
        timeout 5 stat -f -- "${account_home:-/}" >/dev/null 2>&1
        if [ "$?" -ge 124 ]; then
            emit "keys.$account" 1 "the home $account_home does not answer"
            continue
        fi
        # shellcheck disable=SC2086
        run "keys.$account" keys_of "$account" "$account_home" ${keys_files:-.ssh/authorized_keys .ssh/authorized_keys2}
    done
    set +f
}
accounts_report
