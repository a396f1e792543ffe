# shellcheck shell=sh
# Port 8006's certificate, for apply.sh and undo.sh, which have read lib.sh. Every step has the path of one file, saved and
# put back like any other; beside it: the key of a certificate, the list of authorities, a reload of pveproxy. The key
# never leaves the node.

# save_cert NUMBER KIND PATH
save_cert() {
    mountpoint -q /etc/pve || {
        echo '/etc/pve is not mounted'
        return 1
    }
    save_path "$1" "$3" || return 1
    case $2 in
    cert-order | cert-upload)
        cert_key=${3%.pem}.key
        if [ -e "$cert_key" ]; then cp -- "$cert_key" "$DIR/before/$1/key"; else : >"$DIR/before/$1/no-key"; fi
        ;;
    esac
}

# cert_restore ENTRY: what a step replaced, from the entry that saved it.
cert_restore() {
    cert_target=$(cat "$1/path") || return 1
    ! on_pmxcfs "$cert_target" || mountpoint -q /etc/pve || return 1
    # The key first: pveproxy takes the pair up at its reload.
    if [ -e "$1/key" ]; then
        cmp -s "$1/key" "${cert_target%.pem}.key" || put_pmxcfs "$1/key" "${cert_target%.pem}.key" || return 1
    elif [ -e "$1/no-key" ]; then
        rm -f "${cert_target%.pem}.key"
    fi
    restore_path "$1" || return 1
    cert_account_back "${1%/before/*}" "${cert_target%/*}/config" || return 1
    case $cert_target in
    /usr/local/share/ca-certificates/*) timeout 120 update-ca-certificates --fresh >/dev/null 2>&1 7>&- 8>&- 9>&- || return 1 ;;
    */pveproxy-ssl.pem) RELOADS="$RELOADS pveproxy.service" ;;
    esac
    return 0
}

# cert_account_back RUN CONFIG: a rehearsal leaves the staging account in the node's configuration. Its line goes, what
# somebody else wrote meanwhile stays.
cert_account_back() {
    [ -e "$1/acme.rehearsal" ] || return 0
    back_staging=$(grep '^acme:' "$1/acme.rehearsal" | head -n 1)
    grep -qxF -- "$back_staging" "$2" 2>/dev/null || return 0
    BACK_STAGING=$back_staging BACK_LINE=$(grep '^acme:' "$1/acme.config" | head -n 1) awk '
        $0 == ENVIRON["BACK_STAGING"] { $0 = ENVIRON["BACK_LINE"] }
        { print }' "$2" >"$1/acme.back" && put_pmxcfs "$1/acme.back" "$2"
}

# Whether a rollback's entry saved what a step of this kind had left.
restores_cert() { # BEFORE-ENTRY
    [ "$(cat "$1/step" 2>/dev/null)" = restore ] || return 1
    case $(cat "$ROOT/runs/$(sed -n 1p "$1/arguments")/before/$(sed -n 2p "$1/arguments")/step" 2>/dev/null) in
    cert-*) return 0 ;;
    *) return 1 ;;
    esac
}

# pvenode_call SECONDS WORD…: its standard input is ours; what it says goes to acme.log, why it failed to cert_said.
# What it starts must not inherit our locks.
pvenode_call() {
    pvenode_patience=$1
    shift
    timeout "$pvenode_patience" pvenode "$@" >"$DIR/acme.log" 2>&1 7>&- 8>&- 9>&-
    pvenode_status=$?
    cert_said=$(pvenode_words "$DIR/acme.log")
    [ "$pvenode_status" != 124 ] || cert_said="no end within $pvenode_patience s; $cert_said"
    return "$pvenode_status"
}

# A task that fails says its error in one line, then "Task" and the same again (pve-common PVE/RESTEnvironment.pm,
# pve-manager PVE/CLI/pvenode.pm); a call that is refused says it in some lines. An answer of the CA is in it whole, after
# "Error: POST to URL" (PVE/ACME.pm); the sentences of its problem document (RFC 8555, 6.7) come first here, since the rest
# may be long.
pvenode_words() { # FILE
    words_lines=4
    ! grep -q '^Task ' "$1" || words_lines=1
    words_last=$(grep -v -e '^[[:space:]]*$' -e '^Task ' "$1" | tail -n "$words_lines")
    words_details=$(printf '%s' "$words_last" | tr '\n' ' ' | grep -o '"detail"[[:space:]]*:[[:space:]]*"\([^"\\]\|\\.\)*"' |
        sed 's/^"detail"[[:space:]]*:[[:space:]]*"\(.*\)"$/\1/; s/\\\(["\/]\)/\1/g' | head -n 3 | tr '\n' ';' | one_line)
    printf '%s%s' "${words_details:+the CA says: $words_details }" "$(printf '%s' "$words_last" | one_line)"
}

# shellcheck disable=SC2317,SC2329
step_cert_trust() { # PATH
    put "$DIR/data/$STEP.after" "$1" 0644 root root && timeout 120 update-ca-certificates >/dev/null 2>&1 </dev/null
}

# pvenode asks: the CA's terms, when it has any; the binding, when the CA wants one.
# shellcheck disable=SC2317,SC2329
step_cert_account() { # PATH NAME DIRECTORY CONTACT register|update
    if [ "$5" = update ]; then
        pvenode_call 120 acme account update "$2" --contact "$4" </dev/null || {
            echo "the CA did not take the account's new contact: $cert_said"
            return 1
        }
        return 0
    fi
    account_meta=$(timeout 60 pvesh get /cluster/acme/meta --directory "$3" --output-format json 2>&1 </dev/null) || {
        echo "the CA's directory $3 cannot be read: $(printf '%s' "$account_meta" | tail -n 3 | one_line)"
        return 1
    }
    account_bound=
    case $(printf '%s' "$account_meta" | tr -d ' \n') in *'"externalAccountRequired":1'* | *'"externalAccountRequired":true'*) account_bound=yes ;; esac
    if [ -n "$account_bound" ] && [ ! -e "$DIR/data/$STEP.secret" ]; then
        echo 'the CA wants an external account binding: set cert.acme.eab-id and eab-key'
        return 1
    fi
    {
        case $account_meta in *'"termsOfService"'*) echo y ;; esac
        [ -z "$account_bound" ] || cat "$DIR/data/$STEP.secret"
    } | pvenode_register "$2" "$4" "$3" || {
        echo "the CA did not register the account: $(cat "$DIR/acme.said")"
        return 1
    }
    rm -f "$DIR/data/$STEP.secret"
}

# The last part of a pipe has variables of its own.
# shellcheck disable=SC2317,SC2329
pvenode_register() { # NAME CONTACT DIRECTORY
    pvenode_call 180 acme account register "$1" "$2" --directory "$3"
    register_status=$?
    printf '%s' "$cert_said" >"$DIR/acme.said"
    return "$register_status"
}

# shellcheck disable=SC2317,SC2329
step_cert_plugin() { # PATH ID API DELAY add|set
    if [ "$5" = add ]; then
        pvenode_call 60 acme plugin add dns "$2" --api "$3" --data "$DIR/data/$STEP.secret" --validation-delay "$4" </dev/null
    else
        pvenode_call 60 acme plugin set "$2" --api "$3" --data "$DIR/data/$STEP.secret" --validation-delay "$4" </dev/null
    fi || {
        echo "PVE did not take the DNS plugin: $cert_said"
        return 1
    }
    rm -f "$DIR/data/$STEP.secret"
}

# With --force PVE replaces what is there, and only once the CA has issued (PVE/API2/ACME.pm).
# shellcheck disable=SC2317,SC2329
cert_order() { # PATIENCE CERTIFICATE-PATH
    pvenode_call "$1" acme cert order --force 1 </dev/null || {
        echo "the CA did not issue a certificate, the old one is still served: $(ca_words "$2")$cert_said"
        return 1
    }
}

# PVE names the authorization or the order that failed and not what the CA found wrong, which stands in it (RFC 8555, 7.1.3
# and 7.1.4).
# shellcheck disable=SC2016,SC2317,SC2329
ca_words() { # CERTIFICATE-PATH
    ca_url=$(sed -n "s/^Getting authorization details from '\([^']*\)'\$/\1/p" "$DIR/acme.log" | tail -n 1)
    [ -n "$ca_url" ] || return 0
    ca_order=$(sed -n 's/^Order URL: //p' "$DIR/acme.log" | tail -n 1)
    ca_account=$(sed -n 's/^acme:.*account=\([A-Za-z0-9_-]*\).*/\1/p' "${1%/*}/config" 2>/dev/null)
    ca_found=$(timeout 30 perl -MPVE::ACME -e '
        my $acme = PVE::ACME->new("/etc/pve/priv/acme/$ARGV[0]");
        $acme->load();
        for my $challenge (@{ $acme->get_authorization($ARGV[1])->{challenges} // [] }) {
            print "$challenge->{error}->{detail}\n" if $challenge->{error};
        }
        my $order = $ARGV[2] ? $acme->get_order($ARGV[2]) : {};
        print "$order->{error}->{detail}\n" if $order->{error};
    ' "${ca_account:-default}" "$ca_url" "$ca_order" 2>/dev/null </dev/null 7>&- 8>&- 9>&- | tail -n 2 | one_line)
    [ -z "$ca_found" ] || printf 'the CA says: %s; ' "$ca_found"
}

# shellcheck disable=SC2317,SC2329
step_cert_order() { # PATH NAMES trusted|any REHEARSAL PATIENCE
    if [ -n "$4" ]; then
        order_config=${1%/*}/config
        cp -- "$order_config" "$DIR/acme.config" && sed "s/^acme: account=[^,]*/acme: account=$4/" "$DIR/acme.config" >"$DIR/acme.rehearsal" &&
            sync "$DIR/acme.rehearsal" "$DIR/acme.config" "$DIR" && put_pmxcfs "$DIR/acme.rehearsal" "$order_config" || return 1
        order_error=$(cert_order "$5" "$1")
        order_status=$?
        rehearsal_goes "$1" || return 1
        [ "$order_status" = 0 ] || {
            echo "at the staging CA: $order_error"
            return 1
        }
    fi
    cert_order "$5" "$1" || return 1
    cert_is_served "$1" "$2" "$3"
}

# PVE installs what the staging CA issued, which nobody trusts: the node's account comes back, and what was served before.
# shellcheck disable=SC2317,SC2329
rehearsal_goes() { # PATH
    rehearsal_left=$({ cert_fingerprint <"$1"; } 2>/dev/null)
    cert_restore "$DIR/before/$STEP" || return 1
    [ "$({ cert_fingerprint <"$1"; } 2>/dev/null)" = "$rehearsal_left" ] || timeout 60 systemctl reload-or-restart pveproxy.service 7>&- 8>&- 9>&-
}

# shellcheck disable=SC2317,SC2329
step_cert_upload() { # PATH NAMES
    pvenode_call 60 cert set "$DIR/data/$STEP.chain" "$DIR/data/$STEP.secret" --force 1 --restart 1 </dev/null || {
        echo "PVE did not take the certificate: $cert_said"
        return 1
    }
    rm -f "$DIR/data/$STEP.secret"
    cert_is_served "$1" "$2" any
}

cert_fingerprint() { # reads PEM
    openssl x509 -noout -fingerprint -sha256 2>/dev/null | sed 's/^[^=]*=//'
}

# A new connection to 8006.
served_now() {
    for served_address in $(web_addresses); do
        OPENSSL_CONF=/dev/null timeout 6 openssl s_client -connect "$served_address:8006" -showcerts </dev/null >"$DIR/served" 2>/dev/null || :
        ! grep -q '^-----BEGIN CERTIFICATE-----' "$DIR/served" || return 0
    done
    return 1
}

# cert_is_served PATH NAMES trusted|any: pveproxy's old workers serve for some seconds more.
# shellcheck disable=SC2317,SC2329
cert_is_served() {
    served_wanted=$(cert_fingerprint <"$1")
    served_end=$(($(date +%s) + 60))
    served_same=0
    until [ "$served_same" -ge 3 ]; do
        [ "$(date +%s)" -lt "$served_end" ] || {
            echo "8006 does not serve the new certificate: $(unit_last_words pveproxy)"
            return 1
        }
        if served_now && [ "$(cert_fingerprint <"$DIR/served")" = "$served_wanted" ]; then
            served_same=$((served_same + 1))
        else
            served_same=0
            sleep 1
        fi
    done
    openssl x509 -noout -checkend 86400 -in "$DIR/served" >/dev/null 2>&1 || {
        echo '8006 serves the new certificate, and it ends within a day'
        return 1
    }
    for served_name in $(printf '%s' "$2" | tr , ' '); do
        openssl x509 -noout -checkhost "$served_name" -in "$DIR/served" 2>/dev/null | grep -q 'does match' || {
            echo "8006 serves the new certificate, and it is not for $served_name"
            return 1
        }
    done
    [ "$3" = trusted ] || return 0
    served_verify=$(sed -n 's/^ *Verify return code: //p' "$DIR/served" | head -n 1)
    case $served_verify in '0 '*) return 0 ;; esac
    echo "8006 serves the new certificate, and its chain does not hold: $(printf '%s' "$served_verify" | one_line)"
    return 1
}
