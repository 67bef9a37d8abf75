#!/usr/bin/env python3
"""lint.py [--build DIR] [--cc CC] [--cxx CXX]: the rules of the source tree, each tried first on a bad example.

Without --build the rules about the compiled library are skipped. Prints one line per rule, then "N passed, N failed, N skipped".
A rule is a function from a tree (or a library) to a list of complaints; `example` builds a small tree that must displease it.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RANK = {"base": 0, "kernels": 1, "format": 2, "model": 3, "nn": 4, "text": 5, "vision": 5, "run": 5, "sample": 5, "flow": 6, "api": 7}
STANDARD = set("ctype errno fenv float inttypes limits math stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib "
               "stdnoreturn string time uchar wchar wctype".split())
INTRINSICS = {"immintrin.h", "arm_neon.h"}
BORROWED = {"png.h": "vision/png.c", "setjmp.h": "vision/png.c", "turbojpeg.h": "vision/jpeg.c"}  # each library in one file
STREAMS = "printf fprintf vprintf vfprintf puts fputs putchar fputc putc perror putchar_unlocked __printf_chk __fprintf_chk __vfprintf_chk"
ENDS = "abort exit _exit _Exit quick_exit __assert_fail __assert raise signal sigaction system popen"
ENVIRONMENT = "getenv secure_getenv setenv putenv setlocale localeconv uselocale strtod strtof strtold atof strtok rand srand"
MEMORY = "malloc calloc realloc free aligned_alloc posix_memalign memalign strdup strndup reallocarray __strdup"
SOURCE = {".c", ".h"}


# ---- reading sources ----

def sources(root, *folders):
    return sorted(p for f in folders for p in (root / f).rglob("*") if p.suffix in SOURCE and p.is_file())


def code(text, keep_strings=False):
    """The text with comments, and unless told otherwise the insides of strings, blanked; line numbers stay."""
    def blank(m):
        s = m.group(0)
        if s[0] == "/":
            return " " + "\n" * s.count("\n")
        return s if keep_strings else s[0] * 2
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def calls(path, words):
    found = []
    for n, line in enumerate(code(path.read_text()).splitlines(), 1):
        for m in re.finditer(r"(?<![\w.>])(%s)\s*\(" % "|".join(words.split()), line):
            found.append(f"{path.name}:{n}: {m.group(1)}")
    return found


def includes(path):
    """(line, quoted, name) of every #include."""
    for n, line in enumerate(code(path.read_text(), True).splitlines(), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m:
            yield n, m.group(1) == '"', m.group(2)


# ---- rules about sources: a function of the root ----

def rule_layers(root):
    """includes in lib/ point down the layers, and siblings never include each other"""
    bad = []
    for p in sources(root, "lib"):
        layer = p.relative_to(root / "lib").parts[0]
        if layer not in RANK:
            bad.append(f"{p.name}: lib/{layer} is no layer")
            continue
        for n, quoted, name in includes(p):
            if not quoted or name in ("llama4/llama4.h", "llama4/version.h"):
                continue
            target = root / "lib" / name
            local = p.parent / name
            if not target.is_file() and local.is_file() and (root / "lib") in local.resolve().parents:
                target = local
            if not target.is_file():
                bad.append(f"{p.name}:{n}: \"{name}\" is not in lib/")
                continue
            other = target.resolve().relative_to((root / "lib").resolve()).parts[0]
            if other != layer and RANK.get(other, 99) >= RANK[layer]:
                bad.append(f"{p.name}:{n}: {layer} includes {other}")
    return bad


def rule_cycles(root):
    """no header includes itself by a detour"""
    lib = root / "lib"
    graph = {}
    for p in sources(root, "lib"):
        graph[p] = [q for _, quoted, name in includes(p) if quoted for q in (lib / name, p.parent / name) if q.is_file()][:99]
    state, bad = {}, []
    for start in graph:
        stack = [(start, iter(graph[start]))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            node, rest = stack[-1]
            for q in rest:
                q = q.resolve() if q not in graph else q
                if state.get(q) == 1:
                    bad.append(f"{node.name} includes {q.name}, which leads back to it")
                elif q not in state:
                    state[q] = 1
                    stack.append((q, iter(graph.get(q, []))))
                    break
            else:
                state[node] = 2
                stack.pop()
    return bad


def rule_system_headers(root):
    """only lib/base includes headers beyond standard C (intrinsics: lib/kernels/x86 and arm; of libraries: one file each)"""
    bad = []
    for p in sources(root, "lib"):
        parts = p.relative_to(root / "lib").parts
        for n, quoted, name in includes(p):
            if quoted or name[:-2] in STANDARD or parts[0] == "base":
                continue
            if BORROWED.get(name) == "/".join(parts):
                continue
            if name in INTRINSICS and parts[0] == "kernels" and parts[1] in ("x86", "arm"):
                continue
            bad.append(f"{'/'.join(parts)}:{n}: <{name}>")
    return bad


def rule_forbidden_calls(root):
    """lib/ does not end the process, print, or look at environment and locale"""
    return [x for p in sources(root, "lib") for x in calls(p, " ".join((STREAMS, ENDS, ENVIRONMENT, "assert")))]


def rule_memory_calls(root):
    """memory comes from lib/base/alloc.c alone"""
    return [x for p in sources(root, "lib") if p != root / "lib/base/alloc.c" for x in calls(p, MEMORY)]


def rule_float_formats(root):
    """no %f, %e, %g or %a in lib/: they follow the host's locale"""
    bad = []
    for p in sources(root, "lib"):
        for n, line in enumerate(code(p.read_text(), True).splitlines(), 1):
            for s in re.findall(r'"(?:\\.|[^"\\\n])*"', line):
                if re.search(r"(?<!%)(?:%%)*%[-+ #0-9.*]*[lL]?[fFeEgGaA]", s):
                    bad.append(f"{p.name}:{n}: {s}")
    return bad


def rule_file_length(root):
    """files under 600 lines, generated tables aside; llama4.h under 900"""
    bad = []
    for p in sources(root, "lib", "examples", "tests", "include") + sorted((root / "tests").rglob("*.py")):
        text = p.read_text()
        limit = 900 if p.name == "llama4.h" else 600
        if text.count("\n") >= limit and not re.search(r"generated by", text[:400], re.I):
            bad.append(f"{p.relative_to(root)}: {text.count(chr(10))} lines")
    return bad


def rule_opening_comment(root):
    """each .c in lib/, or the header of its own name that it includes first, opens with a comment"""
    bad = []
    for p in sources(root, "lib"):
        text = p.read_text()
        own = p.with_suffix(".h")
        first = next((name for _, quoted, name in includes(p) if quoted), "")
        by_header = own.is_file() and first.endswith("/" + own.name) and own.read_text().startswith("/*")
        if p.suffix == ".c" and not text.startswith("/*") and not by_header:
            bad.append(p.name)
    return bad


def rule_whitespace(root):
    """no tabs, no space at the end of a line, a newline at the end of a file"""
    bad = []
    for p in tracked(root):
        if p.suffix not in (".c", ".h", ".py", ".build", ".sh") and p.name not in ("run", "quickstart"):
            continue
        text = p.read_text()
        if text and not text.endswith("\n"):
            bad.append(f"{p.relative_to(root)}: no newline at the end")
        for n, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip() or "\t" in line:
                bad.append(f"{p.relative_to(root)}:{n}")
    return bad


def rule_machine_paths(root):
    """nothing in the tree names a machine's folders or a package registry"""
    folders = "|".join(("work", "home", "root", "Users"))
    hosts = "|".join(a + r"\." + b for a, b in (("pypi", "org"), ("pythonhosted", "org"), ("deb.debian", "org"), ("archive.ubuntu", "com"),
                                                ("crates", "io"), ("npmjs", "org"), ("proxy.golang", "org")))
    pattern = re.compile(rf"(?<![\w.\-/])/(?:{folders})/\w|(?:{hosts})\b".encode())
    bad = []
    for p in tracked(root):
        data = p.read_bytes()
        if b"\0" in data[:4096]:
            continue
        for n, line in enumerate(data.splitlines(), 1):
            m = pattern.search(line)
            if m:
                bad.append(f"{p.relative_to(root)}:{n}: {m.group(0).decode()}")
    return bad


def tracked(root):
    """Files of the repository, also those not yet added; without git, all files."""
    try:
        out = subprocess.run(["git", "-C", str(root), "ls-files", "-coz", "--exclude-standard"], check=True, capture_output=True).stdout
        names = [root / x.decode() for x in out.split(b"\0") if x]
        top = subprocess.run(["git", "-C", str(root), "rev-parse", "--show-toplevel"], check=True, capture_output=True, text=True).stdout.strip()
        if pathlib.Path(top).resolve() == root.resolve():
            return sorted({p for p in names if p.is_file() and not p.is_symlink()})
    except (OSError, subprocess.CalledProcessError):
        pass
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.relative_to(root).parts[0].startswith(("build", ".git")))


# ---- rules about headers and the compiled library: a function of (root, build, tools) ----

def run(*command, **more):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)


def library(build, suffix):
    found = sorted(p for p in build.glob(f"libllama4*{suffix}*") if p.is_file() and not p.is_symlink() and not p.name.endswith((".p", ".symbols")))
    return found[0] if found else None


def declared(root):
    text = code((root / "include/llama4/llama4.h").read_text())
    return set(re.findall(r"LLAMA4_API\b[^;(]*?\b(llama4_\w+)\s*\(", text))


def rule_writable_globals(root, build, tools):
    """no writable global or static in the library"""
    bad, member = [], "?"
    for line in run("objdump", "-t", library(build, ".a"), check=True).stdout.splitlines():
        m = re.match(r"(\S+):\s+file format", line)
        if m:
            member = m.group(1)
        m = re.match(r"[0-9a-f]+ (.{7}) (\S+)\s+([0-9a-f]+)\s+(?:\.hidden |\.protected )?(\S+)$", line)
        if not m or "d" in m.group(1) or "f" in m.group(1) or int(m.group(3), 16) == 0:
            continue
        section = m.group(2)
        if section == "*COM*" or (re.match(r"\.(data|bss|tdata|tbss)\b", section) and not section.startswith(".data.rel.ro")):
            bad.append(f"{member}: {m.group(4)} in {section}")
    return bad


def rule_imports(root, build, tools):
    """the compiled library calls nothing that ends the process, prints, reads the environment, or allocates beside alloc.c"""
    bad, member = [], "?"
    never = set((STREAMS + " " + ENDS + " " + ENVIRONMENT).split())
    memory = set(MEMORY.split())
    for line in run("nm", "-u", library(build, ".a"), check=True).stdout.splitlines():
        if line.endswith(":"):
            member = line[:-1]
        name = line.split()[-1] if line.startswith(" ") else ""
        if name in never or (name in memory and "alloc.c" not in member):
            bad.append(f"{member}: {name}")
    return bad


def rule_exports(root, build, tools):
    """the shared library exports the functions that llama4.h declares, and nothing else"""
    out = run("nm", "-D", "--defined-only", library(build, ".so"), check=True).stdout
    have = {f.split("@")[0] for kind, f in (line.split()[1:3] for line in out.splitlines() if len(line.split()) >= 3) if kind != "A"}
    want = declared(root)
    if not want:
        return ["llama4.h declares no function"]
    return [f"{x} is declared, not exported" for x in sorted(want - have)] + [f"{x} is exported, not declared" for x in sorted(have - want)]


def compiles(root, tools, which, *flags):
    with tempfile.TemporaryDirectory() as d:
        p = pathlib.Path(d) / ("only.c" if which == "cc" else "only.cc")
        p.write_text("#include <llama4/llama4.h>\nllama4_error e = LLAMA4_ERROR_INIT;\n")
        r = run(tools[which], *flags, "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", root / "include", p)
        return [r.stderr.strip().splitlines()[0]] if r.returncode else []


def rule_header_c(root, build, tools):
    """llama4.h compiles alone as C99, pedantic"""
    return compiles(root, tools, "cc", "-std=c99")


def rule_header_cxx(root, build, tools):
    """llama4.h compiles alone as C++11, pedantic"""
    return compiles(root, tools, "cxx", "-std=c++11")


# ---- bad examples ----

GOOD_HEADER = "#include <stdint.h>\n#define LLAMA4_API\ntypedef struct { int x; } llama4_error;\n#define LLAMA4_ERROR_INIT {0}\n" \
              "LLAMA4_API int llama4_a(void);\n"
EXAMPLES = {
    rule_layers: {"lib/base/a.h": '#include "nn/b.h"\n', "lib/nn/b.h": ""},
    rule_cycles: {"lib/base/a.h": '#include "base/b.h"\n', "lib/base/b.h": '#include "base/a.h"\n'},
    rule_system_headers: {"lib/nn/a.c": "#include <unistd.h>\n"},
    rule_forbidden_calls: {"lib/nn/a.c": "void f(void) { abort(); }\n"},
    rule_memory_calls: {"lib/nn/a.c": "void f(void *p) { free(p); }\n"},
    rule_float_formats: {"lib/nn/a.c": 'const char *f = "%.3f";\n'},
    rule_file_length: {"lib/nn/a.c": "/* */\n" * 600},
    rule_opening_comment: {"lib/nn/a.c": "int x;\n"},
    rule_whitespace: {"lib/nn/a.c": "int x; \n"},
    rule_machine_paths: {"README.md": "see /" + "work/here\n"},
    rule_writable_globals: {"a.c": "static int n; int *f(void); int *f(void) { n++; return &n; }\n"},
    rule_imports: {"a.c": "#include <stdlib.h>\nvoid f(void); void f(void) { abort(); }\n"},
    rule_exports: {"a.c": "int llama4_a(void); int llama4_a(void) { return 1; } int stray(void); int stray(void) { return 2; }\n"},
    rule_header_c: {"include/llama4/llama4.h": GOOD_HEADER + "inline int f(void) { return x; }\n"},
    rule_header_cxx: {"include/llama4/llama4.h": GOOD_HEADER + "int class;\n"},
}
SIBLINGS = {"lib/text/a.h": '#include "run/b.h"\n', "lib/run/b.h": ""}  # a second one for rule_layers
GOOD = {"lib/base/a.h": "", "lib/nn/b.c": '/* fine: abort(), printf() and "%f" in a comment */\n#include <math.h>\n\n#include "base/a.h"\n\n'
        'const char *const s = "abort() 100%%";\nint g(struct v *o);\nint g(struct v *o)\n{\n    return o->free(1);\n}\n'}


def plant(root, files):
    for name, text in files.items():
        p = root / name
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_text(text)


def try_example(rule, compiled, tools, files):
    with tempfile.TemporaryDirectory() as d:
        root = pathlib.Path(d)
        plant(root, files)
        if not compiled:
            return rule(root)
        if "a.c" in files:
            plant(root, {"include/llama4/llama4.h": GOOD_HEADER})
            for command in ([tools["cc"], "-c", "-fPIC", "a.c", "-o", "a.o"], ["ar", "rcs", "libllama4.a", "a.o"],
                            [tools["cc"], "-shared", "a.o", "-o", "libllama4.so"]):
                run(*command, cwd=d, check=True)
        return rule(root, root, tools)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    ap.add_argument("--build", type=pathlib.Path)
    ap.add_argument("--cc", default="cc")
    ap.add_argument("--cxx", default="c++")
    a = ap.parse_args()
    tools = {"cc": a.cc, "cxx": a.cxx}
    count = {"ok": 0, "FAILED": 0, "skipped": 0}

    def report(verdict, name, what=()):
        count[verdict] += 1
        print(f"{verdict} {name}" + "".join(f"\n    {x}" for x in list(what)[:20]))

    for rule in EXAMPLES:
        compiled = rule.__code__.co_argcount == 3
        name = rule.__name__[5:].replace("_", " ")
        if (rule is rule_header_cxx and not shutil.which(a.cxx)) or (compiled and not shutil.which(a.cc)):
            report("skipped", f"{name}: no compiler")
            continue
        if not try_example(rule, compiled, tools, EXAMPLES[rule]):
            report("FAILED", f"{name}: finds no fault with the bad example")
            continue
        if not compiled and try_example(rule, compiled, tools, GOOD):
            report("FAILED", f"{name}: complains of the good example", try_example(rule, compiled, tools, GOOD))
            continue
        if rule is rule_layers and not try_example(rule, False, tools, SIBLINGS):
            report("FAILED", f"{name}: siblings may include each other")
            continue
        if compiled and "a.c" in EXAMPLES[rule] and not (a.build and library(a.build, ".a") and library(a.build, ".so")):
            report("skipped", f"{name}: no built library" + ("" if a.build else ", see --build"))
            continue
        complaints = rule(a.root, a.build, tools) if compiled else rule(a.root)
        report("FAILED" if complaints else "ok", f"{name}: {rule.__doc__}", complaints)
    print(f"{count['ok']} passed, {count['FAILED']} failed, {count['skipped']} skipped")
    return 1 if count["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
