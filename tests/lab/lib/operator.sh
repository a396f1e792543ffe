# shellcheck shell=bash
# What the operator holds: the admin's key, root's password, known_hosts, ssh configs and the site file. All of it
# lies in the lab's state folder, which only root can enter.

admin=ops

ensure_operator() {
    [[ -e $state/$admin ]] || ssh-keygen -q -t ed25519 -N '' -C "$admin@lab-$LAB_ID" -f "$state/$admin"
    if [[ ! -e $state/.env ]]; then
        (
            umask 077
            printf 'PVE_ROOT_PASS=%s\n' "Lab-$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')" >"$state/.env"
        )
    fi
}

root_password() {
    local line
    line=$(<"$state/.env")
    printf '%s' "${line#PVE_ROOT_PASS=}"
}

# Written anew whenever a node comes or goes.
write_operator_files() {
    write_known_hosts "$state/known_hosts"
    write_ssh_config "$state/ssh_config" "$state/known_hosts" yes
    write_ssh_config "$state/ssh_config.strangers" "$state/known_hosts.strangers" ask
    write_site "$state/site.toml"
}

each_node() {
    local dir
    for dir in "$state"/nodes/*/; do
        [[ ! -e $dir/ready ]] || basename "$dir"
    done
}

write_known_hosts() { # FILE
    local name names key
    for name in $(each_node); do
        names=$(node_address "$name"),$(node_address "$name" 6)
        while read -r key; do
            printf '%s %s\n' "$names" "$key"
        done <"$state/nodes/$name/host_keys"
    done >"$1.new"
    mv -f "$1.new" "$1"
}

write_ssh_config() { # FILE KNOWN_HOSTS STRICT
    local name
    {
        for name in $(each_node); do
            host_entries "$name" "$name" "$(node_address "$name")"
            host_entries "$name" "$name-6" "$(node_address "$name" 6)"
        done
        # For the admin also where a node is named by its address.
        printf 'Match user %s\n  IdentityFile %s\n  IdentitiesOnly yes\n\n' "$admin" "$state/$admin"
        printf 'Host *\n  UserKnownHostsFile %s\n  GlobalKnownHostsFile /dev/null\n' "$2"
        printf '  StrictHostKeyChecking %s\n  UpdateHostKeys no\n  ConnectTimeout 10\n' "$3"
    } >"$1.new"
    mv -f "$1.new" "$1"
}

host_entries() { # NAME ALIAS ADDRESS
    printf 'Host %s\n  HostName %s\n  User %s\n\n' "$2" "$3" "$admin"
    printf 'Host %s\n  HostName %s\n  User root\n  PubkeyAuthentication no\n' "$2-root" "$3"
    printf '  PreferredAuthentications keyboard-interactive,password\n  NumberOfPasswordPrompts 1\n\n'
}

write_site() { # FILE
    local name
    {
        printf '# The lab "%s".\nemergency-contact = "whoever runs this test"\nmanagement = ["%s.0/28", "%s::/124"]\n' "$LAB_ID" "$net4" "$net6"
        for name in $(each_node); do
            printf '\n[[host]]\nname = "%s"\naddress = "%s"\n' "$name" "$(node_address "$name")"
        done
        printf '\n[[admin]]\nname = "%s"\nkeys = ["%s"]\nsudo = "nopasswd"\n' "$admin" "$(<"$state/$admin.pub")"
    } >"$1.new"
    mv -f "$1.new" "$1"
}
