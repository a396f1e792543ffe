# PVE's tokens and second factors, without a secret:
#   access.tokens   ids of the tokens that have a secret, one a line
#   access.factors  user, kind and number of second factors, tabs between; "totp-locked" is a kind, too
# shellcheck shell=sh

# Prints keys of the JSON document alone, and of those only what names a kind.
factor_kinds() {
    awk '
        function flush() {
            if (key[2] ~ /@/ && count && kind ~ /^(totp|u2f|webauthn|recovery|yubico|totp-locked)$/)
                printf "%s\t%s\t%d\n", key[2], kind, count
            kind = ""
            count = 0
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
                    } else if (letter == "\"") inside = 0
                    else word = word letter
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
                } else if (letter == "t" && depth == 3 && kind == "totp-locked") count = 1
            }
        }' "$1"
}

read_access() {
    if ! mountpoint -q /etc/pve; then
        emit access.tokens 127 ""
        emit access.factors 127 ""
        return
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
