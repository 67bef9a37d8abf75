#!/usr/bin/env bash
# What one decode call costs through Rust, over C. A real decode takes a thousand times longer than the call and hides it, so a decode that does
# nothing is preloaded in front of the library: 5 million calls each in C and in Rust, in turns, the best of five. The limit is 0.1
# microseconds. 500 real decodes of one token are timed as well, for scale.
#     rust_calls.sh [--once] [MODEL]
# --once: few calls and no limit, to see whether it runs.
# pkg-config must find the library (PKG_CONFIG_PATH) and the loader, too (LD_LIBRARY_PATH). Linux only: it preloads.
set -u
rounds=5 calls=5000000 real_calls=500 limit=100 # nanoseconds
if [ "${1-}" = --once ]; then
    rounds=1 calls=1000 real_calls=1 limit=inf
    shift
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd) || exit 2
model=${1:-$root/tests/golden/dense/model}
here=$root/tests/bench/overhead
cargo=${CARGO:-cargo}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
read -ra flags <<<"$(pkg-config --cflags llama4)"
read -ra libs <<<"$(pkg-config --libs llama4)"
"${CC:-cc}" -O2 -std=c11 -Wall -Wextra -o "$work/c" "$here/rust_calls.c" "${flags[@]}" "${libs[@]}" || exit 1
"${CC:-cc}" -O2 -std=c11 -Wall -Wextra -shared -fPIC -o "$work/stub.so" "$here/rust_stub.c" "${flags[@]}" -ldl || exit 1
(cd "$root/bindings/rust" && "$cargo" bench --quiet --no-run --bench overhead --message-format=json 2>"$work/log") >"$work/build.json" ||
    { cat "$work/log"; exit 1; }
rust=$(sed -n 's/.*"name":"overhead".*"executable":"\([^"]*\)".*/\1/p' "$work/build.json" | tail -n 1)
[ -x "$rust" ] || { echo "cargo names no program"; exit 1; }

for ((round = 0; round < rounds; round++)); do
    for way in c rust; do
        program=$work/c
        [ $way = rust ] && program=$rust
        LD_PRELOAD=$work/stub.so "$program" "$model" "$calls" >>"$work/$way-empty" || exit 1
        "$program" "$model" "$real_calls" >>"$work/$way-real" || exit 1
    done
done
# best FILE COLUMN
best() {
    sort -n -k "$2,$2" "$work/$1" | awk -v c="$2" 'NR == 1 { print $c }'
}
status=0
column=1
for what in "decode" "decode and logits"; do
    c=$(best c-empty $column) rust=$(best rust-empty $column)
    awk -v what="$what" -v c="$c" -v rust="$rust" -v limit=$limit \
        'BEGIN { printf "%s: C %.1f ns, Rust %.1f ns, over C %+.1f ns (limit %s)\n", what, c, rust, rust - c, limit; exit limit != "inf" && rust - c > limit + 0 }' ||
        status=1
    column=$((column + 1))
done
awk -v c="$(best c-real 1)" -v rust="$(best rust-real 1)" \
    'BEGIN { printf "a real decode of one token: C %.1f us, Rust %.1f us\n", c / 1000, rust / 1000 }'
exit $status
