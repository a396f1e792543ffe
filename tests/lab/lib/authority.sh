# shellcheck shell=bash
# Made once per machine and shared by all labs: the certificate authority behind the enterprise repository's HTTPS, and
# the key that signs the local apt repositories. Plus the enterprise repository itself.

authority=$cache/authority

ensure_authority() {
    [[ -e $authority/complete ]] || with_lock "$authority.lock" 120 make_authority
}

make_authority() {
    [[ ! -e $authority/complete ]] || return 0
    rm -rf "$authority"
    mkdir -m 0700 "$authority" "$authority/gnupg"
    cd "$authority" || exit
    exec 2>>log
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=pve-harden lab CA' \
        -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt
    openssl req -newkey rsa:2048 -nodes -subj '/CN=enterprise.proxmox.com' -keyout web.key -out web.csr
    openssl x509 -req -in web.csr -CA ca.crt -CAkey ca.key -set_serial 1 -days 3650 -out web.crt \
        -extfile <(printf 'subjectAltName=DNS:enterprise.proxmox.com\n')
    GNUPGHOME=$PWD/gnupg gpg --batch --quiet --passphrase '' --quick-generate-key 'Lab archive key' rsa3072 sign never
    GNUPGHOME=$PWD/gnupg gpg --batch --quiet --export >archive-key.gpg
    GNUPGHOME=$PWD/gnupg gpgconf --kill all
    : >complete
}

# The enterprise repository: real TLS, and 401 for everybody.
ensure_web() {
    web_answers || {
        detached "$state/web.log" nsenter --net="/run/netns/$web_ns" -- socat \
            "OPENSSL-LISTEN:443,pf=ip4,reuseaddr,fork,max-children=64,cert=$authority/web.crt,key=$authority/web.key,verify=0" \
            "EXEC:$lab_dir/files/enterprise"
        wait_until 10 web_answers || die "the enterprise repository's stand-in did not start within 10s: $state/web.log"
    }
}

web_answers() { nsenter --net="/run/netns/$web_ns" -- ss -Hltn 'sport = 443' | grep -q .; }
