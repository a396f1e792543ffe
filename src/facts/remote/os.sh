# The operating system beneath PVE: kernel, modules, processor, apt's effective settings, memory merging, clock, mounts.
#   PVH_SYSCTL   names of kernel settings, dots as in sysctl(8)
#   PVH_MODULES  names of kernel modules
#   PVH_PENDING  yes: let apt tell what an upgrade would bring
# shellcheck shell=sh disable=SC2154

: "${PVH_SYSCTL:=}" "${PVH_MODULES:=}" "${PVH_PENDING:=}"

# One line per setting: name, "rw", "ro" (a container's /proc/sys) or "-" (this kernel has none), value; tabs between.
kernel_settings() {
    printf '%s\n' "$PVH_SYSCTL" | while IFS= read -r setting; do
        [ -n "$setting" ] || continue
        setting_file=/proc/sys/$(printf '%s' "$setting" | tr . /)
        if [ ! -e "$setting_file" ]; then
            printf '%s\t-\t\n' "$setting"
        else
            setting_access=ro
            [ ! -w "$setting_file" ] || setting_access=rw
            printf '%s\t%s\t%s\n' "$setting" "$setting_access" "$(head -c 256 "$setting_file" 2>/dev/null | tr '\n\t' '  ')"
        fi
    done
}
[ -z "$PVH_SYSCTL" ] || run os.sysctl kernel_settings

# loaded NAME; file NAME (this kernel has it as a module); install NAME COMMAND and blacklist NAME (modprobe's own view of
# /etc/modprobe.d and the rest).
kernel_modules() {
    printf '%s\n' "$PVH_MODULES" | awk -v kernel="$(uname -r)" '
        NF { wanted[$1] = 1 }
        END {
            while ((getline line < "/proc/modules") > 0) { split(line, part, " "); if (part[1] in wanted) print "loaded " part[1] }
            folder = "/lib/modules/" kernel
            while ((getline line < (folder "/modules.dep")) > 0) {
                split(line, part, ":"); name = part[1]; sub(/.*\//, "", name); sub(/\.ko.*/, "", name); gsub(/-/, "_", name)
                if (name in wanted) print "file " name
            }
        }'
    [ -e "/lib/modules/$(uname -r)/modules.dep" ] || echo 'no-modules'
    command -v modprobe >/dev/null 2>&1 || return 0
    modprobe -c 2>/dev/null | awk '
        $1 == "install" { name = $2; gsub(/-/, "_", name); $1 = $2 = ""; sub(/^ +/, ""); print "install " name " " substr($0, 1, 200) }
        $1 == "blacklist" { name = $2; gsub(/-/, "_", name); print "blacklist " name }'
}
[ -z "$PVH_MODULES" ] || run os.modules kernel_modules

running_kernel() {
    printf 'release %s\n' "$(uname -r)"
    printf 'virtual %s\n' "$(systemd-detect-virt 2>/dev/null)"
    [ ! -e /run/reboot-required ] && [ ! -e /var/run/reboot-required ] || echo 'reboot-required'
    awk -F: '
        /^vendor_id/ && !vendor { vendor = $2; print "vendor" vendor }
        /^microcode/ && !revision { revision = $2; print "microcode" revision }
        /^flags/ && !flags { flags = 1; if ((" " $2 " ") ~ / hypervisor /) print "hypervisor" }' /proc/cpuinfo
    for vulnerability in /sys/devices/system/cpu/vulnerabilities/*; do
        [ ! -r "$vulnerability" ] || printf 'vulnerability %s %s\n' "${vulnerability##*/}" "$(head -c 200 "$vulnerability" | tr '\n' ' ')"
    done
    [ ! -r /sys/kernel/security/lockdown ] || printf 'lockdown %s\n' "$(head -c 100 /sys/kernel/security/lockdown)"
    [ ! -d /sys/firmware/efi ] || echo efi
    # The last of five bytes; the first four are attributes (UEFI specification, 3.3).
    for variable in /sys/firmware/efi/efivars/SecureBoot-*; do
        [ ! -r "$variable" ] || printf 'secure-boot %s\n' "$(od -An -tu1 -j4 -N1 "$variable" 2>/dev/null | tr -d ' ')"
    done
    [ ! -r /sys/module/apparmor/parameters/enabled ] || printf 'apparmor %s\n' "$(cat /sys/module/apparmor/parameters/enabled)"
    [ ! -r /sys/kernel/mm/ksm/run ] || printf 'ksm %s %s\n' "$(cat /sys/kernel/mm/ksm/run)" "$(cat /sys/kernel/mm/ksm/pages_sharing 2>/dev/null)"
    awk '$1 == "MemAvailable:" { print "available-kib " $2 }' /proc/meminfo
    awk '{ n = split($4, option, ","); set = ""; for (i = 1; i <= n; i++) if (option[i] ~ /^(nodev|nosuid|noexec|ro)$/) set = set "," option[i]
           if ($2 ~ /^\/(tmp|var|var\/tmp|var\/log|var\/lib\/vz|home|dev\/shm)?$/) print "mount " $2 " " $3 " " substr(set, 2) }' /proc/mounts
}
run os.kernel running_kernel

# The clock: what systemd says of it, and chrony's own view where it runs.
clock() {
    timeout 5 timedatectl show -p NTP -p NTPSynchronized -p CanNTP 2>/dev/null
    if command -v chronyc >/dev/null 2>&1; then
        timeout 5 chronyc -n -c sources 2>/dev/null | awk -F, '{ print "source " $2 " " $3 }' | head -n 64
    fi
    return 0
}
run os.clock clock

# apt's settings as apt itself has them after all its files.
# shellcheck disable=SC2016
missing apt-config os.apt || run os.apt sh -c '
    apt-config dump --no-empty 2>/dev/null |
        grep -E "^(APT::Periodic|Unattended-Upgrade|APT::Get::AllowUnauthenticated|Acquire::Allow)" | head -c 65536
    test -d /etc/apt'

pending() {
    LC_ALL=C DEBIAN_FRONTEND=noninteractive timeout -k 5 60 apt-get -s -q -y \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= dist-upgrade 2>&1 </dev/null |
        grep -E '^(Inst|E:) ' | head -c 262144
    # The lists carry the mirror's times; when they came is their inode's, and an update that found nothing new still
    # works in partial/.
    [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' 2>/dev/null | head -n 1)" ] ||
        printf 'lists %s\n' "$(find /var/lib/apt/lists -maxdepth 1 \( ! -type d -printf '%C@\n' -o -name partial -printf '%T@\n' \) 2>/dev/null |
            sort -n | tail -n 1 | cut -d. -f1)"
    return 0
}
if [ "$PVH_PENDING" = yes ]; then missing apt-get os.pending || run os.pending pending; fi
