# pve-harden: interactive shells that are not login shells, too.
# shellcheck shell=sh
for pve_harden_file in /etc/profile.d/pve-harden-*.sh; do
    # shellcheck source=/dev/null
    [ ! -r "$pve_harden_file" ] || . "$pve_harden_file"
done
unset pve_harden_file
