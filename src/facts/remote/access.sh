# PVE's tokens and second factors, without a secret:
#   access.tokens   ids of the tokens that have a secret, one a line
#   access.factors  user, kind and number of second factors, tabs between; "totp-locked" is a kind, too
#   access.realms   domains.cfg without the client keys of OpenID and the API keys of Yubico
#   access.passwords    with PVH_WEB_LOGINS: users of the realm pve who have a password, one a line
#   access.web-logins   with PVH_WEB_LOGINS: "login SECONDS USER" of the journal, "ticket LINE" of the access logs, 30 days
# shellcheck shell=sh

: "${PVH_WEB_LOGINS:=}"

# Prints keys of the JSON document alone, and of those only what names a kind. A factor that is disabled is none, and neither
# are recovery keys that are all used.
factor_kinds() {
    awk '
        function flush() {
            if (kind == "recovery") count = left
            if (key[2] ~ /@/ && count > 0 && kind ~ /^(totp|u2f|webauthn|recovery|yubico|totp-locked)$/)
                printf "%s\t%s\t%d\n", key[2], kind, count
            kind = ""
            count = left = 0
        }
        BEGIN { RS = "\001" }
        { text = text $0 }
        END {
            length_of = length(text)
            for (at = 1; at <= length_of; at++) {
                letter = substr(text, at, 1)
                if (inside) {
                    if (letter == "\\") {
                        word = word substr(text, at, 2)
                        at++
                    } else if (letter == "\"") {
                        inside = 0
                        if (depth == 5 && key[4] == "entries") left = 1
                    } else word = word letter
                } else if (letter == "\"") {
                    inside = 1
                    word = ""
                } else if (letter == "{" || letter == "[") {
                    depth++
                    opened[depth] = letter
                    if (depth == 4 && letter == "{") count = 1
                    if (depth == 5 && opened[4] == "[" && letter == "{") count++
                } else if (letter == "}" || letter == "]") {
                    if (depth == 3) flush()
                    depth--
                } else if (letter == ":") {
                    if (depth == 3) flush()
                    key[depth] = word
                    if (depth == 3 && key[1] == "users") kind = word
                } else if (letter == "t" && depth == 3 && kind == "totp-locked") {
                    count = 1
                } else if (letter == "f" && depth == 5 && opened[4] == "[" && key[5] == "enable") count--
            }
        }' "$1"
}

realms_without_keys() {
    sed -e 's/^\([[:space:]]*client-key[[:space:]]\).*/\1***/' \
        -e '/^[[:space:]]*tfa[[:space:]]/s/\(key=\)[^,]*/\1***/' /etc/pve/domains.cfg
}

passwords_of_users() {
    awk -F: '$2 != "" && $2 !~ /^[*!]/ { print $1 }' /etc/pve/priv/shadow.cfg
}

# PVE's journal says who, pveproxy's log by which door; neither says more (pve-access-control, API2/AccessControl.pm
# create_ticket; pve-http-server, AnyEvent.pm log_request). The folder of the log is www-data's: only regular files.
web_logins() {
    timeout 20 journalctl -q --no-pager -o short-unix --since=-30d -t pvedaemon 2>/dev/null </dev/null |
        sed -n "s/^\([0-9]*\)[^ ]* .* successful auth for user '\(.*\)'\$/login \1 \2/p" | tail -n 5000 | cut -c1-200
    find /var/log/pveproxy -maxdepth 1 -name 'access.log*' -type f -mtime -31 -printf '%T@ %p\n' 2>/dev/null | sort -n |
        cut -d ' ' -f 2- | xargs -r -d '\n' zcat -f -- 2>/dev/null |
        sed -n 's/^.*"POST \/api2\/[a-z]*\/access\/ticket HTTP.*$/ticket &/p' | tail -n 5000 | cut -c1-300
    return 0
}

read_access() {
    if ! mountpoint -q /etc/pve; then
        emit access.tokens 127 ""
        emit access.factors 127 ""
        return
    fi
    if [ -e /etc/pve/domains.cfg ]; then emit_quiet access.realms realms_without_keys; else emit access.realms 0 ""; fi
    if [ -n "$PVH_WEB_LOGINS" ]; then
        if [ ! -e /etc/pve/priv/shadow.cfg ]; then
            emit access.passwords 0 ""
        else
            emit_quiet access.passwords passwords_of_users
        fi
        missing journalctl access.web-logins || run access.web-logins web_logins
    fi
    if [ ! -e /etc/pve/priv/token.cfg ]; then
        emit access.tokens 0 ""
    else
        emit_quiet access.tokens cut -d ' ' -f 1 /etc/pve/priv/token.cfg
    fi
    if [ ! -e /etc/pve/priv/tfa.cfg ]; then
        emit access.factors 0 ""
    else
        emit_quiet access.factors factor_kinds /etc/pve/priv/tfa.cfg
    fi
}

read_access
