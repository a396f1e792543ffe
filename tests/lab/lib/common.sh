# shellcheck shell=bash
# Ground shared by every part of the lab: where things lie, messages, bounded waits, processes known by id.

lab_repo=$(cd -- "$lab_dir/../.." && pwd)

LAB_ID=${LAB_ID:-lab}
# Everything that lives only while labs are up; /run, so that a reboot of the machine leaves no stale state.
runtime_root=/run/pve-harden-lab
state=$runtime_root/$LAB_ID
cache=${XDG_CACHE_HOME:-/var/cache}/pve-harden-lab
# VM disks are too large for /run.
vm_disks=$cache/disks/$LAB_ID

say() { printf 'lab: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

usage_error() {
    say "$*"
    say "see $lab_dir/README.md, or: $0 help"
    exit 2
}

# LAB_ID and node names become parts of paths, host names and interface names.
check_name() { # WHAT VALUE
    [[ $2 =~ ^[a-z][a-z0-9-]{0,15}$ ]] || usage_error "$1 \"$2\": use 1 to 16 of a-z, 0-9 and -, a letter first"
}

require_root() { ((EUID == 0)) || die "needs root (namespaces, mounts, overlayfs): run it again as: sudo $0"; }

# Makes the state folder of this lab, closed to everybody else.
open_state() {
    mkdir -p "$runtime_root"
    [[ -d $state ]] || mkdir -m 0700 "$state"
    mkdir -p "$state/nodes" "$state/clusters"
}

# Runs a command while holding an exclusive lock; the lock file's descriptor is not inherited by what it starts in
# the background, because background starters close descriptor 9 (see `detached`).
with_lock() { # FILE SECONDS COMMAND…
    local file=$1 seconds=$2
    shift 2
    mkdir -p "${file%/*}"
    (
        flock -w "$seconds" 9 || die "waited ${seconds}s for another lab command to release $file"
        "$@"
    ) 9>"$file"
}

# Polls until the command succeeds. Fails after SECONDS, leaving the message to the caller.
wait_until() { # SECONDS COMMAND…
    local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
        sleep 0.1
    done
}

# A process is recorded as "PID STARTTIME": a pid alone may have been given to somebody else since.
start_time() { # PID
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    # After the command name, field 1 is the state; the start time is the 20th.
    read -ra stat <<<"$stat"
    [[ ${stat[0]} != [ZX] ]] || return 1
    printf '%s\n' "${stat[19]}"
}

record_process() { # FILE PID
    local started
    started=$(start_time "$2") || return 1
    printf '%s %s\n' "$2" "$started" >"$1.new"
    mv -f "$1.new" "$1"
}

# Prints the recorded process's pid if that very process is alive.
recorded_pid() { # FILE
    local pid started
    { read -r pid started <"$1"; } 2>/dev/null || return 1
    [[ $(start_time "$pid") == "$started" ]] || return 1
    printf '%s\n' "$pid"
}

recorded_is_gone() { ! recorded_pid "$1" >/dev/null; }

end_recorded() { # FILE [SIGNAL]
    local pid
    if pid=$(recorded_pid "$1"); then
        kill -s "${2:-KILL}" "$pid" 2>/dev/null || true
        wait_until 10 recorded_is_gone "$1" || die "process $pid (recorded in $1) did not end within 10s"
    fi
    rm -f "$1"
}

# Starts a command in its own session with nothing of the caller's held open, output to a log.
detached() { # LOG COMMAND…
    local log=$1
    shift
    setsid -f "$@" </dev/null >>"$log" 2>&1 9>&-
}

is_mounted() { mountpoint -q "$1"; }

unmount() { # DIR
    is_mounted "$1" || return 0
    umount "$1" 2>/dev/null || umount -l "$1"
}
