# shellcheck shell=sh
# The floor of a first apply: the writes of a recorded run, one after the other, as a person would put them into a script. No
# journal, no saved state, no guard, no proof. $1 is a folder with steps.sh and data/ of that run.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
dir=$1
# Sourced by steps.sh: what only a guarded run has to do.
# shellcheck disable=SC2317,SC2329
nothing() { :; }
alias stage=nothing proof=nothing password_proof=nothing firewall_proof=nothing gate=nothing

install_packages() { # NAME…
    apt-get -q update >/dev/null 2>&1 || true # the enterprise repository answers 401
    apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install "$@" </dev/null >/dev/null 2>&1
}

step() { # NUMBER KIND ARGUMENTS…
    number=$1 kind=$2
    shift 2
    case $kind in
    file)
        if [ ! -e "$dir/data/$number.after" ]; then
            rm -f "$1"
            return
        fi
        case $1 in
        /etc/pve/*) cat "$dir/data/$number.after" >"$1" ;;
        *) install -m "$2" -o "$3" -g "$4" "$dir/data/$number.after" "$1" ;;
        esac
        ;;
    directory) install -d -m "$2" -o "$3" -g "$4" "$1" ;;
    packages) install_packages "$@" ;;
    pam-profiles) pam-auth-update --package "$@" </dev/null ;;
    group) groupadd -f "$1" ;;
    user) useradd -m -d "$4" -s "$3" -c "$2" ${5:+-G "$5"} "$1" ;;
    user-groups) usermod -aG "$2" "$1" ;;
    user-password) printf '%s:*\n' "$1" | chpasswd -e ;; # a run does not keep the hash
    user-aging) chage -m "$2" -M "$3" -W "$4" -I "$5" "$1" ;;
    sysctl) sysctl -qw "$@" ;;
    unit)
        case $2 in
        enable-now) systemctl -q enable --now "$1" ;;
        disable-now) systemctl -q disable --now "$1" ;;
        *) systemctl "$2" "$1" ;;
        esac
        ;;
    *)
        echo "the floor does not know the step $kind" >&2
        exit 1
        ;;
    esac
}

# shellcheck disable=SC1091
. "$dir/steps.sh"
