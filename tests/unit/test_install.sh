#!/usr/bin/env bash
# Installs the library into a folder of its own and uses it as a stranger would: what is there, what it needs, how large it is, and
# whether examples/embed builds against it by pkg-config, shared and static, and runs.
#     test_install.sh BUILD_DIR
set -u
build=$(cd "$1" && pwd) || exit 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

# check NAME COMMAND...: the command must succeed
check() {
    local name=$1 log=$work/log
    shift
    if "$@" >"$log" 2>&1; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "FAILED $name: $*"
        sed 's/^/    /' "$log" | tail -n 15
        failed=$((failed + 1))
    fi
}

close() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}

there() {
    [ -s "$1" ]
}

prefix=/opt/llama4
stage=$work/stage$prefix
# DESTDIR and prefix apart, as packagers do it; the library folder is found, not guessed.
check "meson install" env DESTDIR="$work/stage" meson install -C "$build" --no-rebuild
[ "$failed" = 0 ] || close
first=$(find "$work/stage" -name llama4.pc | head -n 1)
there_prefix=$(cd "$(dirname "$first")/../.." 2>/dev/null && pwd)
case $first in */lib/pkgconfig/*) ;; *) there_prefix=$(cd "$(dirname "$first")/../../.." && pwd) ;; esac
stage=$there_prefix
lib=$(dirname "$(dirname "$first")")
for file in include/llama4/llama4.h include/llama4/version.h bin/llama4; do
    check "installed $file" there "$stage/$file"
done
check "installed man page" there "$(find "$stage" -name 'llama4.1*' | head -n 1)"
check "installed static library" there "$lib/libllama4.a"
check "installed shared library" there "$lib/libllama4.so"
check "header is the repository's" cmp "$stage/include/llama4/llama4.h" "$root/include/llama4/llama4.h"

major=$(sed -n 's/^#define LLAMA4_VERSION_MAJOR //p' "$root/include/llama4/version.h")
version=$(python3 "$root/tests/lint/version.py")
soname=$(readelf -d "$lib/libllama4.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
check "soname follows the major version" [ "$soname" = "libllama4.so.$major" ]
check "a link of that name is there" [ -L "$lib/$soname" ]

export PKG_CONFIG_PATH=$(dirname "$first") PKG_CONFIG_SYSROOT_DIR=
pc() {
    # the staged prefix in place of the real one
    "$(command -v pkg-config || command -v pkgconf)" --define-variable=prefix="$stage" "$@" llama4
}
check "pkg-config knows the version" [ "$(pc --modversion)" = "$version" ]

# Nothing but the C library, mathematics and threads, and the decoders of pictures.
strange() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libm|libpthread|libpng16|libturbojpeg|ld-linux[^.]*)\.so'
}
needs_only_libc() {
    ! strange "$1"
}
check "the shared library needs libc, libm, libpng and libturbojpeg only" needs_only_libc "$lib/libllama4.so"
check "the program needs no more either" needs_only_libc "$stage/bin/llama4"

small() {
    cp "$1" "$work/stripped" && strip "$work/stripped" && size=$(wc -c <"$work/stripped") && echo "$size bytes" && [ "$size" -lt 1500000 ]
}
check "the shared library is under 1.5 MB" small "$lib/libllama4.so"
cat "$work/log"

# Lazily bound symbols, writable code or an executable stack would be found by packagers sooner or later.
no_executable_stack() {
    ! readelf -lW "$1" | grep -E 'GNU_STACK.*RWE'
}
check "no executable stack" no_executable_stack "$lib/libllama4.so"
no_text_relocations() {
    ! readelf -d "$1" | grep TEXTREL
}
check "no text relocations" no_text_relocations "$lib/libllama4.so"

# The smallest host: built against what was installed.
source=$root/examples/embed/embed.c
model=$root/examples/models/llama4-tiny.gguf
check "embed builds, shared" $cc -std=c99 -Wall -Wextra -Werror $(pc --cflags) "$source" -o "$work/embed-shared" $(pc --libs)
static_libs=$(pc --static --libs)
# The static library by its name: -lllama4 would take the shared one beside it.
static_libs=${static_libs//-lllama4/$lib/libllama4.a}
check "embed builds, static" $cc -std=c99 -Wall -Wextra -Werror $(pc --cflags) "$source" -o "$work/embed-static" $static_libs
needs_us() {
    readelf -d "$1" | grep -q "NEEDED.*$soname"
}
check "the shared one needs the library" needs_us "$work/embed-shared"
needs_us_not() {
    ! needs_us "$1"
}
check "the static one does not" needs_us_not "$work/embed-static"
answers() {
    local out
    out=$("$@") && echo "$out" && [ -n "$out" ]
}
check "embed runs, shared" answers env LD_LIBRARY_PATH="$lib" "$work/embed-shared" "$model"
check "embed runs, static" answers "$work/embed-static" "$model"
check "they say the same" [ "$(LD_LIBRARY_PATH=$lib "$work/embed-shared" "$model")" = "$("$work/embed-static" "$model")" ]
# And as its own Makefile does it.
if command -v make >/dev/null; then
    for kind in shared static; do
        mkdir "$work/$kind" && cp "$root"/examples/embed/* "$work/$kind"
        flags="PKG_CONFIG=$(command -v pkg-config || command -v pkgconf) --define-variable=prefix=$stage"
        [ $kind = static ] && check "embed's Makefile, $kind" make -C "$work/$kind" CC="$cc" "$flags" static=1
        [ $kind = shared ] && check "embed's Makefile, $kind" make -C "$work/$kind" CC="$cc" "$flags"
        check "what it made runs, $kind" answers env LD_LIBRARY_PATH="$lib" "$work/$kind/embed" "$model"
    done
else
    echo "skipped embed's Makefile: no make"
    skipped=$((skipped + 4))
fi
check "the installed program runs" "$stage/bin/llama4" info "$model"
check "the installed program is quick to start" python3 -c '
import subprocess, sys, time
best = 1.0
for _ in range(10):
    start = time.perf_counter()
    subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
    best = min(best, time.perf_counter() - start)
print("llama4 info: %.1f ms" % (best * 1000))
sys.exit(best > 0.02)' "$stage/bin/llama4" info "$model"
cat "$work/log"
close
