# shellcheck shell=sh
# A request to the node's own port 8006. Evaluated after proofs.sh (web_addresses).

# web_request: sends WEB_REQUEST once: frame `web` with the answer, or status 1 when nobody answers. Whoever else listens
# there does not get what it carries: the certificate must be the node's.
web_request() {
    request_cert=/etc/pve/local/pveproxy-ssl.pem
    [ -e "$request_cert" ] || request_cert=/etc/pve/local/pve-ssl.pem
    request_end=$(($(date +%s) + 30))
    until [ "$(date +%s)" -ge "$request_end" ]; do
        for request_address in $(web_addresses); do
            request_reply=$(printf '%s' "$WEB_REQUEST" |
                timeout 25 openssl s_client -quiet -verify_return_error -partial_chain -no_check_time \
                    -CAfile "$request_cert" -connect "$request_address:8006" 2>/dev/null | head -c 262144 | tr -d '\000\r')
            # An answer is an answer: a wrong password is not tried twice, PAM may count it.
            case $request_reply in
            'HTTP/1.'*)
                emit web 0 "$request_reply"
                return 0
                ;;
            esac
        done
        sleep 1
    done
    emit web 1 ''
}
