"""The numbers of layout.h, against the header's as libclang sees them, the first header's, and the compiler's."""
import ctypes
import importlib.util
import re

from harness import ABI, INCLUDE, MODEL, ROOT, V1, run


def numbers(path):
    sizes, fields = {}, {}
    for line in path.read_text().splitlines():
        m = re.match(r"SIZE\((\w+), (\d+), (\d+)\)$", line)
        if m:
            sizes[m.group(1)] = (int(m.group(2)), int(m.group(3)))
        m = re.match(r"FIELD\((\w+), (\w+), (\d+), (\d+)\)$", line)
        if m:
            fields[m.group(1), m.group(2)] = (int(m.group(3)), int(m.group(4)))
    return sizes, fields


def compiled(t, include, name):
    """layout.h's program, built against the headers in a folder."""
    program = t.scratch / name
    r = run([*t.cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", include, "-I", ROOT / "tests/unit", "-I", ABI,
             ABI / "test_layout.c", "-o", program])
    return program, r


def tests(t):
    sizes, fields = numbers(ABI / "layout.h")
    want_sizes = {s["name"]: s["size"] for s in t.api["structs"]}
    want_fields = {(s["name"], f["name"]): (f["offset"], f["size"]) for s in t.api["structs"] for f in s["fields"]}
    t.ok("layout.h has every struct of the header with its size", {n: s for n, (_, s) in sizes.items()} == want_sizes,
         {n: (sizes.get(n), want_sizes.get(n)) for n in set(sizes) | set(want_sizes) if sizes.get(n, (0, 0))[1] != want_sizes.get(n)})
    t.ok("layout.h has every field of the header with its place", fields == want_fields,
         {n: (fields.get(n), want_fields.get(n)) for n in set(fields) | set(want_fields) if fields.get(n) != want_fields.get(n)})

    program, r = compiled(t, INCLUDE, "layout")
    if t.ok("test_layout.c compiles", r.returncode == 0, r.stderr):
        t.program("the compiler's layout is that of layout.h", [program])

    # The first header has to agree in all that it knows.
    probe = t.scratch / "first.c"
    text = (V1 / "llama4.h").read_text()
    old = [n for n in fields if re.search(rf"\b{n[1]}\b", "".join(re.findall(rf"struct {n[0]} {{(.*?)}} {n[0]};", text, re.S)))]
    lines = [f'_Static_assert(offsetof({s}, {f}) == {fields[s, f][0]}, "{s}.{f}");' for s, f in old]
    lines += [f'_Static_assert(sizeof({s}) == {first}, "{s}");' for s, (first, _) in sizes.items() if f"}} {s};" in text]
    probe.write_text('#include "llama4.h"\n' + "\n".join(lines) + "\n")
    r = run([*t.cc, "-std=c11", "-fsyntax-only", "-I", V1, probe])
    t.ok("the first header agrees with layout.h", r.returncode == 0 and len(lines) > 100, r.stderr or len(lines))

    # And it is noticed when something moves: a header with one field more in the middle.
    broken = t.scratch / "broken" / "llama4"
    broken.mkdir(parents=True)
    (broken / "version.h").write_text((INCLUDE / "llama4/version.h").read_text())
    whole = (INCLUDE / "llama4/llama4.h").read_text()
    at = whole.index("    int32_t sequence;  ")
    (broken / "llama4.h").write_text(whole[:at] + "    int32_t inserted, inserted_too;\n" + whole[at:])
    program, r = compiled(t, broken.parent, "layout-broken")
    said = run([program]).stdout if r.returncode == 0 else ""
    t.ok("a field inserted is noticed", "FAILED fields" in said and "FAILED sizes" in said, r.stderr + said)

    program = t.scratch / "structs"
    command = [*t.cc, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", INCLUDE, "-I", ROOT / "tests/unit", "-I", ROOT / "lib",
               f'-DLLAMA4_TESTS="{ROOT / "tests"}"', f'-DLLAMA4_TINY="{MODEL}"', ABI / "test_structs.c",
               ROOT / "tests/unit/support.c", t.static, *t.static_needs, "-o", program]
    if t.succeeds("test_structs.c compiles", command):
        t.program("structs and strides of newer headers", [program])

    # The ctypes module, which any Python can read.
    spec = importlib.util.spec_from_file_location("llama4_ffi", ROOT / "bindings/python/llama4/_ffi.py")
    ffi = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ffi)
    wrong = [s for s, (_, size) in sizes.items() if ctypes.sizeof(getattr(ffi, s)) != size]
    wrong += [f"{s}.{f}" for (s, f), place in fields.items()
              if (getattr(getattr(ffi, s), f).offset, getattr(getattr(ffi, s), f).size) != place]
    t.ok("ctypes lays the structs out alike", not wrong, wrong)
