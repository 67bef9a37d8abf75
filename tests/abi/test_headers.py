"""Every public header compiles alone, without a warning, whatever the language and its edition."""
from harness import INCLUDE, have, run


def tests(t):
    editions = [("c", "c99"), ("c", "c11"), ("c", "c2x"), ("c++", "c++98"), ("c++", "c++11"), ("c++", "c++20")]
    compilers = {"c": ["gcc", "clang"], "c++": ["g++", "clang++"]}
    for header in sorted(INCLUDE.rglob("*.h")):
        name = header.relative_to(INCLUDE).as_posix()
        for language, edition in editions:
            source = t.scratch / ("alone.c" if language == "c" else "alone.cc")
            # Twice: the guard works.
            body = f"#include <{name}>\n#include <{name}>\n"
            if name == "llama4/llama4.h":
                body += "llama4_error fresh = LLAMA4_ERROR_INIT;\n"
            source.write_text(body + "extern int not_empty;\n")
            for compiler in compilers[language]:
                case = f"{name} alone: {compiler} -std={edition}"
                if not have(compiler):
                    t.skip(case, f"no {compiler}")
                    continue
                t.succeeds(case, [compiler, f"-std={edition}", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                  "-I", INCLUDE, source])
    source = t.scratch / "bad.c"
    source.write_text("#include <llama4/llama4.h>\nstruct { int a; } typedef; inline long long f(void) { return 1; }\n")
    if have("gcc"):
        r = run(["gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", INCLUDE, source])
        t.ok("these flags refuse what they should", r.returncode != 0)
