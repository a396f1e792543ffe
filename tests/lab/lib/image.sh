# shellcheck shell=bash
# The cached images: one root filesystem and one apt repository per PVE version, and on demand a VM disk made of both.

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Everything that goes into an image decides its name, so a stale one is never used.
image_of() { # PVE
    local digest
    digest=$({
        cat "$lab_dir"/lib/{packages,image}.sh
        find "$lab_dir/files/image" -type f -print0 | sort -z | xargs -0 cat
        cat "$authority/ca.crt" "$authority/archive-key.gpg"
        debian_sources "$(suite_of "$1")"
    } | sha256sum)
    printf '%s/pve%s-%s\n' "$cache" "$1" "${digest:0:16}"
}

# The machine's own Debian mirrors, as "URI RELEASE" lines; nothing on a machine that is not Debian.
configured_mirrors() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null | sort -u |
        grep -E ' (buster|bullseye|bookworm|trixie|forky|sid|(old)*stable|testing)(-updates|-security)?$' || true
}

# One-line apt sources for a suite: main, updates and security where the machine has them too.
debian_sources() { # SUITE
    local configured mirror security
    configured=$(configured_mirrors)
    mirror=${LAB_MIRROR:-$(awk '$2 !~ /-/ {print $1; exit}' <<<"$configured")}
    security=$(awk '$2 ~ /-security$/ {print $1; exit}' <<<"$configured")
    [[ -n $mirror ]] || die "this machine's apt has no Debian mirror: name one, as: LAB_MIRROR=http://… $0 up …"
    printf 'deb [signed-by=%s] %s %s main\n' "$debian_keyring" "$mirror" "$1"
    if grep -q -- '-updates$' <<<"$configured"; then
        printf 'deb [signed-by=%s] %s %s-updates main\n' "$debian_keyring" "$mirror" "$1"
    fi
    if [[ -n $security ]]; then
        printf 'deb [signed-by=%s] %s %s-security main\n' "$debian_keyring" "$security" "$1"
    fi
}

# How this machine reaches its mirrors (proxy, snapshot mirrors with old dates) holds for the image too.
apt_transport_options() {
    apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|Retries|https?::(Proxy|Timeout))[^ ]* "[^"]+";$' || true
}

ensure_image() { # PVE
    local image
    image=$(image_of "$1")
    [[ -e $image/complete ]] || {
        require_prerequisites image
        with_lock "$image.lock" 900 build_image "$1" "$image"
    }
    : >"$image/used"
}

build_image() { # PVE DIR
    local pve=$1 image=$2 suite started=$SECONDS work log
    [[ ! -e $image/complete ]] || return 0
    suite=$(suite_of "$pve")
    work=$image.work
    log=$image.log
    say "building the PVE $pve image ($suite), about a minute and a half; log: $log"
    rm -rf --one-file-system "$work" "$image"
    mkdir -p "$work/debs" "$work/repo/pool"
    : >"$log"
    apt_transport_options >"$work/apt.conf"
    debian_sources "$suite" >"$work/sources.list"
    export lab_dir authority work pve suite
    # A failing command ends the build here; `||` on a function would switch errexit off inside it.
    trap 'image_build_failed "$pve" "$log"' EXIT
    make_pve_packages "$pve" "$work/debs"
    mmdebstrap --mode=root --variant=minbase --skip=essential/unlink,cleanup/reproducible \
        --include="$(IFS=,; echo "${node_packages[*]}")" \
        --aptopt="$work/apt.conf" --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
        --customize-hook="$lab_dir/files/image/customize \"\$1\"" \
        "$suite" "$work/root" - <"$work/sources.list" >"$log" 2>&1
    make_repository "$work" "$suite" >>"$log" 2>&1
    rm -rf "$work/debs"
    date -u +%FT%TZ >"$work/complete"
    mv "$work" "$image"
    forget_old_images
    trap - EXIT
    say "PVE $pve image ready after $((SECONDS - started))s: $image"
}

# Images that nothing has been started from for a week; other work trees of this machine may want others than this one.
forget_old_images() {
    local stamp old
    find "$cache" -mindepth 2 -maxdepth 2 -name used -mtime +7 -print | while read -r stamp; do
        old=${stamp%/used}
        grep -qxF "$old" "$runtime_root"/*/nodes/*/image 2>/dev/null || rm -rf --one-file-system "$old" "$old".{log,lock,vm.log}
    done
}

image_build_failed() { # PVE LOG
    tail -n 25 "$2" >&2 || true
    say "the PVE $1 image could not be built; no node was touched; whole log: $2"
}

# Empty packages under PVE's names, so that dpkg and apt know what a node has.
make_pve_packages() { # PVE OUTDIR
    local name version tree depends
    while read -r name version; do
        tree=$2/$name
        depends=$(pve_dependencies "$name")
        mkdir -p "$tree/DEBIAN"
        {
            printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Lab <root@localhost>\n' \
                "$name" "$version" "$(dpkg --print-architecture)"
            printf 'Section: admin\nPriority: optional\n'
            [[ -z $depends ]] || printf 'Depends: %s\n' "$depends"
            printf 'Description: %s as the lab has it\n Only the name and the version are real.\n' "$name"
        } >"$tree/DEBIAN/control"
        dpkg-deb --root-owner-group -Znone --build "$tree" "$2/${name}_$version.deb" >/dev/null
        rm -r "$tree"
    done < <(pve_packages "$1")
}

make_repository() { # DIR SUITE
    (
        cd "$1/repo" || exit
        local dist arch
        arch=$(dpkg --print-architecture)
        for dist in "$2" "$2-updates" "$2-security"; do
            mkdir -p "dists/$dist/main/binary-$arch"
            : >"dists/$dist/main/binary-$arch/Packages"
        done
        apt-ftparchive packages pool >"dists/$2/main/binary-$arch/Packages"
        for dist in "$2" "$2-updates" "$2-security"; do
            local label=Debian
            [[ $dist != *-security ]] || label=Debian-Security
            apt-ftparchive -o APT::FTPArchive::Release::Origin=Debian -o APT::FTPArchive::Release::Label=$label \
                -o APT::FTPArchive::Release::Suite="$dist" -o APT::FTPArchive::Release::Codename="$dist" \
                -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures="$arch" \
                release "dists/$dist" >Release.new
            mv Release.new "dists/$dist/Release"
            GNUPGHOME=$authority/gnupg gpg --batch --quiet --yes --digest-algo SHA512 --clearsign \
                -o "dists/$dist/InRelease" "dists/$dist/Release"
        done
    )
    GNUPGHOME=$authority/gnupg gpgconf --kill all || true
}
