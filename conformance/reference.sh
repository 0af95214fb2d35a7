#!/bin/sh
# Puts the reference, Open vSwitch 4.0.0 from Debian's unstable suite, into a folder of its own, beside the machine's
# programs and not mixed with them. Prints the folder's name. Does nothing when it is there already.
#
#   conformance/reference.sh            set up if missing
#   conformance/reference.sh --check    only tell whether it is there (exit 0) or not (exit 1)
#
# FERROVS_REFERENCE   the folder; $HOME/.cache/ferrovs/reference if unset
# FERROVS_MIRROR      the Debian mirror; the machine's own one, from apt's sources, if unset
set -eu

dir=${FERROVS_REFERENCE:-${HOME:-/root}/.cache/ferrovs/reference}
done_mark=$dir/.ferrovs-complete

complete() {
    [ -x "$dir/usr/sbin/ovsdb-server" ] && [ -x "$dir/usr/lib/openvswitch-switch/ovs-vswitchd" ] &&
        [ -x "$dir/usr/bin/ovs-ofctl" ] && [ -x "$dir/usr/bin/ovs-testcontroller" ] &&
        { [ -e "$done_mark" ] || [ -e "$dir/usr/share/openvswitch/vswitch.ovsschema" ]; }
}

fail() {
    echo "reference.sh: $*" >&2
    exit 1
}

if complete; then
    echo "$dir"
    exit 0
fi
[ "${1:-}" = --check ] && exit 1
[ "$(id -u)" = 0 ] || fail "setting up the reference needs root (debootstrap makes device nodes and a chroot)"
case $(uname -m) in
x86_64) ;;
*) fail "the reference is set up on x86_64 only, this is $(uname -m)" ;;
esac

from=$("$(dirname "$0")/debian-mirror.sh")
[ -n "$from" ] || fail "no Debian mirror among apt's sources; name one in FERROVS_MIRROR"

if ! command -v debootstrap >/dev/null; then
    command -v apt-get >/dev/null || fail "debootstrap is missing and there is no apt-get to install it with"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap; } >&2 ||
        fail "could not install debootstrap"
fi

# Built beside its final place and renamed, so that an interrupted run leaves nothing half-done behind.
new=$dir.new.$$
trap 'rm -rf --one-file-system "$new"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$(dirname "$dir")"
# debootstrap marks the folder's file system; a folder mounted nodev or noexec cannot hold it.
debootstrap --variant=minbase --include=openvswitch-switch,openvswitch-testcontroller,iproute2 sid "$new" "$from" >&2 ||
    fail "debootstrap failed, see $new/debootstrap/debootstrap.log"

# vtep-ctl and its schema come in a package whose service is not wanted: only its files are taken.
if (cd "$new/tmp" && mkdir vtep && cp -L /etc/resolv.conf "$new/etc/resolv.conf" 2>/dev/null
    chroot "$new" sh -c 'cd /tmp/vtep && apt-get -o APT::Sandbox::User=root download openvswitch-vtep') >&2 2>&1; then
    dpkg-deb -x "$new"/tmp/vtep/*.deb "$new/tmp/vtep/x"
    cp -n "$new/tmp/vtep/x/usr/bin/vtep-ctl" "$new/usr/bin/"
    cp -n "$new/tmp/vtep/x/usr/share/openvswitch/vtep.ovsschema" "$new/usr/share/openvswitch/"
else
    echo "reference.sh: no openvswitch-vtep package: its cases will be skipped" >&2
fi
rm -rf "$new/tmp/vtep" "$new"/var/cache/apt/archives/*.deb
: >"$new/.ferrovs-complete"
rm -rf --one-file-system "$dir"
mv "$new" "$dir"
trap - EXIT
complete || fail "the set-up finished but programs are missing in $dir"
echo "$dir"
