# Written by pve-harden (session.umask): files people make in their shells are not for everybody.
# Not for root: containers that are made under a umask stricter than 022 do not start.
# shellcheck shell=sh
case $- in
    *i*) [ "$(id -u)" -lt 1000 ] || umask @UMASK@ ;;
esac
