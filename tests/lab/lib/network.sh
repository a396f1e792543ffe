# shellcheck shell=bash
# The lab's network. A bridge in a namespace of its own; nodes, neighbour, outside and web are namespaces on it; the
# operator is the machine's root namespace with one veth leg. No forwarding, no default route, no uplink.
#
#   10.A.B.0/24    fdXX:XXXX:XXXX::/64     the nodes' subnet
#     .0/28          ::/124                the management network; holds the operator (.2, ::2) and nothing else
#     .32 …          ::20 …                nodes
#     .200           ::c8                  neighbour
#     .250           ::fa                  web: the enterprise repository that answers 401
#   10.A.B+1.0/24  fdXX:XXXX:XXXX:1::/64   outside (.10, ::a), reached by an on-link route

bridge_ns=phl-$LAB_ID-bridge
neighbour_ns=phl-$LAB_ID-neighbour
outside_ns=phl-$LAB_ID-outside
web_ns=phl-$LAB_ID-web
node_ns() { printf 'phl-%s-n-%s' "$LAB_ID" "$1"; }

# Sets net4 (as 10.A.B), out4, net6 (as fdXX:XXXX:XXXX, in the form that addresses are printed in), out6 and leg.
load_network() {
    local slot
    { read -r slot <"$state/slot"; } 2>/dev/null || die "lab \"$LAB_ID\" is not up; bring a node up first: $0 up NAME"
    set_network "$slot"
}

set_network() { # SLOT
    net4=10.$((64 + $1 / 128)).$(($1 % 128 * 2))
    out4=10.$((64 + $1 / 128)).$(($1 % 128 * 2 + 1))
    printf -v net6 'fd70:7665:%x' "$((0x1000 + $1))"
    printf -v out6 '%s:1' "$net6"
    leg=phl$1
}

# A lab's slot names its subnets. It starts from a hash of LAB_ID and moves on past slots that another lab holds or
# whose addresses this machine has a route for.
take_slot() {
    local slot tries
    slot=$((16#$(printf '%s' "$LAB_ID" | sha256sum | cut -c1-7) % 8192))
    for ((tries = 0; tries < 200; tries++)); do
        set_network "$slot"
        if ! slot_is_held "$slot" && ! machine_routes_to "$net4.2" && ! machine_routes_to "$out4.10"; then
            printf '%s\n' "$slot" >"$state/slot"
            return
        fi
        slot=$(((slot + 1) % 8192))
    done
    die "no free subnet for lab \"$LAB_ID\" after $tries tries; end labs you no longer need: LAB_ID=… $0 down --all"
}

slot_is_held() {
    local file
    for file in "$runtime_root"/*/slot; do
        [[ ! -e $file || $file == "$state/slot" || $(<"$file") != "$1" ]] || return 0
    done
    return 1
}

# True when anything but a default route leads there.
machine_routes_to() {
    ip route show table all match "$1" 2>/dev/null | grep -vE '^(default|unreachable default)' | grep -q .
}

ensure_network() {
    [[ ! -e $state/network ]] || return 0
    [[ -e $state/slot ]] || with_lock "$runtime_root/slots.lock" 30 take_slot
    load_network
    new_ns "$bridge_ns"
    ip -n "$bridge_ns" link add br0 type bridge forward_delay 0
    ip -n "$bridge_ns" link set br0 up
    ip link add "$leg" type veth peer name operator netns "$bridge_ns"
    plug operator
    quiet_interface "$leg"
    ip address add "$net4.2/24" dev "$leg"
    ip address add "$net6::2/64" dev "$leg" nodad
    ip link set "$leg" up
    # Connections to outside must never take the machine's default route.
    ip route add "$out4.0/24" dev "$leg"
    ip route add "$out6::/64" dev "$leg"
    attach_host "$neighbour_ns" neighbour "$net4.200/24" "$net6::c8/64"
    attach_host "$outside_ns" outside "$out4.10/24" "$out6::a/64"
    ip -n "$outside_ns" route add "$net4.0/24" dev eth0
    ip -n "$outside_ns" route add "$net6::/64" dev eth0
    attach_host "$web_ns" web "$net4.250/24" "$net6::fa/64"
    : >"$state/network"
}

new_ns() {
    ip netns add "$1"
    ip -n "$1" link set lo up
}

# Joins the bridge side of a veth pair to the bridge.
plug() { # PORT
    ip -n "$bridge_ns" link set "$1" master br0
    ip -n "$bridge_ns" link set "$1" up
}

# IPv6 even where the machine has it off, but no router discovery and no address of the interface's own making.
quiet_interface() {
    local setting
    for setting in disable_ipv6=0 accept_ra=0 autoconf=0 accept_redirects=0; do
        echo "${setting#*=}" >"/proc/sys/net/ipv6/conf/$1/${setting%=*}"
    done
}

attach_host() { # NS PORT ADDRESS4 ADDRESS6
    new_ns "$1"
    ip link add "$2" netns "$bridge_ns" type veth peer name eth0 netns "$1"
    plug "$2"
    ip -n "$1" address add "$3" dev eth0
    ip -n "$1" address add "$4" dev eth0 nodad
    ip -n "$1" link set eth0 up
}

# A container's network starts afresh with each boot, as its rules and kernel settings would.
container_connect() { # NAME
    local ns port command
    ns=$(node_ns "$1")
    port=n$(<"$state/nodes/$1/number")
    container_disconnect "$1"
    new_ns "$ns"
    ip link add "$port" netns "$bridge_ns" type veth peer name nic0 address "$(node_mac "$1")" netns "$ns"
    plug "$port"
    [[ ! -e $state/nodes/$1/cut ]] || ip -n "$bridge_ns" link set "$port" down
    while read -ra command; do
        ip -n "$ns" "${command[@]}"
    done < <(node_network_commands "$1")
}

container_disconnect() { # NAME
    local ns
    ns=$(node_ns "$1")
    end_namespace_processes "$ns"
    [[ ! -e /run/netns/$ns ]] || ip netns delete "$ns"
    # The pair ends with the namespace, but not before the kernel has finished with it.
    wait_until 10 port_is_gone "n$(<"$state/nodes/$1/number")" || die "$1: its old network did not end within 10s"
}

# As the installer sets a node up: the address is on a bridge over the card. Arguments of ip, a command per line.
node_network_commands() { # NAME
    cat <<COMMANDS
link add vmbr0 address $(node_mac "$1") type bridge forward_delay 0
link set nic0 master vmbr0
link set nic0 up
address add $(node_address "$1")/24 dev vmbr0
address add $(node_address "$1" 6)/64 dev vmbr0 nodad
link set vmbr0 up
route add $out4.0/24 dev vmbr0
route add $out6::/64 dev vmbr0
COMMANDS
}

node_mac() { # NAME
    local slot number
    slot=$(<"$state/slot")
    number=$(<"$state/nodes/$1/number")
    printf '02:70:76:%02x:%02x:%02x\n' "$((slot >> 8))" "$((slot & 255))" "$number"
}

port_is_gone() { ! ip -n "$bridge_ns" link show "$1" >/dev/null 2>&1; }

node_address() { # NAME [6]
    local number
    number=$(<"$state/nodes/$1/number")
    if [[ ${2:-4} == 6 ]]; then printf '%s::%x\n' "$net6" "$((32 + number))"; else printf '%s.%d\n' "$net4" "$((32 + number))"; fi
}

# Processes in one of the lab's own namespaces are the lab's, whoever left them there.
end_namespace_processes() { # NS
    local pids
    [[ -e /run/netns/$1 ]] || return 0
    namespace_is_empty "$1" && return
    mapfile -t pids < <(ip netns pids "$1")
    kill -KILL "${pids[@]}" 2>/dev/null || true
    wait_until 10 namespace_is_empty "$1" || die "processes in network namespace $1 did not end within 10s"
}

namespace_is_empty() { [[ -z $(ip netns pids "$1" 2>/dev/null) ]]; }

remove_network() {
    local ns
    for ns in "$neighbour_ns" "$outside_ns" "$web_ns" "$bridge_ns"; do
        [[ -e /run/netns/$ns ]] || continue
        end_namespace_processes "$ns"
        ip netns delete "$ns"
    done
    if [[ -e $state/slot ]]; then
        load_network
        ip link delete "$leg" 2>/dev/null || true
    fi
    rm -f "$state/network" "$state/slot"
}

# Runs a command from a host in one of the lab's namespaces.
run_in_ns() { # NS COMMAND…
    local ns=$1
    shift
    [[ -e /run/netns/$ns ]] || die "lab \"$LAB_ID\" is not up; bring a node up first: $0 up NAME"
    exec nsenter --net="/run/netns/$ns" -- "$@"
}

cut_node() { set_link "$1" down; }
mend_node() { set_link "$1" up; }

set_link() { # NAME up|down
    local port
    require_node "$1"
    port=n$(<"$state/nodes/$1/number")
    if [[ $2 == down ]]; then : >"$state/nodes/$1/cut"; else rm -f "$state/nodes/$1/cut"; fi
    # A node that is off has no link; it comes back in the state remembered here.
    port_is_gone "$port" || ip -n "$bridge_ns" link set "$port" "$2"
}
