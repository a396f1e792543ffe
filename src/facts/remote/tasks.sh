# Worker tasks of this node that still run.
# shellcheck shell=sh

# /var/log/pve/tasks/active keeps a line per recent task, "UPID SAVED [END [STATUS]]" (pve-common, PVE/RESTEnvironment.pm);
# one without an end whose process is gone was left by a crash or a reboot.
tasks() {
    [ -e /var/log/pve/tasks/active ] || return 0
    head -c 1048576 /var/log/pve/tasks/active | while read -r task_upid _ task_end _; do
        [ -z "$task_end" ] || continue
        if task_lives "$task_upid"; then printf '%s\n' "$task_upid"; fi
    done
}

# The process has the number and the start time (field 22 of proc(5) stat, in clock ticks since the boot) of the UPID. The
# last colon of a UPID is part of it. What is no UPID is left to the reader.
task_lives() {
    case $1 in UPID:*:*:*:*:*:*:*:) ;; *) return 0 ;; esac
    task_pid=${1#UPID:*:}
    task_start=${task_pid#*:}
    task_pid=${task_pid%%:*}
    task_start=${task_start%%:*}
    case $task_pid$task_start in *[!0-9A-Fa-f]*) return 0 ;; esac
    task_stat=$(cat "/proc/$((0x$task_pid))/stat" 2>/dev/null) || return 1
    [ "$(printf '%s\n' "${task_stat##*) }" | cut -d' ' -f20)" = "$((0x$task_start))" ]
}
run tasks tasks
