#!/usr/bin/env bash
# tests/kernels/arm64.sh BUILD: cross-builds the library for ARM64 into BUILD and tries its arithmetic under qemu-user: every NEON kernel against
# portable C, and hashes of kernels and of whole models against the numbers in test_bits, which are those of x86. Without the compiler or
# qemu this is skipped. tests/cross/run arm64 tries more than arithmetic. Ends with "N passed, N failed, N skipped".
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 2
cd "$root" || exit 2
build=$1 logs=$1/arm64-logs
tiny=examples/models/llama4-tiny.gguf
processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
passed=0 failed=0 skipped=0

close() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

fail() { # NAME LOG
    echo "FAILED $1"
    tail -n 15 "$2"
    failed=$((failed + 1))
}

. examples/install-packages.sh
if ! have arm64; then
    echo "skipped arm64: no aarch64-linux-gnu-gcc, or no qemu-aarch64"
    skipped=1
    close
fi

# ---- build ----

mkdir -p "$logs" || exit 2
ninja=$(command -v ninja || command -v ninja-build)
options=(--cross-file tests/cross/aarch64.ini --buildtype=release -Dtests=true -Dpng=disabled -Djpeg=disabled)
programs=(test_kernels test_attention test_dense test_decode test_bits)
[ -f "$build/build.ninja" ] || meson setup "$build" "${options[@]}" >"$logs/build.log" 2>&1 </dev/null || { fail "meson setup" "$logs/build.log"; close; }
meson setup --reconfigure "$build" "${options[@]}" >"$logs/build.log" 2>&1 </dev/null &&
    "$ninja" -C "$build" "${programs[@]/#/tests/}" examples/llama4 >>"$logs/build.log" 2>&1 </dev/null || { fail "build" "$logs/build.log"; close; }
if grep -q 'warning:' "$logs/build.log"; then
    fail "warnings" <(grep 'warning:' "$logs/build.log" | sort -u)
else
    passed=$((passed + 1))
fi

# ---- tests ----

# start NAME CPU COMMAND...: on that processor, as many at once as there are processors here.
names=()
start() {
    local name=$1 cpu=$2
    shift 2
    while [ "$(jobs -rp | wc -l)" -ge "$processors" ]; do
        wait -n 2>/dev/null || sleep 0.1
    done
    names+=("$name")
    (
        timeout 900 qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu "$cpu" "$@" >"$logs/$name.log" 2>&1 </dev/null
        echo $? >"$logs/$name.status"
    ) &
}

# Test programs: nothing may fail, and nothing may be skipped.
start kernels-neon max "$build/tests/test_kernels" neon
start kernels-dotprod max "$build/tests/test_kernels" portable neon_dotprod
start bits max "$build/tests/test_bits" kernels_generic kernels_neon kernels_neon_dotprod elementary_functions logits_neon logits_neon_dotprod
start decode max "$build/tests/test_decode"
start dense max "$build/tests/test_dense"
start attention max "$build/tests/test_attention"
wait
for name in "${names[@]}"; do
    line=$(tail -n 1 "$logs/$name.log")
    if [[ $line =~ ^([0-9]+)\ passed,\ 0\ failed(,\ 0\ skipped)?$ ]] && [ "$(cat "$logs/$name.status")" = 0 ]; then
        echo "$name: ${BASH_REMATCH[1]} passed"
        passed=$((passed + BASH_REMATCH[1]))
    else
        grep -E '^(FAILED|skipped) ' "$logs/$name.log" | head -n 20
        fail "$name" "$logs/$name.log"
    fi
done

# The same program on processors with and without the dot products: what it picks, and that it runs. shows NAME CPU WANTED COMMAND...
shows() {
    local name=$1 cpu=$2 wanted=$3
    shift 3
    start "$name" "$cpu" "$@"
    wait
    if grep -qF -- "$wanted" "$logs/$name.log" && [ "$(cat "$logs/$name.status")" = 0 ]; then
        passed=$((passed + 1))
    else
        fail "$name: not \"$wanted\"" "$logs/$name.log"
    fi
}

measure=("$build/examples/llama4" bench "$tiny" --prompt 20 --depth 0 -n 1 -r 1 --buffer 0 --json)
shows picks-dotprod max '"cpu": "neon-dotprod"' "${measure[@]}"
shows picks-neon cortex-a53 '"cpu": "neon"' "${measure[@]}"
shows capped max '"cpu": "generic"' "${measure[@]}" --cpu generic
shows answers cortex-a53 '11 + 3 = 14.' "$build/examples/llama4" run "$tiny" -p 'What is 11 + 3?' -n 20 --temp 0
shows bits-without-dotprod cortex-a53 '1 passed, 0 failed, 1 skipped' "$build/tests/test_bits" kernels_neon kernels_neon_dotprod
close
