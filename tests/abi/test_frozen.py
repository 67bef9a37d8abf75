"""A client of the first header, bound to the symbols of the first library, on today's library."""
import re

from harness import INCLUDE, MODEL, V1, constants, read_map, run, version, with_library


def first_library(t):
    """What the first client was linked against: the first library's names and nodes, and no code."""
    nodes = read_map(V1 / "llama4.map")
    source, library = t.scratch / "first.c", t.scratch / "first" / "libllama4.so"
    source.write_text("".join(f"void {s}(void);\nvoid {s}(void) {{ }}\n" for _, _, symbols in nodes for s in symbols))
    library.parent.mkdir()
    soname = f"libllama4.so.{version(V1 / 'version.h')[0]}"
    r = run([*t.cc, "-shared", "-fPIC", source, "-o", library, f"-Wl,-soname,{soname}", f"-Wl,--version-script={V1 / 'llama4.map'}"])
    return library if t.ok("the first library's names link", r.returncode == 0, r.stderr) else None


def tests(t):
    frozen, now = constants(V1 / "llama4.h"), constants(INCLUDE / "llama4/llama4.h")
    t.ok("constants of the first header were found", len(frozen) > 30 and "LLAMA4_ERR_STATE" in frozen, frozen)
    moved = [f"{n} was {v}, is {now.get(n)}" for n, v in frozen.items() if now.get(n) != v]
    t.ok("constants never change their values", not moved, "\n".join(moved))
    first, current = version(V1 / "version.h"), t.version
    t.ok("the first header is of this major version", first[0] == current[0] and first <= current, f"{first}, {current}")

    library = first_library(t)
    client = t.scratch / "client"
    if not library:
        return
    flags = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-O1", "-I", V1]
    if not t.succeeds("the first client compiles against the first header", [*t.cc, *flags, V1 / "client.c", library, "-o", client]):
        return
    needed = re.findall(r"NEEDED.*\[(libllama4.*)\]", run(["readelf", "-dW", client]).stdout)
    t.ok("it asks for the library by its soname", needed == [t.soname], needed)
    asked = set(re.findall(r"\b(llama4_\w+)@LLAMA4_", run(["nm", "-D", client]).stdout))
    all_first = {s for _, _, symbols in read_map(V1 / "llama4.map") for s in symbols}
    t.ok("it uses every function of the first header", asked == all_first, sorted(all_first - asked))
    r = run([client, MODEL, t.scratch], env=with_library(library.parent))
    t.ok("the empty library does not satisfy it", r.returncode != 0)
    t.program("the first client on today's library", [client, MODEL, t.scratch], env=with_library(t.build))
