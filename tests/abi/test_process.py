"""One process, several guests: two copies of the library, and the libraries that hosts use themselves."""
from harness import ABI, INCLUDE, MODEL, ROOT, have, run, with_library

FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", INCLUDE, "-I", ROOT / "tests/unit", "-I", ABI]

# A host that exports functions of the library's names, its own and internal ones; the one of lib/llama4.map is one that the library
# itself calls.
STRAY = """
#include <stdlib.h>
#include "work.h"

int32_t l4_fail(void);
int32_t l4_alloc(void);
int32_t l4_fail(void) { abort(); }
int32_t l4_alloc(void) { abort(); }

llama4_status llama4_chat_tokenize(const llama4_vocab *vocab, const llama4_message *messages, size_t n_messages, size_t stride,
                                   uint32_t flags, int32_t *tokens, size_t capacity, size_t *count, llama4_error *error)
{
    (void)vocab, (void)messages, (void)n_messages, (void)stride, (void)flags, (void)tokens, (void)capacity, (void)count, (void)error;
    abort();
}

int main(int argc, char **argv)
{
    char text[2048];
    if (argc != 2 || work(argv[1], 2, text, sizeof text))
        return 1;
    puts(text);
    return text[0] == 0;
}
"""


def copies(t):
    shared_plugin, static_plugin = t.scratch / "plugin-shared.so", t.scratch / "plugin-static.so"
    build = [*t.cc, *FLAGS, "-shared", "-fPIC", "-fvisibility=hidden", ABI / "plugin.c"]
    good = t.succeeds("a plug-in with the shared library", [*build, "-o", shared_plugin, t.shared])
    # What is linked in stays hidden, as a careful maker does it.
    good &= t.succeeds("a plug-in with the static library",
                       [*build, "-o", static_plugin, t.static, *t.static_needs, "-Wl,--exclude-libs,ALL", "-Wl,-Bsymbolic"])
    apart, same = t.scratch / "host-apart", t.scratch / "host-same"
    host = [*t.cc, *FLAGS, ABI / "host.c", t.static, *t.static_needs, "-ldl"]
    good &= t.succeeds("a host with the static library", [*host, "-o", apart])
    good &= t.succeeds("a host that exports its static library", [*host, "-rdynamic", "-o", same])
    if not good:
        return
    here = with_library(t.build)
    for flags in ("local", "global"):
        t.program(f"host and plug-ins, each with its copy, {flags}", [apart, MODEL, "APART", flags, shared_plugin, static_plugin], env=here)
    t.program("a plug-in that was given the host's copy", [same, MODEL, "SAME", "global", shared_plugin], env=here)
    t.program("a plug-in that keeps its own", [same, MODEL, "APART", "global", static_plugin], env=here)
    mixed(t, same, here)


def mixed(t, host, environment):
    """The host exports one function of another copy, and only that: the library must not step into it."""
    stray = t.scratch / "stray.c"
    stray.write_text(STRAY)
    program = t.scratch / "stray"
    if t.succeeds("a host whose names look like the library's", [*t.cc, *FLAGS, "-rdynamic", stray, t.shared, "-o", program]):
        t.succeeds("the library never calls the host's functions of its name", [program, MODEL], env=environment)


def guests(t):
    pkg_config = have("pkg-config", "pkgconf")
    packages = ["openblas", "libpng", "libzstd"]
    missing = [p for p in packages if not pkg_config or run([pkg_config, "--exists", p]).returncode]
    probe = t.scratch / "omp.c"
    probe.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
    if run([*t.cc, "-fopenmp", probe, "-o", t.scratch / "omp"]).returncode:
        missing.append("OpenMP")
    if missing:
        t.skip("a host with OpenBLAS, OpenMP, libpng and zstd", f"missing: {', '.join(missing)}")
        return
    flags = run([pkg_config, "--cflags", "--libs", *packages]).stdout.split()
    for kind, library in (("shared", [t.shared]), ("static", [t.static, *t.static_needs])):
        program = t.scratch / f"guest-{kind}"
        command = [*t.cc, *FLAGS, "-frounding-math", "-fopenmp", ABI / "guest.c", *library, *flags, "-lm", "-o", program]
        if t.succeeds(f"a host with OpenBLAS, OpenMP, libpng and zstd, {kind}", command):
            t.program(f"it and the library leave each other alone, {kind}", [program, MODEL], env=with_library(t.build))


def tests(t):
    copies(t)
    guests(t)
