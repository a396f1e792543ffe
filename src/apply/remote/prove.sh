# shellcheck shell=sh
# What a fresh login does: leaves the mark a waiting run needs, or judges the proofs on the node and commits.
# Evaluated after prelude.sh; RUN, TASK (commit, or the name of a mark) and WHO are assigned above.

DIR=/var/lib/pve-harden/runs/$RUN
[ -e "$DIR/open" ] || {
    emit proof 1 'the run is not open any more'
    exit 0
}
# shellcheck source=src/apply/remote/lib.sh
. "$DIR/lib.sh"
# shellcheck source=src/apply/remote/proofs.sh
. "$DIR/proofs.sh"
# shellcheck source=src/apply/remote/firewall.sh
. "$DIR/firewall.sh"

if [ "$TASK" != commit ]; then
    : >"$DIR/proved.$TASK" && emit proof 0 "$WHO"
    exit 0
fi
broken=$(what_broke)
if [ -n "$broken" ]; then
    emit proof 1 "$broken"
    exit 0
fi
if commit "$WHO"; then
    emit proof 0 "$WHO"
else
    emit proof 1 'the run was undone before it could be committed'
fi
