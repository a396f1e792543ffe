# shellcheck shell=sh
# What a fresh login does: leaves the mark a waiting run needs, or judges the proofs on the node and commits.
# Evaluated after prelude.sh; RUN, TASK (commit, or the name of a
# mark) and WHO are assigned above.

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
complaint=$(firewall_complaint)
if [ -n "$complaint" ]; then
    emit proof 1 "$complaint"
    exit 0
fi

if [ -e "$DIR/baseline.web" ] && ! web_answers; then
    emit proof 1 'port 8006 answered before and does not answer now'
    exit 0
fi
if [ -s "$DIR/baseline.peers" ]; then
    while read -r peer_name peer_address peer_rest; do
        grep -qxF -- "$peer_name $peer_address" "$DIR/baseline.peers" && echo "$peer_name $peer_address $peer_rest"
    done <"$DIR/peers" >"$DIR/peers.again"
    peers_reachable "$DIR/peers.again" >"$DIR/peers.now"
    missing=$(grep -vxF -f "$DIR/peers.now" -- "$DIR/baseline.peers" | cut -d' ' -f1 | tr '\n' ' ')
else
    missing=
fi
if [ -n "$missing" ]; then
    emit proof 1 "root's key login between this node and $missing worked before and does not now"
    exit 0
fi
if commit "$WHO"; then
    emit proof 0 "$WHO"
else
    emit proof 1 'the run was undone before it could be committed'
fi
