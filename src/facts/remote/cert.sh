# Port 8006's certificate, and what the node knows of ACME. Asked for with PVH_CERTIFICATE=yes.
#   PVH_ACME_ACCOUNTS  names of ACME accounts to describe
#   PVH_ACME_NAMES     names to resolve on the node
# Keys, account files and the data of plugins stay here; of the data a digest salted with PVH_SALT is sent.
# shellcheck shell=sh disable=SC2154

: "${PVH_CERTIFICATE:=}" "${PVH_ACME_ACCOUNTS:=}" "${PVH_ACME_NAMES:=}" "${PVH_SALT:=}"

# address A; verify CODE TEXT (by the node's own authorities); the chain that was sent.
served_certificate() {
    served_address=$(web_address)
    [ -n "$served_address" ] || {
        echo 'nothing listens on port 8006'
        return 3
    }
    printf 'address %s\n' "$served_address"
    OPENSSL_CONF=/dev/null timeout 10 openssl s_client -connect "$served_address:8006" -showcerts </dev/null 2>/dev/null | awk '
        /^-----BEGIN CERTIFICATE-----/ { inside = 1; certificates++ }
        inside && certificates <= 16 { print substr($0, 1, 128) }
        /^-----END CERTIFICATE-----/ { inside = 0 }
        /^ *Verify return code: / && !code { code = $4; text = $0; sub(/^[^(]*/, "", text); print "verify " code " " substr(text, 1, 100) }
        END { if (!certificates) { print "no certificate was sent"; exit 3 } }'
}

# NAME, then what PVE tells of the account, or "-" where there is none; a tab between.
acme_accounts() {
    printf '%s\n' "$PVH_ACME_ACCOUNTS" | while IFS= read -r acme_account; do
        [ -n "$acme_account" ] || continue
        if [ -e "/etc/pve/priv/acme/$acme_account" ]; then
            acme_told=$(timeout 20 pvenode acme account info "$acme_account" --output-format json 2>/dev/null | tr -d '\n\t' | head -c 65536)
        else
            acme_told=-
        fi
        printf '%s\t%s\n' "$acme_account" "${acme_told:-unreadable}"
    done
}

# plugin TYPE ID; set NAME VALUE; data DIGEST. The data counts without the padding and in base64url's letters.
acme_plugins() {
    [ -e /etc/pve/priv/acme/plugins.cfg ] || return 0
    awk '
        /^[a-z]+:[ \t]*[^ \t]+[ \t]*$/ { split($0, part, /:[ \t]*/); print "plugin " part[1] " " part[2]; next }
        /^[ \t]+data[ \t]/ {
            value = $2
            gsub(/\+/, "-", value); gsub(/\//, "_", value); gsub(/=/, "", value)
            command = "sha256sum"
            printf "%s%s", ENVIRON["PVH_SALT"], value | command
            close(command)
            next
        }
        /^[ \t]+(api|disable|nodes|validation-delay)([ \t]|$)/ { name = $1; sub(/^[ \t]+[^ \t]+[ \t]*/, ""); print "set " name " " substr($0, 1, 200) }
    ' /etc/pve/priv/acme/plugins.cfg | sed 's/^\([0-9a-f]\{64\}\)  *-$/data \1/'
}

# NAME, then its addresses; a tab between.
acme_names() {
    printf '%s\n' "$PVH_ACME_NAMES" | while IFS= read -r acme_name; do
        [ -n "$acme_name" ] || continue
        printf '%s\t%s\n' "$acme_name" "$(timeout 5 getent ahosts -- "$acme_name" | awk '!seen[$1]++ && ++count <= 16 { printf "%s ", $1 }')"
    done
}

if [ -n "$PVH_CERTIFICATE" ]; then
    export PVH_SALT
    if ! missing openssl cert.served && ! missing ss cert.served; then run cert.served served_certificate; fi
    [ -z "$PVH_ACME_ACCOUNTS" ] || missing pvenode acme.accounts || run acme.accounts acme_accounts
    run acme.plugins acme_plugins
    run acme.names acme_names
fi
