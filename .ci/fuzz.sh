#!/bin/bash
# Runs every fuzz target for a number of seconds (10 if none is given), from its seeds and from what earlier runs found.
#     .ci/fuzz.sh [SECONDS [TARGET…]]
# Needs a nightly compiler (exit 77 without one) and installs cargo-fuzz beside the other tools. FERROVS_FUZZ_SANITIZER is
# `none` unless it says otherwise: most of the code has no `unsafe` for an address sanitizer to watch.
set -u
cd "$(dirname "$0")/../fuzz" || exit 1
seconds=${1:-10}
shift
tools=${HOME:-/root}/.cache/ferrovs/tools
fuzz_version=0.13.1
target_dir=${CARGO_TARGET_DIR:-$PWD/../target}/fuzz
sanitizer=${FERROVS_FUZZ_SANITIZER:-none}

cargo +nightly --version >/dev/null 2>&1 || { echo "no nightly compiler: nothing is fuzzed"; exit 77; }
command -v c++ >/dev/null || { echo "no C++ compiler, which the fuzzing library needs"; exit 77; }
if [ "$("$tools/bin/cargo-fuzz" --version 2>/dev/null)" != "cargo-fuzz $fuzz_version" ]; then
    CARGO_TARGET_DIR=$tools/build cargo install --quiet --debug --locked --root "$tools" --version "$fuzz_version" \
        --force cargo-fuzz || exit 1
    rm -rf "$tools/build"
fi
fuzz() { "$tools/bin/cargo-fuzz" "$@"; }
export PATH=$tools/bin:$PATH RUSTUP_TOOLCHAIN=nightly

fuzz build --sanitizer "$sanitizer" --target-dir "$target_dir" || exit 1
[ $# = 0 ] && { mapfile -t all < <(fuzz list); set -- "${all[@]}"; }
failed=()
for target in "$@"; do
    mkdir -p "corpus/$target"
    log=$(mktemp)
    if fuzz run --sanitizer "$sanitizer" --target-dir "$target_dir" "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1; then
        printf '%-16s %s inputs in %s s\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds"
    else
        failed+=("$target")
        grep -av '^[[:space:]]*\[' "$log" | tail -n 50 | cut -c1-400
    fi
    rm -f "$log"
done
[ ${#failed[@]} = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
