# shellcheck shell=sh
# What must still work after the run: asked before the first change, and again before the commit.

# 8006 speaks TLS and answers; a wrong setting can leave pveproxy active with every connection hanging. One question: a
# node with a lot to do takes seconds for a handshake, so what follows from no answer is for web_settles to say.
web_answers() {
    command -v openssl >/dev/null || return 1
    for web_address in $(web_addresses); do
        web_reply=$(printf 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' |
            timeout 10 openssl s_client -quiet -connect "$web_address:8006" 2>/dev/null | head -c 64 | tr -cd '[:print:]')
        case $web_reply in 'HTTP/1.'?' 200'* | 'HTTP/1.'?' 301'*) return 0 ;; esac
    done
    return 1
}

# Where nobody listens there is nothing to wait for.
web_listens() {
    command -v openssl >/dev/null && ss -Hltn 'sport = :8006' 2>/dev/null | grep -q .
}

# Where pveproxy listens (LISTEN_IP); else the loopback, then the address of the node itself, as ALLOW_FROM may leave
# either out.
web_addresses() {
    web_listens=$(ss -Hltn 'sport = :8006' 2>/dev/null |
        sed 's/^[^ ]* *[^ ]* *[^ ]* *\([^ ]*\):8006 .*/\1/; s/^\*$/any/; s/^0\.0\.0\.0$/any/; s/^\[::\]$/any/')
    for web_listen in ${web_listens:-any}; do
        case $web_listen in
        any) echo "127.0.0.1 $(getent ahostsv4 "$(uname -n)" | sed -n '1s/ .*//p')" ;;
        *) echo "$web_listen" ;;
        esac
    done
}

# A restart of pveproxy makes its certificates first, and one slow answer is no broken port.
web_settles() {
    web_end=$(($(date +%s) + 30))
    until web_answers; do
        [ "$(date +%s)" -lt "$web_end" ] || return 1
        sleep 1
    done
}

# A reload answers at once and proves nothing: workers with the old settings go on for five seconds and more, and what is
# wrong with the new ones shows after that (pve-common src/PVE/Daemon.pm, leave_children_open_on_reload).
web_settles_after_reload() {
    reload_start=$(date +%s)
    reload_good=0
    until [ "$reload_good" -ge 3 ]; do
        [ "$(date +%s)" -lt "$((reload_start + 60))" ] || return 1
        sleep 1
        if ! web_answers; then
            reload_good=0
        elif [ "$(date +%s)" -gt "$((reload_start + 6))" ]; then
            reload_good=$((reload_good + 1))
        fi
    done
}

# what_broke: names what answered before the first change and does not now, or what the firewall's proof says is wrong;
# nothing when all is well.
what_broke() {
    broke_firewall=$(firewall_complaint)
    [ -z "$broke_firewall" ] || {
        echo "$broke_firewall"
        return
    }
    if [ -e "$DIR/baseline.web" ] && { ! web_listens || ! web_settles; }; then
        echo 'port 8006 answered before and does not answer now'
        return
    fi
    [ -s "$DIR/baseline.peers" ] || return 0
    while read -r broke_name broke_address broke_rest; do
        grep -qxF -- "$broke_name $broke_address" "$DIR/baseline.peers" && echo "$broke_name $broke_address $broke_rest"
    done <"$DIR/peers" >"$DIR/peers.again"
    peers_reachable "$DIR/peers.again" >"$DIR/peers.now"
    broke_peers=$(grep -vxF -f "$DIR/peers.now" -- "$DIR/baseline.peers" | cut -d' ' -f1 | tr '\n' ' ')
    [ -z "$broke_peers" ] || echo "root's key login between this node and ${broke_peers% } worked before and does not now"
}

# peers_reachable FILE: a line "NAME ADDRESS" for each peer in the list that takes root's key in BatchMode from here,
# and from which root's key is taken here. As PVE itself calls ssh (pve-cluster src/PVE/SSHInfo.pm). All at once: an
# isolated link answers nothing for long.
peers_reachable() {
    [ -s "$1" ] || return 0
    while read -r peer_name peer_address self_name self_address; do
        {
            peer_ssh "$peer_name" "$peer_address" true &&
                peer_ssh "$peer_name" "$peer_address" \
                    "ssh -e none -o BatchMode=yes -o ConnectTimeout=10 -o HostKeyAlias=$self_name -o UserKnownHostsFile=/etc/pve/nodes/$self_name/ssh_known_hosts -o GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts root@$self_address true" &&
                echo "$peer_name $peer_address"
        } </dev/null 9>&- &
    done <"$1"
    wait
}

peer_ssh() { # NAME ADDRESS COMMAND
    timeout 25 ssh -e none -o BatchMode=yes -o ConnectTimeout=10 -o ControlPath=none -o "HostKeyAlias=$1" \
        -o "UserKnownHostsFile=/etc/pve/nodes/$1/ssh_known_hosts" -o GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts \
        "root@$2" "$3" >/dev/null 2>&1
}

# One real password authentication through the node's PAM stack, with an account that exists for that moment only:
# the right password is let in, a wrong one is not. Neither an administrator's password nor root's is needed.
prove_password() {
    proof_user=pve-harden-proof
    rm -f "$DIR/accounts.digest" && sync "$DIR" || return 1
    forget_proof_user
    useradd -r -M -d /nonexistent -s /bin/sh "$proof_user" || return 1
    proof_password="Aa1-$(head -c 24 /dev/urandom | base64 -w0 | tr -d '+/=')"
    proof_status=0
    # Set as a hash: a random password need not please the node's rules for passwords that people choose.
    # shellcheck disable=SC2016
    proof_hash=$(printf '%s\n' "$proof_password" |
        perl -e '$p = <STDIN>; chomp $p; print crypt($p, q($6$) . join("", map { ("a".."z", 0..9)[rand 36] } 1..16))')
    printf '%s:%s\n' "$proof_user" "$proof_hash" | chpasswd -e || proof_status=1
    if [ "$proof_status" = 0 ]; then
        password_login "$proof_password"
        case $? in
        0) ;;
        124) echo 'a login with the right password took longer than 60 s' && proof_status=1 ;;
        *) echo 'the right password was refused' && proof_status=1 ;;
        esac
        password_login "wrong-$proof_password" && {
            echo 'a wrong password was let in'
            proof_status=1
        }
    fi
    forget_proof_user || {
        echo 'the account of the password proof could not be removed'
        proof_status=1
    }
    note_accounts
    return "$proof_status"
}

# Its session may live a moment longer than su (pam_systemd starts a manager for it), hence -f.
forget_proof_user() {
    if getent passwd pve-harden-proof >/dev/null; then
        loginctl terminate-user pve-harden-proof 2>/dev/null
        userdel -f pve-harden-proof >/dev/null 2>&1
    fi
    ! getent group pve-harden-proof >/dev/null || groupdel pve-harden-proof >/dev/null 2>&1
    rm -f /run/faillock/pve-harden-proof
    ! getent passwd pve-harden-proof >/dev/null
}

# Which program asks PAM for a password on this node: su, or chsh where su is kept from most people (pam_wheel, mode). Both
# read it from standard input and go through common-auth.
password_program() {
    if [ -n "$(find /usr/bin/su -perm -4001 2>/dev/null)" ] && ! grep -qE '^[^#]*pam_wheel' /etc/pam.d/su; then
        echo su
    elif [ -n "$(find /usr/bin/chsh -perm -4001 2>/dev/null)" ] && grep -q '^@include common-auth' /etc/pam.d/chsh; then
        echo chsh
    fi
}

# su asks PAM only when somebody else than root calls it. Its session starts a systemd of its own, which takes a busy
# node its time. chsh asks the account itself, and gives it the shell that it has.
password_login() { # PASSWORD
    case $(password_program) in
    su)
        printf '%s\n' "$1" | timeout 60 setpriv --reuid=nobody --regid=nogroup --clear-groups --reset-env -- \
            su pve-harden-proof -c true >/dev/null 2>&1
        ;;
    chsh)
        printf '%s\n' "$1" | timeout 60 setpriv --reuid=pve-harden-proof --regid=nogroup --clear-groups --reset-env -- \
            chsh -s /bin/sh >/dev/null 2>&1
        ;;
    *) return 1 ;;
    esac
}
