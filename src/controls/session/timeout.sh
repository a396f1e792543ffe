# Written by pve-harden (session.timeout): ends idle interactive shells.
# Not exported: an exported TMOUT also ends `read` in scripts.
# shellcheck shell=sh
case $- in
    *i*) (unset TMOUT) 2>/dev/null && readonly TMOUT=@SECONDS@ ;;
esac
