#!/bin/sh
# Puts what the kernel lab needs into a folder of its own: QEMU in a small Debian root, and two of Debian's kernels,
# unpacked and never installed. Prints the folder's name. Does nothing when it is there already.
#
#   lab/fetch.sh            set up if missing
#   lab/fetch.sh --check    only tell whether it is there (exit 0) or not (exit 1)
#
# FERROVS_LAB      the folder; $HOME/.cache/ferrovs/lab if unset
# FERROVS_MIRROR   the Debian mirror; the machine's own one, from apt's sources, if unset
set -eu

dir=${FERROVS_LAB:-${HOME:-/root}/.cache/ferrovs/lab}
root=$dir/root
suite=trixie
# name, suite and version of each kernel: the stable one lacks the upcall attribute of executed packets, the newer one has it.
kernels="6.12:$suite:6.12 7.3:$suite-backports:7.3"

fail() {
    echo "fetch.sh: $*" >&2
    exit 1
}

complete() {
    [ -e "$root/.complete" ] || return 1
    for k in $kernels; do
        [ -e "$dir/kernels/${k%%:*}/.complete" ] || return 1
    done
}

if complete; then
    echo "$dir"
    exit 0
fi
[ "${1:-}" = --check ] && exit 1
[ "$(id -u)" = 0 ] || fail "setting up the lab needs root (debootstrap makes device nodes and a chroot)"
[ "$(uname -m)" = x86_64 ] || fail "the lab is set up on x86_64 only, this is $(uname -m)"

from=$("$(dirname "$0")/../conformance/debian-mirror.sh")
[ -n "$from" ] || fail "no Debian mirror among apt's sources; name one in FERROVS_MIRROR"

if ! command -v debootstrap >/dev/null; then
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap; } >&2 ||
        fail "could not install debootstrap"
fi

mkdir -p "$dir/kernels"
if [ ! -e "$root/.complete" ]; then
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include=busybox-static,kmod "$suite" "$root" "$from" >&2 ||
        fail "debootstrap failed, see $root/debootstrap/debootstrap.log"
    printf 'deb %s %s main\ndeb %s %s-backports main\n' "$from" "$suite" "$from" "$suite" >"$root/etc/apt/sources.list"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
    chroot "$root" sh -c 'apt-get -q -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false update &&
        DEBIAN_FRONTEND=noninteractive apt-get -q -o APT::Sandbox::User=root install -y --no-install-recommends qemu-system-x86 seabios' >&2 ||
        fail "could not install QEMU into $root"
    rm -f "$root"/var/cache/apt/archives/*.deb
    : >"$root/.complete"
fi

# One kernel: its image and modules, whatever packages of this version hold them, unpacked together.
kernel() { # NAME SUITE VERSION
    to=$dir/kernels/$1
    [ -e "$to/.complete" ] && return 0
    rm -rf --one-file-system "$to" "$root/tmp/kernel"
    mkdir -p "$to" "$root/tmp/kernel"
    image=$(chroot "$root" apt-cache search --names-only "^linux-image-$3.*-amd64(-unsigned)?\$" |
        awk '{ print $1 }' | grep -v -e rt- -e cloud -e unsigned | sort -V | tail -n 1)
    [ -n "$image" ] || { echo "fetch.sh: no kernel $3 in $2" >&2; return 1; }
    release=${image#linux-image-}
    for package in "$image" "linux-binary-$release" "linux-modules-$release" "linux-base-$release"; do
        chroot "$root" sh -c "cd /tmp/kernel && apt-get -q -o APT::Sandbox::User=root download -t $2 $package" >&2 2>&1 ||
            [ "$package" != "$image" ] || return 1
    done
    for package in "$root"/tmp/kernel/*.deb; do
        dpkg-deb -x "$package" "$to" || return 1
    done
    rm -rf --one-file-system "$root/tmp/kernel"
    [ -d "$to/usr/lib/modules" ] || { mkdir -p "$to/usr/lib"; mv "$to/lib/modules" "$to/usr/lib/modules"; }
    found=$(cd "$to" && find . -name 'vmlinuz*' -type f | head -n 1)
    [ -n "$found" ] || { echo "fetch.sh: no kernel image in the packages of $image" >&2; return 1; }
    ln -sf "$found" "$to/vmlinuz"
    echo "$release" >"$to/release"
    mkdir -p "$root/tmp/kernel"
    mv "$to" "$root/tmp/kernel/$1"
    chroot "$root" depmod -b "/tmp/kernel/$1/usr" "$release" 2>/dev/null ||
        chroot "$root" sh -c "mkdir -p /tmp/kernel/$1/lib && ln -sfn ../usr/lib/modules /tmp/kernel/$1/lib/modules && depmod -b /tmp/kernel/$1 $release"
    mv "$root/tmp/kernel/$1" "$to"
    : >"$to/.complete"
}
for k in $kernels; do
    old_ifs=$IFS IFS=:
    set -- $k
    IFS=$old_ifs
    kernel "$1" "$2" "$3" || fail "no kernel $1"
done
complete || fail "the set-up finished but something is missing in $dir"
echo "$dir"
