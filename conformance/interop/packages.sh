#!/bin/sh
# Fetches the programs of others that conformance/interop.py runs against the switch and the database: os-ken and faucet
# from the Python package index, each into a virtual environment, and OVN from Debian's unstable suite, its files only.
#
#   conformance/interop/packages.sh              all of them
#   conformance/interop/packages.sh osken ovn    some: osken, pyovs, faucet, ovn
#
# FERROVS_INTEROP   the folder; $HOME/.cache/ferrovs/interop if unset
set -eu

dir=${FERROVS_INTEROP:-${HOME:-/root}/.cache/ferrovs/interop}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
failed=0

venv() { # NAME REQUIREMENT
    [ -e "$dir/$1/.complete" ] && return 0
    rm -rf --one-file-system "${dir:?}/$1"
    python3 -m venv "$dir/$1" && "$dir/$1/bin/pip" install -q --disable-pip-version-check "$2" && : >"$dir/$1/.complete"
}

# The reference's own chroot knows the mirror and keeps its package lists; OVN's files are unpacked, nothing is installed.
ovn() {
    [ -e "$dir/ovn/.complete" ] && return 0
    [ "$(id -u)" = 0 ] || { echo "packages.sh: OVN needs root (it uses the reference's chroot)" >&2; return 1; }
    root=$("$here/../reference.sh") || return 1
    cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
    rm -rf --one-file-system "$root/tmp/ovn" "$dir/ovn"
    mkdir -p "$root/tmp/ovn" "$dir/ovn"
    chroot "$root" sh -c 'cd /tmp/ovn && { apt-get -q -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false update;
        apt-get -q -o APT::Sandbox::User=root download ovn-common ovn-central ovn-host; }' >&2 || return 1
    for package in "$root"/tmp/ovn/*.deb; do
        dpkg-deb -x "$package" "$dir/ovn" || return 1
    done
    rm -rf --one-file-system "$root/tmp/ovn"
    : >"$dir/ovn/.complete"
}

for wanted in ${*:-osken pyovs faucet ovn}; do
    case $wanted in
    pyovs) venv pyovs ovs==4.0.0 ;;
    osken) venv osken os-ken==4.2.2 ;;
    faucet) venv faucet faucet==1.10.12 ;;
    ovn) ovn ;;
    *) echo "packages.sh: unknown '$wanted', known are osken, pyovs, faucet, ovn" >&2; exit 2 ;;
    esac || { echo "packages.sh: no $wanted" >&2; failed=1; }
done
exit $failed
