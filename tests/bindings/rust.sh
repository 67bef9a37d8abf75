#!/usr/bin/env bash
# tests/bindings/rust.sh BUILD: the Rust crates against the library of BUILD, installed below it and found by pkg-config: tests, clippy, documentation,
# the example, valgrind, and a build of the library from this source ("vendored"). Ends with "N passed, N failed, N skipped".
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd) || exit 2
work=$build/rust-crates
model=$root/examples/models/llama4-tiny.gguf
passed=0 failed=0 skipped=0

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "FAILED $name"
        tail -n 30 "$work/log"
        failed=$((failed + 1))
        return 1
    fi
}

skip() {
    echo "skipped $1: $2"
    skipped=$((skipped + 1))
}

close() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

mkdir -p "$work"
if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    skip Rust "no cargo here"
    close
fi
export CARGO_TARGET_DIR=$work/target CARGO_TERM_COLOR=never
check "install the library" meson install -C "$build" --destdir "$work/root" --no-rebuild || close
prefix=$(meson introspect "$build" --buildoptions | python3 -c 'import json, sys; print(next(o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"))')
pc=$(find "$work/root" -name llama4.pc | head -n 1)
lib=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$work/root LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
cd "$root/bindings/rust" || exit 2
check "generated declarations" python3 ./generate --check && grep -q '^skipped' "$work/log" && skip "regenerating them" "no bindgen of the right version; the hash agrees"
check "cargo build" cargo build --offline --workspace || close
check "cargo test" env LLAMA4_BUILD="$build" cargo test --offline --workspace
grep -E '^test result' "$work/log"
check "cargo doc" env RUSTDOCFLAGS=-Dwarnings cargo doc --offline --no-deps --workspace
if cargo clippy --version >/dev/null 2>&1; then
    check "cargo clippy" cargo clippy --offline --workspace --all-targets -- -D warnings
else
    skip "cargo clippy" "not installed"
fi
answer() {
    echo "What is 11 + 3?" | cargo run -q --offline -p llama4 --example chat -- "$model" | tee "$work/answer"
    grep -q '11 + 3 = 14' "$work/answer"
}
check "the example chats" answer
if command -v valgrind >/dev/null; then
    program=$(find "$CARGO_TARGET_DIR/debug/deps" -name 'all-*' -type f -perm -u+x -newer "$root/include/llama4/version.h" | head -n 1)
    # A part of the tests: valgrind takes a hundred times as long. It knows no AVX-512, which the tests here do without.
    check "valgrind" valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite "$program" errors lifetimes --test-threads 1
else
    skip valgrind "not installed"
fi
unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
check "vendored" env CARGO_TARGET_DIR="$work/vendored" cargo build --offline -p llama4 --features vendored --example chat
close
