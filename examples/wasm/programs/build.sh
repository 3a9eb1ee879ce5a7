#!/bin/sh
# Compiles the programs to WebAssembly again: `NAME.wasm` without LLVM's inlining, and
# `NAME.inlined.wasm` with it. Writes `expected.txt` as well: what they print, compiled for this
# machine, with one round.
#
# Debian's packages clang, lld, wasi-libc and libclang-rt-dev-wasm32 have all that it takes; the
# files in the repository are of clang 14.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
: "${CLANG:=clang}"
options='-std=c11 -Wall -Wextra -Werror -O2'

compile() {
    "$CLANG" --target=wasm32-wasi $options -Wl,--strip-debug "$@"
}

native=$(mktemp)
trap 'rm -f "$native"' EXIT
for source in *.c; do
    name=${source%.c}
    compile -fno-inline "$source" -o "$out/$name.wasm"
    compile "$source" -o "$out/$name.inlined.wasm"
    chmod a-x "$out/$name.wasm" "$out/$name.inlined.wasm"
    "$CLANG" $options -ffp-contract=off "$source" -o "$native" -lm
    "$native" 1
done >"$out/expected.txt"
