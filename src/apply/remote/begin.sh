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
for old in "$RUNS"/.*.new; do
    [ ! -d "$old" ] || rm -rf "$old"
done
for old in "$RUNS"/*/refused; do
    [ ! -e "$old" ] || rm -rf "${old%/refused}"
done

receive() {
    mkdir -m 0700 "$RUNS/.$RUN.new" &&
        tar -x -f - -C "$RUNS/.$RUN.new" --no-same-owner && : >"$RUNS/.$RUN.new/new" && : >"$RUNS/.$RUN.new/journal" &&
        mv -T "$RUNS/.$RUN.new" "$DIR"
}

if ! receive 2>/dev/null; then
    rm -rf "$RUNS/.$RUN.new"
    emit refused 0 'the run did not arrive whole (is the disk full?)'
    exit 0
fi

start_error=$(systemd-run --quiet --collect --unit="pve-harden-apply-$RUN" --property=Type=exec \
    --property=TimeoutStopSec=5 --property=OOMScoreAdjust=-900 --property="ExecStopPost=/bin/sh $DIR/undo.sh exit" \
    --property=Environment=HOME=/root /bin/sh "$DIR/apply.sh" 2>&1) || {
    rm -rf "$DIR"
    emit refused 0 "systemd would not start the run: $start_error"
    exit 0
}

seen=0
decided=
while [ -z "$decided" ]; do
    total=$(wc -l <"$DIR/journal")
    while [ "$seen" -lt "$total" ]; do
        seen=$((seen + 1))
        line=$(sed -n "${seen}p" "$DIR/journal")
        emit journal 0 "$line"
        case ${line#* } in
        'committed '* | undone | 'refused '*) decided=yes ;;
        esac
    done
    [ -n "$decided" ] || sleep 0.1
done
[ ! -e "$DIR/refused" ] || rm -rf "$DIR"
