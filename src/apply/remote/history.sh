# shellcheck shell=sh
# The runs of this node, oldest first, a group of frames each. Evaluated after prelude.sh and state.sh.

RUNS=/var/lib/pve-harden/runs
for run_dir in "$RUNS"/[0-9]*; do
    [ -d "$run_dir" ] || continue
    emit run 0 "${run_dir##*/}"
    found=unknown
    for name in new open undoing undone committed refused rolled-back; do
        [ ! -e "$run_dir/$name" ] || found=$name
    done
    emit outcome 0 "$found"
    file meta "$run_dir/meta.json"
    file journal "$run_dir/journal"
    steps=
    changed=
    for entry in "$run_dir"/before/[0-9]*; do
        [ -e "$entry/step" ] || continue
        kind=$(cat "$entry/step")
        subject=
        if [ -e "$entry/path" ]; then
            subject=$(cat "$entry/path")
        elif [ -e "$entry/arguments" ]; then
            subject=$(tr '\n' ' ' <"$entry/arguments")
        fi
        steps="$steps${entry##*/} $kind $subject
"
        if [ "$found" = committed ] && [ -e "$entry/path" ] && changed_after "$run_dir" "$entry" "$subject"; then
            changed="$changed$subject
"
        fi
    done
    emit steps 0 "$steps"
    emit changed 0 "$changed"
done

# What was done outside of runs.
[ ! -e /var/lib/pve-harden/events ] || pack events 0 </var/lib/pve-harden/events
