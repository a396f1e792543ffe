# shellcheck shell=sh
# The command of every ssh exec: becomes root, then hands the rest of standard input to $1 (load.sh).
# Line 1 of standard input: "NONCE BASE64-OF-SUDO-PASSWORD" (the second word may be empty).
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
unset ENV BASH_ENV CDPATH LANGUAGE
IFS=" " read -r nonce password || exit 96
me=$(id -un)
refuse() {
    set -- "$1" "$me
$2"
    printf "PVH-%s launcher %s %s\n%s\n" "$nonce" "$1" "${#2}" "$2"
    exit 96
}
[ "$(id -u)" -ne 0 ] || exec sh -c "$1" sh "$me" no "${SSH_CONNECTION-}" "$nonce"
command -v sudo >/dev/null 2>&1 || refuse 1 ""
# A sudo that needs a password says so, reads nothing and ends with 1, which the loader never does.
sudo -n sh -c "$1" sh "$me" yes "${SSH_CONNECTION-}" "$nonce"
status=$?
[ "$status" -eq 1 ] || exit "$status"
[ -n "$password" ] || refuse 2 "$(sudo -n sh -c : 2>&1 </dev/null)"
password=$(printf %s "$password" | base64 -d)
# sudo asks again after a wrong password, and pam_faillock counts each time. So a wrong one is found out before (7 is
# PAM_AUTH_ERR), and the answer that is none counts for it, once.
printf "%s\0" "$password" | unix_chkpwd "$me" nonull >/dev/null 2>&1
[ "$?" -ne 7 ] || refuse 3 "$(sudo -k -S -p "" sh -c : 2>&1 </dev/null)
incorrect password attempt"
# One line, then end of file: sudo cannot take what follows for a second try.
why=$(printf "%s\n" "$password" | sudo -k -S -p "" sh -c : 2>&1) || refuse 3 "$why"
{ printf "%s\n" "$password"; exec cat; } | sudo -k -S -p "" sh -c "$1" sh "$me" yes "${SSH_CONNECTION-}" "$nonce"
