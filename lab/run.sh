#!/bin/bash
# Boots one of the lab's kernels in QEMU (software emulation, no KVM, no network) with this machine's root folder shared
# read-only, runs a command inside as root, and brings back its output and its exit status. What the command writes
# outside of $LAB_OUT is gone when it ends; $LAB_OUT is the folder given by --out.
#
#   lab/run.sh [--kernel 6.12|7.3] [--timeout SECONDS] [--memory MIB] [--out FOLDER] [--console] COMMAND [ARG…]
#
# Exit status: the command's; 124 when the time is up; 125 when the machine does not boot; 77 when the lab is not set up.
# The command starts 6 to 20 s after the call. Modules load on demand, as on an installed system.
set -u

here=$(cd "$(dirname "$0")" && pwd)
kernel=7.3 limit=300 memory=1024 out="" console=no
while [ $# -gt 0 ]; do
    case $1 in
    --kernel) kernel=$2; shift 2 ;;
    --timeout) limit=$2; shift 2 ;;
    --memory) memory=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --console) console=yes; shift ;;
    --) shift; break ;;
    -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { echo "run.sh: no command" >&2; exit 2; }
dir=$("$here/fetch.sh" --check) || { echo "run.sh: the lab is not set up: lab/fetch.sh, as root" >&2; exit 77; }
home=$dir/kernels/$kernel
[ -e "$home/vmlinuz" ] || { echo "run.sh: no kernel $kernel in $dir/kernels" >&2; exit 77; }
release=$(cat "$home/release")
root=$dir/root

work=$(mktemp -d "${TMPDIR:-/tmp}/lab.XXXXXX")
trap 'rm -rf "$work"' EXIT
[ -n "$out" ] || { out=$work/out; mkdir "$out"; }
out=$(cd "$out" && pwd) || exit 2

# The first file system: busybox, the modules that reach the shared folders, and a program that goes on from there.
initrd() {
    local tree=$work/tree module
    mkdir -p "$tree"/{bin,dev,proc,sys,host,upper,modules} && cp "$root/bin/busybox" "$tree/bin/busybox" || return 1
    for module in virtio_pci 9pnet_virtio 9p overlay; do
        dependencies "$module"
    done | awk '!seen[$0]++' >"$tree/modules/order"
    while read -r module; do
        case $module in
        *.xz) xz -dc "$module" >"$tree/modules/$(basename "$module" .xz)" ;;
        *) cp "$module" "$tree/modules/" ;;
        esac || return 1
    done <"$tree/modules/order"
    sed -i 's,.*/,,; s,\.xz$,,' "$tree/modules/order"
    cp "$here/init" "$tree/init" && chmod 755 "$tree/init"
    (cd "$tree" && find . | cpio --quiet -o -H newc 2>/dev/null || find . | "$root/bin/busybox" cpio -o -H newc 2>/dev/null) >"$work/initrd"
}

# The files of a module and of what it needs, in the order in which they load.
dependencies() {
    local base=$home/usr/lib/modules/$release line
    line=$(grep -E "/$1\.ko(\.xz)?:" "$base/modules.dep") || return 0 # built in
    { echo "${line%%:*}"; tr ' ' '\n' <<<"${line#*:}"; } | sed '/^$/d' | tac | sed "s,^,$base/,"
}

initrd || { echo "run.sh: could not make the first file system" >&2; exit 125; }
# Words as any shell reads them.
quoted() {
    local word quote="'\\''"
    for word in "$@"; do printf "'%s' " "${word//\'/$quote}"; done
}
{
    echo "#!/bin/sh"
    echo "export LAB_OUT=/run/lab/out LAB_KERNEL=$kernel PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb"
    echo "cd $(quoted "$PWD") || cd /"
    echo "exec $(quoted "$@")"
} >"$out/.command"
rm -f "$out/.status" "$out/.output"

share() { # TAG FOLDER OPTIONS
    echo -fsdev "local,id=$1,path=$2,security_model=none,multidevs=remap$3" -device "virtio-9p-pci,fsdev=$1,mount_tag=$1"
}
# shellcheck disable=SC2046
timeout --kill-after=5 "$limit" "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" \
    -machine pc -accel tcg,thread=multi -cpu max -smp "$(nproc)" -m "$memory" -nodefaults -no-user-config -display none -no-reboot \
    -serial "file:$work/console" -kernel "$home/vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 net.ifnames=0 lab.modules=$home/usr/lib/modules lab.tools=$root" \
    $(share hostroot / ,readonly=on) $(share labout "$out" "") >"$work/qemu" 2>&1 </dev/null
code=$?
[ $console = yes ] && cat "$work/console" >&2
[ -e "$out/.output" ] && cat "$out/.output"
if [ -e "$out/.status" ]; then
    code=$(cat "$out/.status")
elif [ $code = 124 ] || [ $code = 137 ]; then
    echo "run.sh: not done within $limit s" >&2
    code=124
else
    { echo "run.sh: kernel $kernel did not run the command"; tail -n 20 "$work/qemu" "$work/console"; } >&2
    code=125
fi
rm -f "$out/.output" "$out/.status" "$out/.command"
exit "$code"
