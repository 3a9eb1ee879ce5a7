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
options='-Wall -Wextra -Werror -O2'

# The programs in C++ need neither its library nor its runtime.
language() {
    case $1 in
    *.cpp) echo '-std=c++17 -fno-exceptions -fno-rtti' ;;
    *) echo '-std=c11' ;;
    esac
}

compile() {
    "$CLANG" --target=wasm32-wasi $(language "$source") $options -Wl,--strip-debug "$@"
}

native=$(mktemp)
trap 'rm -f "$native"' EXIT
for source in *.c *.cpp; do
    name=${source%.*}
    compile -fno-inline "$source" -o "$out/$name.wasm"
    compile "$source" -o "$out/$name.inlined.wasm"
    chmod a-x "$out/$name.wasm" "$out/$name.inlined.wasm"
    "$CLANG" $(language "$source") $options -ffp-contract=off "$source" -o "$native" -lm
    "$native" 1
done >"$out/expected.txt"
