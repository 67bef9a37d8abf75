#!/usr/bin/env bash
# The Rust crates, against a library installed from a build folder: their tests with today's Rust and with 1.63, clippy, formatting, documentation,
# the generated declarations, the example, the program in the README with the feature "vendored", AddressSanitizer or else valgrind, and what a
# call costs. Nothing is installed or fetched; what is missing here is skipped. Ends with "N passed, N failed, N skipped".
#     rust.sh BUILD_DIR
set -u
build=$(cd "$1" && pwd) || exit 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
crates=$root/bindings/rust
model=$root/examples/models/llama4-tiny.gguf
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
jobs=$(nproc 2>/dev/null || echo 2)
export CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never CARGO_BUILD_JOBS=$jobs
unset RUSTFLAGS RUSTDOCFLAGS CARGO_TARGET_DIR RUSTUP_TOOLCHAIN LLAMA4_LIB_DIR LLAMA4_STATIC LLAMA4_MESON_ARGS LLAMA4_SLOW

close() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

fail() {
    echo "FAILED $1"
    [ -n "${2:-}" ] && tail -n 25 "$2" | sed 's/^/    /'
    failed=$((failed + 1))
}

skip() {
    echo "skipped $1: $2"
    skipped=$((skipped + 1))
}

# check NAME COMMAND...: the command must succeed
check() {
    local name=$1 log=$work/log
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        fail "$name" "$log"
    fi
}

# tests NAME COMMAND...: a run of cargo's tests; what it counts is added up
tests() {
    local name=$1 log=$work/tests.log status good bad
    shift
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    read -r good bad <<<"$(awk '/^test result: / { good += $4; bad += $6 } END { print good + 0, bad + 0 }' "$log")"
    grep -E '^test .* FAILED$' "$log" | sed 's/^test \(.*\) \.\.\. FAILED$/FAILED \1/'
    passed=$((passed + good)) failed=$((failed + bad))
    if [ $status != 0 ] || [ "$good" = 0 ]; then
        [ "$bad" = 0 ] && fail "$name: status $status, $good tests" "$log"
        [ "$bad" = 0 ] || grep -A 6 '^---- ' "$log" | head -n 60
    else
        echo "ok $name: $good tests"
    fi
}

in_crates() {
    (cd "$crates" && "$@")
}

command -v cargo >/dev/null && cargo --version >/dev/null 2>&1 || { skip "Rust" "there is no cargo"; close; }
pkg_config=$(command -v pkg-config || command -v pkgconf) || { skip "Rust" "there is no pkg-config"; close; }
echo "$(rustc --version), $(cargo --version)"
newest=$(rustc --version | awk '{ print $2 }')

# ---- the library, installed for this test alone ----

check "meson install" env DESTDIR="$work/stage" meson install -C "$build" --no-rebuild
pc=$(find "$work/stage" -name llama4.pc | head -n 1)
[ -n "$pc" ] || { fail "no llama4.pc was installed"; close; }
lib=$(dirname "$(dirname "$pc")")
prefix=$("$pkg_config" --variable=prefix "$pc")
mkdir "$work/bin"
cat >"$work/bin/pkg-config" <<END
#!/bin/sh
exec "$pkg_config" --define-variable=prefix="$work/stage$prefix" "\$@"
END
chmod +x "$work/bin/pkg-config"
plain_path=$PATH
export PATH=$work/bin:$PATH PKG_CONFIG_PATH=$(dirname "$pc") LD_LIBRARY_PATH=$lib LLAMA4_PROGRAM=$work/stage$prefix/bin/llama4
unset PKG_CONFIG
check "the program runs" "$LLAMA4_PROGRAM" --version

# ---- the declarations ----

in_step=$work/in-step.log
if "$crates/generate" --check >"$in_step" 2>&1; then
    echo "ok declarations are the header's"
    passed=$((passed + 1))
    grep -q '^skipped' "$in_step" && skip "declarations, made again" "$(sed -n 's/^skipped: //p' "$in_step")"
else
    fail "declarations are the header's" "$in_step"
fi
other_header_is_noticed() {
    local tree=$work/tree
    mkdir -p "$tree/bindings/rust/llama4-sys/src" "$tree/include"
    cp "$crates/generate" "$tree/bindings/rust" && cp "$crates/llama4-sys/src/bindings.rs" "$tree/bindings/rust/llama4-sys/src" &&
        cp -r "$root/include/llama4" "$tree/include" && echo "/* */" >>"$tree/include/llama4/llama4.h" && ! "$tree/bindings/rust/generate" --check
}
check "another header is noticed" other_header_is_noticed

# ---- today's Rust ----

export CARGO_TARGET_DIR=$build/rust/now
tests "tests" in_crates cargo test --quiet --no-fail-fast
if cargo clippy --version >/dev/null 2>&1; then
    check "clippy" in_crates cargo clippy --all-targets -- -D warnings
else
    skip "clippy" "it is not installed"
fi
if cargo fmt --version >/dev/null 2>&1; then
    check "formatting" in_crates cargo fmt --check
else
    skip "formatting" "rustfmt is not installed"
fi
check "documentation" in_crates env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
example() {
    local out
    out=$(cd "$crates" && printf 'What is 11 + 3?\nWhat is 11 + 3?\n' | cargo run --quiet --example chat -- "$model" 2>"$work/example.err")
    echo "$out"
    [ "$out" = $'11 + 3 = 14.\n11 + 3 = 14.' ]
}
check "the example chats" example
example_fails() {
    ! (cd "$crates" && cargo run --quiet --example chat -- nowhere.gguf) 2>"$work/example.err" && grep "nowhere.gguf" "$work/example.err"
}
check "the example says what is wrong" example_fails

# ---- Rust 1.63 ----

old() {
    in_crates env CARGO_TARGET_DIR="$build/rust/1.63" "$@"
}
if [[ $newest == 1.63.* ]]; then
    echo "this is 1.63 already"
elif [[ $(/usr/bin/rustc --version 2>/dev/null) == "rustc 1.63."* ]] && [ -x /usr/bin/cargo ]; then
    tests "tests with 1.63" old RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc /usr/bin/cargo test --quiet --no-fail-fast
elif rustup run 1.63.0 rustc --version >/dev/null 2>&1; then
    tests "tests with 1.63" old rustup run 1.63.0 cargo test --quiet --no-fail-fast
else
    skip "tests with 1.63" "it is not here: Debian 12's packages rustc and cargo, or rustup's toolchain 1.63.0"
fi

# ---- a stranger's program, with the library built along ----

readme_program() {
    local crate=$work/ask out
    mkdir -p "$crate/src"
    sed -n '/^```rust$/,/^```$/p' "$crates/README.md" | sed '/^```/d' >"$crate/src/main.rs"
    [ "$(wc -l <"$crate/src/main.rs")" = 10 ] || { echo "the README's program has not ten lines"; return 1; }
    cat >"$crate/Cargo.toml" <<END
[package]
name = "ask"
version = "1.0.0"
edition = "2021"
[dependencies]
llama4 = { path = "$crates/llama4", features = ["vendored"] }
END
    # neither the installed library nor pkg-config's knowledge of it
    (cd "$crate" && env -u PKG_CONFIG_PATH -u LD_LIBRARY_PATH PATH="$plain_path" CARGO_TARGET_DIR="$build/rust/vendored" cargo build) || return 1
    out=$(cd "$root" && env -u LD_LIBRARY_PATH "$build/rust/vendored/debug/ask") || return 1
    echo "$out"
    [ "$out" = "11 + 3 = 14." ] || return 1
    ! readelf -d "$build/rust/vendored/debug/ask" | grep libllama4
}
if command -v meson >/dev/null && { command -v ninja || command -v ninja-build; } >/dev/null; then
    check "the README's program, vendored" readme_program
    no_library_message() {
        ! env -u PKG_CONFIG_PATH PATH="$plain_path" PKG_CONFIG_LIBDIR=/nonexistent CARGO_TARGET_DIR="$work/none" cargo build --quiet \
            --manifest-path "$crates/llama4-sys/Cargo.toml" 2>"$work/none.err" && grep 'vendored' "$work/none.err"
    }
    check "without a library the build says what to do" no_library_message
else
    skip "the README's program, vendored" "no meson or no ninja"
fi

# ---- memory ----

# Both sides are instrumented: the library by clang or gcc, Rust by the unstable flag of a nightly compiler.
asan_cc=
for cc in clang "${CC:-cc}"; do
    if [ -z "$asan_cc" ] && echo 'int main(void) { return 0; }' | "$cc" -x c -fsanitize=address -o "$work/probe" - 2>/dev/null; then
        asan_cc=$cc
    fi
done
host=$(rustc -vV | sed -n 's/^host: //p')
nightly=$(rustup run nightly rustc --print sysroot 2>/dev/null)
with_asan() {
    in_crates env -u PKG_CONFIG_PATH -u LD_LIBRARY_PATH CC="$asan_cc" CFLAGS="-fsanitize=address -fno-omit-frame-pointer" \
        RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR="$build/rust/asan" \
        rustup run nightly cargo test --quiet --features vendored --target "$host" --test all
}
is_instrumented() {
    local library
    library=$(find "$build/rust/asan" -name libllama4.a | head -n 1)
    [ -n "$library" ] && nm -u "$library" | grep -m 1 __asan_report
}
if [ -n "$nightly" ] && [ -n "$asan_cc" ] && compgen -G "$nightly/lib/rustlib/$host/lib/librustc*asan.a" >/dev/null; then
    tests "tests under AddressSanitizer" with_asan
    check "the library was instrumented, too" is_instrumented
elif command -v valgrind >/dev/null; then
    in_crates cargo test --quiet --release --no-run --test all --message-format=json >"$work/build.json" 2>"$work/build.log"
    program=$(sed -n 's/.*"name":"all".*"executable":"\([^"]*\)".*/\1/p' "$work/build.json" | tail -n 1)
    if [ -x "$program" ]; then
        # The standard library's test harness keeps a little to its end ("possibly lost").
        tests "tests under valgrind" env -C "$crates/llama4" LLAMA4_SLOW=1 valgrind --quiet --error-exitcode=9 --leak-check=full \
            --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect "$program" --test-threads=1 --skip the_same_as_the_program
    else
        fail "tests under valgrind: nothing was built" "$work/build.log"
    fi
else
    skip "tests under AddressSanitizer or valgrind" "no nightly Rust with a sanitizer's runtime, and no valgrind"
fi

# ---- cost ----

if [ "$(uname -s)" = Linux ]; then
    check "the benchmark of a call runs" "$root/tests/bench/overhead/rust_calls.sh" --once
else
    skip "the cost of a call" "only measured on Linux"
fi
close
