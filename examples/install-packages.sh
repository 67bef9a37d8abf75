# Sourced by examples/quickstart and tests/run: finds out what is missing and installs it.
#
#     . examples/install-packages.sh
#     install_packages c-compiler meson ninja pkg-config python3
#
# Needs are named here, whatever a system calls its packages. On Debian and Ubuntu missing ones are installed, asking nothing; elsewhere
# the one command that installs them is printed and the status is 1. If nothing is missing, every system goes on.

# Is a need met?
have() {
    case $1 in
    c-compiler) printf '#include <stdio.h>\nint main(void) { return 0; }\n' | ${CC:-cc} -x c -o /dev/null - 2>/dev/null ;;
    clang) printf 'int main(void) { return 0; }\n' | clang -x c -o /dev/null - 2>/dev/null ;;
    fuzzer) printf 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { (void)d, (void)n; return 0; }\n' |
        clang -x c -fsanitize=fuzzer,address -o "${TMPDIR:-/tmp}/.llama4-fuzzer-probe.$$" - 2>/dev/null
        set -- $?
        rm -f "${TMPDIR:-/tmp}/.llama4-fuzzer-probe.$$"
        return "$1" ;;
    sanitizers) printf 'int main(void) { return 0; }\n' |
        ${CC:-cc} -x c -fsanitize=address,undefined -o /dev/null - 2>/dev/null ;;
    ninja) command -v ninja >/dev/null || command -v ninja-build >/dev/null ;;
    pkg-config) command -v pkg-config >/dev/null || command -v pkgconf >/dev/null ;;
    c++-compiler) printf 'int main() { return 0; }\n' | ${CXX:-c++} -x c++ -o /dev/null - 2>/dev/null ;;
    venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
    abigail) command -v abidiff >/dev/null ;;
    host-libraries) pkg-config --exists openblas libpng libzstd 2>/dev/null ;;
    png) pkg-config --exists libpng 2>/dev/null ;;
    jpeg) pkg-config --exists libturbojpeg 2>/dev/null ;;
    rust) command -v cargo >/dev/null && command -v rustc >/dev/null ;;
    valgrind) command -v valgrind >/dev/null ;;
    arm64) command -v qemu-aarch64 >/dev/null &&
        printf '#include <math.h>\nint main(void) { return 0; }\n' | aarch64-linux-gnu-gcc -x c -o /dev/null - 2>/dev/null ;;
    numpy) python3 -c 'import numpy' 2>/dev/null ;;
    meson | python3 | git | make) command -v "$1" >/dev/null ;;
    *) echo "install-packages.sh: nobody taught it what '$1' is" >&2; return 2 ;;
    esac
}

# What a need is called: package_name SYSTEM NEED
package_name() {
    case $1:$2 in
    debian:c-compiler) echo gcc libc6-dev ;;
    debian:c++-compiler) echo g++ ;;
    debian:venv) echo python3-venv ;;
    debian:abigail) echo abigail-tools ;;
    debian:host-libraries) echo libopenblas-dev libpng-dev libzstd-dev ;;
    debian:rust) echo cargo rustc ;;
    debian:png) echo libpng-dev ;;
    debian:arm64) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ;;
    debian:jpeg) echo libturbojpeg0-dev ;;
    fedora:c++-compiler) echo gcc-c++ ;;
    fedora:abigail) echo libabigail ;;
    fedora:host-libraries) echo openblas-devel libpng-devel libzstd-devel ;;
    fedora:rust) echo cargo rust ;;
    fedora:png) echo libpng-devel ;;
    fedora:arm64) echo gcc-aarch64-linux-gnu qemu-user ;;
    arch:arm64) echo aarch64-linux-gnu-gcc qemu-user ;;
    fedora:jpeg) echo turbojpeg-devel ;;
    arch:c++-compiler) echo gcc ;;
    arch:abigail) echo libabigail ;;
    arch:png | brew:png) echo libpng ;;
    arch:jpeg) echo libjpeg-turbo ;;
    brew:jpeg) echo jpeg-turbo ;;
    arch:host-libraries) echo openblas libpng zstd ;;
    brew:c++-compiler | brew:venv) ;;
    brew:abigail) echo libabigail ;;
    brew:host-libraries) echo openblas libpng zstd ;;
    fedora:venv | arch:venv) echo python3 ;;
    debian:sanitizers) echo gcc libc6-dev ;;
    debian:clang) echo clang ;;
    debian:fuzzer) echo clang "$(debian_clang_runtime)" ;;
    debian:ninja | fedora:ninja) echo ninja-build ;;
    debian:numpy | fedora:numpy) echo python3-numpy ;;
    fedora:c-compiler | arch:c-compiler) echo gcc ;;
    fedora:sanitizers) echo gcc libasan libubsan ;;
    fedora:clang) echo clang ;;
    fedora:fuzzer) echo clang compiler-rt ;;
    fedora:pkg-config) echo pkgconf-pkg-config ;;
    arch:sanitizers) echo gcc ;;
    arch:fuzzer) echo clang compiler-rt ;;
    arch:pkg-config) echo pkgconf ;;
    arch:python3) echo python ;;
    arch:numpy) echo python-numpy ;;
    brew:c-compiler | brew:sanitizers) ;; # Apple's command line tools, see below
    brew:clang | brew:fuzzer) echo llvm ;;
    brew:pkg-config) echo pkgconf ;;
    brew:python3) echo python ;;
    *) echo "$2" ;;
    esac
}

# Where the fuzzer's runtime is a package of its own, it bears clang's number.
debian_clang_runtime() {
    local runtime
    runtime=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p' | head -n 1)
    if [ -n "$runtime" ] && apt-cache show "$runtime" >/dev/null 2>&1; then
        echo "$runtime"
    fi
}

package_system() {
    if command -v apt-get >/dev/null; then
        echo debian
    elif command -v dnf >/dev/null; then
        echo fedora
    elif command -v pacman >/dev/null; then
        echo arch
    elif command -v brew >/dev/null; then
        echo brew
    else
        echo unknown
    fi
}

# Debian: root installs directly, others through sudo if that needs no password.
apt_install() {
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo -n)
        if ! sudo -n true 2>/dev/null; then
            echo "These packages are missing; please install them and start again:" >&2
            echo "    sudo apt-get install --yes --no-install-recommends $*" >&2
            return 1
        fi
    fi
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "$@")
    local log
    log=$(mktemp) || return 1
    echo "installing $*"
    # A fresh machine has no package lists, an old one lists that are out of date: only then they are fetched.
    if ! "${as_root[@]}" "${install[@]}" >"$log" 2>&1 </dev/null; then
        if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" "${install[@]}"; } >"$log" 2>&1 </dev/null; then
            cat "$log" >&2
            rm -f "$log"
            echo "The packages could not be installed: $*" >&2
            return 1
        fi
    fi
    rm -f "$log"
}

# Fills missing and packages from needs.
find_missing() {
    local need
    missing=() packages=()
    for need in "$@"; do
        have "$need" || missing+=("$need")
    done
    for need in ${missing[@]+"${missing[@]}"}; do
        # shellcheck disable=SC2207 # names of packages have no blanks
        packages+=($(package_name "$system" "$need"))
    done
}

install_packages() {
    local missing packages system
    system=$(package_system)
    find_missing "$@"
    [ ${#missing[@]} = 0 ] && return 0
    case $system in
    debian)
        apt_install "${packages[@]}" || return 1
        find_missing "$@"
        [ ${#missing[@]} = 0 ] && return 0
        apt_install "${packages[@]}" || return 1 # some names are known only once there are package lists
        find_missing "$@"
        [ ${#missing[@]} = 0 ] && return 0
        echo "Still missing after the installation: ${missing[*]}" >&2 ;;
    fedora) echo "Missing: ${missing[*]}. Install with: sudo dnf install ${packages[*]}" >&2 ;;
    arch) echo "Missing: ${missing[*]}. Install with: sudo pacman -S --needed ${packages[*]}" >&2 ;;
    brew)
        have c-compiler || echo "Missing: a C compiler. Install with: xcode-select --install" >&2
        [ ${#packages[@]} = 0 ] || echo "Missing: ${missing[*]}. Install with: brew install ${packages[*]}" >&2 ;;
    *) echo "Missing: ${missing[*]}. Please install them with this system's package manager." >&2 ;;
    esac
    return 1
}
