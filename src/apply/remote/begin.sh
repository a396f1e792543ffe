# shellcheck shell=sh
# Receives a run and starts it, then tells its journal line by line until the run is decided. Runs over the
# operator's connection, after prelude.sh, with the run's folder as a tar archive on standard input; RUN is assigned
# above. The run itself is a unit of its own: this program may die at any line without changing its outcome.

RUNS=/var/lib/pve-harden/runs
DIR=$RUNS/$RUN

mkdir -p "$RUNS" && chmod 0700 /var/lib/pve-harden "$RUNS" || {
    emit refused 0 'the folder /var/lib/pve-harden/runs could not be made'
    exit 0
}
# What earlier runs left that never began; younger ones may belong to somebody who is at it right now.
find "$RUNS" -mindepth 1 -maxdepth 1 -name ".*.new" -mmin +60 -exec rm -rf {} +
find /run -maxdepth 1 -name "pve-harden.*.dead" -mmin +60 -exec rm -f {} +
for old in "$RUNS"/*/new "$RUNS"/*/refused; do
    [ -n "$(find "$old" -mmin +2 2>/dev/null)" ] || continue
    old=${old%/*}
    systemctl -q is-active "pve-harden-apply-${old##*/}" || rm -rf "$old"
done

receive() {
    [ ! -e "/run/pve-harden.$RUN.dead" ] && mkdir -m 0700 "$RUNS/.$RUN.new" &&
        tar -x -f - -C "$RUNS/.$RUN.new" --no-same-owner && : >"$RUNS/.$RUN.new/new" && : >"$RUNS/.$RUN.new/journal" &&
        [ ! -e "/run/pve-harden.$RUN.dead" ] && mv -T "$RUNS/.$RUN.new" "$DIR"
}

if ! receive 2>/dev/null; then
    rm -rf "$RUNS/.$RUN.new"
    emit refused 0 'the run did not arrive whole (is the disk full?)'
    exit 0
fi

start_error=$(systemd-run --quiet --collect --unit="pve-harden-apply-$RUN" --property=Type=exec \
    --property=KillMode=mixed --property=TimeoutStopSec=30 --property=OOMScoreAdjust=-900 \
    --property="ExecStopPost=-/bin/sh $DIR/undo.sh exit" \
    --property=Environment=HOME=/root /bin/sh "$DIR/apply.sh" 2>&1) || {
    rm -rf "$DIR"
    emit refused 0 "systemd would not start the run: $start_error"
    exit 0
}

seen=0
decided=
quiet=0
while [ -z "$decided" ] && [ -d "$DIR" ]; do
    total=$(wc -l <"$DIR/journal") || break
    while [ "$seen" -lt "$total" ]; do
        seen=$((seen + 1))
        line=$(sed -n "${seen}p" "$DIR/journal")
        emit journal 0 "$line"
        case ${line#* } in
        'committed '* | undone | 'refused '*) decided=yes ;;
        esac
    done
    [ -z "$decided" ] || break
    sleep 0.1
    # Decided, but whoever should have written it down did not: the operator's side asks for the outcome then.
    [ -e "$DIR/new" ] || [ -e "$DIR/open" ] || [ -e "$DIR/undoing" ] || quiet=$((quiet + 1))
    [ "$quiet" -lt 100 ] || break
done
[ ! -e "$DIR/refused" ] || rm -rf "$DIR"
