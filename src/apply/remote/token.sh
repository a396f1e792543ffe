# shellcheck shell=sh
# Of tokens: a proof that one works, and when it was last used. Evaluated after proofs.sh (web_addresses).

# prove_token: a request with TOKEN_ID and TOKEN_SECRET to the node's own port 8006: frame `proof` with the answer, or
# with why there is none. Whoever else listens there does not get the secret: the certificate must be the node's.
prove_token() {
    proof_cert=/etc/pve/local/pveproxy-ssl.pem
    [ -e "$proof_cert" ] || proof_cert=/etc/pve/local/pve-ssl.pem
    proof_end=$(($(date +%s) + 30))
    proof_reply=
    until [ "$(date +%s)" -ge "$proof_end" ]; do
        for proof_address in $(web_addresses); do
            proof_reply=$(printf 'GET /api2/json/access/permissions HTTP/1.0\r\nHost: localhost\r\nAuthorization: PVEAPIToken=%s=%s\r\n\r\n' \
                "$TOKEN_ID" "$TOKEN_SECRET" |
                timeout 20 openssl s_client -quiet -verify_return_error -partial_chain -no_check_time \
                    -CAfile "$proof_cert" -connect "$proof_address:8006" 2>/dev/null | head -c 262144 | tr -d '\000\r')
            case $proof_reply in
            'HTTP/1.'?' 200'*)
                emit proof 0 "$proof_reply"
                return 0
                ;;
            esac
        done
        sleep 1
    done
    emit proof 1 "port 8006 answers: $(printf '%s' "${proof_reply:-nothing}" | head -n 1)"
    exit 0
}

# token_uses: the last line of pveproxy's logs for each id of TOKEN_IDS (one a line), "ID TAB LINE"; the request of
# prove_token is no use.
token_uses() {
    [ -r /var/log/pveproxy/access.log ] || return 1
    # The folder is www-data's: a pipe or a link in a log's place is not read.
    find /var/log/pveproxy -maxdepth 1 -name 'access.log*' -type f -printf '%T@ %p\n' | sort -n | cut -d ' ' -f 2- |
        xargs -r -d '\n' zcat -f -- 2>/dev/null |
        awk 'BEGIN { count = split(ENVIRON["TOKEN_IDS"], ids, "\n"); for (at = 1; at <= count; at++) wanted[ids[at]] = 1 }
            $3 in wanted && !/"GET \/api2\/json\/access\/permissions HTTP\/1\.0" 200/ { last[$3] = $0 }
            END { for (id in last) printf "%s\t%s\n", id, last[id] }'
}
