# shellcheck shell=sh
# What became of a run. Evaluated after prelude.sh; RUN and WAIT (seconds to wait for a decision) are assigned above.

DIR=/var/lib/pve-harden/runs/$RUN
if [ ! -d "$DIR" ]; then
    # The run may still be on its way; begin.sh lets it in no more.
    : >"/run/pve-harden.$RUN.dead"
    emit outcome 0 absent
    exit 0
fi
waited=0
while [ "$waited" -lt "$WAIT" ] && { [ -e "$DIR/new" ] || [ -e "$DIR/open" ] || [ -e "$DIR/undoing" ]; }; do
    waited=$((waited + 1))
    sleep 1
done
found=unknown
for name in new open undoing undone committed refused rolled-back; do
    [ ! -e "$DIR/$name" ] || found=$name
done
file journal "$DIR/journal"
emit now 0 "$(date +%s)"
emit outcome 0 "$found"
